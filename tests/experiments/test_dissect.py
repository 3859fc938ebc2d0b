"""Units against concepts (METHODS N1): planted units, a slow twin, ties and dead units, rotations, bad input."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope import Network
from convscope.data.concepts import Concept, Concepts, Mark, Marks
from convscope.data.picture_set import Pictures
from convscope.disk import results
from convscope.errors import ArgumentError, DataError, LayerError, NetworkError
from convscope.experiments.dissect import _bases, dissect
from convscope.figures.dissect import dissect as draw
from convscope.runner import perform

Masks = list[dict[int, Tensor | None]]

SIDE = 20


def marked(
    pictures: Tensor,
    masks: Sequence[dict[int, Tensor | None]],
    concepts: Sequence[Concept],
    looked: Sequence[set[str]] | None = None,
) -> Concepts:
    """Pictures (N, C, H, W) in network space with masks; `looked`: the categories looked for [default: all of them]."""
    everything = {concept.category for concept in concepts}

    def marks(index: int) -> Marks:
        own = [Mark(k, None if mask is None else mask.numpy()) for k, mask in masks[index].items()]
        return Marks(frozenset(everything if looked is None else looked[index]), tuple(own))

    return Concepts("planted", Pictures("planted", list(pictures)), tuple(concepts), marks)


def eye(side: int = SIDE) -> Network:
    """Its three units are the three channels of the picture, pixel by pixel."""
    return Network(nn.Sequential(nn.Identity(), nn.Flatten()), (3, side, side), 0.0, 1.0, name="eye")


SPOT, REST = Concept("spot", "part"), Concept("ground", "object")


def planted(count: int = 10) -> Concepts:
    """Channel 0 is graded and highest on the spots, two of 400 pixels (0.5 %); 1 is on or off, on for a quarter; 2 is
    the same everywhere.
    """
    pictures = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    masks: Masks = []
    for n, picture in enumerate(pictures):
        spot = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        spot[n, 3:5] = True
        picture[0][spot] += 1
        picture[1] = 0
        picture[1][: SIDE // 2, : SIDE // 2] = 1
        picture[2] = 0.7
        masks.append({0: spot, 1: ~spot})
    return marked(pictures, masks, [SPOT, REST])


def test_a_graded_unit_whose_highest_values_are_the_concept_matches_it_wholly() -> None:
    found = dissect(eye(), planted(), layers=["0"], grid=1)
    assert found.iou["0"][0].tolist() == [1, 0]
    assert found.above["0"].tolist() == [0.005, 0, 0]
    assert found.errors == {"0": 0}
    assert found.detectors("0") == {0: SPOT}
    assert found.rows[0] == {
        "layer": "0",
        "units": 3,
        "detectors": 1,
        "unique": 1,
        "unique part": 1,
        "unique object": 0,
    }
    row = found.rows[1]
    assert (row["channel"], row["concept"], row["iou"], row["category"]) == (0, "spot", 1, "part")
    assert found.coverage.tolist() == pytest.approx([0.005, 0.995])


def test_ties_and_constants_are_on_nowhere_and_said_so() -> None:
    found = dissect(eye(), planted(), layers=["0"], grid=1)
    assert found.iou["0"][1:].max() == 0
    assert found.rows[2]["concept"] is found.rows[2]["label"] is None
    assert "0: 2 of 3 units are on nowhere (dead, constant, or tied): no match" in found.notes
    both = dissect(eye(), planted(), layers=["0"], grid=1, inclusive=True)
    assert both.above["0"].tolist() == [pytest.approx(21 / 4000), 0.25, 1]
    assert both.iou["0"][2].tolist() == pytest.approx([0.005, 0.995])


def test_a_concept_everywhere_is_matched_by_the_share_that_a_unit_is_on() -> None:
    pictures = torch.rand(4, 3, SIDE, SIDE)
    found = dissect(eye(), marked(pictures, [{0: None}] * 4, [Concept("all", "scene")]), layers=["0"], grid=1)
    assert found.iou["0"].flatten().tolist() == pytest.approx([0.005] * 3)
    assert found.detectors("0") == {}


def test_a_concept_in_no_picture_is_left_out_and_said_so() -> None:
    pictures = torch.rand(2, 3, SIDE, SIDE)
    nothing = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    found = dissect(eye(), marked(pictures, [{0: nothing, 1: None}] * 2, [SPOT, REST]), layers=["0"])
    assert found.concepts == (REST,)
    assert "in no picture, left out: spot (part)" in found.notes
    with pytest.raises(DataError, match="planted: the network sees no concept in any of the 2 pictures"):
        dissect(eye(), marked(pictures, [{}, {}], [SPOT]), layers=["0"])


def test_pictures_in_which_nobody_looked_do_not_count() -> None:
    pictures = torch.rand(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:4] = True
    looked = [{"part"}, {"part"}, set(), set(), set(), {"object"}]
    found = dissect(
        eye(),
        marked(pictures, [{0: mask}, {0: mask}, {}, {}, {}, {1: mask}], [SPOT, REST], looked),
        layers=["0"],
        grid=1,
    )
    limit = found.thresholds["0"]
    on = pictures > limit[:, None, None]
    assert on.float().mean((0, 2, 3)).tolist() == pytest.approx([0.005] * 3)
    for k, pick in enumerate(([0, 1], [5])):
        both, either = (on[pick] & mask).sum((0, 2, 3)), (on[pick] | mask).sum((0, 2, 3))
        assert torch.allclose(found.iou["0"][:, k], both / either)


def test_random_units_match_as_far_as_chance_goes() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(40, 3, SIDE, SIDE, generator=generator)
    masks: Masks = [{0: torch.rand(SIDE, SIDE, generator=generator) < 0.3} for _ in pictures]
    found = dissect(eye(), marked(pictures, masks, [SPOT]), layers=["0"], grid=1, quantile=0.2)
    chance = 0.2 * 0.3 / (0.2 + 0.3 - 0.2 * 0.3)
    assert found.iou["0"].flatten().tolist() == pytest.approx([chance] * 3, abs=0.02)


def twin(network: Network, source: Concepts, layer: str, quantile: float, pixel: int) -> tuple[Tensor, Tensor]:
    """IoU (K, L) and thresholds (K,) by keeping everything and looping."""
    pictures = torch.stack([source.pictures.item(i) for i in range(len(source.pictures))])  # type: ignore[misc]
    maps = pictures
    for module in network.working("cpu").children():
        maps = module(maps)
    field = next(row.receptive_field for row in network.layers() if row.name == layer)
    assert field is not None
    channels, high, wide = maps.shape[1:]
    flat = maps.transpose(0, 1).flatten(1).sort(1, descending=True).values
    limits = flat[:, math.floor(quantile * flat.shape[1])]
    height, width = pictures.shape[2:]

    def weight(place: int, axis: int, length: int) -> list[float]:
        centre = [
            float(field.start[axis] + k * field.jump[axis]) + (float(field.size[axis]) - 1) / 2 for k in range(length)
        ]
        if place <= centre[0] or length == 1:
            return [1.0] + [0.0] * (length - 1)
        if place >= centre[-1]:
            return [0.0] * (length - 1) + [1.0]
        return [max(0.0, 1 - abs(place - c) / float(field.jump[axis])) for c in centre]

    inter, union = torch.zeros(channels, len(source.concepts)), torch.zeros(channels, len(source.concepts))
    for n, own in enumerate(maps):
        marks = source.marks(n)
        found = {mark.concept: mark.mask for mark in marks.marks}
        for y in range(pixel // 2, height, pixel):
            for x in range(pixel // 2, width, pixel):
                down, across = torch.tensor(weight(y, 0, high)), torch.tensor(weight(x, 1, wide))
                on = torch.einsum("chw,h,w->c", own, down, across) > limits
                for k, concept in enumerate(source.concepts):
                    if concept.category in marks.categories:
                        here = k in found and (found[k] is None or bool(found[k][y, x]))  # type: ignore[index]
                        inter[:, k] += on & here
                        union[:, k] += on | here
    return torch.where(union > 0, inter / union, 0), limits


@settings(max_examples=12)
@given(st.integers(0, 99), st.integers(1, 3), st.sampled_from([0.02, 0.1]), st.integers(1, 5))
def test_it_is_what_keeping_everything_and_looping_gives(seed: int, pixel: int, quantile: float, batch: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 4, 2))
    network = Network(module, (3, 9, 8), 0.0, 1.0)
    pictures = torch.randn(5, 3, 9, 8)
    masks: Masks = [{k: torch.rand(9, 8) < 0.3 for k in range(3) if torch.rand(()) < 0.6} for _ in pictures]
    looked: list[set[str]] = [{"part", "object"}, {"part"}, {"object"}, set(), {"part", "object"}]
    concepts = [Concept("a", "part"), Concept("b", "part"), Concept("c", "object")]
    for own, categories in zip(masks, looked, strict=True):
        for k in [k for k in own if concepts[k].category not in categories]:
            del own[k]
    source = marked(pictures, masks, concepts, looked)
    expected, limits = twin(network, source, "2", quantile, pixel)
    found = dissect(network, source, layers=["2"], quantile=quantile, grid=pixel, batch_size=batch)
    kept = [k for k, concept in enumerate(concepts) if concept in found.concepts]
    assert torch.allclose(found.iou["2"], expected[:, kept], atol=1e-6)
    assert torch.allclose(found.thresholds["2"], limits)


class Counting(nn.Identity):
    """Says how many pictures came through, copies of it included."""

    met = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.met += len(x)
        return x


def test_every_picture_goes_through_the_network_twice_however_many_bases() -> None:
    net = Network(nn.Sequential(Counting(), nn.Flatten()), (3, SIDE, SIDE), 0.0, 1.0)
    net.layers()
    Counting.met = 0
    found = dissect(net, planted(), layers=["0"], grid=1, rotations=2)
    shown = sum(len(example.pictures) for example in found.examples)
    assert 20 <= Counting.met <= 2 * 10 + shown


def test_batches_do_not_matter() -> None:
    source, net = planted(), eye()
    one, other = (dissect(net, source, layers=["0"], batch_size=size) for size in (1, 7))
    assert torch.equal(one.iou["0"], other.iou["0"])
    assert [e.channel for e in one.examples] == [e.channel for e in other.examples]


def test_random_bases_are_orthogonal_and_mix_detectors_away() -> None:
    bases = _bases(16, 2, torch.Generator().manual_seed(0))
    assert torch.allclose(bases @ bases.transpose(1, 2), torch.eye(16).expand(3, -1, -1), atol=1e-5)
    assert torch.equal(bases[0], torch.eye(16))
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(6, 3, SIDE, SIDE, generator=generator)
    masks: Masks = []
    for picture in pictures:  # every unit has a concept of its own
        own = {k: torch.rand(SIDE, SIDE, generator=generator) < 0.02 for k in range(3)}
        masks.append({**own})
        for k, mask in own.items():
            picture[k][mask] += 2
    concepts = [Concept(name, "part") for name in "abc"]
    found = dissect(
        eye(), marked(pictures, masks, concepts), layers=["0"], grid=1, rotations=3, quantile=0.02, minimum=0.6
    )
    assert found.rotated["0"].shape == (3, 3, 3)
    row = found.summary[0]
    assert row["unique"] == 3
    assert row["unique rotated"] < 3
    again = dissect(
        eye(), marked(pictures, masks, concepts), layers=["0"], grid=1, rotations=3, quantile=0.02, minimum=0.6
    )
    assert torch.equal(found.rotated["0"], again.rotated["0"])


def test_examples_show_where_the_unit_is_on() -> None:
    found = dissect(eye(), planted(), layers=["0"], grid=1)
    (example,) = found.examples
    assert (example.layer, example.channel) == ("0", 0)
    assert example.pictures.shape == (3, SIDE, SIDE, 3)
    assert example.masks.sum((1, 2)).tolist() == [2, 2, 2]
    draw(eye(), found)


def test_vectors_and_dead_layers_pass() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.ReLU()
    )
    with torch.no_grad():
        module.get_parameter("0.weight").zero_()
        module.get_parameter("0.bias").fill_(-1)
    net = Network(module, (3, SIDE, SIDE), 0.0, 1.0)
    found = dissect(net, planted(), layers=["1", "5"], quantile=0.2)
    assert [len(found.iou[layer]) for layer in ("1", "5")] == [4, 5]
    assert found.detectors("1") == {}
    draw(net, found)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.sum((1, 2, 3), keepdim=True).clamp_max(0)


def test_bad_input(tmp_path: Path) -> None:
    net, source = eye(), planted()
    for options, words in (
        ({"quantile": 0.0}, "quantile is 0.0"),
        ({"quantile": 1e-5}, "none lies in so small a share"),
        ({"minimum": 1.0}, "minimum is 1.0"),
        ({"rotations": -1}, "rotations is -1"),
        ({"grid": 0}, "grid is 0"),
        ({"grid": 21}, "expected 1 to 20"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(ArgumentError, match=words):
            dissect(net, source, layers=["0"], **options)
    with pytest.raises(ArgumentError, match="no rectified maps"):
        dissect(net, source)
    with pytest.raises(LayerError):
        dissect(net, source, layers=["relu5"])
    with pytest.raises(DataError, match="expected \\(3, 30, 30\\)"):
        dissect(eye(30), source, layers=["0"])
    broken = Network(nn.Sequential(Broken(), nn.Flatten()), (3, SIDE, SIDE), 0.0, 1.0)
    with pytest.raises(NetworkError, match="layer '0' gives NaN or infinity in channel 0 for planted"):
        dissect(broken, source, layers=["0"])
    (tmp_path / "concepts.csv").write_text("image,category,concept,mask\nnone.png,scene,street,\n")
    with pytest.raises(DataError, match="no line names a picture of"):
        dissect(net, tmp_path, layers=["0"])


def test_its_result_is_of_tier_0_and_its_rows_are_about_feature_maps(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU())
    torch.manual_seed(0)
    net = Network(module, (3, 32, 32), 0.5, 0.25, name="small")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perform("dissect", {"network": net, "concepts": "drawn:8", "rotations": 1}, tmp_path)
    result = results.read(tmp_path)
    assert result.tier == 0
    assert result.data["pictures"] == 8
    units = [row for row in result.rows if "channel" in row]
    assert [list(row)[:4] for row in units] == [["layer", "channel", "concept", "iou"]] * 6
    arrays = results.read_arrays(tmp_path)
    assert arrays["iou 1"].shape == (6, len(arrays["concepts"]))
    assert np.isfinite(arrays["iou 1"]).all()
