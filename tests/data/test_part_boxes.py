"""Tables of boxes (METHODS D8): what is read, and what is wrong with them (METHODS 12)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.data.part_boxes import COLUMNS, read
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import DataError
from tests.data.items import write
from tests.data.written_tables import PATHS, Reports, written

HEADER = "image,part,top,left,bottom,right\n"


def written_out(folder: Path, rows: str, header: str = HEADER) -> Path:
    (folder / "boxes.csv").write_text(header + rows)
    return folder / "boxes.csv"


def test_boxes_by_image_and_part(tmp_path: Path) -> None:
    table = read(written_out(tmp_path, "a.png,eye,1,2,3,4\nb.png,eye,0,0,1.5,2\na.png,nose,5,5,6,7\n"))
    assert table.named() == ("eye", "nose")
    assert table.box("a.png", "nose", (7, 6)) == (5, 5, 6, 7)
    assert list(table.boxes) == ["a.png", "b.png"]


def test_the_bundled_boxes_lie_in_the_bundled_faces() -> None:
    table, gallery = read("faces"), images("gallery")
    assert len(table.boxes) == 12
    assert table.named() == ("right eye", "left eye", "nose", "object")
    for image in table.boxes:
        size = gallery.picture(gallery.paths.index(image)).size
        right, left, nose, whole = (table.box(image, part, size) for part in table.named())
        assert whole[1] < right[1] < nose[1] < left[1] < whole[3]  # the person's right eye is at the picture's left
        assert max(right[0], left[0]) < nose[0] < whole[2]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "no boxes in it"),
        ("a.png,eye,1,2,3,four\n", "line 2: expected numbers for top, left, bottom, right"),
        ("a.png,eye,1,2,3\n", "line 2: expected numbers"),
        ("a.png,eye,3,2,3,4\n", r"line 2: the box \(3, 2, 3, 4\) is empty"),
        ("a.png,eye,1,2,3,nan\n", r"the box \(1, 2, 3, nan\) is empty"),
        ("a.png,eye,1,2,3,4\na.png,eye,1,2,3,4\n", "line 3: a second box for eye of a.png"),
    ],
)
def test_mistakes_in_a_table(rows: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read(written_out(tmp_path, rows))


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bottom, right; part missing"):
        read(written_out(tmp_path, "", "image,top,left,bottom,right\n"))
    with pytest.raises(DataError, match=r"none\.csv: no such table \(no such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"bytes\.csv: expected the columns image, part"):
        read(tmp_path / "bytes.csv")


@settings(max_examples=40)
@given(st.data())
def test_every_line_is_used_or_reported(fuzzed: Path, pictures: Pictures, data: st.DataObject) -> None:
    table = data.draw(written(fuzzed, lambda path: ("eye", "1", " 2", "3.5", "4"), COLUMNS, header=True))
    (fuzzed / "boxes.csv").write_bytes(table.data)
    with Reports() as reports:
        found = read(fuzzed / "boxes.csv", pictures)
    assert found.boxes == {path: {"eye": (1, 2, 3.5, 4)} for path in table.pictures if path}
    assert reports.counts == ([(table.reported, len(table.pictures))] if table.reported else [])


def test_a_line_for_a_folder_is_refused(fuzzed: Path, pictures: Pictures) -> None:
    written_ = written_out(fuzzed, "a,eye,1,2,3,4\n")
    with pytest.raises(DataError, match="line 2: 'a' holds 2 pictures; expected one"):
        read(written_, pictures)
    with pytest.raises(DataError, match=r"line 3: a second box for eye of a/000\.png"):
        read(written_out(fuzzed, "a/000.png,eye,1,2,3,4\n./a/000.png,eye,1,2,3,4\n"), pictures)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("boxes")
    for path in PATHS:
        write(place / "p" / path)
    return place


@pytest.fixture(scope="module")
def pictures(fuzzed: Path) -> Pictures:
    return images(fuzzed / "p")


def test_boxes_outside_their_picture_and_parts_without_a_box(tmp_path: Path) -> None:
    table = read(written_out(tmp_path, "a.png,eye,1,2,3,41\nb.png,eye,-1,0,1,2\nb.png,nose,0,0,1,1\n"))
    with pytest.raises(DataError, match=r"eye of a.png is \(1, 2, 3, 41\), outside the 40 x 30 picture"):
        table.box("a.png", "eye", (40, 30))
    with pytest.raises(DataError, match="outside the 40 x 30"):
        table.box("b.png", "eye", (40, 30))
    with pytest.raises(DataError, match=r"a\.png has no box for 'nose'"):
        table.box("a.png", "nose", (40, 30))
