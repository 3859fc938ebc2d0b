"""Classes from a table, and folders that are no classes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.data.sources import images, with_classes
from convscope.errors import DataError
from tests.data.items import values, write
from tests.data.written_tables import PATHS, Reports, written


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Three pictures without classes."""
    for number in range(3):
        write(tmp_path / "flat" / f"{number}.png", number)
    return tmp_path / "flat"


def labelled(flat: Path, text: str) -> Pictures:
    (flat.parent / "labels.csv").write_text(text)
    return images(flat, labels=flat.parent / "labels.csv")


def class_of(pictures: Pictures) -> dict[str, str | None]:
    assert pictures.labels is not None
    names = [*(pictures.classes or ()), None]
    return {path: names[label] for path, label in zip(pictures.paths, pictures.labels, strict=True)}


@pytest.mark.parametrize(
    "text",
    [
        "0.png,dog\n1.png,cat\n2.png,dog\n",
        "label;id\ndog;0\ncat;1\ndog;2\n",
        "class\tpath\ndog\t0.png\ncat\t1.png\ndog\t2.png\n",
        "0.png dog\n1.png cat\n2.png dog\n",
        ",image,species\n0,flat/0.png, dog\n1,flat/1.png,cat\n2,flat/2.png,dog\n",
    ],
)
def test_a_table_gives_classes(flat: Path, text: str) -> None:
    pictures = labelled(flat, text)
    assert pictures.classes == ("cat", "dog")
    assert class_of(pictures) == {"0.png": "dog", "1.png": "cat", "2.png": "dog"}
    assert values(pictures) == {0: 0, 1: 1, 2: 2}


def test_a_table_goes_before_the_folders(tmp_path: Path) -> None:
    for path in ("train/1.png", "train/2.png", "val/3.png"):
        write(tmp_path / path)
    (tmp_path / "labels.csv").write_text("train,seen\nval/3.png,held out\n")
    pictures = images(tmp_path, labels=tmp_path / "labels.csv")
    assert class_of(pictures) == {"train/1.png": "seen", "train/2.png": "seen", "val/3.png": "held out"}


def test_what_is_not_used_is_said(flat: Path) -> None:
    with pytest.warns(UserWarning, match=r"labels\.csv") as said:
        pictures = labelled(flat, "path,class\n0.png,dog\n1.png,\n3.png,cat\n")
    assert pictures.labels == [0, NO_CLASS, NO_CLASS]
    text = " ".join(str(each.message) for each in said)
    assert "1 of 3 lines name no picture of flat, so they label nothing: line 4 '3.png,cat'" in text
    assert "1 of 3 lines have no class: line 3 '1.png,'" in text
    assert "has no class for 2 of 3 pictures of flat, which take no part: '1.png', '2.png'" in text


def test_tables_that_do_not_fit(flat: Path) -> None:
    for text, words in (
        ("0.png,dog\n./0.png,cat\n", r"0\.png is 'dog' and 'cat' \(line 2\); expected one class for each picture"),
        ("0.png\n1.png\n", "no line has a path and a class: line 1 '0.png'"),
        ("", "no line has a path and a class"),
        ("x.png,dog\n", "no line names a picture of flat"),
    ):
        with pytest.raises(DataError, match=words):
            labelled(flat, text)


def test_other_labels_are_another_data_set(flat: Path) -> None:
    one, two = (labelled(flat, f"0.png,a\n1.png,{name}\n2.png,b\n") for name in "ab")
    prints = {pictures.fingerprint() for pictures in (one, two, images(flat))}
    assert len(prints) == 3
    assert one.subset([0, 1]).fingerprint() != two.subset([0, 1]).fingerprint()


def test_pictures_with_classes_of_their_own_keep_them(flat: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("0.png,dog\n1.png,cat\n2.png,dog\n")
    write(tmp_path / "classes" / "ant" / "0.png")
    assert with_classes(tmp_path / "classes", table).classes == ("ant",)
    assert with_classes(flat, table).classes == ("cat", "dog")
    assert with_classes(flat, None).classes is None


@pytest.mark.parametrize("folders", [("train", "val"), ("Images", "labels"), ("test",)])
def test_parts_of_a_data_set_are_no_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for folder in folders:
        write(tmp_path / "set" / folder / "1.png")
    with pytest.warns(UserWarning, match=f"by name, not classes: expected one of the folders, as set/{folders[0]}"):
        images(tmp_path / "set")
    write(tmp_path / "set" / "bus" / "1.png")  # train and bus: vehicles
    assert len(images(tmp_path / "set").classes or ()) == len(folders) + 1


@settings(max_examples=40)
@given(st.data())
def test_every_line_labels_or_is_reported(fuzzed: Path, data: st.DataObject) -> None:
    def rest(path: str | None) -> tuple[str]:
        return (path[0] if path else "x",)

    table = data.draw(written(fuzzed, rest, ("path", "class")))
    (fuzzed / "fuzz.csv").write_bytes(table.data)
    with Reports() as reports:
        found = class_of(images(fuzzed / "p", labels=fuzzed / "fuzz.csv"))
    assert found == {path: path[0] if path in table.pictures else None for path in sorted(PATHS)}
    assert reports.counts == ([(table.reported, len(table.pictures))] if table.reported else [])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("labels")
    for path in PATHS:
        write(place / "p" / path)
    return place
