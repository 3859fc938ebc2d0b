"""Linear classifiers against scikit-learn's, and by their Gram matrix against the primal (METHODS E0, TB7)."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.training.linear import fit, of_features, of_gram, penalty

CLASSES, COUNT = 5, 60


def clouds(size: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures to train on and to test with, (60, size) each and of length one, and their labels."""
    generator = torch.Generator().manual_seed(size)
    labels = torch.arange(COUNT) % CLASSES
    middles = torch.randn(CLASSES, size, generator=generator, dtype=torch.float64)[labels] * 0.5
    drawn = [middles + torch.randn(COUNT, size, generator=generator, dtype=torch.float64) + 0.3 for _ in range(2)]
    train, test = (each / each.norm(dim=1, keepdim=True) for each in drawn)
    return train.to(dtype), test.to(dtype), labels


def one_hot(labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels, CLASSES)


@pytest.mark.parametrize("size", [12, 300])
@pytest.mark.parametrize("strength", [1e-2, 10.0])
def test_by_the_gram_matrix_is_the_primal(size: int, strength: float) -> None:
    """Fewer and more features than pictures, in single precision where a large layer's inner products are."""
    train, test, labels = clouds(size)
    factor = penalty(strength, "svm", COUNT)
    primal = primal_scores(train, test, labels, strength)
    for precision, closeness in ((torch.float64, 1e-4), (torch.float32, 2e-2)):
        x, y = train.to(precision), test.to(precision)
        for basis in (of_features(x, y), of_gram(x @ x.T, y @ x.T)):
            scores = fit(basis.train, basis.spread, one_hot(labels), "svm", factor, flat=1e-8).scores(basis.test)
            assert (scores - primal).abs().max() < closeness


def primal_scores(train: Tensor, test: Tensor, labels: Tensor, strength: float) -> Tensor:
    """The obvious twin: Newton's method on the weights and the bias of each class."""
    ones = torch.ones(COUNT, 1, dtype=train.dtype)
    x = torch.cat([train, ones], 1)
    still = torch.diag(torch.cat([torch.ones(train.shape[1]), torch.zeros(1)]).double())
    columns = []
    for label in range(CLASSES):
        sign = torch.where(labels == label, 1.0, -1.0).double()
        weights = torch.zeros(x.shape[1]).double()
        for _ in range(100):
            active = (sign * (x @ weights) < 1).double()
            curvature = still + 2 * strength * x.T @ (active[:, None] * x) + 1e-12 * torch.eye(x.shape[1]).double()
            step = torch.linalg.solve(curvature, 2 * strength * x.T @ (active * sign)) - weights
            weights = weights + (step if float(step.norm()) < 1e-9 else 0.5 * step)
        columns.append(torch.cat([test, ones], 1) @ weights)
    return torch.stack(columns, 1)


def test_the_support_vector_machine_is_scikit_learns() -> None:
    train, test, labels = clouds(12)
    basis = of_features(train, test)
    own = fit(basis.train, basis.spread, one_hot(labels), "svm", penalty(1.0, "svm", COUNT), flat=1e-9)
    # Theirs penalises the bias as well, unless it is scaled out of the way.
    theirs = LinearSVC(C=1.0, tol=1e-10, max_iter=10**6, intercept_scaling=100).fit(train, labels)
    expected = torch.from_numpy(theirs.decision_function(test))
    assert (own.scores(basis.test) - expected).abs().max() < 2e-3


@pytest.mark.parametrize("strength", [1e-1, 1e-3])
def test_the_softmax_is_scikit_learns(strength: float) -> None:
    train, test, labels = clouds(12)
    basis = of_features(train, test)
    own = fit(basis.train, basis.spread, one_hot(labels), "softmax", penalty(strength, "softmax", COUNT), flat=1e-9)
    theirs = LogisticRegression(C=1 / (COUNT * strength), tol=1e-10, max_iter=10**5).fit(train, labels)
    expected = torch.from_numpy(theirs.predict_proba(test))
    assert (own.scores(basis.test).softmax(1) - expected).abs().max() < 1e-5


def test_a_label_shared_by_two_classes_is_learnt_as_half_of_each() -> None:
    train = torch.tensor([[1.0], [-1.0]]).double().repeat(20, 1)
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]).double().repeat(20, 1)
    basis = of_features(train, train)
    found = fit(basis.train, basis.spread, targets, "softmax", 1e-6).scores(basis.test).softmax(1)
    assert torch.allclose(found, targets, atol=2e-2)


def test_a_warm_start_ends_at_the_same_place() -> None:
    train, test, labels = clouds(12)
    basis = of_features(train, test)
    weak, strong = (penalty(strength, "svm", COUNT) for strength in (1.0, 1e-2))
    before = fit(basis.train, basis.spread, one_hot(labels), "svm", strong, flat=1e-9)
    cold, warm = (
        fit(basis.train, basis.spread, one_hot(labels), "svm", weak, start, 1e-9).scores(basis.test)
        for start in (None, before)
    )
    assert (cold - warm).abs().max() < 1e-5


def test_pictures_that_are_all_the_same_give_no_axis_and_no_failure() -> None:
    same = torch.ones(6, 4)
    basis = of_gram(same @ same.T, same @ same.T)
    assert basis.train.shape == (6, 0)
    scores = fit(basis.train, basis.spread, torch.eye(2).repeat(3, 1), "softmax", 1e-3).scores(basis.test)
    assert torch.allclose(scores.softmax(1), torch.full((6, 2), 0.5))


def test_other_kinds_and_penalties_are_refused() -> None:
    x, targets = torch.eye(2), torch.eye(2)
    with pytest.raises(ArgumentError, match="classifier is 'tree': expected one of softmax, svm"):
        fit(x, torch.ones(2), targets, "tree", 1.0)
    with pytest.raises(ArgumentError, match=r"penalty is 0\.0"):
        fit(x, torch.ones(2), targets, "svm", 0.0)
