"""The paper's figures (METHODS F2 to F8) and what they are printed to show, in numbers where there are any."""

from collections.abc import Iterator
from statistics import fmean, median
from typing import Any

from register.rows import Answer, Read, Row, mean, rising, slashed
from register.runs import Found

LAYERS = tuple(f"relu{n}" for n in range(1, 6))


def _by_layer(found: Found, key: str, **which: Any) -> list[float]:
    return [mean(found, key, layer=layer, **which) for layer in LAYERS]


def _more_alike(found: Found) -> Answer:
    pairs = list(
        zip(
            _by_layer(found, "agreement_projections", scope="layer"),
            _by_layer(found, "agreement_patches", scope="layer"),
            strict=True,
        )
    )
    text = ", ".join(slashed(*pair, digits=2) for pair in pairs)
    return Answer(text, all(projections > patches for projections, patches in pairs))


def _purer(found: Found) -> Answer:
    values = _by_layer(found, "purity", scope="layer")
    return Answer(slashed(*values, digits=2), rising(values))


def _gathered(found: Found) -> Answer:
    pairs = list(
        zip(
            _by_layer(found, "concentration_projections", scope="layer"),
            _by_layer(found, "concentration_patches", scope="layer"),
            strict=True,
        )
    )
    return Answer(", ".join(slashed(*pair, digits=2) for pair in pairs), all(a > b for a, b in pairs))


def _figure2() -> Iterator[Row]:
    yield Row(
        "F2", "The strongest pictures of a map look more alike in their projections than in their patches",
        "in pictures only", "figure2", _more_alike, "a larger mean correlation at every layer", "C8",
    )  # fmt: skip
    yield Row(
        "F2", "… and show one class more often the higher the layer", "in pictures only", "figure2", _purer,
        "the share of the commonest class falls from no layer to the next, and rises from 1 to 5", "C8",
    )  # fmt: skip
    yield Row(
        "F2", "… with the energy of projections gathered in fewer pixels than that of patches", "in pictures only",
        "figure2", _gathered, "a larger share in the most energetic tenth of the pixels, at every layer", "C8",
    )  # fmt: skip


def _formed(found: Found) -> list[float]:
    """Of each layer the median epoch from which on its maps are formed; maps that died are left out."""
    epochs: dict[str, dict[int, float]] = {layer: {} for layer in LAYERS}
    for row in found.rows("converged"):
        if row["converged"] is not None:
            epochs[row["layer"]][row["channel"]] = row["converged"]
    return [median(each.values()) for each in epochs.values()]


def _convergence(found: Found) -> Answer:
    formed = _formed(found)
    return Answer(slashed(*formed, digits=0), rising(formed))


def _figure4() -> Iterator[Row]:
    yield Row(
        "F4", "Low layers form within a few epochs, the top ones after 40 to 50 of 64", "a few / … / 40 to 50",
        "evolution", _convergence,
        "the median epoch of forming falls from no layer to the next, and rises from 1 to 5", "C9",
    )  # fmt: skip


def _least_moves(found: Found) -> Answer:
    texts, less = [], []
    for transform, still in (("translation", 0.0), ("scale", 1.0)):
        amounts = {row["amount"] for row in found.rows("amount", transform=transform)} - {still}
        least = min(amounts, key=lambda amount: abs(amount - still))
        low, high = (
            mean(found, f"relative {layer}", transform=transform, amount=least) for layer in ("norm1", "relu7")
        )
        texts.append(f"{transform} of {least:.3g}: {low:.2f} / {high:.2f}")
        less.append(high < low)
    return Answer(", ".join(texts), all(less))


def _probabilities(found: Found, name: str) -> dict[float, float]:
    """Of the picture with this in its name, by the angle."""
    rows = [row for row in found.rows("probability", transform="rotation") if name in row["picture"]]
    return {row["amount"]: row["probability"] for row in rows}


def _turned(found: Found) -> Answer:
    kept = []
    for picture in dict.fromkeys(row["picture"] for row in found.rows("picture")):
        curve = _probabilities(found, picture)
        kept.append(min(curve.values()) / curve[0])
    return Answer(f"{fmean(kept):.2f} of it are left", fmean(kept) < 0.5)


SYMMETRIC = ("dollar_bill", "yin_yang", "accordion")  # a half turn brings them nearly back


def _symmetric(found: Found) -> Answer:
    curves = {name: _probabilities(found, name) for name in SYMMETRIC}
    text = ", ".join(f"{name.replace('_', ' ')} {curve[180]:.2f}" for name, curve in curves.items())
    there = fmean(curve[180] for curve in curves.values())
    beside = fmean(curve[angle] for curve in curves.values() for angle in (140, 220))
    return Answer(f"{there:.2f} ({text}) against {beside:.2f}", there > beside)


