"""Every place that pictures come from."""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset

from convscope.data.batches import batches
from convscope.data.picture_set import NO_CLASS
from convscope.data.sources import BUNDLED, bundled_spelling, images
from convscope.errors import ArgumentError, DataError, PictureError
from tests.data.items import TRANSFORM, Listed, grey, values, write

# Folders and files


def test_a_flat_folder_has_no_labels_and_is_sorted_by_path(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "a.png", "C.PNG"]):
        write(tmp_path / name, number)
    pictures = images(tmp_path)
    assert pictures.paths == ["C.PNG", "a.png", "b.png"]
    assert (pictures.labels, pictures.classes, len(pictures)) == (None, None, 3)
    assert values(images(str(tmp_path))) == {0: 2, 1: 1, 2: 0}


def test_classes_are_the_first_level_folders_at_any_depth(tmp_path: Path) -> None:
    for name in ("dog/x/y/1.png", "dog/0.png", "ant/z.png", "bee/deep/er/q.png"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    pictures = images(tmp_path)
    assert pictures.paths == ["ant/z.png", "bee/deep/er/q.png", "dog/0.png", "dog/x/y/1.png"]
    assert pictures.classes == ("ant", "bee", "dog")
    assert pictures.labels == [0, 1, 2, 2]
    assert pictures.empty == ("empty",)
    assert images(tmp_path / "dog").empty == ()
    write(tmp_path / "stray.png")
    assert images(tmp_path).labels == [0, 1, 2, 2, NO_CLASS]


def test_deep_folders(tmp_path: Path) -> None:
    write(tmp_path.joinpath(*["d"] * 150, "deep.png"), 5)
    pictures = images(tmp_path)
    assert pictures.classes == ("d",)
    assert pictures.paths[0].count("/") == 150
    assert values(pictures) == {0: 5}


def test_one_file_and_what_is_no_source(tmp_path: Path) -> None:
    pictures = images(write(tmp_path / "one.png", 9))
    assert (len(pictures), pictures.paths, pictures.labels) == (1, ["one.png"], None)
    with pytest.raises(DataError, match=r"nowhere.*no such folder or file"):
        images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"no pictures in {tmp_path / 'empty'}"):
        images(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"no pictures in .*: ignored 1 file: \.txt 1"):
        images(tmp_path / "empty")


