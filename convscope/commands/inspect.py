"""Networks and pictures as they are: `layers`, `schematics`, `overlap`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.progress import silenced

if TYPE_CHECKING:
    from convscope.models.network import Layer
from convscope.commands.shared import (
    NetworkName,
    Out,
    Quiet,
    Seed,
    load_network,
    open_pictures,
    report_pictures,
    table,
    tell,
)


def layers(network: NetworkName) -> None:
    """List the layers of NETWORK: name, kind, channels, height, width, parameters, receptive field.

    The field, in pixels: its size, the jump from one unit to the next, and where the first one starts.
    """
    header = ("layer", "kind", "channels", "height", "width", "parameters", "field", "jump", "start")
    tell(table([header, *map(_cells, load_network(network).layers())]))


def overlap(
    a: Annotated[str, typer.Argument(metavar="A", help="pictures, as IMAGES elsewhere")],
    b: Annotated[str, typer.Argument(metavar="B", help="pictures to compare with")],
    out: Out = Path("out/overlap"),
    coarse: Annotated[float, typer.Option("--coarse", help="least correlation at 32 x 32")] = 0.95,
    confirm: Annotated[float, typer.Option("--confirm", help="least correlation at 128 x 128")] = 0.98,
    mirrored: Annotated[bool, typer.Option("--mirrored", help="also compare with B mirrored left to right")] = False,
    quiet: Quiet = False,
) -> None:
    """Find the pictures of A that are also in B, to leave them out: OUT/overlap.csv is what --exclude takes."""
    from convscope.data.overlap import overlaps
    from convscope.disk.output_folder import output_folder
    from convscope.disk.results import RESULT, Result, write
    from convscope.figures.overlap import overlap as draw

    with output_folder(out, RESULT) as folder, silenced(quiet):
        ours, theirs = open_pictures(a), open_pictures(b)
        pairs = overlaps(ours, theirs, coarse=coarse, confirm=confirm, mirrored=mirrored)
        rows = [
            {"path": ours.paths[p.a], "in": theirs.paths[p.b], "coarse": p.coarse, "ncc": p.ncc, "mirrored": p.mirrored}
            for p in pairs
        ]
        settings = {"coarse": coarse, "confirm": confirm, "mirrored": mirrored}
        data = {
            "name": ours.name,
            "fingerprint": ours.fingerprint(),
            "in": theirs.name,
            "in_fingerprint": theirs.fingerprint(),
        }
        result = Result("overlap", {}, rows, data, settings)
        write(folder, result, figure=draw(ours, theirs, pairs), tables={"overlap.csv": rows})
    for pictures in (ours, theirs):
        report_pictures(pictures)
    tell(f"{out / 'overlap.csv'}: {len({p.a for p in pairs})} of {len(ours)} pictures are in {theirs.name}")


def schematics(
    network: NetworkName,
    out: Out = Path("out/schematics"),
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="PICTURE", help="[default: a bundled one]")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option("--unit", metavar="UNIT", help="to ascend on [default: the most active of the last maps]"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Draw NETWORK's architecture, a pooling switch at work, and the gradient-ascent loop.

    Each is an SVG file, with the same numbers beside it as JSON.
    """
    from convscope.disk.output_folder import output_folder
    from convscope.figures.schematics import SCHEMATICS
    from convscope.figures.schematics import schematics as draw

    with output_folder(out, SCHEMATICS) as folder, folder.staging() as staged:
        shown = picture if picture is not None else open_pictures("bundled:gallery").picture(0)
        drawings = draw(load_network(network), shown, unit, seed=seed)
        files = [file.name for drawing in drawings for file in drawing.write(staged)]
        folder.publish(staged, last=files[-1])
    for name in files:
        tell(out / name)


def _cells(layer: "Layer") -> tuple[str, ...]:
    field = layer.receptive_field
    pairs = ("whole", "", "") if field is None else tuple(map(_pair, (field.size, field.jump, field.start)))
    sizes = (layer.channels, layer.height, layer.width)
    return (layer.name, layer.kind, *map(str, sizes), f"{layer.parameters:,}", *pairs)


def _pair(pair: tuple[object, object]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"
