"""A signature read as a command's arguments and a form's fields."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest

from convscope.experiments import EXPERIMENTS
from convscope.models.network import Network
from convscope.parameters import Field, Images, Pictures, fields
from convscope.runner import experiment


def sample(
    network: Network,
    pictures: Pictures,
    *,
    size: Annotated[int | None, "pixels a side"] = None,
    rules: Annotated[Sequence[Literal["a", "b"]] | Literal["a", "b"], "what to do"] = "a",
    others: Annotated[Images | None, "to compare with"] = None,
    mirrored: Annotated[bool, "also mirrored"] = False,
    seed: int = 0,
) -> None:
    """Takes one of each."""


def test_a_field_for_every_parameter() -> None:
    network, pictures, size, rules, others, mirrored, seed = fields(sample)
    assert network == Field("network", "network", "", positional=True)
    assert (pictures.kind, pictures.many, pictures.positional, pictures.optional) == ("pictures", True, True, False)
    assert size == Field("size", "integer", "pixels a side", optional=True)
    assert rules == Field("rules", "choice", "what to do", many=True, choices=("a", "b"), optional=True, default="a")
    assert (others.kind, others.help, others.optional) == ("images", "to compare with", True)
    assert (mirrored.kind, mirrored.default) == ("flag", False)
    assert (seed.kind, seed.help) == ("integer", "of everything random")


def test_options_only() -> None:
    assert [field.name for field in fields(sample, options=True)] == ["size", "rules", "others", "mirrored", "seed"]


def unspeakable(network: Network, *, weights: Annotated[dict[str, Any], "of every layer"]) -> None: ...


def unexplained(network: Network, *, size: int = 3) -> None: ...


@pytest.mark.parametrize(("function", "words"), [(unspeakable, "no spelling as text"), (unexplained, "line of help")])
def test_what_no_command_could_offer_is_found(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        fields(function)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_offered(name: str) -> None:
    chosen = experiment(name)
    assert chosen.fields
    assert len({field.name for field in chosen.fields}) == len(chosen.fields)