def test_what_is_no_picture_by_name_is_ignored_and_by_content_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 1)
    (tmp_path / "b.jpg").write_text("no picture")
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.txt").write_text("no picture")
    (tmp_path / "._e.png").write_bytes(b"left behind by another system")
    (tmp_path / "README").write_text("no picture")
    write(tmp_path / "f.png", 5).rename(tmp_path / "without-extension")
    (tmp_path / "e.png").symlink_to(tmp_path / "gone.png")
    write(tmp_path / "folder.jpg" / "g.png", 7)
    with pytest.warns(UserWarning, match="ignored 3 files: "):
        pictures = images(tmp_path)
    assert pictures.paths == ["a.png", "b.jpg", "c.png", "e.png", "folder.jpg/g.png", "without-extension"]
    assert values(pictures) == {0: 1, 4: 7, 5: 5}
    assert pictures.skipped == {
        1: "not a picture in any known format",
        2: "empty, 0 bytes",
        3: "no such file or directory",
    }
    (tmp_path / "d.txt").unlink()
    (tmp_path / "._e.png").unlink()
    (tmp_path / "README").unlink()
    with pytest.raises(PictureError, match=r"b\.jpg: not a picture in any known format"):
        list(batches(images(tmp_path, skip_bad=False), TRANSFORM))


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "set" / "a" / "1.png", 1)
    write(tmp_path / "elsewhere" / "2.png", 2)
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "elsewhere" / "self").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "knot.png").symlink_to(tmp_path / "set" / "knot.png")
    with pytest.warns(UserWarning, match="set: skipped 2 links to what is counted already: 'a/up', 'b/self'"):
        pictures = images(tmp_path / "set")
    assert pictures.paths == ["a/1.png", "b/2.png", "knot.png"]
    assert values(pictures) == {0: 1, 1: 2}
    assert "symbolic links" in pictures.skipped[pictures.paths.index("knot.png")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "b.png").chmod(0)
    write(tmp_path / "locked" / "c.png")
    (tmp_path / "locked").chmod(0)
    try:
        pictures = images(tmp_path)
        assert list(values(pictures)) == [0]
        assert pictures.skipped == {
            1: "permission denied",
            2: "a folder that cannot be read: permission denied",
        }
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a" / "1.png", 4)
    write(tmp_path / "b" / "2.png")
    real = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    pictures = images(tmp_path)
    assert (pictures.paths, pictures.labels) == (["a/1.png", "b"], [0, 1])
    assert values(pictures) == {0: 4}
    assert pictures.skipped == {1: "a folder that cannot be read: permission denied"}
    monkeypatch.setattr(os, "scandir", lambda path: scandir("b"))
    with pytest.raises(DataError, match=f"{tmp_path} cannot be read: permission denied"):
        images(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_odd_names(tmp_path: Path) -> None:
    odd = ["mit leerzeichen.png", "日本語.png", "emoji🦞.png", "line\nbreak.png", "-rf.png", "a%20b#?.png", "'\".png"]
    for name in odd:
        write(tmp_path / name)
    write(tmp_path / os.fsdecode(b"latin-\xe9.png"), 3)
    pictures = images(tmp_path)
    assert len(pictures) == len(values(pictures)) == len(odd) + 1
    assert "latin-\N{REPLACEMENT CHARACTER}.png" in pictures.paths
    for path in pictures.paths:
        path.encode()
    pictures.fingerprint()


def test_a_file_named_as_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c:d" / "x.png")
    assert len(images("c:d")) == 1


# Data sets


def test_a_data_set_s_own_targets_and_classes() -> None:
    class Beside(Listed):
        targets = torch.tensor([3, 4])
        classes = ("a", "b", "c", "d", "e")

    pictures = images(Beside([(grey(1), 0), (grey(2), 0)]))
    assert pictures.labels == [3, 4]
    assert pictures.classes == ("a", "b", "c", "d", "e")
    part = images(Subset(Beside([(grey(1), 0), (grey(2), 0)]), [1]))
    assert (part.labels, part.classes) == ([4], ("a", "b", "c", "d", "e"))


def test_arrays_images_and_lists_of_them(tmp_path: Path) -> None:
    file = write(tmp_path / "a.png", 5)
    assert values(images([file, str(file), np.full((8, 8, 3), 6, np.uint8), grey(7)])) == {0: 5, 1: 5, 2: 6, 3: 7}
    assert values(images(grey(3))) == values(images(np.full((8, 8, 3), 3, np.uint8))) == {0: 3}
    assert values(images(np.stack([np.full((8, 8, 3), k, np.uint8) for k in (1, 2)]))) == {0: 1, 1: 2}
    assert images(images([file])).paths == ["list[0]"]


def test_columns_of_tables_arrays_of_names_and_iterators(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{k}.png", k) for k in (1, 2, 3)]
    names = [str(file) for file in files]
    table = pandas.DataFrame({"label": [0, 1, 0], "path": names})
    expected = {0: 1, 1: 2, 2: 3}
    for source in (
        table["path"],
        table["path"].astype(object),
        table["path"].to_numpy(),
        np.array(names),
        np.array(files, dtype=object),
        (file for file in files),
        map(str, files),
        iter(names),
        dict.fromkeys(names).keys(),
    ):
        assert values(images(source)) == expected
    assert values(images(table.set_index("label").loc[0, "path"])) == {0: 1, 1: 3}
    assert sorted(values(images(os.scandir(tmp_path))).values()) == [1, 2, 3]
    assert values(images(pandas.Series([names[0], None, float("nan")]))) == {0: 1}
    assert images(table["path"]).paths == ["Series[0]", "Series[1]", "Series[2]"]


def test_what_holds_pictures_without_being_a_list_of_them_says_what_to_give() -> None:
    with pytest.raises(DataError, match=r"a DataFrame of label, path: expected one column, as table\['path'\]"):
        images(pandas.DataFrame({"label": [0], "path": ["a.png"]}))
    with pytest.raises(DataError, match=r"a DataLoader: expected its data set, loader\.dataset"):
        images(DataLoader(Listed([grey(1)])))


def test_sources_without_index_or_pictures() -> None:
    class Endless(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[int]:
            yield 1

    several: list[Any] = [Endless(), None, 3, {"a": 1}, {"a.png"}]
    for source in several:
        with pytest.raises(DataError, match="expected pictures by index"):
            images(source)
    nothing: list[Any] = [[], iter([]), torch.zeros(0, 3, 8, 8), Listed([])]
    for empty in nothing:
        with pytest.raises(DataError, match="it is empty"):
            images(empty)


# torchvision, Hugging Face


def test_torchvision_by_name(tmp_path: Path) -> None:
    for name in (
        "accordion/image_0001.jpg",
        "accordion/image_0002.jpg",
        "emu/image_0001.jpg",
        "BACKGROUND_Google/x.jpg",
    ):
        write(tmp_path / "caltech101" / "101_ObjectCategories" / name, 100)
    pictures = images(f"torchvision:Caltech101@{tmp_path}")
    assert (pictures.name, len(pictures)) == ("torchvision:Caltech101", 3)
    assert (pictures.labels, pictures.classes) == ([0, 0, 1], ("accordion", "emu"))
    assert values(pictures) == {0: 100, 1: 100, 2: 100}


def test_torchvision_s_image_folder_is_read_from_its_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    write(tmp_path / "b" / "1.png", 3)
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 16)).save(tmp_path / "a" / "0.jpg", exif=exif)
    for source in (torchvision.datasets.ImageFolder(tmp_path), f"torchvision:ImageFolder@{tmp_path}"):
        pictures = images(source)
        assert pictures.paths == ["a/0.jpg", "b/1.png"]
        assert (pictures.labels, pictures.classes) == ([0, 1], ("a", "b"))
        assert pictures.picture(0).size == (16, 8)  # turned, which torchvision's own loader does not
    own = torchvision.datasets.ImageFolder(tmp_path, transform=lambda image: torch.zeros(3, 8, 8))
    assert images(own).tensors


def test_torchvision_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("MNIST", "CIFAR10", "Caltech101"):
        with pytest.raises(DataError, match=f"torchvision's {name} is not in {tmp_path}") as caught:
            images(f"torchvision:{name}@{tmp_path}")
        assert "\n" not in str(caught.value)
    for spec in ("Nonsense@x", "MNIST", "MNIST@"):
        with pytest.raises(ArgumentError, match=r'expected "torchvision:NAME@ROOT"'):
            images(f"torchvision:{spec}")


def test_hugging_face_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "img": datasets.Image(), "kind": datasets.ClassLabel(names=["ant", "bee"])}
    )
    file = write(tmp_path / "on-disk.png", 9)
    rows = {"text": ["", "", ""], "img": [grey(4), str(file), None], "kind": [1, 0, 1]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    dataset.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": dataset, "test": dataset.select([1])}).save_to_disk(tmp_path / "both")
    for source in (dataset, dataset.with_format("torch"), f"hf:{tmp_path / 'saved'}", f"hf:{tmp_path / 'both'}@train"):
        pictures = images(source)
        assert (pictures.labels, pictures.classes) == ([1, 0, 1], ("ant", "bee"))
        assert values(pictures) == {0: 4, 1: 9}
        assert pictures.skipped == {2: "no picture in this row"}
    assert values(images(f"hf:{tmp_path / 'both'}@test")) == {0: 9}
    (tmp_path / "both").rename(tmp_path / "me@work")
    monkeypatch.setenv("HOME", str(tmp_path))
    for spelled in (tmp_path / "me@work", "~/me@work"):
        assert (len(images(f"hf:{spelled}")), len(images(f"hf:{spelled}@test"))) == (3, 1)


def test_hugging_face_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    words = datasets.Dataset.from_dict({"text": ["a"]})
    with pytest.raises(DataError, match="no column of pictures, only text"):
        images(words)
    with pytest.raises(DataError, match="one of train, test"):
        images(datasets.DatasetDict({"train": words, "test": words}))
    with pytest.raises(DataError, match="expected a Dataset"):
        images(words.to_iterable_dataset())
    words.save_to_disk(tmp_path / "words")
    datasets.DatasetDict({"train": words}).save_to_disk(tmp_path / "dict")
    with pytest.raises(DataError, match=r"images is 'hf:.*nosplit'"):
        images(f"hf:{tmp_path / 'dict'}@nosplit")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'convscope\[datasets\]'"):
        images("hf:whatever@train")


# What is bundled, and what torchvision has on disk


def test_the_gallery_is_bundled() -> None:
    pictures = images("gallery")
    assert pictures.name == "gallery"
    assert 200 <= len(pictures) <= 400
    assert len(pictures.classes or ()) >= 20
    assert sum(path.startswith("Faces_easy/") for path in pictures.paths) >= 10
    assert [f"Faces_easy/{path}" for path in images("gallery/Faces_easy").paths] == [
        path for path in pictures.paths if path.startswith("Faces_easy/")
    ]
    assert {min(pictures.picture(i).size) for i in range(len(pictures))} == {146}


def test_the_gallery_was_held_out(data_root: Path) -> None:
    from convscope.data.splits import per_class

    whole = images(data_root / "caltech101" / "101_ObjectCategories")
    assert len(whole) == 9145
    caltech = whole.without("BACKGROUND_Google")
    gallery = images("gallery")
    assert gallery.classes == caltech.classes
    split = per_class(caltech.labels or [], 30, seed=0)
    assert (len(split.train), len(split.test)) == (3030, 2945)
    assert set(gallery.paths) <= {caltech.paths[i] for i in split.test}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_folder_of_one_s_own_goes_before_what_is_bundled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundled_spelling(name) == name
    write(tmp_path / name / "mine" / "1.png", 7)
    with pytest.warns(UserWarning, match=f"{name} is the folder here; bundled:{name} is what comes with convscope"):
        mine = images(name)
    assert (mine.name, mine.paths) == (name, ["mine/1.png"])
    assert bundled_spelling(name) == f"bundled:{name}"
    theirs = images(f"bundled:{name}")
    assert theirs.name == name
    assert len(theirs) > 100


def test_the_digits_of_scikit_learn() -> None:
    digits = images("digits")
    assert len(digits) == 1797
    assert digits.classes == tuple("0123456789")
    assert (digits.labels or [])[:3] == [0, 1, 2]
    zero = np.asarray(digits.picture(0))
    assert zero.shape == (8, 8, 3)
    assert (zero.min(), zero[0, 2, 0]) == (0, round(5 * 255 / 16))


def write_idx(root: Path, count: int = 20, labels: int = 20, magic: int = 2051, cut: int = 0) -> str:
    """MNIST as its files are: big-endian magic number and sizes, then bytes."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = struct.pack(">IIII", magic, count, 28, 28) + bytes(range(196)) * 4 * count
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(pixels[: len(pixels) - cut])
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, labels) + bytes(labels))
    return f"torchvision:MNIST@{root}"


def test_mnist_on_disk(tmp_path: Path) -> None:
    found = images(write_idx(tmp_path))
    assert len(found) == len(found.labels or []) == 20
    assert np.asarray(found.picture(19))[0, :4, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"magic": 2052}, "another format"),
        ({"cut": 5}, "invalid for input of size"),
        ({"labels": 19}, "20 pictures and 19 labels"),
        ({"labels": 25}, "20 pictures and 25 labels"),
    ],
)
def test_broken_mnist_is_refused(broken: dict[str, int], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        images(write_idx(tmp_path, **broken))
