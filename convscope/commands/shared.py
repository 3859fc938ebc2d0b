"""What commands share: the words that mean the same in all of them, and how they print.

Heavy imports wait until a command needs them, so that `convscope --help` answers at once.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperCommand

from convscope.errors import ArgumentError
from convscope.parameters import EXCLUDE, LABELS, SHARED, SOURCES
from convscope.printable import printable

if TYPE_CHECKING:
    from convscope.data.picture_set import Pictures
    from convscope.models.network import Network

NETWORK = (
    "zfnet128 (bundled), torchvision:NAME, timm:NAME (either with @random or @FILE), FILE.safetensors, "
    "or py:MODULE:FUNCTION"
)


# The words that mean the same in every command.
NetworkName = Annotated[str, typer.Argument(metavar="NETWORK", help=NETWORK)]
Images = Annotated[str, typer.Argument(metavar="IMAGES", help=SOURCES)]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="folder for the results")]
AtlasFolder = Annotated[Path, typer.Argument(metavar="ATLAS", help="the folder of an atlas")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layers", metavar="NAME", help="a layer; repeat for more [default: all rectified maps]"),
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help=SHARED["device"])]
Dtype = Annotated[str, typer.Option("--dtype", metavar="DTYPE", help="float32, bf16 or fp16")]
BatchSize = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help=SHARED["batch_size"])]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help=SHARED["seed"])]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bars; what was skipped is still reported")]
Exclude = Annotated[
    list[Path] | None,
    typer.Option("--exclude", metavar="NAME", help=f"{EXCLUDE}; repeat for more"),
]
Labels = Annotated[str | None, typer.Option("--labels", metavar="FILE", help=LABELS)]
PerClass = Annotated[
    int | None,
    typer.Option("--per-class", metavar="N", min=1, help="split: N pictures of every class to train on"),
]
TestCap = Annotated[int, typer.Option("--test-cap", metavar="N", min=1, help="split: at most N of the others to test")]
SplitSeed = Annotated[int, typer.Option("--split-seed", metavar="N", help="of the split")]


class Command(TyperCommand):
    """A command that takes no empty words: a variable of the shell that is not set would mean the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise ArgumentError where an argument or the value of an option is empty."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for name, value in given.items():
            if "" in (value if isinstance(value, list | tuple) else [value]):
                raise ArgumentError(name, "", "expected a value; is a variable not set?")
        return super().parse_args(ctx, args)


def load_network(network: str) -> "Network":
    """What NETWORK spells."""
    from convscope.models.catalog import load

    return load(network)


def open_pictures(images: str, labels: str | None = None) -> "Pictures":
    """What IMAGES spells, with the classes of a table where `labels` is one."""
    from convscope.data.sources import images as opened

    return opened(images, labels=labels)


def say(line: str) -> None:
    """Print one line on standard error."""
    _write(printable(" ".join(line.split())), sys.stderr)


def tell(text: object) -> None:
    """Print a result on standard output; it may have several lines."""
    _write(printable(str(text), lines=True), sys.stdout)


def _write(text: str, stream: TextIO) -> None:
    """Print text; what the stream's encoding lacks is spelled as Python escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def report_skipped(skipped: Iterable[tuple[str, str]], of: int | None = None) -> None:
    """What could not be read, and why; also under `--quiet`."""
    lines = [f"skipped {path}: {reason}" for path, reason in skipped]
    for line in lines:
        say(line)
    if lines:
        say(f"skipped {len(lines)}{'' if of is None else f' of {of}'} pictures")


def report_pictures(pictures: "Pictures") -> None:
    """Those of a source that could not be read."""
    report_skipped(((pictures.paths[i], reason) for i, reason in sorted(pictures.skipped.items())), len(pictures))


def table(rows: Iterable[Sequence[str]]) -> str:
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
