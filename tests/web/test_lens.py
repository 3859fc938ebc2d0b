"""The lens against the plain way: one forward pass, `project`, a picture with a part painted grey."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from convscope import project
from convscope.atlases.store import Atlas
from convscope.errors import LayerError, NetworkError, UnitError
from convscope.models.network import Network
from convscope.pictures import display
from convscope.probe.rectify import Rule
from convscope.web.lens import Lens, Square, probabilities
from convscope.web.viewed_pictures import Slide, Slides
from tests.web.conftest import DEAD, network


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


@pytest.fixture(scope="module")
def slide(atlas: Atlas, net: Network) -> Iterator[Slide]:
    with Slides(atlas, net) as slides:
        yield slides[str(next(atlas.pictures).image)]


@pytest.fixture(scope="module")
def lens(atlas: Atlas, net: Network) -> Lens:
    return Lens(net, atlas.info, device="cpu")


def maps(net: Network, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """relu1, relu2 and the classes, module by module."""
    m = net.module.eval()
    with torch.no_grad():
        relu1 = m.relu1(m.conv1(inputs))  # type: ignore[operator]
        relu2 = m.relu2(m.conv2(m.pool1(relu1)))  # type: ignore[operator]
        return relu1[0], relu2[0], m.fc(relu2.mean((2, 3))).softmax(1)[0]  # type: ignore[operator]


def test_a_reading_is_one_forward_pass(lens: Lens, net: Network, slide: Slide) -> None:
    relu1, relu2, classes = maps(net, slide.inputs)
    found = lens.reading(slide)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, classes, atol=1e-6)
    for name, there in (("relu1", relu1), ("relu2", relu2)):
        values, places = found.peaks[name]
        np.testing.assert_allclose(values, there.amax((1, 2)), rtol=1e-5, atol=1e-6)
        for channel, (row, column) in enumerate(places.tolist()):
            assert float(there[channel, row, column]) == pytest.approx(float(values[channel]), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("square", [None, Square(3, 5, 8), Square(-4, 20, 9), Square(0, 0, 24), Square(50, 50, 4)])
def test_an_answer_is_that_of_the_picture_with_a_part_grey(
    lens: Lens, net: Network, slide: Slide, square: Square | None
) -> None:
    painted = slide.shown.copy()
    if square:
        top, left = max(square.top, 0), max(square.left, 0)
        painted[top : square.top + square.side, left : square.left + square.side] = 128
    _, relu2, classes = maps(net, net.transform.normalise(painted[None]))
    found = lens.answer(slide, square, "relu2", 7)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, classes, atol=1e-6)
    np.testing.assert_allclose(found.map, relu2[7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_a_projection_is_that_of_project(lens: Lens, net: Network, slide: Slide, rule: Rule) -> None:
    _, places = lens.reading(slide).peaks["relu2"]
    row, column = places[7].tolist()
    plain = project(net, slide.inputs, f"relu2:7@{row},{column}", rule=rule)
    expected = display(plain.crops[0])
    found = lens.projection(slide, "relu2", 7, row, column, rule)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    patch = lens.patch(slide, "relu2", 7, row, column)
    assert patch.shape == found.shape


@pytest.mark.filterwarnings("error")
def test_a_unit_that_does_not_fire_is_plain_grey(lens: Lens, slide: Slide) -> None:
    assert (lens.projection(slide, "relu2", DEAD, 0, 0, "deconvnet") == 128).all()


def test_units_that_are_none(lens: Lens, slide: Slide) -> None:
    with pytest.raises(LayerError, match="nearest are relu2"):
        lens.answer(slide, None, "relu9", 0)
    with pytest.raises(UnitError, match="channels 0 to 71"):
        lens.answer(slide, None, "relu2", 72)
    with pytest.raises(UnitError, match="maps of relu2 are 10 x 10"):
        lens.patch(slide, "relu2", 0, 10, 0)


def test_a_network_that_fails_says_so_in_a_line_and_works_on(atlas: Atlas, slide: Slide) -> None:
    failing = network()
    lens = Lens(failing, atlas.info, device="cpu")
    working = failing.working("cpu")
    whole = working.fc
    working.fc = torch.nn.Linear(3, 2)
    with pytest.raises(NetworkError, match=r"^the network fails on this picture: [^\n]+$"):
        lens.reading(slide)
    working.fc = whole
    assert lens.reading(slide).probabilities is not None


def test_outputs_that_are_no_classes() -> None:
    assert probabilities(torch.zeros(1, 2, 3, 3)) is None
    assert probabilities({"out": torch.zeros(1, 2)}) is None
    assert probabilities(torch.tensor([[float("nan"), 0.0]])) is None
    already = probabilities(torch.tensor([[0.25, 0.75]]))
    assert already is not None
    assert already.tolist() == [0.25, 0.75]


def test_warming_up_leaves_the_network_as_it_was(atlas: Atlas, slide: Slide) -> None:
    net = network()
    before = net.fingerprint()
    Lens(net, atlas.info).warm(slide)
    assert net.fingerprint() == before
    assert not any(module._forward_hooks for module in net.working().modules())
