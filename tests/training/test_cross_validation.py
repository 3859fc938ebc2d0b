"""The protocol of transfer: means over classes, folds that follow from paths, parts that outlive a stop (E0)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from convscope.data.picture_set import Pictures
from convscope.disk.cache import Cache
from convscope.errors import DataError
from convscope.training import cross_validation, feature_store
from convscope.training.cross_validation import (
    Measured,
    basis,
    confused,
    labelled_task,
    measured,
    per_class,
    standardised,
)
from convscope.training.feature_store import Features

NAMES = ("ant", "bee", "cat")


def pictures(sizes: tuple[int, ...] = (12, 9, 15), classes: tuple[str, ...] = NAMES, order: Any = None) -> Pictures:
    """Arrays that say what they are: class and number."""
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    numbers = [number for size in sizes for number in range(size)]
    items = [np.full((4, 4, 3), (label, number, 0), np.uint8) for label, number in zip(labels, numbers, strict=True)]
    paths = [f"{classes[label]}/{number:03}" for label, number in zip(labels, numbers, strict=True)]
    order = range(len(items)) if order is None else order
    return Pictures(
        "toys",
        [items[k] for k in order],
        paths=[paths[k] for k in order],
        labels=[labels[k] for k in order],
        classes=classes,
    )


def clouds(labels: list[int], size: int = 6, spread: float = 1.0) -> Features:
    noise = np.random.default_rng(3)
    middles = noise.normal(size=(max(labels) + 1, size))
    values = middles[labels] + spread * noise.normal(size=(len(labels), size))
    return Features(size, {"made": size}, np.ones(len(labels), bool), values.astype(np.float32))


def test_the_mean_over_classes_is_not_the_share_of_all_pictures() -> None:
    """Ninety pictures of one class and ten of another, all taken for the first."""
    found = Measured(confused(torch.tensor([[1.0, 0.0]]).expand(100, 2), [0] * 90 + [1] * 10, 2)[None], 1.0, {})
    assert found.per_class.tolist() == [[100, 0]]
    assert found.mean == 50
    assert found.overall == 90
    assert found.std is None


def test_confusion_is_scikit_learns_and_ties_go_to_the_lower_class() -> None:
    scores, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), [k % 4 for k in range(40)]
    table = confused(scores, labels, 4)
    assert table.tolist() == confusion_matrix(labels, scores.argmax(1)).tolist()
    assert torch.allclose(per_class(table), 100 * table.diagonal() / 10)
    assert confused(torch.zeros(2, 3), [0, 2], 3).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_folds_follow_from_paths_and_not_from_the_order_of_files() -> None:
    order = np.random.default_rng(0).permutation(36)
    one, other = (labelled_task(source) for source in (pictures(), pictures(order=order)))
    for a, b in zip(one.folds(4, 3), other.folds(4, 3), strict=True):
        for part in ("train", "test"):
            names = [
                {task.pictures.paths[place] for place in getattr(split, part)} for task, split in ((one, a), (other, b))
            ]
            assert names[0] == names[1]
        assert not set(a.train) & set(a.test)
        assert [one.label_of[place] for place in a.train].count(1) == 4


def test_what_cannot_be_read_takes_no_part() -> None:
    source = pictures()
    task = labelled_task(source)
    source.skipped.update(dict.fromkeys(range(9), "broken"))
    drawn = task.folds(2, 2)
    assert not {place for split in drawn for place in (*split.train, *split.test)} & set(range(9))
    assert task.remarks(drawn)[0] == "9 of 36 pictures could not be read and take no part"
    source.skipped[9] = source.skipped[10] = "broken"
    with pytest.raises(DataError, match="class 'ant' has 1 pictures, need 3"):
        task.folds(2, 2)


def test_a_picture_on_both_sides_of_a_fold_is_reported() -> None:
    source = pictures((4, 4), ("ant", "bee"))
    source._items = [source._items[0]] * 8
    assert "are also trained on" in labelled_task(source).remarks(labelled_task(source).folds(2, 1))[0]
    assert labelled_task(pictures()).remarks(labelled_task(pictures()).folds(2, 1)) == ()


def test_labels_that_do_not_fit_the_classes() -> None:
    gap, beyond, single = pictures(), pictures(), pictures((3,), ("ant",))
    gap.labels = [2 if label == 1 else label for label in gap.labels or []]
    beyond.labels = [label + 1 if label == 2 else label for label in beyond.labels or []]
    beyond.labels[0] = 2
    with pytest.raises(DataError, match="class 'bee' of toys has 0 pictures"):
        labelled_task(gap)
    with pytest.raises(DataError, match="toys has label 3, expected 0 to 2"):
        labelled_task(beyond)
    with pytest.raises(DataError, match="toys has 1 class, need 2"):
        labelled_task(single)
    with pytest.raises(DataError, match="has no classes"):
        labelled_task(Pictures("bare", [np.zeros((4, 4, 3), np.uint8)]))
    assert labelled_task(pictures(), exclude="bee").classes == ("ant", "cat")


def test_standardised_over_the_training_pictures_only() -> None:
    train, test = torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[4.0, 6.0]])
    a, b = standardised(train, test)
    assert a.tolist() == [[-1, 0], [1, 0]]
    assert b.tolist() == [[2, 0]]


@pytest.mark.parametrize("standardise", [False, True])
def test_separable_classes_are_told_apart_and_noise_is_not(standardise: bool, tmp_path: Path) -> None:
    task = labelled_task(pictures())
    splits = task.folds(5, 2)
    for spread, low, high in ((0.05, 99, 100), (50.0, 0, 80)):
        store = Cache(tmp_path / f"{spread}")
        found = measured(
            task, clouds(task.labels, 6, spread), splits, ["svm", "softmax"], store, standardise=standardise
        )
        for kind in ("svm", "softmax"):
            assert low <= found[kind].mean <= high
            assert found[kind].confusion.sum((1, 2)).tolist() == [len(split.test) for split in splits]


def test_one_picture_a_class_takes_the_strongest_penalty(tmp_path: Path) -> None:
    task = labelled_task(pictures())
    found = measured(task, clouds(task.labels), task.folds(1, 1), ["svm"], Cache(tmp_path))["svm"]
    assert (found.strength, dict(found.tried)) == (1e-4, {})


def test_inner_products_alone_give_the_same_classifier(tmp_path: Path) -> None:
    task = labelled_task(pictures())
    plain = clouds(task.labels, 40, 3.0)
    assert plain.values is not None
    products = Features(40, {"made": "gram"}, plain.read, gram=plain.values @ plain.values.T)
    splits = task.folds(5, 2)
    one, other = (measured(task, each, splits, ["svm", "softmax"], Cache(tmp_path)) for each in (plain, products))
    for kind in one:
        assert torch.equal(one[kind].confusion, other[kind].confusion)
        assert one[kind].strength == other[kind].strength


@pytest.mark.parametrize("standardise", [False, True])
def test_more_features_than_pictures_are_read_a_few_at_a_time(
    standardise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinates are others then, yet their inner products are those of the scaled features."""
    monkeypatch.setattr(feature_store, "CHUNK", 100)
    known = clouds([k % 3 for k in range(20)], 47, 2.0)
    train, test = list(range(0, 20, 2)), [1, 5, 19]
    scaled = standardised(known.raw(train), known.raw(test)) if standardise else (known.unit(train), known.unit(test))
    one, other = (each - scaled[0].mean(0) for each in scaled)
    found = basis(known, train, test, standardise)
    assert torch.allclose(found.train @ found.train.T, one @ one.T, atol=1e-4)
    assert torch.allclose(found.test @ found.train.T, other @ one.T, atol=1e-4)


def test_an_interruption_anywhere_loses_no_finished_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at every third fit until it is through: each part is finished once, and the numbers are the same."""
    task = labelled_task(pictures())
    known, splits = clouds(task.labels, 6, 2.0), task.folds(4, 3)
    whole = measured(task, known, splits, ["svm", "softmax"], Cache(tmp_path / "whole"))
    fit: Callable[..., Any] = cross_validation.fit  # type: ignore[attr-defined]
    fits = 0

    def torn(*arguments: Any) -> Any:
        nonlocal fits
        fits += 1
        if fits % 40 == 0:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(cross_validation, "fit", torn)
    stops = 0
    finished: set[str] = set()
    while True:
        try:
            found = measured(task, known, splits, ["svm", "softmax"], Cache(tmp_path / "torn"))
            break
        except KeyboardInterrupt:
            stops += 1
            now = {part.name for part in (tmp_path / "torn").iterdir() if part.suffix != ".part"}
            assert finished <= now
            finished = now
    assert stops > 0
    for kind in whole:
        assert torch.equal(found[kind].confusion, whole[kind].confusion)
        assert found[kind].tried == whole[kind].tried
