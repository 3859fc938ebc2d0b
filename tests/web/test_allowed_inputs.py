"""What forms may choose beyond what is bundled, by name."""

from pathlib import Path

import pytest
from PIL import Image

from convscope.errors import ArgumentError
from convscope.parameters import Field
from convscope.web.allowed_inputs import choices, offers

IMAGES = Field("images", "images", "")
RUN = Field("run", "folder", "", positional=True)
CONCEPTS = Field("concepts", "folder", "", positional=True, default="drawn")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Pictures, marked pictures and a training, one beside the other."""
    for name in ("birds", "more/birds", "marked", "train/snapshots"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "birds" / "a.png")
    (tmp_path / "marked" / "concepts.csv").write_text("image,category,concept,mask\n")
    (tmp_path / "train" / "snapshots" / "epoch-001.safetensors").write_bytes(b"")
    return tmp_path


def test_folders_are_called_by_their_last_part(here: Path) -> None:
    given = [str(here / "birds"), str(here / "more" / "birds"), "torchvision:Caltech101@/data", "hf:beans@train"]
    assert offers(given) == {
        "birds": given[0],
        given[1]: given[1],
        "torchvision:Caltech101": given[2],
        "hf:beans": given[3],
    }


def test_nothing_is_called_like_what_is_bundled(here: Path) -> None:
    gallery = here / "gallery"
    gallery.mkdir()
    assert offers([str(gallery)]) == {str(gallery): str(gallery)}


def test_what_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    for spelled in (str(tmp_path / "gone"), "x", "zfnet128"):
        with pytest.raises(ArgumentError, match="offer is "):
            offers([spelled])


def test_the_training_of_the_networks_file_offers_itself(here: Path) -> None:
    run = here / "train"
    assert offers([], str(run / "network.safetensors")) == {"train": str(run)}
    assert offers([str(run)], str(run / "network.safetensors")) == {"train": str(run)}
    assert offers([], str(here / "birds" / "network.safetensors")) == {}
    assert offers([], "zfnet128") == {}


def test_each_parameter_is_offered_what_fits(here: Path) -> None:
    offered = offers([str(here / name) for name in ("birds", "marked", "train")])
    assert [*choices(IMAGES, offered, "digits")] == ["digits", "gallery", "birds", "marked"]
    assert choices(RUN, offered) == {"train": str(here / "train")}
    assert choices(CONCEPTS, offered) == {"drawn": "drawn", "marked": str(here / "marked")}
    assert choices(RUN, {}) == {}
