"""Combinations of filters as concepts (METHODS N2-N4): planted concepts, hand cases, bad input."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from convscope import Network
from convscope.atlases.activation_masks import Imprints
from convscope.atlases.concept_batches import Slides
from convscope.data.concepts import Concept, Concepts, Mark, Marks
from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError
from convscope.experiments.net2vec import Net2Vec, net2vec
from convscope.figures.net2vec import net2vec as draw

SIDE = 16
EITHER, BOTH, FIRST, ALL = (Concept(name, "part") for name in ("either", "both", "first", "everywhere"))


def eye() -> Network:
    """Its units are the channels of the picture, pixel by pixel."""
    return Network(nn.Sequential(nn.Identity(), nn.Flatten()), (3, SIDE, SIDE), 0.0, 1.0, name="eye")


def planted(count: int = 120) -> Concepts:
    """Units 0 and 1 are on in four rows each that overlap in two, unit 2 where only one of them is: each a quarter of a
    picture. Every other picture has nothing.
    """
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(count, 3, SIDE, SIDE, generator=generator) * 0.1
    own: list[dict[int, Tensor]] = []
    for n, picture in enumerate(pictures):
        first, second = (torch.zeros(SIDE, SIDE, dtype=torch.bool) for _ in range(2))
        first[n % 9 : n % 9 + 4], second[n % 9 + 2 : n % 9 + 6] = True, True
        found = (first | second, first & second, first)
        if n % 2:
            for channel, mask in enumerate((first, second, first ^ second)):
                picture[channel][mask] += 1
        own.append({0: found[0], 1: found[1], 2: found[2], 3: first | True} if n % 2 else {3: first | True})

    def marks(index: int) -> Marks:
        return Marks(frozenset({"part"}), tuple(Mark(k, mask.numpy()) for k, mask in own[index].items()))

    return Concepts("planted", Pictures("planted", list(pictures)), (EITHER, BOTH, FIRST, ALL), marks)


@cache
def found() -> Net2Vec:
    return net2vec(eye(), planted(), layer="0", quantile=0.125, grid=1, telling_rate=0.1)


def test_either_and_both_of_two_filters_are_found_by_a_combination_and_by_neither_alone() -> None:
    result = found()
    assert result.concepts == (EITHER, BOTH, FIRST, ALL)
    assert result.iou[:2].tolist() == [1, 1]
    assert result.iou_single[0] == pytest.approx(4 / 6)
    assert result.iou_single[1] == pytest.approx(2 / 4)
    assert result.iou[2] == result.iou_single[2] == 1
    assert result.single[2] == 0


def test_how_many_filters_it_takes() -> None:
    result = found()
    assert result.counts == (1, 2, 3)
    assert [row["filters for 95%"] for row in result.rows[:3]] == [2, 2, 1]  # both: one, less where only one is
    assert result.curve[0, 0] < 0.8


def test_pictures_are_told_except_by_what_is_in_all_of_them() -> None:
    result = found()
    assert (result.accuracy[:3] == 1).all()
    assert result.accuracy[3].isnan()
    assert result.rows[3]["accuracy"] != result.rows[3]["accuracy"]
    share = net2vec(eye(), planted(), layer="0", quantile=0.125, grid=1, telling_rate=0.1, binary=True)
    assert (share.accuracy[:3] == 1).all()


def test_a_concept_everywhere_is_learned_unweighted() -> None:
    result = found()
    assert result.weights[3].isfinite().all()
    assert 0 < result.iou[3] < 1  # half of the pictures are dark, and nothing is on in them


def test_neighbours_and_what_filters_share() -> None:
    made = replace(found(), weights=torch.tensor([[3.0, 0, 0], [2, 0.1, 0], [0, 0, 1], [0, -1, 0]]))
    ((nearest, cosine),) = made.neighbours(0, 1)
    assert nearest == BOTH
    assert cosine == pytest.approx(2 / (4 + 0.01) ** 0.5)
    assert [concept for concept, _ in made.neighbours(3)] == [EITHER, FIRST, BOTH]
    assert made.cosine.diagonal().tolist() == pytest.approx([1] * 4)
    assert set(made.shared()) == {0, 1, 2}  # fewer than ten filters: all concepts have all of them
    curve = torch.tensor([[0.1, 0.8, 1.0], [0.97, 0.5, 1.0], [0, 0, 0]])
    assert made.needed(curve, 0.8) == [2, 1, None]
    assert made.needed(curve, 0.95) == [3, 1, None]


def test_the_same_seed_gives_the_same_and_the_rows_fit() -> None:
    again = net2vec(eye(), planted(), layer="0", quantile=0.125, grid=1, telling_rate=0.1)
    assert torch.equal(again.weights, found().weights)
    rows = again.rows
    assert rows[0]["filter"] in {"0:0", "0:1", "0:2"}
    assert rows[4]["layer"] == "0"
    assert "mean IoU" in again.text
    draw(eye(), again)


def test_one_concept_alone_can_be_drawn() -> None:
    result = net2vec(eye(), planted(), layer="0", quantile=0.125, grid=1, names=["both"], counts=[2], epochs=2)
    assert result.counts == (2, 3)
    assert result.rows[0]["nearest"] is None
    draw(eye(), result)


def test_what_broden_holds_out_is_held_out_and_few_pictures_are_skipped() -> None:
    source = planted(60)
    held = tuple(n >= 50 for n in range(60))
    result = net2vec(eye(), replace(source, held_out=held), layer="0", quantile=0.125, grid=1, epochs=1)
    assert result.pictures.tolist() == [[25, 5]] * 3 + [[50, 10]]
    few = tuple(n >= 18 for n in range(60))
    result = net2vec(eye(), replace(source, held_out=few), layer="0", quantile=0.125, grid=1, epochs=1)
    assert result.skipped == (EITHER, BOTH, FIRST)
    assert "either (part), both (part), first (part)" in result.notes[0]
    with pytest.raises(DataError, match="no concept has 10 pictures"):
        net2vec(eye(), planted(8), layer="0", quantile=0.125)


def test_imprints_are_what_was_there() -> None:
    source = planted(10)
    kept = Imprints(Slides(eye(), source, ["0"], grid=3, batch_size=4), 0.125)
    pictures = torch.stack([source.pictures.item(n) for n in range(10)])  # type: ignore[misc]
    assert torch.equal(kept.on(range(10)), pictures > kept.limits)
    assert torch.allclose(kept.means, pictures.mean((2, 3)))
    assert kept.having(0) == [1, 3, 5, 7, 9]
    assert kept.looked == {"part": list(range(10))}
    mark = source.marks(5).marks[1].mask
    assert mark is not None
    assert torch.equal(kept.marked(1, [5])[0], torch.from_numpy(mark[1::3, 1::3]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"telling_rate": -1.0}, "telling_rate is -1.0"),
        ({"held_out": 0.0}, "held_out is 0.0"),
        ({"quantile": 1.5}, "quantile is 1.5"),
        ({"counts": [0]}, "counts is 0: expected 1 to 3"),
        ({"counts": [4]}, "counts is 4: expected 1 to 3"),
        ({"names": ["unicorn"]}, "names is 'unicorn': expected a concept of planted, such as either"),
        ({"grid": 0}, "grid is 0"),
        ({"layer": None}, "no rectified maps"),
    ],
)
def test_bad_input(options: dict[str, float | Sequence[str]], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        net2vec(eye(), planted(), **({"layer": "0"} | options))  # type: ignore[arg-type]
