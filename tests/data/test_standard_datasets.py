"""Data sets as their authors divide them, read from small ones of the same layout (METHODS D1 to D6)."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope import images
from convscope.data.standard_datasets import COUNTS, FIVE, VOC, Counts, recognised, without_split
from convscope.errors import ArgumentError, DataError

Expect = Callable[[str, str, int, int], None]


@pytest.fixture
def expect(monkeypatch: pytest.MonkeyPatch) -> Expect:
    def counts(name: str, split: str, pictures: int, classes: int) -> None:
        monkeypatch.setattr("convscope.data.standard_datasets.COUNTS", {(name, split): Counts(pictures, classes)})

    return counts


def draw(root: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / name, format="JPEG")


def test_caltech_in_any_of_its_places_and_without_clutter(tmp_path: Path, expect: Expect) -> None:
    draw(tmp_path / "101_ObjectCategories", ["ant/image_0001.jpg", "ant/image_0002.jpg", "bee/image_0001.jpg"])
    (tmp_path / "101_ObjectCategories/ant/notes.txt").touch()
    expect("caltech101", "", 3, 2)
    for root in (tmp_path, tmp_path / "101_ObjectCategories"):
        found = images(f"caltech101:{root}")
        assert (found.classes, found.labels) == (("ant", "bee"), [0, 0, 1])
    assert found.paths[2] == "bee/image_0001.jpg"
    place = tmp_path / "caltech256/256_ObjectCategories"
    draw(place, ["001.ak47/001_0001.jpg", "056.dog/greg/056_0001.jpg", "257.clutter/257_0001.jpg"])
    expect("caltech256", "", 2, 2)
    assert images(f"caltech256:{tmp_path}").classes == ("001.ak47", "056.dog")


def test_counts_and_names_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, ["ant/1.jpg"])
    with pytest.raises(DataError, match="has 1 pictures in 1 classes, expected 9,144 in 102; give the folder itself"):
        images(f"caltech101:{tmp_path}")
    monkeypatch.setattr("convscope.data.standard_datasets.COUNTS", {("caltech101", ""): Counts(1, 1, "of other names")})
    with pytest.raises(DataError, match="under other names"):
        images(f"caltech101:{tmp_path}")
    (tmp_path / "bee").mkdir()
    with pytest.raises(DataError, match=r"no pictures in .*bee; expected a folder for each class"):
        images(f"caltech101:{tmp_path}")


def test_caltech_101_itself(data_root: Path) -> None:
    found = images(f"caltech101:{data_root / 'caltech101'}")
    assert (len(found), len(found.classes or ())) == (9144, 102)
    assert recognised(9144, 102) == recognised(8677, 101) == "Caltech-101"
    assert recognised(9144, 101) is None


def test_imagenet_has_a_folder_a_class_and_validation_by_a_file(tmp_path: Path, expect: Expect) -> None:
    draw(tmp_path / "train", ["n02/a.JPEG", "n01/b.JPEG", "n01/c.JPEG"])
    draw(tmp_path / "val", ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"])
    expect("imagenet", "train", 3, 2)
    found = images(f"imagenet:{tmp_path}")
    assert (found.classes, found.labels) == (("n01", "n02"), [0, 0, 1])
    expect("imagenet", "val", 2, 2)
    with pytest.raises(DataError, match=r"no labels of its validation pictures; expected a file val\.txt"):
        images(f"imagenet:{tmp_path}@val")
    (tmp_path / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 0\n")
    assert images(f"imagenet:{tmp_path}@val").labels == [1, 0]
    solution = "ImageId,PredictionString\nILSVRC2012_val_00000001,n01 1 2 3 4\n"
    (tmp_path / "val.txt").rename(tmp_path / "LOC_val_solution.csv").write_text(solution)
    with pytest.raises(DataError, match=r"no label of ILSVRC2012_val_00000002\.JPEG"):
        images(f"imagenet:{tmp_path}@val")
    (tmp_path / "LOC_val_solution.csv").write_text("ILSVRC2012_val_00000001,n09 1 2 3 4\n")
    with pytest.raises(DataError, match="line 1: no class 'n09' among the 2 of train"):
        images(f"imagenet:{tmp_path}@val")


def test_five_classes_four_fifths_to_train_on(tmp_path: Path) -> None:
    draw(tmp_path / "train", [f"{name}/{name}_{k}.JPEG" for name in FIVE for k in range(10)])
    train, test = (images(f"five:{tmp_path}@{split}") for split in ("train", "test"))
    assert [len(train), len(test)] == [40, 10]
    assert not set(train.paths) & set(test.paths)
    assert [(test.labels or []).count(label) for label in range(5)] == [2] * 5
    assert train.classes == ("goldfish", "ostrich", "green snake", "Siberian husky", "lemon")
    for file in (tmp_path / "train/n07749582").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"no pictures in .*n07749582"):
        images(f"five:{tmp_path}")


def voc(root: Path, things: Sequence[Sequence[tuple[str, int]]]) -> None:
    place = root / "VOCdevkit/VOC2012"
    draw(place / "JPEGImages", [f"{k}.jpg" for k in range(len(things))])
    (place / "Annotations").mkdir()
    (place / "ImageSets/Main").mkdir(parents=True)
    (place / "ImageSets/Main/train.txt").write_text("\n".join(map(str, range(len(things)))))
    for k, shown in enumerate(things):
        objects = "".join(f"<object><name>{name}</name><difficult>{hard}</difficult></object>" for name, hard in shown)
        (place / f"Annotations/{k}.xml").write_text(f"<annotation><filename>{k}</filename>{objects}</annotation>")


def test_voc_says_what_is_present_and_what_only_difficult(tmp_path: Path, expect: Expect) -> None:
    voc(tmp_path, [[("dog", 0), ("person", 1)], [("person", 1), ("person", 0)], [("cat", 1)]])
    expect("voc2012", "train", 3, 20)
    found = images(f"voc2012:{tmp_path}@train")
    assert found.classes == VOC
    assert found.labels is None
    assert found.truth is not None
    shown = {(row, VOC[column]): int(found.truth[row, column]) for row, column in np.argwhere(found.truth)}
    assert shown == {(0, "dog"): 1, (0, "person"): -1, (1, "person"): 1, (2, "cat"): -1}
    part = found.subset([1]).truth
    assert part is not None
    assert part.tolist() == found.truth[[1]].tolist()
    with pytest.raises(DataError, match=r"not its split val: there is no .*val\.txt"):
        images(f"voc2012:{tmp_path}@val")
    (tmp_path / "VOCdevkit/VOC2012/Annotations/1.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"1\.xml: no annotation"):
        images(f"voc2012:{tmp_path}")


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], magic: int | None = None) -> bytes:
    kind = 0x0800 + values.ndim if magic is None else magic
    return struct.pack(f">I{values.ndim}I", kind, *values.shape) + values.tobytes()


def test_mnist_is_parsed_and_what_is_wrong_with_its_files_is_an_error(tmp_path: Path, expect: Expect) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    pixels = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    files = {"t10k-images-idx3-ubyte": pixels, "t10k-labels-idx1-ubyte": np.array([7, 2, 1], np.uint8)}
    for name, values in files.items():
        for part in ("t10k", "train"):
            (raw / name.replace("t10k", part)).write_bytes(idx(values))
    expect("mnist", "test", 3, 10)
    assert images(f"mnist:{tmp_path}@test").labels == [7, 2, 1]
    for broken in (idx(pixels, 0x0C03), idx(pixels)[:-9], b""):
        (raw / "t10k-images-idx3-ubyte").write_bytes(broken)
        with pytest.raises(DataError, match="MNIST is not in"):
            images(f"mnist:{tmp_path}@test")
    with pytest.raises(DataError, match="MNIST is not in"):
        images(f"mnist:{tmp_path / 'nowhere'}@test")


def test_spellings() -> None:
    with pytest.raises(ArgumentError, match="SPLIT one of train, val"):
        images("imagenet:somewhere@test")
    with pytest.raises(ArgumentError, match='expected "caltech101:ROOT"'):
        images("caltech101:somewhere@train")
    with pytest.raises(DataError, match="nowhere: no such data here"):
        images("caltech256:nowhere")
    assert COUNTS["imagenet", "train"].pictures == 1_281_167


def test_an_at_in_the_path_of_a_folder_does_not_begin_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "me@work").mkdir()
    assert without_split("root") == ("root", "")
    assert without_split("/me@work/root") == ("/me@work/root", "")
    assert without_split("/me@work/root@val") == ("/me@work/root", "val")
    assert without_split("~/me@work") == ("~/me@work", "")
    assert without_split("~/me@work@val") == ("~/me@work", "val")
    for spelled in ("~/me@work", "~/me@work@train", f"{tmp_path}/me@work@train"):
        with pytest.raises(DataError, match="me@work: no such data here; expected a folder train"):
            images(f"imagenet:{spelled}")
