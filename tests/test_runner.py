"""Words in, a folder of results out, and nothing for a mistake."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.demo import SHOWN
from convscope.disk import results
from convscope.errors import ArgumentError, PictureError
from convscope.experiments import EXPERIMENTS
from convscope.runner import experiment, perform
from tests.contract.cases import network


@pytest.fixture
def picture(tmp_path: Path) -> str:
    file = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    return str(file)


def test_text_and_values_give_the_same(picture: str, tmp_path: Path) -> None:
    as_text = perform("project", {"network": network(), "pictures": [picture], "units": "relu:3"}, tmp_path / "text")
    values = {"network": network(), "pictures": picture, "units": ["relu:3"], "unpool": ["switch"], "rule": None}
    as_values = perform("project", values, tmp_path / "values")
    assert results.read(as_text.folder).rows == results.read(as_values.folder).rows
    assert (as_text.folder / "figure.png").exists()
    assert as_text.skipped == ()


def test_the_settings_are_recorded_as_they_were_given(picture: str, tmp_path: Path) -> None:
    perform("project", {"network": network(), "pictures": [picture], "units": ["relu:3"]}, tmp_path / "out")
    settings = results.read(tmp_path / "out").settings
    assert settings["pictures"] == [picture]
    assert settings["units"] == ["relu:3"]
    assert (settings["rule"], settings["contrast"]) == ("deconvnet", "percentile")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("projekt", {}, "experiment is .projekt.: expected one of"),
        ("project", {"units": None}, "expected a value"),
        ("project", {"rule": "best"}, "expected one of deconvnet, guided"),
        ("project", {"contrast": "most"}, "expected one of max, percentile"),
    ],
)
def test_a_mistake_leaves_nothing(
    name: str, values: dict[str, object], words: str, picture: str, tmp_path: Path
) -> None:
    given = {"network": network(), "pictures": [picture], "units": ["relu:3"]} | values
    with pytest.raises(ArgumentError, match=words):
        perform(name, given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_parameters_of_the_figure_are_offered_too() -> None:
    assert [field.name for field in experiment("project").display] == ["contrast", "shown"]


def test_a_bundled_picture_is_spelled_by_its_place(tmp_path: Path) -> None:
    values = {"network": network(), "pictures": "gallery/stop_sign/image_0009.jpg", "units": ["relu:3"]}
    assert (perform("project", values, tmp_path / "out").folder / "result.json").exists()
    with pytest.raises(PictureError, match=r"gallery/\.\./atlas"):
        perform("project", values | {"pictures": "gallery/../atlas"}, tmp_path / "none")


def test_the_demo_shows_every_experiment() -> None:
    assert set(SHOWN) == set(EXPERIMENTS)
