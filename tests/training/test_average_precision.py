"""Average precision against scikit-learn's and by hand, and classifiers of several classes at once (METHODS TB6)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from convscope.disk.cache import Cache
from convscope.errors import DataError
from convscope.training.average_precision import average_precision, precision
from convscope.training.feature_store import Features


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_each_threshold_is_scikit_learns_with_ties_too(pairs: list[tuple[int, bool]]) -> None:
    scores = torch.tensor([float(score) for score, _ in pairs])
    truth = torch.tensor([int(here) for _, here in pairs])
    found = average_precision(scores, truth, interpolated=False)
    if not truth.any():
        assert found is None
        return
    assert found is not None
    assert found == pytest.approx(average_precision_score(truth, scores))
    smooth = average_precision(scores, truth)
    assert smooth is not None
    assert smooth >= found - 1e-12


def test_by_hand() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    truth = torch.tensor([0, 1, 1, 0, 1])
    # Precisions at the three that are right: 1/2, 2/3, 3/5; the best at this recall or more: 2/3, 2/3, 3/5.
    assert average_precision(scores, truth, interpolated=False) == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(scores, truth) == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(scores, torch.tensor([1, 1, 1, 0, 0])) == 1
    assert average_precision(scores, torch.tensor([-1, 1, 1, -1, 1])) == 1
    assert average_precision(torch.zeros(4), torch.tensor([1, 0, 0, 0])) == 0.25
    assert average_precision(scores, torch.tensor([0, 0, -1, 0, 0])) is None


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_pictures_that_show_two_things_are_found_under_both(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    truth = noise.integers(0, 2, (80, 3)).astype(np.int8)
    truth[70:, 2] = 0
    values = (truth @ noise.normal(size=(3, 9)) + 0.1 * noise.normal(size=(80, 9))).astype(np.float32)
    known = Features(9, {"made": 1}, np.ones(80, bool), values)
    table = torch.from_numpy(truth)
    found = precision(known, table, range(40), range(40, 80), kind, Cache(tmp_path))
    assert found.mean > 95
    assert found.accuracy > 95
    bare = table.clone()
    bare[40] = 0  # scored high for what it shows, it is a false find of that now, and in nobody's accuracy
    missed = precision(known, bare, range(40), range(40, 80), kind, Cache(tmp_path))
    assert missed.mean < found.mean
    assert missed.accuracy > 95
    again = precision(known, table, range(40), range(70, 80), kind, Cache(tmp_path))
    assert again.per_class[2] is None
    with pytest.raises(DataError, match="no test picture shows any"):
        precision(known, torch.cat([table[:40], 0 * table[40:]]), range(40), range(40, 80), kind, Cache(tmp_path))
