"""Forms from signatures: a control for every parameter, the same values as the command, nothing of the file system."""

import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from convscope.atlases.store import Atlas
from convscope.commands.experiments import command as typer_command
from convscope.experiments import EXPERIMENTS
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.parameters import File, Folder, Images, Picture, Pictures, fields
from convscope.runner import Experiment, Named, experiment, read
from convscope.web.contexts.experiments import Control
from convscope.web.forms import FILE, Desk, answers, command, form
from convscope.web.pages.atlas import Survey
from convscope.web.viewed_pictures import Slides
from tests.web.conftest import SPEC, network


def ask(
    network: Network,
    pictures: Pictures,
    *,
    layers: Annotated[list[str] | None, "which layers"] = None,
    size: Annotated[int, "side in pixels"] = 5,
    share: Annotated[float | None, "of the picture"] = None,
    angles: Annotated[list[float] | None, "in degrees"] = None,
    words: Annotated[list[str] | None, "to say"] = None,
    way: Annotated[Literal["up", "down"], "where to"] = "up",
    fast: Annotated[bool, "do it fast"] = True,
    images: Annotated[Images | None, "others"] = None,
    boxes: Annotated[File | None, "where the eyes are"] = None,
    run: Annotated[Folder | None, "a training"] = None,
    other: Annotated[Picture | None, "another"] = None,
) -> None:
    """Ask."""


ASK = Experiment("ask", fields(ask), (), "")


@pytest.fixture(scope="module")
def desk(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Slides(atlas, load(SPEC)) as slides:
        yield Desk(Survey.of(atlas), slides, "", tmp_path_factory.mktemp("brought"))


def controls(desk: Desk, **given: list[str]) -> dict[str, Control]:
    made = form(ASK, given, desk)
    return {one.name: one for one in (*made.controls, *made.options)}


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_every_parameter_has_its_control(desk: Desk) -> None:
    assert {name: (one.kind, one.required, one.usual) for name, one in controls(desk).items()} == {
        "pictures": ("pictures", True, ""),
        "layers": ("boxes", False, ""),
        "size": ("number", False, "5"),
        "share": ("number", False, ""),
        "angles": ("lines", False, ""),
        "words": ("lines", False, ""),
        "way": ("select", False, "up"),
        "fast": ("checkbox", False, "yes"),
        "images": ("select", False, ""),
        "boxes": ("file", False, ""),
        "other": ("pictures", False, ""),
    }
    made = form(ASK, {}, desk)
    assert [one.name for one in made.controls] == ["pictures"]
    assert made.open
    assert not made.changed
    assert made.apart == ("--run",)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_a_form(desk: Desk, name: str) -> None:
    made = form(experiment(name), {}, desk)
    shown = {one.name for one in (*made.controls, *made.options)}
    assert shown == {
        one.name
        for one in experiment(name).fields
        if one.kind != "network" and (one.kind != "folder" or one.positional)
    }
    assert made.open
    assert not made.changed
    values, errors = answers(experiment(name), {}, desk)
    needed = {one.name for one in experiment(name).fields if not one.optional and one.kind != "network"}
    assert {*errors} == needed
    assert not needed & {*values}


def test_what_was_given_stands_in_the_form(desk: Desk) -> None:
    given = {"pictures": [*desk.samples[:2]], "size": ["12"], "angles": ["1 2,3"], "way": ["down"], "fast": ["no"]}
    found = controls(desk, **given)
    assert [choice.value for choice in found["pictures"].choices if choice.chosen] == given["pictures"]
    assert (found["size"].typed, found["angles"].typed) == ("12", "1\n2\n3")
    assert [choice.value for choice in found["way"].choices if choice.chosen] == ["down"]
    assert form(ASK, given, desk).changed
    values, errors = answers(ASK, given, desk)
    assert not errors
    assert (values["size"], values["angles"], values["way"], values["fast"]) == (12, [1.0, 2.0, 3.0], "down", False)
    assert values["network"] == SPEC
    assert values["share"] is None
    pictures = values["pictures"]
    assert all(isinstance(one, Named) and isinstance(one.value, Tensor) for one in pictures)
    assert torch.equal(pictures[0].value, desk.pictures(desk.samples[:1])[0].value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "pictures is '': expected a picture"),
        ({"pictures": ["99999"]}, "99999"),
        ({"pictures": ["../0"]}, "expected the number of a picture"),
        ({"pictures": ["u0123456789abcdef"]}, "no longer here"),
        ({"size": ["big"]}, "size is 'big': expected a whole number"),
        ({"share": ["1,5"]}, "expected a number"),
        ({"way": ["left"]}, "expected one of up, down"),
        ({"images": ["/etc"]}, "expected one of gallery, digits"),
        ({"boxes": ["/etc/passwd"]}, "no longer here"),
        ({"words": ["hello\n/etc/passwd"]}, "files and code are for the command line"),
        ({"words": ["py:os:system"]}, "files and code are for the command line"),
        ({"words": ["..\\x"]}, "files and code are for the command line"),
        ({"run": ["somewhere"]}, "expected one that was offered"),
    ],
)
def test_mistakes_are_said_beside_their_control(desk: Desk, given: dict[str, list[str]], line: str) -> None:
    given = {"pictures": ["0"], **given} if given else given
    _, errors = answers(ASK, given, desk)
    [(name, said)] = errors.items()
    assert line in said
    if name != "run":
        assert [one.name for one in form(ASK, given, desk, errors).wrong] == [name]


