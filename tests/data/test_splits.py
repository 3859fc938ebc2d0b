import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.data.splits import folds, parts, per_class
from convscope.errors import ArgumentError, DataError

LABELS = [0] * 40 + [1] * 90 + [2] * 31


def count(places: list[int], label: int) -> int:
    return sum(LABELS[place] == label for place in places)


def test_so_many_of_each_class_and_up_to_the_cap_of_the_rest() -> None:
    split = per_class(LABELS, 30)
    assert [count(split.train, label) for label in range(3)] == [30, 30, 30]
    assert [count(split.test, label) for label in range(3)] == [10, 50, 1]
    assert [count(per_class(LABELS, 30, None).test, label) for label in range(3)] == [10, 60, 1]


@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 1000))
def test_disjoint_ascending_and_the_same_again(train: int, cap: int, seed: int) -> None:
    split = per_class(LABELS, train, cap, seed)
    assert not set(split.train) & set(split.test)
    assert split.train == sorted(set(split.train))
    assert split.test == sorted(set(split.test))
    assert split == per_class(LABELS, train, cap, seed)


def test_nothing_need_be_left_where_others_are_tested() -> None:
    split = per_class(LABELS, 31, tested=False)
    assert count(split.train, 2) == 31
    assert not split.test
    assert per_class(LABELS, 30, tested=False).train == per_class(LABELS, 30).train
    with pytest.raises(DataError, match="class 2 has 31 pictures, need 32 for training"):
        per_class(LABELS, 32, tested=False)


def test_seeds_and_classes_differ() -> None:
    assert per_class(LABELS, 20, seed=0) != per_class(LABELS, 20, seed=1)
    first, second = (per_class([0] * 40 + [1] * 40, 20).train[start : start + 20] for start in (0, 20))
    assert first != [place - 40 for place in second]


def test_the_order_of_the_classes_in_the_source_does_not_matter() -> None:
    together = per_class([0] * 40 + [1] * 40, 20)
    mixed = per_class([0, 1] * 40, 20)
    assert [place // 2 for place in mixed.train if place % 2 == 0] == [place for place in together.train if place < 40]
    assert [place // 2 for place in mixed.test if place % 2] == [place - 40 for place in together.test if place >= 40]


def test_more_training_pictures_include_the_fewer_and_keep_the_tests() -> None:
    few, many = per_class([0] * 100, 10), per_class([0] * 100, 40)
    assert set(few.train) < set(many.train)
    assert few.test == many.test


def test_the_draw_is_fixed_for_good() -> None:
    """The bundled network's numbers stand on it: no version of any library may change it."""
    assert per_class([0] * 12, 5, seed=0).train == [0, 5, 7, 10, 11]


def test_errors_name_class_have_and_need() -> None:
    with pytest.raises(DataError, match="class 2 has 31 pictures, need 32: 31 for training, 1 for testing"):
        per_class(LABELS, 31)
    with pytest.raises(DataError, match="class 'emu' has 31 pictures"):
        per_class(LABELS, 31, classes=["ant", "bee", "emu"])
    with pytest.raises(DataError, match=r"picture 2 has no class \(label -1\)"):
        per_class([0, 0, -1], 1)
    with pytest.raises(DataError, match="nothing to split"):
        per_class([], 1)
    with pytest.raises(ArgumentError, match="train is 0"):
        per_class(LABELS, 0)
    with pytest.raises(ArgumentError, match="test_cap is 0"):
        per_class(LABELS, 5, 0)


def test_folds_are_draws_of_their_own_and_the_first_is_that_of_the_seed() -> None:
    found = folds(LABELS, 10, 5)
    assert found[0] == per_class(LABELS, 10)
    assert len({tuple(split.train) for split in [*found, *folds(LABELS, 10, 5, seed=1)]}) == 10
    assert found == folds(LABELS, 10, 5)
    for split in found:
        assert not set(split.train) & set(split.test)
    with pytest.raises(ArgumentError, match="folds is 0"):
        folds(LABELS, 10, 0)


@given(st.lists(st.integers(2, 9), min_size=2, max_size=4), st.integers(2, 6))
def test_every_part_tests_once_with_its_share_of_each_class(sizes: list[int], count: int) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    found = parts(labels, count)
    assert len(found) == min(count, *sizes)
    assert sorted(place for split in found for place in split.test) == list(range(len(labels)))
    for split in found:
        assert sorted(split.train + split.test) == list(range(len(labels)))
        held = [sum(labels[place] == label for place in split.test) for label in range(len(sizes))]
        assert all(abs(have - size / len(found)) < 1 for have, size in zip(held, sizes, strict=True))


def test_one_picture_of_a_class_cannot_be_held_out() -> None:
    assert parts([0, 0, 0, 1], 5) == []
