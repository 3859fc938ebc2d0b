"""Covering pictures place by place (METHODS F7): hand cases, invariants, what excites the map, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.errors import ArgumentError, LayerError, PictureError
from convscope.experiments.occlude import occlude
from convscope.experiments.project import project
from convscope.figures.occlude import occlude as draw
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.pictures import GALLERY

CELL, CELLS = 8, 4
SIDE = CELL * CELLS
KEY = (1, 2)  # the cell whose mean the first class is


def reader() -> Network:
    """Looks at cells of 8 x 8 pixels; class "key" is the mean of one of them, class "other" is 0.5 whatever it sees."""
    convolution, linear = nn.Conv2d(3, 1, CELL, CELL), nn.Linear(CELLS**2, 2)
    with torch.no_grad():
        convolution.weight.fill_(1 / (3 * CELL**2))
        convolution.bias.zero_()  # type: ignore[union-attr]
        linear.weight.zero_()
        linear.weight[0, KEY[0] * CELLS + KEY[1]] = 1
        linear.bias.copy_(torch.tensor([0, 0.5]))
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), linear)
    return Network(module, (3, SIDE, SIDE), 0.0, 1.0, ["key", "other"], name="reader")


def white() -> torch.Tensor:
    return torch.ones(1, 3, SIDE, SIDE)


def test_the_minimum_is_exactly_at_the_patch_that_is_read() -> None:
    found = occlude(reader(), white(), size=CELL, stride=2, fill=0.0)
    box = [KEY[0] * CELL, KEY[1] * CELL, KEY[0] * CELL + CELL, KEY[1] * CELL + CELL]
    least = (found.probability == found.probability.min()).flatten().nonzero().flatten().tolist()
    assert [found.places.boxes[place].tolist() for place in least] == [box]
    assert found.rows[0] == {
        "picture": "picture 0",
        "of": "key",
        "unoccluded": pytest.approx(float(torch.tensor(0.5).sigmoid())),
        "least": pytest.approx(float(torch.tensor(-0.5).sigmoid())),
        **dict(zip(("top", "left", "bottom", "right"), box, strict=True)),
        "label there": "other",
    }
    assert found.label.flatten()[least[0]] == 1
    boxes = found.places.boxes
    away = (boxes[:, :2] >= torch.tensor(box[2:])).any(1) | (boxes[:, 2:] <= torch.tensor(box[:2])).any(1)
    torch.testing.assert_close(found.drop.flatten()[away], torch.zeros(int(away.sum())))


def test_every_value_by_hand() -> None:
    found = occlude(reader(), white(), target=["other", 0], size=[4, CELL], stride=[4, CELL], fill=0.0)
    assert found.probability.shape == (2, 8, 4)
    key = torch.ones(8, 4)
    key[2:4, 2] = 0.5  # half of the cell is covered
    torch.testing.assert_close(found.probability, torch.stack([(0.5 - key).sigmoid(), (key - 0.5).sigmoid()]))
    torch.testing.assert_close(found.activity, torch.full((8, 4), CELLS**2 - 0.5))
    torch.testing.assert_close(found.activity_drop, torch.full((8, 4), 0.5))
    assert found.target.tolist() == [1, 0]
    torch.testing.assert_close(found.baseline, torch.tensor([-0.5, 0.5]).sigmoid())


def test_an_occluder_of_size_zero_changes_nothing() -> None:
    found = occlude(load("zfnet128"), GALLERY / "stop_sign/image_0009.jpg", size=0, stride=32, allow_empty=True)
    assert found.probability.shape == (5, 5)
    torch.testing.assert_close(found.drop, torch.zeros(5, 5), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.activity_drop, torch.zeros(5, 5), rtol=0, atol=1e-3)
    assert (found.label == found.target).all()
    titles = [text.get_text() for text in draw(load("zfnet128"), found).texts]
    assert any("everywhere" in title for title in titles), "rounding is not blown up to a map"


def test_one_that_covers_everything_has_one_value() -> None:
    net = reader()
    for size in (SIDE, SIDE + 9):
        found = occlude(net, white(), size=size, fill=0.0, allow_full=True)
        assert found.probability.shape == (1, 1)
        torch.testing.assert_close(found.probability, torch.tensor([[-0.5]]).sigmoid())
        assert float(found.activity) == 0
        draw(net, found)


def test_a_picture_like_the_occluder_does_not_change() -> None:
    net = reader()
    found = occlude(net, np.full((SIDE, SIDE, 3), 128, np.uint8), size=10)
    assert not found.drop.any()
    assert not found.activity_drop.any()
    assert found.notes == ("picture 0: looks like the occluder, which changes nothing",)
    assert np.isnan(found.agreement[0])


def test_a_dead_map_is_named() -> None:
    net = reader()
    found = occlude(net, -white(), size=8, fill=-0.5)
    assert found.notes == ("picture 0: 1 is zero everywhere",)
    assert not found.activity.any()
    draw(net, found)


def noisy(seed: int, size: int = 160) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_pictures_do_not_depend_on_their_company_and_axes_of_length_one_are_dropped() -> None:
    net, pictures = load("zfnet128"), [noisy(0), noisy(1)]
    both = occlude(net, pictures, size=40, stride=30, target=[3, "stop_sign"])
    assert both.probability.shape == (2, 2, 3, 3)
    assert both.label.shape == both.activity.shape == (2, 3, 3)
    assert both.baseline.shape == both.target.shape == (2, 2)
    for i, picture in enumerate(pictures):
        alone = occlude(net, picture, size=40, stride=30, target="stop_sign")
        assert alone.probability.shape == alone.drop.shape == alone.label.shape == alone.activity.shape == (3, 3)
        assert alone.baseline.shape == alone.target.shape == ()
        torch.testing.assert_close(alone.probability, both.probability[i, 1], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(alone.activity, both.activity[i], rtol=1e-5, atol=1e-3)
        again = occlude(net, picture, size=40, stride=30, target="stop_sign")
        assert torch.equal(alone.probability, again.probability)
    assert both.arrays["boxes"].shape == (9, 4)
    assert both.arrays["drop"].shape == (2, 2, 3, 3)
    assert len(both.rows) == 2 * (2 + 1)
    assert both.text.count("\n") == 5
    draw(net, both)


def test_the_class_of_a_file_is_its_folder() -> None:
    net = load("zfnet128")
    found = occlude(net, [GALLERY / "stop_sign/image_0009.jpg", GALLERY / "panda/image_0008.jpg"], size=60, stride=60)
    assert [found.name(int(label)) for label in found.target] == ["stop_sign", "panda"]
    assert found.names == ("stop_sign/image_0009.jpg", "panda/image_0008.jpg")
    said = occlude(net, noisy(0), size=60, stride=60)
    assert torch.equal(said.target, said.firsts[0])


def test_the_default_occluder_is_the_papers_in_proportion() -> None:
    found = occlude(reader(), white(), fill=0.0)
    assert found.places.size == (round(SIDE * 50 / 224),) * 2
    assert found.places.boxes[1].tolist()[1] == round(SIDE * 5 / 224)
    centred = occlude(reader(), white(), size=8, stride=8, anchor="centre", fill=0.0)
    assert centred.places.rows.tolist() == [0, 8, 16, 24]
    assert centred.places.boxes[0].tolist() == [0, 0, 4, 4]


def test_where_the_map_comes_from(tmp_path: Path) -> None:
    """The projection is `project`'s, and covering it takes the activity away (METHODS F7, validation score)."""
    net, picture = load("zfnet128"), GALLERY / "stop_sign/image_0009.jpg"
    for number in range(3):
        Image.fromarray(noisy(number)).save(tmp_path / f"{number}.png")
    Image.open(picture).save(tmp_path / "the same.png")
    net_input = net.inputs(tmp_path / "the same.png")
    found = occlude(net, net_input, stride=24, gallery=tmp_path)
    unit, (own, *others) = found.units[0], found.seen[0]
    plain = project(net, net_input, str(unit))
    torch.testing.assert_close(own.projection, plain.crops[0])
    assert list(own.box) == plain.boxes[0].tolist()
    assert own.value == pytest.approx(float(plain.values[0]), rel=1e-5)
    assert sorted(each.picture for each in others) == ["0.png", "1.png", "2.png"], "the picture itself is left out"
    assert [each.value for each in others] == sorted((each.value for each in others), reverse=True)
    assert found.agreement[0] > 0.3
    draw(net, found)


