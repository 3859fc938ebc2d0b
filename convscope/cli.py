"""The command line: one short function per command; errors become one line here and only here.

    convscope atlas zfnet128 gallery -o out/atlas

Heavy imports wait until a command needs them, so that `convscope --help` answers at once.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.commands import NETWORK, add, report_skipped, say
from convscope.errors import ArgumentError, ConvscopeError
from convscope.progress import silenced

if TYPE_CHECKING:
    from convscope.data.sources import Pictures
    from convscope.models.network import Layer, Network

MISTAKE, INTERRUPTED = 2, 130  # exit codes

app = typer.Typer(
    name="convscope",
    help="A microscope for convolutional networks.",
    add_completion=False,
    rich_markup_mode=None,  # plain text, and rich need not be imported to print it
)


def _out(default: str) -> Any:
    return typer.Option("-o", "--out", metavar="OUT", help=f"folder for the results [default: {default}]")


# The words that mean the same in every command.
NetworkName = Annotated[
    str,
    typer.Argument(metavar="NETWORK", help=NETWORK),
]
Images = Annotated[
    str,
    typer.Argument(
        metavar="IMAGES",
        help="a folder, a file, gallery or digits (bundled), torchvision:NAME@ROOT, or hf:NAME@SPLIT",
    ),
]
AtlasFolder = Annotated[Path, typer.Argument(metavar="ATLAS", help="the folder of an atlas")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layers", metavar="NAME", help="a layer; repeat for more [default: all rectified maps]"),
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="DTYPE", help="float32, bf16 or fp16")]
BatchSize = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="pictures at a time")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of everything random")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bars; what was skipped is still reported")]
Exclude = Annotated[
    list[Path] | None,
    typer.Option("--exclude", metavar="FILE", help="leave out the paths in it, one a line or a CSV's first column"),
]
PerClass = Annotated[
    int | None,
    typer.Option("--per-class", metavar="N", min=1, help="split: N pictures of every class to train on"),
]
TestCap = Annotated[int, typer.Option("--test-cap", metavar="N", min=1, help="split: at most N of the others to test")]
SplitSeed = Annotated[int, typer.Option("--split-seed", metavar="N", help="of the split")]


@app.callback(invoke_without_command=True)
def _convscope(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("convscope"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def atlas(
    network: NetworkName,
    images: Images,
    out: Annotated[Path, _out("out/atlas")] = Path("out/atlas"),
    layers: Layers = None,
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
        built = build(_load(network), _images(images), out, layers or None, top, **settings)
    if built is None:
        print(f"{out}: scanned part {shard}")
        return
    report_skipped(((skip.path, skip.reason) for skip in built.info.skipped), built.info.pictures)
    print(f"{out}: {len(built.layers)} layers over {built.info.pictures} pictures")


@app.command()
def report(
    atlas: AtlasFolder,
    out: Annotated[Path, _out("out/report")] = Path("out/report"),
    quiet: Quiet = False,
) -> None:
    """Write ATLAS as a site of plain files: open OUT/index.html in any browser, no server needed."""
    from convscope.web.site import report as write

    with silenced(quiet):
        write(atlas, out)
    print(f"{out / 'index.html'}: open it in a browser")


@app.command()
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
            "--offer", metavar="FOLDER", help="forms may choose it: pictures, concepts, a training; repeatable"
        ),
    ] = None,
) -> None:
    """Look around in ATLAS and put pictures under the lens of its network, in the browser, on this machine."""
    from convscope.web.serve import view as serve

    announce = partial(print, flush=True)
    serve(atlas, network, host=host, port=port, browser=not no_browser, offers=offer or (), announce=announce)


@app.command()
def demo(quiet: Quiet = False) -> None:
    """Show all of it on what is bundled: demo/atlas with every experiment, and its report."""
    from convscope.demo import demo as show

    with silenced(quiet):
        page = show()
    print(f"{page}: open it in a browser")


@app.command()
def layers(network: NetworkName) -> None:
    """List the layers of NETWORK: name, kind, channels, height, width, parameters, receptive field.

    The field, in pixels: its size, the jump from one unit to the next, and where the first one starts.
    """
    header = ("layer", "kind", "channels", "height", "width", "parameters", "field", "jump", "start")
    print(_table([header, *map(_cells, _load(network).layers())]))


@app.command()
def figure2(
    atlas: AtlasFolder,
    out: Annotated[Path, _out("out/figure2")] = Path("out/figure2"),
    layers: Layers = None,
    maps: Annotated[int | None, typer.Option("--maps", metavar="N", min=1, help="maps of each layer")] = None,
    seed: Seed = 0,
) -> None:
    """Draw a random choice of ATLAS's maps as in the paper's Figure 2, and measure what it shows.

    16, 12, 16 and 16 maps of the last four layers, unless --maps says otherwise.
    """
    from convscope.atlases.sample import sample
    from convscope.atlases.store import open_atlas
    from convscope.figures.paper import figure2 as draw
    from convscope.results import Result, write

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
    print(write(out, result, figure=draw(chosen)) / "figure.png")


@app.command()
def overlap(
    a: Annotated[str, typer.Argument(metavar="A", help="pictures, as IMAGES elsewhere")],
    b: Annotated[str, typer.Argument(metavar="B", help="pictures to compare with")],
    out: Annotated[Path, _out("out/overlap")] = Path("out/overlap"),
    coarse: Annotated[float, typer.Option("--coarse", help="least correlation at 32 x 32")] = 0.95,
    confirm: Annotated[float, typer.Option("--confirm", help="least correlation at 128 x 128")] = 0.98,
    mirrored: Annotated[bool, typer.Option("--mirrored", help="also compare with B mirrored left to right")] = False,
    quiet: Quiet = False,
) -> None:
    """Find the pictures of A that are also in B, to leave them out: OUT/overlap.csv is what --exclude takes."""
    from convscope.data.overlap import overlaps
    from convscope.figures.overlap import overlap as draw
    from convscope.results import Result, write, write_csv

    ours, theirs = _images(a), _images(b)
    with silenced(quiet):
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
    write(out, Result("overlap", {}, rows, data, settings), figure=draw(ours, theirs, pairs))
    write_csv(out / "overlap.csv", rows)
    for pictures in (ours, theirs):
        _report_pictures(pictures)
    print(f"{out / 'overlap.csv'}: {len({p.a for p in pairs})} of {len(ours)} pictures are in {theirs.name}")


@app.command()
def schematics(
    network: NetworkName,
    out: Annotated[Path, _out("out/schematics")] = Path("out/schematics"),
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
    from convscope.figures.schematics import schematics as draw

    shown = picture if picture is not None else _images("gallery").picture(0)
    for drawing in draw(_load(network), shown, unit, seed=seed):
        for file in drawing.write(out):
            print(file)


@app.command()
def train(
    images: Images,
    out: Annotated[Path, _out("out/train")] = Path("out/train"),
    architecture: Annotated[
        str, typer.Option("--architecture", metavar="NAME", help="zfnet, alexnet, zfnet128, …")
    ] = "zfnet",
    recipe: Annotated[
        str | None, typer.Option("--recipe", metavar="NAME", help="paper, or scaled as zfnet128 has it by default")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="any value of the recipe or the architecture; repeatable"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="passes over the pictures")] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", metavar="RATE", help="where the learning rate starts or peaks")
    ] = None,
    side: Annotated[int | None, typer.Option("--side", metavar="PIXELS", help="of the network's input")] = None,
    validation: Annotated[str | None, typer.Option("--validation", metavar="IMAGES", help="to validate on")] = None,
    per_class: PerClass = None,
    test_cap: TestCap = 50,
    split_seed: SplitSeed = 0,
    exclude: Exclude = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", metavar="NETWORK", help="weights to begin with")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="the trained network's")] = None,
    decode: Annotated[
        str | None, typer.Option("--decode", metavar="NETWORK", help="train decoders of its --layers instead")
    ] = None,
    layers: Layers = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last finished epoch in OUT")] = False,
    snapshots: Annotated[
        str, typer.Option("--snapshots", metavar="N,N,…", help="epochs after which the weights are kept")
    ] = "1,2,5,10,20,30,40,64",
    half: Annotated[bool, typer.Option("--half", help="store the last weights in half precision")] = False,
    validate_every: Annotated[int, typer.Option("--validate-every", metavar="N", min=1, help="in epochs")] = 1,
    cache: Annotated[Path | None, typer.Option("--cache", metavar="FOLDER", help="keep decoded pictures here")] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=0, help="processes that crop pictures")] = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="log for TensorBoard too")] = False,
    accelerator: Annotated[str | None, typer.Option("--accelerator", help="Lightning's: cpu, gpu, mps, auto")] = None,
    devices: Annotated[str | None, typer.Option("--devices", help="Lightning's: how many, or which")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Lightning's: ddp, …")] = None,
    num_nodes: Annotated[int | None, typer.Option("--num-nodes", help="Lightning's")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="Lightning's: 32-true, bf16-mixed, 16-mixed")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", help="pictures to a step")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="of order, crops and first weights")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on labelled IMAGES; OUT/network.safetensors is what every other command takes as NETWORK.

    With --decode, train decoders of a network's layers instead: OUT/decoders.safetensors is what invert takes.
    """
    from convscope.models.catalog import load
    from convscope.training.decoders import train_decoders
    from convscope.training.recipe import assigned
    from convscope.training.run import train as run

    settings: dict[str, Any] = assigned(change or [], "set") | {
        "epochs": epochs, "lr": lr, "side": side, "batch_size": batch_size, "seed": seed, "accelerator": accelerator,
        "devices": devices, "strategy": strategy, "num_nodes": num_nodes, "precision": precision,
    }  # fmt: skip
    settings |= {
        "validation": validation, "exclude": exclude or (), "per_class": per_class, "test_cap": test_cap,
        "split_seed": split_seed, "init_from": init_from, "resume": resume, "half": half, "cache": cache,
        "workers": workers, "quiet": quiet,
    }  # fmt: skip
    if decode is not None:
        network = load(decode)
        decoded = train_decoders(network, layers or network.rectified(maps=False), images, out, **settings)
        print(decoded.output / "decoders.safetensors")
        return
    done = run(
        images,
        out,
        architecture=architecture,
        recipe=recipe,
        name=name,
        snapshots=_numbers("snapshots", snapshots),
        validate_every=validate_every,
        tensorboard=tensorboard,
        **settings,
    )
    report_skipped(done.skipped.items())
    print(done.output / "network.safetensors")


