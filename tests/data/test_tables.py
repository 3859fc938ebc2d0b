"""One reader for every table: whatever its encoding, separator and spelling of paths, no line is lost in silence."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.data import encodings
from convscope.data.picture_names import PictureNames
from convscope.data.sources import images
from convscope.data.tables import Table, read
from convscope.errors import DataError
from tests.data.items import write
from tests.data.written_tables import ENCODINGS, PATHS, Reports, spelled, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder "p" of pictures, beside which tables are written."""
    place = tmp_path_factory.mktemp("tables")
    for path in PATHS:
        write(place / "p" / path)
    return place


@pytest.fixture(scope="module")
def names(folder: Path) -> PictureNames:
    return PictureNames(images(folder / "p"))


def table(folder: Path, data: bytes, names: PictureNames | None, *columns: str) -> Table:
    (folder / "list.csv").write_bytes(data)
    return read(folder / "list.csv", names, columns)


@pytest.mark.parametrize("path", PATHS)
def test_every_spelling_finds_its_picture(folder: Path, names: PictureNames, path: str) -> None:
    for way, text in spelled(folder, path).items():
        assert table(folder, text.encode(), names).lines[0].picture == path, way


def test_paths_through_links_and_from_home(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(folder / "p")
    for root in (folder / "p", tmp_path / "link"):
        found = PictureNames(images(root))
        for way in (folder / "p", tmp_path / "link"):
            assert found.find(str(way / "a/000.png")) == "a/000.png"
    monkeypatch.setenv("HOME", str(folder))
    assert found.find("~/p/a/001.png") == "a/001.png"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [None, ",", ";", "\t"])
def test_encodings_and_separators_are_found_out(
    folder: Path, names: PictureNames, encoding: str, separator: str | None
) -> None:
    chosen = ("a/000.png", "größe/übung 1.png", "b/deep/er.png")
    lines = [path if separator is None else f"{path}{separator}x{separator}1" for path in chosen]
    found = table(folder, "\r\n".join(lines).encode(encoding), names)
    assert [line.picture for line in found.lines] == list(chosen)
    assert [line.number for line in found.lines] == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["gb18030", "cp932", "big5", "euc_kr", "cp1251"])
def test_other_alphabets(tmp_path: Path, encoding: str) -> None:
    name = {"euc_kr": "사과", "cp1251": "яблоко"}.get(encoding, "水果")
    write(tmp_path / "p" / name / "1.png")
    found = table(tmp_path, f"{name}/1.png\n{name}\n".encode(encoding), PictureNames(images(tmp_path / "p")))
    assert [line.picture for line in found.lines] == [f"{name}/1.png", name]


@pytest.mark.parametrize(
    "text", [",label,Path\n0,x,a/000.png\n", "n;image;path\n1;x;a/000.png", "filename\tin\na/000.png\tx\n"]
)
def test_a_header_names_the_column_of_the_paths(folder: Path, names: PictureNames, text: str) -> None:
    assert [(line.number, line.picture) for line in table(folder, text.encode(), names).lines] == [(2, "a/000.png")]


def test_a_picture_called_as_a_header_is_no_header(folder: Path) -> None:
    write(folder / "q" / "path.png")
    assert table(folder, b"path\n", PictureNames(images(folder / "q"))).lines[0].picture == "path.png"


def test_quoted_cells_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    for name in ("a,b.png", "c\nd.png", "e.png", '"f.png'):
        write(tmp_path / "p" / name)
    known = PictureNames(images(tmp_path / "p"))
    found = table(tmp_path, b'path,in\n"a,b.png",x\n"c\nd.png",y\n\ne.png,z\n', known)
    assert [(line.number, line.picture) for line in found.lines] == [(2, "a,b.png"), (3, "c\nd.png"), (6, "e.png")]
    assert [line.picture for line in table(tmp_path, b'"f.png\na,b.png\ne.png', known).lines] == [
        '"f.png',
        "a,b.png",
        "e.png",
    ]


