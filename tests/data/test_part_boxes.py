"""Tables of boxes (METHODS D8): what is read, and what is wrong with them (METHODS 12)."""

from pathlib import Path

import pytest

from convscope.data.part_boxes import read
from convscope.data.sources import images
from convscope.errors import DataError

HEADER = "image,part,top,left,bottom,right\n"


def written(folder: Path, rows: str, header: str = HEADER) -> Path:
    (folder / "boxes.csv").write_text(header + rows)
    return folder / "boxes.csv"


def test_boxes_by_image_and_part(tmp_path: Path) -> None:
    table = read(written(tmp_path, "a.png,eye,1,2,3,4\nb.png,eye,0,0,1.5,2\na.png,nose,5,5,6,7\n"))
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
        read(written(tmp_path, rows))


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bottom, right; part missing"):
        read(written(tmp_path, "", "image,top,left,bottom,right\n"))
    with pytest.raises(DataError, match=r"none\.csv: no table of boxes \(no such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="not a CSV file"):
        read(tmp_path / "bytes.csv")


def test_boxes_outside_their_picture_and_parts_without_a_box(tmp_path: Path) -> None:
    table = read(written(tmp_path, "a.png,eye,1,2,3,41\nb.png,eye,-1,0,1,2\nb.png,nose,0,0,1,1\n"))
    with pytest.raises(DataError, match=r"eye of a.png is \(1, 2, 3, 41\), outside the 40 x 30 picture"):
        table.box("a.png", "eye", (40, 30))
    with pytest.raises(DataError, match="outside the 40 x 30"):
        table.box("b.png", "eye", (40, 30))
    with pytest.raises(DataError, match=r"a\.png has no box for 'nose'"):
        table.box("a.png", "nose", (40, 30))
