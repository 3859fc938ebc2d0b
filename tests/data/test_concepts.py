"""Where concepts come from: drawn pictures, Broden's layout, a folder with a table; and where a network sees them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data.concepts import COLUMNS, Concept, concepts
from convscope.data.drawn.canvas import SIDE
from convscope.data.drawn.scenes import COLOURS, NAMES, SCENES, draw, named_colours
from convscope.data.preprocess import Preprocess
from convscope.errors import ArgumentError, DataError
from tests.data.items import write
from tests.data.written_tables import PATHS, Reports, written

WHOLE = Preprocess((3, SIDE, SIDE), resize=SIDE)  # sees every pixel of a drawing


def colour(folder: Path, name: str, pixels: np.ndarray) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


# Drawn


def test_a_drawing_is_the_same_every_time_and_its_maps_fit_it() -> None:
    first = draw(5)
    draw.cache_clear()
    again = draw(5)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.pixels.shape == (SIDE, SIDE, 3)
    for category, labels in again.maps.items():
        assert labels.shape == (SIDE, SIDE)
        assert labels.max() <= len(NAMES[category])
    assert again.whole["scene"] in range(1, len(SCENES) + 1)
    assert draw(3).whole.keys() == {"texture"}


def test_parts_lie_on_their_things_and_every_pixel_has_a_colour() -> None:
    for number in (0, 4, 6):
        drawing = draw(number)
        assert (drawing.maps["object"][drawing.maps["part"] > 0] > 0).all()
        assert (drawing.maps["color"] > 0).all()


def test_colours_by_name() -> None:
    swatches = {
        "black": (10, 10, 10), "white": (250, 250, 250), "grey": (120, 122, 120), "red": (220, 30, 30),
        "green": (40, 160, 60), "blue": (40, 80, 200), "yellow": (250, 230, 60), "brown": (120, 70, 30),
        "orange": (240, 140, 30), "purple": (130, 60, 180), "pink": (240, 150, 190),
    }  # fmt: skip
    pixels = np.array([list(swatches.values())], np.uint8)
    assert [COLOURS[k - 1] for k in named_colours(pixels)[0]] == list(swatches)


def test_over_many_drawings_every_concept_occurs() -> None:
    found = concepts("drawn:48")
    seen = {mark.concept for index in range(48) for mark in found.marks(index).marks}
    missing = [str(found.concepts[k]) for k in range(len(found.concepts)) if k not in seen]
    assert not missing
    assert found.categories == ("color", "texture", "material", "part", "object", "scene")
    assert found.synthetic


def test_a_network_sees_the_masks_where_it_sees_the_picture() -> None:
    found = concepts("drawn:4")
    seen = found.seen(0, WHOLE, 1)
    sky = found.concepts.index(Concept("sky", "object"))
    mask = seen.masks[seen.concepts.tolist().index(sky)].numpy()
    assert np.array_equal(mask, draw(0).maps["object"] == NAMES["object"].index("sky") + 1)
    crop = Preprocess((3, 64, 64), resize=SIDE)
    cut = found.seen(0, crop, 1)
    middle = (SIDE - 64) // 2
    inside = mask[middle : middle + 64, middle : middle + 64]
    assert np.array_equal(cut.masks[cut.concepts.tolist().index(sky)].numpy(), inside)
    every = found.seen(0, WHOLE, 4)
    assert np.array_equal(every.masks[every.concepts.tolist().index(sky)].numpy(), mask[2::4, 2::4])


def test_masks_of_another_scale_are_sampled_where_the_picture_is() -> None:
    transform = Preprocess((3, 32, 32), resize=40)
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[20:50, 30:70] = 255
    crop = transform(Image.fromarray(picture))[0] > 0.5
    for scale in (1, 2):
        field = np.repeat(np.repeat(picture[..., 0] > 0, scale, 0), scale, 1)
        assert (transform.sampled(field, 1) != crop.numpy()).mean() < 0.02  # the picture's edges are smoothed
    assert np.array_equal(transform.sampled(field, 3), transform.sampled(field, 1)[1::3, 1::3])


@pytest.mark.parametrize("wrong", ["drawn:0", "drawn:", "drawn:many", "drawn:-3"])
def test_numbers_of_drawings(wrong: str) -> None:
    with pytest.raises(ArgumentError, match="expected drawn:N"):
        concepts(wrong)


# Broden


def table(file: Path, columns: str, rows: Sequence[str]) -> None:
    file.write_text("\n".join([columns, *rows]) + "\n")


def broden(folder: Path) -> Path:
    """Two pictures of 8 x 8 with label pictures of 4 x 4, in two layers of parts; label 300 needs the green channel."""
    for name in ("a.jpg", "b.jpg"):
        colour(folder / "images", name, np.full((8, 8, 3), 90))
    things, upper, lower = np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    things[:2, :, 0], things[:2, :, 1] = 300 % 256, 300 // 256
    upper[0, 0, 0] = lower[0, 0, 0] = 2
    lower[3, 3, 0] = 3
    for name, pixels in (("a_object.png", things), ("a_part_1.png", upper), ("a_part_2.png", lower)):
        colour(folder / "images", name, pixels)
    columns = "image,split,ih,iw,sh,sw,color,object,part,material,scene,texture"
    rows = ["a.jpg,train,8,8,4,4,,a_object.png,a_part_1.png;a_part_2.png,,7,", "b.jpg,val,8,8,4,4,,,,,8;7,"]
    table(folder / "index.csv", columns, rows)
    labels = [
        "0,-,,0,0,",
        "2,wheel,part(5),5,1,",
        "3,door,part(5),5,1,",
        "300,car,object(9),9,1,",
        "7,street-s,scene(2),2,2,",
    ]
    table(folder / "label.csv", "number,name,category,frequency,coverage,syns", [*labels, "8,road-s,scene(1),1,1,"])
    table(folder / "c_object.csv", "code,number,name,frequency,coverage", ["0,0,-,0,0", "1,300,car,9,1"])
    return folder


def test_broden(tmp_path: Path) -> None:
    found = concepts(broden(tmp_path))
    assert [str(c) for c in found.concepts] == [
        "wheel (part)",
        "door (part)",
        "car (object)",
        "street-s (scene)",
        "road-s (scene)",
    ]
    assert found.held_out == (False, True)
    assert found.pictures.paths == ["a.jpg", "b.jpg"]
    a, b = found.marks(0), found.marks(1)
    assert a.categories == {"object", "part", "scene"}
    assert b.categories == {"scene"}
    assert [(found.concepts[m.concept].name, m.mask) for m in b.marks] == [("road-s", None), ("street-s", None)]
    car = next(m.mask for m in a.marks if found.concepts[m.concept].name == "car")
    assert car is not None
    assert car.tolist() == [[True] * 4] * 2 + [[False] * 4] * 2
    seen = found.seen(0, Preprocess((3, 8, 8), resize=8), 1)
    wheel = seen.masks[seen.concepts.tolist().index(0)]  # from both layers of parts
    assert wheel.sum() == 4
    assert wheel[:2, :2].all()
    assert seen.masks[seen.concepts.tolist().index(3)].all()


BROKEN: Mapping[str, tuple[str, str, str]] = {
    "no column of pictures": ("index.csv", "picture,split\na.jpg,train\n", "image missing"),
    "no pictures": ("index.csv", "image,split\n", "no pictures in it"),
    "no labels": ("label.csv", "", "number, name missing"),
    "an unknown label": ("label.csv", "number,name,category\n2,wheel,part(1)\n", "has part 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_broden(case: str, tmp_path: Path) -> None:
    name, text, words = BROKEN[case]
    (broden(tmp_path) / name).write_text(text)
    with pytest.raises(DataError, match=words):
        concepts(tmp_path).marks(0)


def test_a_label_picture_that_is_missing(tmp_path: Path) -> None:
    (broden(tmp_path) / "images/a_object.png").unlink()
    with pytest.raises(DataError, match=r"a_object.png: no mask picture \(No such file"):
        concepts(tmp_path).marks(0)


# A folder with a table


def own(folder: Path, *rows: str) -> Path:
    for name in ("1.png", "2.png"):
        colour(folder, f"street/{name}", np.full((20, 30, 3), 90))
    mask = np.zeros((10, 15))
    mask[:5] = 255
    colour(folder, "masks/car.png", mask)
    colour(folder, "masks/high.png", mask.T)
    table(folder / "concepts.csv", "image,category,concept,mask", rows)
    return folder


ROWS = ("street/1.png,object,car,masks/car.png", "street/1.png,scene,street,", "street/2.png,object,,")


def test_a_folder_with_a_table(tmp_path: Path) -> None:
    found = concepts(own(tmp_path, *ROWS))
    assert [str(c) for c in found.concepts] == ["car (object)", "street (scene)"]
    assert found.marks(1).categories == {"object"}
    assert found.marks(1).marks == ()
    car, street = found.marks(0).marks
    assert street.mask is None
    assert car.mask is not None
    assert car.mask.tolist() == [[True] * 15] * 5 + [[False] * 15] * 5


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("street/1.png,object,car,masks/none.png",), "none.png: no mask picture"),
        (
            ("street/1.png,object,car,masks/high.png",),
            "high.png is 10 x 15: expected the shape of street/1.png, 30 x 20",
        ),
        (("street/1.png,object,,",), "no concept in it"),
    ],
)
def test_a_table_that_does_not_fit(rows: Sequence[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        concepts(own(tmp_path, *rows)).marks(0)


@settings(max_examples=40)
@given(st.data())
def test_every_line_marks_or_is_reported(fuzzed: Path, data: st.DataObject) -> None:
    masks = data.draw(st.sampled_from(["masks/m.png", "masks\\m.png", "./masks//m", ""]))
    table = data.draw(written(fuzzed, lambda path: ("object", "car", masks), COLUMNS, header=True))
    (fuzzed / "p" / "concepts.csv").write_bytes(table.data)
    with Reports() as reports:
        found = concepts(fuzzed / "p")
    assert sorted(found.pictures.paths) == sorted(filter(None, table.pictures))
    for index in range(len(found.pictures)):
        (mark,) = found.marks(index).marks
        assert (mark.mask is None) == (masks == "")
    assert reports.counts == ([(table.reported, len(table.pictures))] if table.reported else [])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("concepts")
    for path in (*PATHS, "masks/m.png"):
        write(place / "p" / path, 200)
    return place


def test_a_table_of_nothing_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"concepts\.csv: no line names a picture of .*: line 2 'street/9\.png"):
        concepts(own(tmp_path, "street/9.png,object,car,"))


# Photographs in classes


def test_classes_are_objects_and_pixels_have_colours(tmp_path: Path) -> None:
    half = np.zeros((8, 6, 3))
    half[:, :3] = (220, 30, 30)
    colour(tmp_path, "boat/1.png", half)
    colour(tmp_path, "car/1.png", np.full((5, 4, 3), 250))
    colour(tmp_path, "beside.png", np.full((5, 4, 3), 250))
    found = concepts(tmp_path)
    assert [concept.name for concept in found.concepts] == [*COLOURS, "boat", "car"]
    assert [concept.category for concept in found.concepts[-3:]] == ["color", "object", "object"]
    assert found.pictures.paths == ["beside.png", "boat/1.png", "car/1.png"]
    assert not found.synthetic
    boat = {str(found.concepts[mark.concept]): mark.mask for mark in found.marks(1).marks}
    assert boat.keys() == {"red (color)", "black (color)", "boat (object)"}
    assert boat["boat (object)"] is None
    red = boat["red (color)"]
    assert red is not None
    assert np.array_equal(red, half[..., 0] > 0)
    assert [str(found.concepts[mark.concept]) for mark in found.marks(0).marks] == ["white (color)"]
    assert found.marks(0).categories == {"color", "object"}


def test_the_gallery_is_photographs() -> None:
    found = concepts("gallery")
    assert (len(found.pictures), len(found.concepts), found.synthetic) == (309, 11 + 101, False)
    stop = found.pictures.paths.index("stop_sign/image_0009.jpg")
    names = {found.concepts[mark.concept].name for mark in found.marks(stop).marks}
    assert {"stop_sign", "red", "white"} <= names


def test_folders_of_neither_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither index\.csv"):
        concepts(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        concepts(tmp_path / "nowhere")