def test_folders_stand_for_all_that_is_in_them(names: PictureNames) -> None:
    found = [names.find(text) for text in ("b", "./b/", "b\\deep", "nowhere", "", ".", "..", "/", "a/00")]
    assert found == ["b", "b", "b/deep", *[None] * 6]
    assert [names.places[name] for name in ("a", "b/deep", "b/ space.png")] == [[0, 1], [3], [2]]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """As `ls` writes them, as an editor would, and as results print them."""
    write(tmp_path / "p" / os.fsdecode(b"\xe9t\xe9.png"))
    write(tmp_path / "p" / "ünter.png")
    known = PictureNames(images(tmp_path / "p"))
    for data in (b"\xe9t\xe9.png", "été.png".encode(), "\ufffdt\ufffd.png".encode()):
        found = table(tmp_path, data + b"\n\xc3\xbcnter.png\n", known)
        first, second = (known.places[str(line.picture)] for line in found.lines)
        assert sorted([*first, *second]) == [0, 1]


def test_names_that_differ_only_in_their_form_are_told_apart(tmp_path: Path) -> None:
    both = [unicodedata.normalize(form, "ä.png") for form in ("NFC", "NFD")]
    for name in both:
        write(tmp_path / "p" / name)
    known = PictureNames(images(tmp_path / "p"))
    for name in both:
        assert known.find(name) == known.find(f"./{name}") == name


def test_lines_without_a_picture_are_counted_and_quoted(folder: Path, names: PictureNames) -> None:
    lines = ["a/000.png", *(f"gone/{k}.png" for k in range(5)), "\x1b[2Jx" + "y" * 99]
    found = table(folder, "\n".join(lines).encode(), names)
    with pytest.warns(UserWarning, match=r"6 of 7 lines name no picture of p, so they vanish: line 2 'gone/0") as said:
        found.require_matches("so they vanish")
    text = str(said[0].message)
    assert text.count("gone/") == 3
    assert "\x1b" not in text
    with pytest.raises(DataError, match=r"no line names a picture of p: line 1 'x\.png'; there a picture is called"):
        table(folder, b"x.png", names).require_matches("so they vanish")
    table(folder, b"\n \n", names).require_matches("so they vanish")
    table(folder, b"a\n", names).require_matches("so they vanish")


def test_columns_that_must_be_there(folder: Path, names: PictureNames) -> None:
    found = table(folder, "Image ;Part\na/000.png; eye \nb;\n".encode("utf-16"), names, "image", "part")
    assert found.records() == [{"image": "a/000.png", "part": "eye"}, {"image": "b", "part": ""}]
    with pytest.raises(DataError, match="expected the columns image, part; part missing"):
        table(folder, b"image,x\na,b\n", names, "image", "part")
    with pytest.raises(DataError, match="expected the columns image"):
        table(folder, b"", None, "image")


def test_files_that_are_no_tables(folder: Path, names: PictureNames, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such table \(no such file or directory\)"):
        read(tmp_path / "none.csv", names)
    with pytest.raises(DataError, match="is a directory"):
        read(tmp_path, names)
    with pytest.raises(DataError, match="no line names a picture"):
        table(folder, (folder / "p/a/000.png").read_bytes(), names).require_matches("")


# Every line given is either used or reported


@given(st.data())
def test_lines_used_and_lines_reported_are_the_lines_given(
    folder: Path, names: PictureNames, data: st.DataObject
) -> None:
    given_ = data.draw(written(folder))
    found = table(folder, given_.data, names)
    assert [line.picture for line in found.lines] == given_.pictures
    with Reports() as reports:
        found.require_matches("so they vanish")
    assert reports.counts == ([(given_.reported, len(given_.pictures))] if given_.reported else [])


@given(st.binary(max_size=300))
def test_any_bytes_are_lines(folder: Path, names: PictureNames, data: bytes) -> None:
    found = table(folder, data, names)
    assert {line.picture for line in found.lines} - {None} <= names.places.keys()
    assert len({line.number for line in found.lines}) == len(found.lines) or not found.lines


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-32-le", "cp1252", "utf-8"])
def test_the_likeliest_text(encoding: str) -> None:
    text = "Übung — 5 €\n" * 3
    assert next(encodings.candidates(text.encode(encoding))) == text or encoding == "utf-32-le"
    assert text in encodings.candidates(text.encode(encoding))
