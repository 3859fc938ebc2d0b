from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.models.variants import build
from convscope.models.zfnet import initialise
from convscope.training.evaluate import combine, evaluate, hits, score
from convscope.training.published import TABLE2, table2
from tests.training.toys import TINY

CLASSES = ("class0", "class1", "class2")


def member(seed: int, classes: tuple[str, ...] | None = CLASSES, **settings: object) -> Network:
    module = build({**TINY, "classes": 3, **settings})
    initialise(module, "he", seed)
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.1)
    return Network(module.eval(), (3, 48, 48), mean, std, classes, f"member{seed}")


def test_ties_go_to_the_lower_class() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.2, 0.2, 0.2]])
    assert hits(scores, torch.tensor([0, 1, 2]), 1).tolist() == [True, False, False]
    assert hits(scores, torch.tensor([0, 1, 2]), 2).tolist() == [True, True, False]
    assert hits(scores, torch.tensor([0, 1, 2]), 3).all()


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_classes_is_refused(k: int) -> None:
    with pytest.raises(ArgumentError, match="1 to 3"):
        hits(torch.rand(2, 3), torch.tensor([0, 1]), k)


def test_the_accuracy_is_the_mean_over_classes() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    found = score(torch.tensor([[1.0, 0.0]]).expand(100, 2), labels, ("many", "few"))
    assert found.errors == {1: pytest.approx(10)}
    assert found.accuracy == 50
    assert found.per_class == {"many": 100, "few": 0}


def test_errors_agree_with_sorting(toy: Callable[..., Pictures]) -> None:
    found = evaluate(member(0), toy(12), k=(1, 2), batch_size=5)
    order = found.probabilities.argsort(1, descending=True)
    for k in (1, 2):
        missed = (order[:, :k] != found.labels[:, None]).all(1).float().mean()
        assert found.errors[k] == pytest.approx(100 * missed.item())
    assert torch.allclose(found.probabilities.sum(1), torch.ones(12))


def test_ten_crops_are_the_mean_of_their_probabilities(toy: Callable[..., Pictures]) -> None:
    network, pictures = member(1), toy(5)
    found = evaluate(network, pictures, crops="ten", batch_size=24)
    for index in range(5):
        crops = network.transform.ten_crops(pictures.picture(index))
        expected = network.module(crops).softmax(1).mean(0)
        assert torch.allclose(found.probabilities[index], expected, atol=1e-5)


def test_the_centre_crop_is_told_beside_the_ten(toy: Callable[..., Pictures]) -> None:
    network, pictures = member(1), toy(9)
    ten, centre = (evaluate(network, pictures, crops=crops) for crops in ("ten", "centre"))
    assert ten.centre is not None
    assert torch.allclose(ten.centre.probabilities, centre.probabilities, atol=1e-6)
    assert ten.centre.errors == centre.errors
    assert centre.centre is None


@pytest.mark.parametrize("crops", ["centre", "ten"])
def test_members_are_measured_beside_their_ensemble(toy: Callable[..., Pictures], crops: str) -> None:
    networks, pictures = [member(0), member(1), member(1)], toy(9)
    found = evaluate(networks, pictures, crops=crops)
    assert [name for name, _ in found.members] == ["member0", "member1 (2)", "member1 (3)"]
    for network, (_, alone) in zip(networks, found.members, strict=True):
        again = evaluate(network, pictures, crops=crops)
        assert torch.equal(alone.probabilities, again.probabilities)
        assert again.members == ()
    expected = torch.stack([alone.probabilities for _, alone in found.members]).mean(0)
    assert torch.allclose(found.probabilities, expected, atol=1e-6)
    rows = found.rows("all")
    ways = ["centre"] if crops == "centre" else ["centre", "ten"]
    assert list(dict.fromkeys((row["network"], row["crops"]) for row in rows)) == [
        (name, way) for name in ("member0", "member1 (2)", "member1 (3)", "all") for way in ways
    ]
    values = {(row["network"], row["crops"], row["measure"]): row["value"] for row in rows if row["class"] is None}
    assert values["all", crops, "top-1 error"] == found.errors[1]
    assert {row["class"]: row["value"] for row in rows if row["class"]} == found.per_class