def _figure5() -> Iterator[Row]:
    yield Row(
        "F5", "Small shifts and scales move layer 1 far more than layer 7", "in curves only", "invariance",
        _least_moves,
        "the mean relative distance at the least amount is larger for norm1 than for relu7, shifts and scales", "C10",
    )  # fmt: skip
    yield Row(
        "F5", "The output is not stable under rotation", "in curves only", "invariance", _turned,
        "at the worst angle less than half of the class's probability is left, the mean over pictures", "C11",
    )  # fmt: skip
    yield Row(
        "F5", "… but for objects with a symmetry it comes back", "in curves only", "invariance", _symmetric,
        "of three that a half turn brings nearly back, the mean probability at 180° is above that 40° beside it", "C11",
    )  # fmt: skip


SMALL, LARGE = "zfnet", "alexnet"


def _measure(code: str, digits: int = 2) -> Read:
    """7×7/2 and 11×11/4 without renormalisation, then with it."""
    return lambda found: Answer(
        ", ".join(
            slashed(
                *(found.number(network=f"{net}, radius {radius}", code=code) for net in (SMALL, LARGE)), digits=digits
            )
            for radius in ("none", "0.03")
        )
    )


def _dominance(found: Found) -> Answer:
    pairs = [
        [found.number(network=f"{net}, radius {radius}", code="dominant") for radius in ("none", "0.03")]
        for net in (SMALL, LARGE)
    ]
    return Answer(
        "; ".join(f"{free:.2f} → {held:.2f}" for free, held in pairs), all(held < free for free, held in pairs)
    )


def _smaller_filters(codes: tuple[str, ...], sign: int) -> Read:
    """Whether 7×7/2 has less (sign -1) or more (1) than 11×11/4, the codes added up; equal is undecided."""

    def read(found: Found) -> Answer:
        small, large = (
            sum(found.number(network=f"{net}, radius none", code=code) for code in codes) for net in (SMALL, LARGE)
        )
        return Answer(f"{small:.3g} against {large:.3g}", None if small == large else sign * (small - large) > 0)

    return read


CHECKS = {
    "dominant": "strongest filter over the median filter",
    "mid-frequencies": "share of filters on middle frequencies",
    "aliasing": "share of power that the stride cannot carry",
    "shift": "change under shifts of less than a stride",
    "grid": "grid in the projections of layer 2",
}


def _figure6() -> Iterator[Row]:
    for code, words in CHECKS.items():
        yield Row("F6", words, "in pictures only", "diagnose", _measure(code))
    yield Row(
        "F6", "Renormalising filters keeps any from dominating", "in pictures only", "diagnose", _dominance,
        "strongest over median filter is smaller with it, for both networks", "C12",
    )  # fmt: skip
    for words, codes, sign, rule in (
        ("7×7/2 has fewer dead filters than 11×11/4", ("dead-weight", "dead-activity"), -1, "a smaller share of them"),
        ("… more filters on middle frequencies", ("mid-frequencies",), 1, "a larger share of them"),
        ("… less aliasing in layer 1", ("aliasing",), -1, "a smaller share of power above what the stride carries"),
        ("… fewer grid artefacts in layer 2", ("grid",), -1, "a lower peak at the stride's frequency"),
    ):
        yield Row("F6", words, "in pictures only", "diagnose", _smaller_filters(codes, sign), rule, "C13")


def _localised(found: Found) -> Answer:
    rows = found.rows("least on the object")
    inside, share = sum(row["least on the object"] for row in rows), fmean(row["share of positions"] for row in rows)
    return Answer(f"{inside} of {len(rows)}, {100 * share:.0f} % of the positions", inside > len(rows) / 2)


def _falls_inside(found: Found) -> Answer:
    on, beside = (fmean(found.numbers(key, key)) for key in ("drop on the object", "drop beside it"))
    return Answer(f"{on:.3f} against {beside:.3f}", on > beside)


def _agrees(found: Found) -> Answer:
    scores = found.numbers("agreement", "agreement")
    return Answer(
        f"{fmean(scores):.2f}; {sum(score > 0 for score in scores)} of {len(scores)} above 0", fmean(scores) > 0
    )


def _occlusion() -> Iterator[Row]:
    yield Row(
        "F7", "The class is lost when the object is hidden", "in pictures only", "faces", _localised,
        "with most faces the least probability is where the occluder's centre is on the face", "C14",
    )  # fmt: skip
    yield Row(
        "F7", "… more than when its surroundings are", "in pictures only", "faces", _falls_inside,
        "the mean drop of the probability is larger on the face than beside it", "C14",
    )  # fmt: skip
    yield Row(
        "F7", "A projection shows what its map depends on", "in pictures only", "occlude", _agrees,
        "the mean rank correlation of the fall of the map's sum with the size of the projection is above 0", "C15",
    )  # fmt: skip


def _speed(mode: str) -> Read:
    def read(found: Found) -> Answer:
        best = max(row["speed"] for row in found.rows("speed", mode=mode))
        return Answer(f"{best:.1f} times")

    return read


def _figure7() -> Iterator[Row]:
    for mode, published in (("exact", "up to 5 times"), ("drill", "up to 35 times"), ("capped", "up to 35 times")):
        yield Row("F7b", f"incremental occlusion, {mode}: speed", published, "occlude-speed", _speed(mode))


FIGURE_ROWS = (*_figure2(), *_figure4(), *_figure5(), *_figure6(), *_occlusion(), *_figure7())