@app.command()
def evaluate(
    network: NetworkName,
    images: Images,
    out: Annotated[Path, _out("out/evaluate")] = Path("out/evaluate"),
    also: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NETWORK", help="further members of an ensemble; repeatable"),
    ] = None,
    crops: Annotated[str, typer.Option("--crops", metavar="CROPS", help="centre or ten")] = "centre",
    combine: Annotated[
        str, typer.Option("--combine", metavar="MEAN", help="of the members: mean or geometric")
    ] = "mean",
    per_class: PerClass = None,
    test_cap: TestCap = 50,
    split_seed: SplitSeed = 0,
    exclude: Exclude = None,
    published: Annotated[bool, typer.Option("--published", help="the paper's errors on ImageNet 2012 below")] = False,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    dtype: Dtype = "float32",
    quiet: Quiet = False,
) -> None:
    """Measure NETWORK on labelled IMAGES: top-1 and top-5 errors, mean per-class accuracy, in per cent.

    An ensemble is measured beside its members, ten crops beside the centre crop. With --per-class only the pictures
    that a training with the same split never saw count.
    """
    from convscope.training.evaluate import evaluate as run
    from convscope.training.published import table2

    members, pictures = [_load(name) for name in (network, *(also or []))], _images(images)
    settings: dict[str, Any] = {
        "crops": crops, "combine_by": combine, "per_class": per_class, "test_cap": test_cap, "split_seed": split_seed,
    }  # fmt: skip
    found = run(
        members,
        pictures,
        **settings,
        exclude=exclude or (),
        batch_size=batch_size,
        device=device,
        dtype=_dtype(dtype),
        quiet=quiet,
    )
    rows = found.rows(members[0].name if not also else f"ensemble of {len(members)}")
    rows += table2() if published else []
    settings |= {"with": also or [], "dtype": dtype, "exclude": [str(file) for file in exclude or []]}
    _write(out, "evaluate", members[0], rows, settings, device=device, data=pictures, quiet=True)
    report_skipped(found.skipped.items(), len(found.labels) + len(found.skipped))
    print(_errors(rows))