def test_what_the_paper_claims_of_its_table_follows_from_it() -> None:
    one, five, six = (TABLE2[name] for name in ("ZFNet", "5 ZFNets (a)", "6 convnets (a) + (b)"))
    assert TABLE2["Krizhevsky et al., 1 convnet"][1] - one[1] == pytest.approx(1.7)  # type: ignore[operator]
    assert five[2] - six[2] == pytest.approx(0.5)  # type: ignore[operator]
    assert min(row[2] for row in TABLE2.values() if row[2]) == six[2]
    rows = table2()
    assert {row["value"] for row in rows if row["network"] == "6 convnets (a) + (b)"} == {36.0, 14.7, 14.8}
    assert all(row["value"] is not None for row in rows)


@pytest.mark.parametrize("rule", ["mean", "geometric"])
def test_ensembles(toy: Callable[..., Pictures], rule: str) -> None:
    one, two, pictures = member(0), member(1), toy(6)
    alone = evaluate(one, pictures).probabilities
    same = evaluate([one, one, one], pictures, combine_by=rule).probabilities
    assert torch.allclose(alone, same, atol=1e-6)
    pair = evaluate([one, two], pictures, combine_by=rule).probabilities
    assert torch.equal(pair, evaluate([two, one], pictures, combine_by=rule).probabilities)
    assert not torch.allclose(pair, alone)
    assert torch.allclose(pair.sum(1), torch.ones(6))


def test_the_rules_of_combination() -> None:
    tables = [torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])]
    assert torch.allclose(combine(tables), torch.tensor([[0.7, 0.3]]))
    root = torch.tensor([[0.45, 0.05]]).sqrt()
    assert torch.allclose(combine(tables, "geometric"), root / root.sum())
    with pytest.raises(ArgumentError, match="mean or geometric"):
        combine(tables, "vote")


def test_members_that_name_other_classes_are_refused(toy: Callable[..., Pictures]) -> None:
    pictures = toy(6)
    wrong = "member1 has other classes, or in another order, than member0: class 0 is 'class2', expected 'class0'"
    with pytest.raises(DataError, match=wrong):
        evaluate([member(0), member(1, CLASSES[::-1])], pictures)
    with pytest.raises(DataError, match="member1 names none"):
        evaluate([member(0), member(1, None)], pictures)
    with pytest.raises(DataError, match="it has 4, expected 3"):
        evaluate([member(0), member(1, (*CLASSES, "more"))], pictures)


def test_labels_are_found_by_the_classes_names(toy: Callable[..., Pictures]) -> None:
    pictures = toy(6)
    straight, turned = member(0), member(0, CLASSES[::-1])
    assert evaluate(straight, pictures).labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert evaluate(turned, pictures).labels.tolist() == [2, 1, 0, 2, 1, 0]
    with pytest.raises(DataError, match="no class 'class0'"):
        evaluate(member(0, ("a", "b", "c")), pictures)


def test_pictures_that_cannot_be_read_are_left_out_and_named() -> None:
    good = np.full((60, 60, 3), 99, np.uint8)
    pictures = Pictures("mixed", [good, b"nothing", good], labels=[0, 1, 2], classes=CLASSES)
    found = evaluate(member(0), pictures)
    assert found.labels.tolist() == [0, 2]
    assert list(found.skipped) == ["mixed[1]"]