def test_a_network_without_classes_and_pictures_of_another_size() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.ReLU())
    net = Network(module, (3, 16, 16), 0.5, 0.25, name="maps")
    found = occlude(net, torch.randn(2, 3, 20, 24), size=6, stride=4, layer="1")
    assert found.probability.shape[1:] == (0, *found.activity.shape[1:])
    assert (found.label == -1).all()
    assert [row["of"][:14] for row in found.rows] == ["activity of 1:"] * 2
    draw(net, found)
    with pytest.raises(ArgumentError, match="no class"):
        occlude(net, torch.randn(1, 3, 16, 16), target=1)


def test_the_approximate_modes_say_so() -> None:
    exact = occlude(load("zfnet128"), noisy(0), stride=24)
    for mode in ("capped", "drill"):
        found = occlude(load("zfnet128"), noisy(0), stride=24, mode=mode)
        assert found.notes == (f"mode {mode}: the maps are approximate",)
        assert found.probability.shape == exact.probability.shape
    whole = occlude(load("zfnet128"), noisy(0), stride=24, mode="whole")
    torch.testing.assert_close(whole.probability, exact.probability, rtol=1e-5, atol=1e-7)
    assert torch.equal(whole.label, exact.label)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size is 0: expected at least 1 pixel"),
        ({"size": -1, "allow_empty": True}, "size is -1: expected at least 0"),
        ({"size": 33}, "the picture is 32 x 32; allow_full"),
        ({"size": [1, 2, 3]}, "or two, down and across"),
        ({"size": 1.5}, "whole number of pixels"),
        ({"stride": 0}, "stride is 0"),
        ({"target": 2}, "target is 2: expected a class, or 0 to 1"),
        ({"target": "oter"}, "the nearest are other"),
        ({"fill": "gray"}, "expected grey"),
        ({"mode": "fast"}, "mode"),
        ({"anchor": "left"}, "anchor"),
        ({"strongest": "mean"}, "strongest"),
        ({"cap": 0.0}, "cap is 0.0"),
        ({"layer": "2"}, "expected maps"),
    ],
)
def test_mistakes(options: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        occlude(reader(), white(), **options)  # type: ignore[arg-type]


def test_more_mistakes() -> None:
    with pytest.raises(LayerError):
        occlude(reader(), white(), layer="relu9")
    with pytest.raises(PictureError, match=r"none\.png"):
        occlude(reader(), "none.png")
    with pytest.raises(ArgumentError, match="NaN or infinity at"):
        occlude(reader(), white() * float("nan"))