add(app)  # a command for every experiment


# -- what commands share -----------------------------------------------------------------------------------------------


def _load(network: str) -> "Network":
    from convscope.models.catalog import load

    return load(network)


def _images(images: str) -> "Pictures":
    from convscope.data.sources import images as open_pictures

    return open_pictures(images)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise ArgumentError("shard", text, "expected I/N with I from 0 to N - 1, as 0/4")
    return int(part), int(parts)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ArgumentError(name, text, "expected whole numbers with commas between them") from error


def _errors(rows: Iterable[dict[str, Any]]) -> str:
    """A line for each network and its crops, a column for each measure, in per cent."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        if row["class"] is None:
            lines.setdefault((row["network"], row["crops"]), {})[row["measure"]] = f"{row['value']:.2f}"
    measures = list(dict.fromkeys(measure for line in lines.values() for measure in line))
    table = [(*key, *(line.get(measure, "") for measure in measures)) for key, line in lines.items()]
    return _table([("per cent", "crops", *measures), *table])


def _dtype(name: str) -> Any:
    """The torch type of a name, None for the network's own."""
    from convscope.device import AUTOCAST

    if name != "float32" and name not in AUTOCAST:
        raise ArgumentError("dtype", name, f"expected float32 or one of {', '.join(AUTOCAST)}")
    return AUTOCAST.get(name)


