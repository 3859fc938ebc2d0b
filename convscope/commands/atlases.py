"""An atlas and what is made of it: `atlas`, `report`, `view`, `figure2`, and `demo`, all of it on what is bundled."""

from pathlib import Path
from typing import Annotated, Any

import typer

from convscope.commands.shared import (
    AtlasFolder,
    BatchSize,
    Device,
    Dtype,
    Images,
    Labels,
    Layers,
    NetworkName,
    Out,
    Quiet,
    Seed,
    load_network,
    open_pictures,
    report_skipped,
    tell,
)
from convscope.errors import ArgumentError, resumable
from convscope.progress import silenced


def atlas(
    network: NetworkName,
    images: Images,
    out: Out = Path("out/atlas"),
    layers: Layers = None,
    labels: Labels = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="pictures kept for every feature map")] = 9,
    score: Annotated[str, typer.Option("--score", metavar="SCORE", help="of a map: max, mean or sum")] = "max",
    rule: Annotated[
        str, typer.Option("--rule", metavar="RULE", help="deconvnet, guided, gradient or none")
    ] = "deconvnet",
    shard: Annotated[str | None, typer.Option("--shard", metavar="I/N", help="scan part I of N only, from 0")] = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    dtype: Dtype = "float32",
    quiet: Quiet = False,
) -> None:
    """Find what every feature map of NETWORK responds to in IMAGES: its strongest pictures, patches and projections.

    Builds the atlas in OUT, goes on where an interrupted build stopped, and opens a finished one.
    """
    from convscope.atlases.build import atlas as build

    settings: dict[str, Any] = {"score": score, "rule": rule, "shard": _shard(shard)}
    settings |= {"batch_size": batch_size, "device": device, "dtype": dtype}
    with silenced(quiet):
        built = build(load_network(network), open_pictures(images, labels), out, layers or None, top, **settings)
    if built is None:
        tell(f"{out}: scanned part {shard}")
        return
    report_skipped(((skip.path, skip.reason) for skip in built.info.skipped), built.info.pictures)
    tell(f"{out}: {len(built.layers)} layers over {built.info.pictures} pictures")


def report(
    atlas: AtlasFolder,
    out: Out = Path("out/report"),
    quiet: Quiet = False,
) -> None:
    """Write ATLAS as a site of plain files: open OUT/index.html in any browser, no server needed."""
    from convscope.web.site import report as write

    with silenced(quiet):
        write(atlas, out)
    tell(f"{out / 'index.html'}: open it in a browser")


def view(
    atlas: AtlasFolder,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free")] = 8128,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="only print the address")] = False,
    network: Annotated[
        str | None, typer.Option("--network", metavar="NETWORK", help="the atlas' network, where it does not name it")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="beyond 127.0.0.1 readers need the token it prints")
    ] = "127.0.0.1",
    offer: Annotated[
        list[str] | None,
        typer.Option(
            "--offer", metavar="FOLDER", help="forms may choose it: pictures, concepts, a training; repeat for more"
        ),
    ] = None,
) -> None:
    """Look around in ATLAS and put pictures under the lens of its network, in the browser, on this machine."""
    from convscope.web.serve import view as serve

    serve(atlas, network, host=host, port=port, browser=not no_browser, offers=offer or (), announce=tell)


@resumable("run it again: it goes on where it stopped")
def demo(quiet: Quiet = False) -> None:
    """Show all of it on what is bundled: demo/atlas with every experiment, and its report."""
    from convscope.demo import demo as show

    with silenced(quiet):
        page = show()
    tell(f"{page}: open it in a browser")


def figure2(
    atlas: AtlasFolder,
    out: Out = Path("out/figure2"),
    layers: Layers = None,
    maps: Annotated[int | None, typer.Option("--maps", metavar="N", min=1, help="maps of each layer")] = None,
    seed: Seed = 0,
) -> None:
    """Draw a random choice of ATLAS's maps as in the paper's Figure 2, and measure what it shows.

    16, 12, 16 and 16 maps of the last four layers, unless --maps says otherwise.
    """
    from convscope.atlases.figure2_sample import sample
    from convscope.atlases.store import open_atlas
    from convscope.disk.output_folder import output_folder
    from convscope.disk.results import RESULT, Result, write
    from convscope.figures.paper import figure2 as draw

    with output_folder(out, RESULT) as folder:
        opened = open_atlas(atlas)
        chosen, info = sample(opened, layers or None, maps=maps, seed=seed), opened.info
        result = Result(
            "figure2",
            {"name": info.network, "spec": info.spec, "weights": info.weights},
            chosen.rows,
            {"name": info.data, "pictures": info.pictures, "fingerprint": info.fingerprint},
            {"atlas": str(atlas), "layers": list(chosen.entries), "maps": maps},
            seed,
            info.device,
        )
        write(folder, result, figure=draw(chosen))
    tell(out / "figure.png")


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise ArgumentError("shard", text, "expected I/N with I from 0 to N - 1, as 0/4")
    return int(part), int(parts)
