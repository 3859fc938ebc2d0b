"""The gradient-ascent loop: how a picture is made that excites a unit (G1; the loop of A1 and P2)."""

import torch
from torch import Tensor

from convscope.device import seeded
from convscope.errors import ArgumentError
from convscope.figures.schematic_file import Facts, Pixels, Schematic
from convscope.figures.svg import ACCENT, COOL, FAINT, PANEL, TEXT, Sheet, blend
from convscope.models.network import Network
from convscope.pictures import display
from convscope.probe.trace.address import Unit, parse
from convscope.probe.trace.record import run


def ascent(
    net: Network, unit: str | Unit | None = None, *, steps: int = 16, step: float = 0.2, seed: int = 0
) -> Schematic:
    """The loop that makes a picture which excites a unit: forward, gradient, a step uphill (G1; the loop of A1 and P2).

    The mean of the unit's map (or its value at the position given) climbs over `steps` steps, along the gradient
    divided by its RMS, from faint seeded noise. `step` is in standard deviations of natural pictures (58 of 255).
    Without a `unit`, the one of the last rectified maps that is most active on the noise. Raises ArgumentError for
    steps < 1 or step <= 0, UnitError for a unit that the network does not have.
    """
    if steps < 1 or not step > 0:
        raise ArgumentError("steps and step", (steps, step), "expected at least 1, and above 0")
    with seeded(seed):
        noise = 0.2 * _unit_scale(net) * torch.randn(1, *net.input_size, dtype=net.dtype)
    chosen = _liveliest(net, noise) if unit is None else parse(unit)
    chosen.check(net.graph().node(chosen.layer).shape)
    facts, pictures = ascent_facts(net, chosen, noise, steps, step)
    facts["seed"] = seed
    return Schematic("ascent", facts, _draw_ascent(facts, pictures))


def _unit_scale(net: Network) -> float:
    """A standard deviation of natural pictures in the network's space."""
    return 58 / 255 / float(torch.as_tensor(net.std, dtype=torch.float64).mean())


def _liveliest(net: Network, noise: Tensor) -> Unit:
    layer = net.rectified()[-1]
    with torch.no_grad():
        maps = run(net.working("cpu"), noise, [layer])[layer]
    return Unit(layer, int(maps[0].mean((1, 2)).argmax()))


def ascent_facts(net: Network, unit: Unit, x: Tensor, steps: int, step: float) -> tuple[Facts, dict[str, Pixels]]:
    """The numbers of the loop from `x` on, and its pictures by name: "0" … str(steps), and the first "gradient"."""
    module, values, sizes = net.working("cpu"), [], []
    pictures: dict[str, Pixels] = {}
    for number in range(steps + 1):
        leaf = x.clone().requires_grad_()
        with torch.enable_grad():
            value = _objective(run(module, leaf, [unit.layer])[unit.layer], unit)
            (gradient,) = torch.autograd.grad(value, leaf)
        size = float(gradient.square().mean().sqrt())
        values.append(float(value.detach()))
        sizes.append(size)
        pictures[str(number)] = net.transform.picture(x[0].float())
        pictures.setdefault("gradient", display(gradient[0]))
        x = x + step * _unit_scale(net) * gradient / max(size, 1e-12)
    facts = {"network": net.name, "unit": str(unit), "steps": steps, "step": step}
    return facts | {"values": values, "gradient_rms": sizes}, pictures


def _objective(output: Tensor, unit: Unit) -> Tensor:
    activity = output[0, unit.channel]
    return activity[unit.position] if isinstance(unit.position, tuple) and activity.ndim == 2 else activity.mean()


