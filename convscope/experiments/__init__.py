"""The one table of the experiments. It imports none of them, and they do not import one another.

    TABLE["project"].question   # "What in this picture excited this unit?"
    TABLE["project"].methods    # ("V1", "V2", "V3"), sections of docs/methods.md
    EXPERIMENTS["project"]      # "convscope.experiments.project"

An experiment has one name: that of its function, its file here, its figure's file, and with hyphens its command.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Description(NamedTuple):
    """An experiment in words: its name, the question it answers, and the methods it uses, by their IDs."""

    name: str
    question: str
    methods: tuple[str, ...]

    @property
    def module(self) -> str:
        """The module that has its function."""
        return f"convscope.experiments.{self.name}"

    @property
    def command(self) -> str:
        """Its name on the command line and in the docs."""
        return self.name.replace("_", "-")


TABLE: Mapping[str, Description] = {
    name: Description(name, question, tuple(methods.split()))
    for name, question, methods in (
        ("ablate", "What does the architecture lose without these layers?", "M3 TB3"),
        ("activations", "What do the maps of a layer look like for this picture?", "P1"),
        ("correspondence", "Does hiding the same part change different pictures alike?", "F8 TB1"),
        ("curvature", "Along which directions is a unit invariant around its optimum?", "A5"),
        (
            "diagnose",
            "Which filters of the first layer are dead, dominant or aliased, and what does the layer cover?",
            "F6",
        ),
        ("dissect", "Which human concept does each unit match?", "N1"),
        ("evolution", "How did these features form over the epochs of a training?", "F4"),
        ("invariance", "How far do features move when the picture shifts, scales, turns?", "F5"),
        ("invert", "What of the picture does this layer still hold?", "I1 I2 I4 I5"),
        ("linear_probe", "How discriminative is each layer?", "TB7 E0"),
        ("maximize", "Which picture would excite this unit, channel or class most?", "A1 A2 A3 A4 P2 P3 P4 P5 P7"),
        ("net2vec", "Which combination of filters encodes a concept?", "N2 N3 N4"),
        ("occlude", "Which part of the picture does the class, and a feature map, depend on?", "F7 F7b"),
        ("project", "What in this picture excited this unit?", "V1 V2 V3"),
        (
            "redundancy",
            "Which filters repeat one another, and what would the network lose without the repetitions?",
            "P6",
        ),
        ("transfer", "How good are these features on another data set, with how few pictures?", "E0 TB4 TB5 TB6 F9"),
    )
}
EXPERIMENTS = {name: row.module for name, row in TABLE.items()}