def _write(
    out: Path,
    experiment: str,
    net: "Network",
    rows: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    *,
    device: str,
    seed: int = 0,
    data: "Pictures | None" = None,
    notes: Sequence[str] = (),
    arrays: dict[str, Any] | None = None,
    figure: Any = None,
    quiet: bool = False,
) -> None:
    """Write a result folder and say where it is."""
    from convscope.device import resolve
    from convscope.results import Result, write

    network = {"name": net.name, "spec": net.spec, "weights": net.fingerprint()}
    source = {} if data is None else {"name": data.name, "pictures": len(data), "fingerprint": data.fingerprint()}
    result = Result(experiment, network, rows, source, settings, seed, str(resolve(device)), warnings=list(notes))
    write(out, result, arrays=arrays, figure=figure)
    if not quiet:
        print(out)


def _cells(layer: "Layer") -> tuple[str, ...]:
    field = layer.receptive_field
    pairs = ("whole", "", "") if field is None else tuple(map(_pair, (field.size, field.jump, field.start)))
    sizes = (layer.channels, layer.height, layer.width)
    return (layer.name, layer.kind, *map(str, sizes), f"{layer.parameters:,}", *pairs)


def _pair(pair: tuple[object, object]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Cells in columns: the first two to the left, numbers to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


# -- what goes to standard error ---------------------------------------------------------------------------------------


def _report_pictures(pictures: "Pictures") -> None:
    report_skipped(((pictures.paths[i], reason) for i, reason in sorted(pictures.skipped.items())), len(pictures))


def _mistake(error: Exception) -> int:
    reason = str(error)
    if isinstance(error, OSError) and not isinstance(error, ConvscopeError) and error.strerror:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif hasattr(error, "format_message"):
        path = getattr(getattr(error, "ctx", None), "command_path", "convscope")
        reason = f"{error.format_message()} (see {path} --help)"
    say(f"error: {reason}")
    return MISTAKE


@contextmanager
def _warnings_at_the_end() -> Iterator[None]:
    """Our warnings as one line each, after the work and not before an error; those of libraries are not the user's."""
    lines: dict[str, None] = {}

    def keep(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        foreign = "site-packages" in filename and "convscope" not in Path(filename).parts
        if not foreign and issubclass(category, UserWarning):
            lines[f"warning: {message}"] = None

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = keep
        yield
    for line in lines:
        say(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. A mistake of the user's is one line on standard error and code 2."""
    try:
        with _warnings_at_the_end():
            outcome = app(arguments, prog_name="convscope", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except (ConvscopeError, OSError) as error:
        return _mistake(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # of typer: an unknown option, a missing argument
            return _mistake(error)
        raise


if __name__ == "__main__":
    sys.exit(main())
