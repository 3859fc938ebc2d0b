"""`train` and `evaluate`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from convscope.commands.shared import (
    BatchSize,
    Device,
    Dtype,
    Exclude,
    Images,
    Labels,
    Layers,
    NetworkName,
    Out,
    PerClass,
    Quiet,
    SplitSeed,
    TestCap,
    load_network,
    open_pictures,
    report_skipped,
    table,
    tell,
)
from convscope.errors import ArgumentError, resumable


@resumable("run the same command again: it goes on from its last finished epoch")
def train(
    images: Images,
    out: Out = Path("out/train"),
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
    labels: Labels = None,
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
    resume: Annotated[bool, typer.Option("--resume", help="an error if OUT holds no training to go on with")] = False,
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
    from convscope.data.sources import with_classes
    from convscope.models.catalog import load
    from convscope.training.decoders import train_decoders
    from convscope.training.recipe import assigned
    from convscope.training.train import train as run

    settings: dict[str, Any] = assigned(change or [], "set") | {
        "epochs": epochs, "lr": lr, "side": side, "batch_size": batch_size, "seed": seed, "accelerator": accelerator,
        "devices": devices, "strategy": strategy, "num_nodes": num_nodes, "precision": precision,
    }  # fmt: skip
    settings |= {
        "validation": None if validation is None else with_classes(validation, labels), "exclude": exclude or (),
        "per_class": per_class, "test_cap": test_cap, "split_seed": split_seed, "init_from": init_from,
        "resume": resume, "half": half, "cache": cache, "workers": workers, "quiet": quiet,
    }  # fmt: skip
    if decode is not None:
        network = load(decode)
        chosen = layers or network.rectified(maps=False)
        decoded = train_decoders(network, chosen, open_pictures(images, labels), out, **settings)
        tell(decoded.output / "decoders.safetensors")
        return
    done = run(
        open_pictures(images, labels),
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
    tell(done.output / "network.safetensors")


def evaluate(
    network: NetworkName,
    images: Images,
    out: Out = Path("out/evaluate"),
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
    labels: Labels = None,
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
    from convscope.device import resolve
    from convscope.disk.output_folder import output_folder
    from convscope.disk.results import RESULT, Result, write
    from convscope.training.evaluate import evaluate as run
    from convscope.training.published import table2

    with output_folder(out, RESULT) as folder:
        members, pictures = [load_network(name) for name in (network, *(also or []))], open_pictures(images, labels)
        settings: dict[str, Any] = {
            "crops": crops, "combine_by": combine, "per_class": per_class, "test_cap": test_cap,
            "split_seed": split_seed,
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
        settings |= {"labels": labels}
        told = Result(
            "evaluate", members[0].identity(), rows, pictures.identity(), settings, device=str(resolve(device))
        )
        write(folder, told)
    report_skipped(found.skipped.items(), len(found.labels) + len(found.skipped))
    tell(_errors(rows))


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
    cells = [(*key, *(line.get(measure, "") for measure in measures)) for key, line in lines.items()]
    return table([("per cent", "crops", *measures), *cells])


def _dtype(name: str) -> Any:
    """The torch type of a name, None for the network's own."""
    from convscope.device import AUTOCAST

    if name != "float32" and name not in AUTOCAST:
        raise ArgumentError("dtype", name, f"expected float32 or one of {', '.join(AUTOCAST)}")
    return AUTOCAST.get(name)