def _draw_ascent(facts: Facts, pictures: dict[str, Pixels]) -> str:
    sheet = Sheet(940, 520, "The gradient-ascent loop")
    title = f"Gradient ascent on {facts['unit']} of {facts['network']}"
    sheet.write(30, 42, title, 17, TEXT, text_anchor="start", font_weight=600)
    side, y, names = 130.0, 96.0, ("picture", "network", "unit", "gradient")
    lefts = dict(zip(names, (40.0, 285.0, 530.0, 770.0), strict=True))
    sheet.picture(lefts["picture"], y, side, pictures["0"])
    _draw_tower(sheet, lefts["network"], y, side)
    sheet.box(lefts["unit"], y + 25, side - 20, side - 50, PANEL, stroke=COOL, rx=8)
    sheet.write(lefts["unit"] + (side - 20) / 2, y + 58, facts["unit"], 13, TEXT)
    sheet.write(lefts["unit"] + (side - 20) / 2, y + 82, f"{facts['values'][0]:.4g}", 15, COOL, font_weight=600)
    sheet.picture(lefts["gradient"], y, side, pictures["gradient"])
    labels = ("picture x", "network, weights fixed", "its activity a(x)", "gradient ∂a/∂x")
    for name, label in zip(names, labels, strict=True):
        width = side - 20 if name == "unit" else side
        sheet.write(lefts[name] + width / 2, y + side + 20, label, 12, FAINT)
    middle = y + side / 2
    for tail, tip, text in (
        (lefts["picture"] + side + 14, lefts["network"] - 14, "forward"),
        (lefts["network"] + side + 14, lefts["unit"] - 14, "forward"),
        (lefts["unit"] + side - 6, lefts["gradient"] - 14, "backward"),
    ):
        sheet.arrow((tail, middle), (tip, middle), colour=COOL)
        sheet.write((tail + tip) / 2, middle - 10, text, 11, FAINT)
    low = y + side + 64
    right, left = lefts["gradient"] + side / 2, lefts["picture"] + side / 2
    sheet.arrow((right, y + side + 32), (right, low), (left, low), (left, y + side + 34), colour=ACCENT)
    rule = f"x ← x + {facts['step']:g} · g / rms(g),   rms(g) = {facts['gradient_rms'][0]:.3g}"
    sheet.write((left + right) / 2, low - 9, rule, 13, ACCENT)
    _draw_climb(sheet, facts, pictures, low + 46)
    return str(sheet)


def _draw_tower(sheet: Sheet, x: float, y: float, side: float) -> None:
    """A network at a glance: planes that shrink."""
    for k in range(5):
        tall = side * (1 - 0.16 * k)
        left = x + k * side / 5
        sheet.box(
            left, y + (side - tall) / 2, side / 5 - 6, tall, blend("#3d6473", "#22353d", k / 4), stroke=COOL, rx=3
        )


def _draw_climb(sheet: Sheet, facts: Facts, pictures: dict[str, Pixels], y: float) -> None:
    """The picture at a few steps over the curve of the unit's value."""
    steps, values, side = facts["steps"], facts["values"], 100.0
    chosen = sorted({0, max(1, steps // 8), max(1, steps // 4), max(1, steps // 2), steps})
    pitch = (940 - 340 - 80 - side) / max(len(chosen) - 1, 1)
    for number, at in enumerate(chosen):
        left = 40 + number * pitch
        sheet.picture(left, y, side, pictures[str(at)])
        sheet.write(left + side / 2, y + side + 18, f"step {at}", 11, FAINT)
        sheet.write(left + side / 2, y + side + 36, f"{values[at]:.4g}", 12, COOL)
    x, width, low, high = 640.0, 260.0, min(values), max(values)
    points = [
        (x + width * k / steps, y + side - (side - 6) * (v - low) / ((high - low) or 1.0)) for k, v in enumerate(values)
    ]
    sheet.box(x, y, width, side, PANEL, rx=4)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    sheet.add("polyline", points=path, fill="none", stroke=COOL, stroke_width=2, stroke_linejoin="round")
    sheet.write(x, y + side + 18, "0", 11, FAINT, text_anchor="start")
    sheet.write(x + width, y + side + 18, f"{steps} steps", 11, FAINT, text_anchor="end")
    sheet.write(x + width / 2, y + side + 36, f"a(x): {values[0]:.4g} → {values[-1]:.4g}", 12, COOL)