def test_brought_pictures_and_files_are_known_by_their_keys(desk: Desk) -> None:
    assert desk.slides is not None
    key, file = (
        desk.slides.bring(io.BytesIO(png()), "mine.png"),
        desk.bring(io.BytesIO(b"a,b\n"), "../etc/bo xes<>.csv"),
    )
    values, errors = answers(ASK, {"pictures": [key], "boxes": [file]}, desk)
    assert not errors
    [picture] = values["pictures"]
    assert (picture.name, Path(picture.value).read_bytes()) == ("mine.png", png())
    assert values["boxes"].name == "..etcbo xes.csv"
    assert Path(values["boxes"].value).parent == desk.folder
    together, errors = answers(ASK, {"pictures": [key, "0"]}, desk)  # of one kind: as the network sees them
    assert not errors
    assert [type(one.value) for one in together["pictures"]] == [Tensor, Tensor]
    found = controls(desk, pictures=[key], boxes=[file])
    assert [(choice.label, choice.chosen) for choice in found["boxes"].choices] == [("..etcbo xes.csv", True)]
    assert key in {choice.value for choice in found["other"].choices}
    with pytest.raises(Exception, match="at most 4 MiB"):
        desk.bring(io.BytesIO(bytes(FILE + 1)), "large")


def test_only_a_network_that_can_be_opened_again_runs(atlas: Atlas, tmp_path: Path) -> None:
    with Slides(atlas, network()) as slides:
        made = form(ASK, {}, Desk(Survey.of(atlas), slides, "", tmp_path))
        assert not made.open
        assert "only lives in memory" in made.reason
    assert form(ASK, {}, Desk(Survey.of(atlas), None, "there is none", tmp_path)).reason == "there is none"


def offering(atlas: Atlas, folder: Path) -> tuple[Slides, Desk, Path, Path]:
    """A desk with pictures and a training on offer."""
    pictures, run = folder / "birds", folder / "trained"
    pictures.mkdir()
    (run / "snapshots").mkdir(parents=True)
    (run / "snapshots" / "epoch-001.safetensors").write_bytes(b"")
    slides = Slides(atlas, load(SPEC))
    return slides, Desk(Survey.of(atlas), slides, "", folder / "kept", [str(pictures), str(run)]), pictures, run


def test_what_was_offered_is_chosen_by_name(atlas: Atlas, tmp_path: Path) -> None:
    slides, desk, pictures, run = offering(atlas, tmp_path)
    with slides:
        chosen, asked = experiment("evolution"), {"run": ["trained"], "images": ["birds"]}
        offered = {one.name: [choice.value for choice in one.choices] for one in form(chosen, asked, desk).controls}
        assert offered == {"run": ["trained"], "images": ["gallery", "digits", "birds"]}
        values, errors = answers(chosen, asked, desk)
        assert not errors
        assert (values["run"], values["images"]) == (str(run), str(pictures))
        assert f"{run} {pictures} -o" in command(chosen, asked, desk)
        _, errors = answers(chosen, {"run": [str(run)], "images": [str(pictures / "..")]}, desk)
        assert errors["run"].endswith("expected one of trained")
        assert errors["images"].endswith("expected one of gallery, digits, birds")


def test_a_form_says_how_to_offer_what_it_needs(desk: Desk) -> None:
    run, images = form(experiment("evolution"), {}, desk).controls
    assert run.help.endswith("None is offered here: end the app, and start it with --offer FOLDER")
    assert "--offer FOLDER offers more" in images.help
    _, errors = answers(experiment("evolution"), {"images": ["digits"]}, desk)
    assert errors == {"run": "run is '': expected one that was offered: convscope view ATLAS --offer FOLDER"}


PLAIN = {  # of an experiment's options, those that a command can be compared by
    "maximize": ("targets", "preset", "start", "steps", "tv", "jitter", "seeds", "curves", "display"),
    "invariance": ("layers", "translations", "scales", "batch_size", "relative"),
}
TYPED: dict[str, Any] = {
    "integer": st.integers(-9, 999).map(str),
    "number": st.floats(-1e6, 1e6).map(repr),
    "flag": st.sampled_from(["yes", "no"]),
    "text": st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=9).map("a:{}".format),
}


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=15, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_the_command_beside_a_form_does_the_same(desk: Desk, name: str, data: st.DataObject) -> None:
    chosen = experiment(name)
    given_: dict[str, list[str]] = {}
    for field in chosen.fields:
        if field.name in PLAIN[name] and (not field.optional or data.draw(st.booleans())):
            one = st.sampled_from(field.choices) if field.choices else TYPED[field.kind]
            given_[field.name] = data.draw(st.lists(one, min_size=1, max_size=3 if chosen.several(field) else 1))
    values, errors = answers(chosen, given_, desk)
    assert {*errors} <= {"pictures"}
    words = shlex.split(command(chosen, given_, desk))
    assert words[:3] == ["convscope", name, SPEC]
    with typer_command(name).make_context(name, words[2:]) as context:
        for field in chosen.fields:
            if field.name in PLAIN[name]:
                typed = context.params[field.name]
                assert read(field, list(typed) if isinstance(typed, tuple) else typed) == read(
                    field, values[field.name]
                )


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.dictionaries(
        st.sampled_from([*(field.name for field in ASK.fields), "nothing"]),
        st.lists(
            st.text(max_size=12) | st.sampled_from(["0", "7", "..", "\x00", "9" * 30, "x" * 300, "u" + "0" * 16]),
            max_size=3,
        ),
    )
)
def test_anything_may_stand_in_a_form(desk: Desk, given_: dict[str, list[str]]) -> None:
    _, errors = answers(ASK, given_, desk)
    made = form(ASK, given_, desk, errors)
    assert made.command.startswith("convscope ask")
    assert {one.name for one in made.wrong} == {*errors} - {"run"}
