"""What the pages of experiments say, as plain data: results, forms, work under way. `contexts.atlas` has the rest.

No address, markup or file is in it; `pages_experiments.py` fills it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Value = str | int | float | bool | None  # a cell of a table

TIERS: Mapping[int, tuple[str, str]] = {  # METHODS G0: what the numbers may be compared with
    0: (
        "Random weights or drawn pictures",
        "These numbers try the method out. They reproduce nothing, whatever stands beside them.",
    ),
    1: (
        "Small data: not a reproduction",
        "Published numbers, where they stand beside these, were measured on other data and another network.",
    ),
    2: ("The published setting", "Published numbers stand beside these where there are any."),
}


@dataclass(frozen=True)
class Table:
    """The first rows of a result, of `total`; `numeric` says which columns hold nothing but numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    numeric: tuple[bool, ...]
    total: int


@dataclass(frozen=True)
class Finding:
    """A result: what was asked and what came out."""

    key: str  # its folder as the atlas knows it, such as "occlude/001"
    experiment: str
    question: str
    given: str  # the inputs, and the settings that are not the usual ones, in words
    network: str
    tier: int
    table: Table
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]  # settings and circumstances: name, value
    files: tuple[tuple[str, int], ...]  # name, bytes
    kept: bool  # with the atlas; else it goes when the server ends

    @property
    def drawn(self) -> bool:
        """Whether there is a figure."""
        return any(name == "figure.png" for name, _ in self.files)

    @property
    def described(self) -> str:
        """The figure in words, for who cannot see it."""
        return f"Figure of the experiment {self.experiment} on {self.given}: {self.question}"


@dataclass(frozen=True)
class Mention:
    """A result that has rows about a feature map: their number, and the first one's further columns.

    concept: what the map is said to detect, if anything. picture: the row that has a picture in the result.
    """

    finding: Finding
    rows: int
    cells: tuple[tuple[str, Value], ...]
    concept: str | None = None
    picture: int | None = None


@dataclass(frozen=True)
class Inquiry:
    """An experiment that can be put to what a page shows: what its form is given, and whether that is enough."""

    name: str
    question: str
    given: tuple[tuple[str, str], ...]  # parameter, what would stand in the form
    ready: bool


@dataclass(frozen=True)
class Trial:
    """An experiment at a glance: how many results there are, and the last of them."""

    name: str
    question: str
    results: int
    last: Finding | None


@dataclass(frozen=True)
class Step:
    """A job as a page shows it. `done` of `total` steps of what is called `doing`; `line`: how it ended."""

    number: int
    experiment: str
    given: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    before: int  # jobs that come first
    doing: str
    done: int
    total: int | None
    line: str

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True)
class Laboratory:
    """The experiments: in the app all of them, in a report those that were run."""

    network: str
    trials: tuple[Trial, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Something to tick. `image`: the number and file type of one of the atlas' pictures."""

    value: str
    label: str
    chosen: bool
    image: tuple[int, str] | None = None


@dataclass(frozen=True)
class Control:
    """A parameter as a form offers it. `usual`: what holds when nothing is said, where that is known; `typed`: what
    stands in it; `error`: what is wrong with that.
    """

    name: str
    kind: Literal["select", "number", "checkbox", "text", "lines", "boxes", "pictures", "file"]
    help: str
    usual: str = ""
    typed: str = ""
    choices: tuple[Choice, ...] = ()
    error: str = ""
    required: bool = False
    whole: bool = False  # a number without a fraction
    several: bool = False

    @property
    def label(self) -> str:
        """The parameter's name as words."""
        return self.name.replace("_", " ")

    @property
    def changed(self) -> bool:
        """Whether it is not as usual, or wrong."""
        chosen = any(choice.chosen for choice in self.choices)
        return bool(self.error or self.typed) or chosen is not (self.kind == "checkbox" and self.usual == "yes")


@dataclass(frozen=True)
class Form:
    """What an experiment can be told, the inputs first; without `open` there is only the `command` that runs it."""

    controls: tuple[Control, ...]
    options: tuple[Control, ...]
    command: str
    open: bool
    reason: str  # why it cannot be run here
    apart: tuple[str, ...] = ()  # options that only the command has
    most: tuple[int, int] = (0, 0)  # files, and bytes, that may come with it

    @property
    def changed(self) -> bool:
        """Whether an option is not as usual, or wrong."""
        return any(control.changed for control in self.options)

    @property
    def wrong(self) -> tuple[Control, ...]:
        """Where something is wrong."""
        return tuple(control for control in (*self.controls, *self.options) if control.error)


@dataclass(frozen=True)
class ExperimentPage:
    """One experiment: its question, in the app its form, and its results."""

    network: str
    name: str
    question: str
    about: str
    findings: tuple[Finding, ...]
    form: Form | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class StepPage:
    """One job until it is done."""

    network: str
    step: Step
    question: str
    asked: str  # what stood in its form, as the query of an address


@dataclass(frozen=True)
class ChartPage:
    """A result to look into: its rows as points, its arrays as heat maps."""

    network: str
    finding: Finding
    arrays: tuple[tuple[str, tuple[int, ...]], ...]  # name, shape