@pytest.mark.parametrize(
    ("options", "match"), [({"crops": "five"}, "centre, ten"), ({"combine_by": "vote"}, "mean or geometric")]
)
def test_bad_options(toy: Callable[..., Pictures], options: dict[str, str], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        evaluate(member(0), toy(3), **options)  # type: ignore[arg-type]


def test_pictures_without_classes_are_refused() -> None:
    with pytest.raises(DataError, match="no classes"):
        evaluate(member(0), Pictures("plain", [np.zeros((60, 60, 3), np.uint8)]))


def test_a_class_folder_without_pictures_is_told(tmp_path: Path) -> None:
    for name in CLASSES[:2]:
        (tmp_path / name).mkdir()
        Image.new("RGB", (60, 60), "red").save(tmp_path / name / "1.png")
    (tmp_path / "class2").mkdir()
    with pytest.warns(UserWarning, match="has no pictures of class2: left out"):
        found = evaluate(member(0), tmp_path)
    assert list(found.per_class) == ["class0", "class1"]
    evaluate(member(0), tmp_path, exclude="class2")


# Which output is which class


def numbered(folder: Path, names: Sequence[str]) -> Path:
    """A folder for each class, its picture as bright as its number: 10, 20, 30, …"""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (10 * number + 10,) * 3).save(folder / name / "1.png")
    return folder


def perfect(count: int, classes: Sequence[str] | None = None) -> Network:
    """Its largest output is that of the picture's brightness / 10 - 1."""

    class Reads(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            number = x.mean((1, 2, 3)) * 25.5 - 1
            return -(number[:, None] - torch.arange(count)).square()

    return Network(Reads(), (3, 8, 8), 0.0, 1.0, classes, "perfect", resize=8)


def test_folders_called_as_numbers_are_outputs(tmp_path: Path) -> None:
    """Sorted as text 10 comes before 2: a perfect network had 83 % error."""
    folder = numbered(tmp_path / "set", [str(k) for k in range(12)])
    words = "set: its 12 classes are taken as numbers of outputs of perfect, 0 to 11"
    for network in (perfect(12), perfect(12, [f"kind {k}" for k in range(12)])):
        with pytest.warns(UserWarning, match=words):
            found = evaluate(network, folder)
        assert found.errors[1] == 0
        assert sorted(found.labels.tolist()) == list(range(12))
    assert evaluate(perfect(12, [str(k) for k in range(12)]), folder).errors[1] == 0  # by name, nothing to say


def test_some_of_the_numbers(tmp_path: Path) -> None:
    folder = numbered(tmp_path, [f"{k:03d}" for k in range(12)])
    with pytest.warns(UserWarning, match="its 10 classes are taken as numbers of outputs of perfect, 1 to 11"):
        found = evaluate(perfect(12), folder, exclude=["000", "005"])
    assert found.errors[1] == 0
    assert list(found.per_class) == [f"{k:03d}" for k in range(12) if k not in (0, 5)]


def test_names_that_fit_no_output_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="perfect does not name its 3 outputs, so class 'ant' of ants may be any"):
        evaluate(perfect(3), numbered(tmp_path / "ants", ["ant", "bee", "cat"]))
    with pytest.raises(DataError, match="perfect has no class '1', one of 3 it does not know; it has 'a', 'b', 'c', …"):
        evaluate(perfect(3, "abc"), numbered(tmp_path / "beyond", ["1", "2", "3"]))
    with pytest.raises(DataError, match="does not name its 3 outputs"):
        evaluate(perfect(3), numbered(tmp_path / "twice", ["1", "01", "2"]))
    table = tmp_path / "labels.csv"
    table.write_text("ant,0\nbee,1\ncat,2\n")
    with pytest.warns(UserWarning, match="ants: its 3 classes are taken as numbers of outputs"):
        assert evaluate(perfect(3), images(tmp_path / "ants", labels=table)).errors[1] == 0


def test_a_data_set_numbers_its_classes_itself() -> None:
    items = [np.full((8, 8, 3), 10 * number + 10, np.uint8) for number in (2, 1, 2)]
    pictures = Pictures("own", items, labels=[2, 1, 2], classes=["zebra", "yak", "ant"])
    found = evaluate(perfect(4), pictures)
    assert (found.errors[1], found.per_class) == (0, {"yak": 100, "ant": 100})
    with pytest.raises(DataError, match="own has 3 classes, expected at most 2: perfect"):
        evaluate(perfect(2), pictures)
