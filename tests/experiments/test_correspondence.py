"""Hiding the same part in different pictures (METHODS F8, TB1): hand cases, invariants, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from convscope.data.preprocess import Preprocess
from convscope.errors import ArgumentError, DataError, LayerError
from convscope.experiments.correspondence import Correspondence, _apart, _drawn, _free, _signs, correspondence
from convscope.figures.correspondence import correspondence as draw
from convscope.models.network import Network
from convscope.models.variants import build


class Faces(torch.utils.data.Dataset[torch.Tensor]):
    """Grey pictures in network space with an eye, a nose and a mouth of known values: (3, 16, 16)."""

    def __init__(self, *signs: float) -> None:
        self.signs = signs

    def __len__(self) -> int:
        return len(self.signs)

    def __getitem__(self, index: int) -> torch.Tensor:
        x = torch.zeros(3, 16, 16)
        x[:, 2:5, 2:5] = self.signs[index]
        x[:, 9:12, 9:12] = 1
        return x


def plain() -> Network:
    """Sees every pixel as it is."""
    return Network(nn.Sequential(nn.Identity(), nn.Flatten()), (3, 16, 16), 0.0, 1.0, name="plain")


def table(folder: Path, rows: str) -> Path:
    (folder / "boxes.csv").write_text("image,part,top,left,bottom,right\n" + rows)
    return folder / "boxes.csv"


EYE, NOSE = "2,2,5,5", "9,9,12,12"


def faces(folder: Path, *signs: float, **options: object) -> Correspondence:
    rows = [f"Faces[{i}],{part},{box}" for i in range(len(signs)) for part, box in (("eye", EYE), ("nose", NOSE))]
    given_ = {"layers": ["0"], "fill": "mean"} | options
    return correspondence(plain(), Faces(*signs), table(folder, "\n".join(rows)), **given_)  # type: ignore[arg-type]


def test_alike_and_opposite(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="changes nothing at 0"):  # the ground is as grey as the box
        found = faces(tmp_path, 1, 1, -1, draws=1)
    scores = dict(zip(map(tuple, found.pairs.tolist()), found.scores[0].T.tolist(), strict=True))
    eye = 27 / (3 * 16 * 16)  # the values that hiding it changes
    assert scores[0, 1] == pytest.approx([0, 0, 0, 0])
    assert scores[0, 2] == pytest.approx([eye, 0, 0, 0])
    assert scores[1, 2] == pytest.approx([eye, 0, 0, 0])
    row = found.rows[0]
    assert (row["location"], row["layer"], row["value"]) == ("eye", "0", pytest.approx(2 * eye / 3))
    assert row["std"] == pytest.approx(float(torch.tensor([0, eye, eye]).std()))
    assert "reference" not in row


def test_hand_cases() -> None:
    a, b = torch.tensor([[1, -1, 0, 0]]), torch.tensor([[1, 1, 0, -1]])
    assert _apart(a, b).item() == _apart(b, a).item() == 2 / 4
    assert _apart(a, a).item() == 0
    assert _apart(torch.tensor([[1, -1, 1]]), torch.tensor([[-1, 1, -1]])).item() == 1
    output = torch.tensor([[2.0, 1, 0, 0, 5], [1, 2, 0, 4e-6, 5 - 1e-5]])
    assert _signs(output).tolist() == [[1, -1, 0, 0, 1]]


def test_the_scores_are_those_of_plain_forward_passes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 3}
    net = Network(build(architecture), (3, 64, 64), 0.5, 0.25)
    with torch.no_grad():
        for parameter in net.module.parameters():
            parameter.normal_(0, 0.3)
    for name, seed in (("a.png", 0), ("b.png", 1)):
        pixels = np.random.default_rng(seed).integers(0, 256, (73, 73, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    boxes = table(tmp_path, "a.png,eye,20,20,30,30\nb.png,eye,40,36,50,46\n")
    found = correspondence(net, tmp_path, boxes, draws=2)
    assert found.layers == ("pool5", "relu7")
    module, x = net.working("cpu"), net.inputs([tmp_path / "a.png", tmp_path / "b.png"])
    offset = (73 - 64) // 2
    assert found.boxes[:, 0].tolist() == [
        [20 - offset, 20 - offset, 30 - offset, 30 - offset],
        [40 - offset, 36 - offset, 50 - offset, 46 - offset],
    ]
    pool5 = nn.Sequential(*[*module.children()][:16])
    signs = []
    with torch.no_grad():
        for i in (0, 1):
            top, left, bottom, right = found.boxes[i, 0].tolist()
            covered = x[i].clone()
            covered[:, top:bottom, left:right] = (128 / 255 - 0.5) / 0.25
            features = [pool5(each[None]).flatten() for each in (x[i], covered)]
            signs.append((features[0] - features[1]).sign())
    assert float(found.scores[0, 0, 0]) == pytest.approx(float((signs[0] != signs[1]).float().mean()))
    assert found.rows[0]["std"] is None  # of one pair
    draw(net, found)


def test_the_same_seed_gives_the_same_and_the_published_table_stands_beside() -> None:
    one = correspondence(tiny(), "gallery", "faces", count=3, draws=2)
    assert one.scores.min() >= 0
    assert one.scores.max() <= 1
    again = correspondence(tiny(), "gallery", "faces", count=3, draws=2)
    assert torch.equal(one.scores, again.scores)
    assert torch.equal(one.boxes, again.boxes)
    other = correspondence(tiny(), "gallery", "faces", count=3, draws=2, seed=1)
    assert other.images != one.images
    assert [score.location for score in one.table()[:5]] == ["right eye", "left eye", "nose", "random", "same place"]
    published = [row for row in one.rows if row["location"] != "same place"]
    assert {row["reference"] for row in published} >= {0.067, 0.107, 0.073}
    for row in published:
        assert row["delta"] == pytest.approx(row["value"] - row["reference"])
    assert one.text.count("\n") == 9
    draw(tiny(), one)


def tiny() -> Network:
    torch.manual_seed(0)
    architecture = {"base": "zfnet", "side": 128, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 3}
    module = build(architecture)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return Network(module, (3, 128, 128), 0.5, 0.25)


@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 6))
def test_random_boxes_stay_inside_and_touch_no_part(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    corners = torch.from_numpy(random.integers(0, 20 - 6, (3, 2)))
    parts = torch.cat([corners, corners + torch.tensor([height, width])], 1)
    free = _free(parts, (1.5, 2, 19, 20), (20, 24))
    if not free.any():
        return
    boxes = _drawn(free, torch.tensor([height, width]), 5, random)
    for top, left, bottom, right in boxes.tolist():
        assert (bottom - top, right - left) == (height, width)
        assert (top >= 2, left >= 2, bottom <= 19, right <= 20) == (True,) * 4
        for t, l, b, r in parts.tolist():  # noqa: E741
            assert min(bottom, b) <= max(top, t) or min(right, r) <= max(left, l)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 999))
def test_a_box_lies_where_the_transform_puts_it(width: int, height: int, seed: int) -> None:
    """A box in the crop comes from the same place as the centre of a white box in a black picture."""
    if max(width, height) >= 4 * min(width, height):
        return
    net = Preprocess((3, 32, 32))
    located = net.located((0, 0, height, width), (width, height))
    scale = 37 / min(width, height)
    assert located[2] - located[0] == pytest.approx(height * scale, abs=0.51)
    assert (located[0] + located[2]) / 2 == pytest.approx(16, abs=1.01)
    assert (located[1] + located[3]) / 2 == pytest.approx(16, abs=1.01)


def test_a_located_box_holds_what_was_in_it() -> None:
    net = Preprocess((3, 32, 32), 0.0, 1.0)
    pixels = np.zeros((200, 150, 3), np.uint8)
    pixels[80:120, 50:90] = 255
    top, left, bottom, right = (round(place) for place in net.located((80, 50, 120, 90), (150, 200)))
    x = net(pixels)[0]
    assert x[top + 1 : bottom - 1, left + 1 : right - 1].min() > 0.9
    x[top - 1 : bottom + 1, left - 1 : right + 1] = 0
    assert x.max() < 0.1


def test_boxes_at_the_same_place_and_pictures_with_no_place_in_common(tmp_path: Path) -> None:
    found = faces(tmp_path, 1, 1, draws=4, fill="grey")
    same = found.boxes[:, found.columns["same place"]]
    assert len(found.locations) == 2 + 4 + 4
    assert torch.equal(same[0], same[1])
    rows = "Faces[0],eye,0,0,16,8\nFaces[1],eye,0,8,16,16\n"
    found = correspondence(plain(), Faces(1, 1), table(tmp_path, rows), layers=["0"], draws=1)
    assert set(found.columns) == {"eye", "random"}
    assert found.notes == ("the pictures have no place in common beside their parts: no score of the same place",)
    draw(plain(), found)


def test_mistakes(tmp_path: Path) -> None:
    net, two = plain(), "Faces[0],eye,2,2,5,5\nFaces[1],eye,2,2,5,5\n"

    def run(rows: str, **options: object) -> None:
        correspondence(net, Faces(1, 1), table(tmp_path, rows), layers=["0"], **options)  # type: ignore[arg-type]

    for rows, options, words in (
        ("Faces[0],eye,2,2,5,5\n", {}, "boxes in 1 image, expected at least 2"),
        ("Faces[7],eye,2,2,5,5\nFaces[8],eye,2,2,5,5\n", {}, "no line names a picture of Faces"),
        ("Faces[0],eye,2,2,5,5\nFaces[1],eye,2,2,5,17\n", {}, "outside the 16 x 16 picture"),
        ("Faces[0],eye,2,2,5,5\nFaces[1],nose,2,2,5,5\n", {}, "no box for"),
        ("Faces[0],eye,0,0,16,16\nFaces[1],eye,0,0,16,16\n", {}, "no place for a random box beside"),
        (
            "Faces[0],random,2,2,5,5\nFaces[1],random,2,2,5,5\n",
            {},
            "parts to hide: random; expected some, none called random",
        ),
        ("Faces[0],object,0,0,9,9\nFaces[1],object,0,0,9,9\n", {}, "parts to hide: none; expected some"),
        (two, {"count": 3}, "count is 3: expected 2 to 2"),
        (two, {"draws": 0}, "draws is 0"),
        (two, {"fill": "red"}, "expected grey or mean"),
        (two, {"within": "face"}, "within is 'face': expected a part of"),
    ):
        with pytest.raises((ArgumentError, DataError), match=words):
            run(rows, **options)
    with pytest.raises(LayerError):
        correspondence(tiny(), "gallery", "faces", layers=["pool6"])


def test_a_box_that_the_crop_leaves_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((16, 60, 3), np.uint8)).save(tmp_path / name)
    boxes = table(tmp_path, "a.png,eye,4,24,8,28\nb.png,eye,4,2,8,6\n")
    with pytest.raises(
        DataError, match=r"b\.png: the box of eye lies outside the 16 x 16 centre that the network sees"
    ):
        correspondence(plain(), tmp_path, boxes, layers=["0"])
