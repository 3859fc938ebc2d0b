"""Combinations of filters (METHODS N2, N3): descent against automatic differentiation, hand cases."""

import pytest
import torch
from torch import Tensor

from convscope.probe.concepts.concept_weights import PIXELS, Descent, classify, combined, foreground, segment, start
from convscope.probe.concepts.upsample import anchored

PLAIN = torch.eye(6)


def test_alpha() -> None:
    masks = torch.zeros(2, 6, 6, dtype=torch.bool)
    masks[0, :3] = True
    assert foreground(masks) == 0.75
    assert foreground(~torch.zeros(2, 6, 6, dtype=torch.bool)) == 0.5  # a concept everywhere: unweighted
    assert foreground(masks[1:]) == 1


def test_the_start_is_uniform_and_its_own() -> None:
    weights = start(400, 3)
    assert weights.abs().max() <= 1 / 20
    assert weights.abs().max() > 0.9 / 20
    assert torch.equal(weights, start(400, 3))
    assert abs(float(torch.corrcoef(torch.stack([weights, start(400, 4)]))[0, 1])) < 0.2


def loss(on: Tensor, masks: Tensor, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """N2's, pixel by pixel."""
    alpha, total = 1 - masks.double().mean(), torch.zeros((), dtype=torch.float64)
    for one, mask in zip(on.double(), masks.double(), strict=True):
        found = torch.sigmoid(rows.double() @ (weights[:, None, None] * one).sum(0) @ columns.double().T)
        total = total - (alpha * mask * found + (1 - alpha) * (1 - mask) * (1 - found)).sum()
    return total / len(on) * PIXELS / masks[0].numel()


@pytest.mark.parametrize("seed", range(4))
def test_each_step_follows_the_gradient_of_the_loss(seed: int) -> None:
    torch.manual_seed(seed)
    on, masks = torch.rand(5, 4, 3, 3) < 0.5, torch.rand(5, 7, 8) < 0.3
    rows, columns = anchored(None, (3, 3), (torch.arange(7), torch.arange(8)), (7, 8))
    keep = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0]]).bool()
    found = segment(on, masks, rows, columns, keep, Descent(3, 1e-4, 5, seed))
    for row, kept in zip(found, keep, strict=True):
        weights, speed = (start(4, seed) * kept).double(), torch.zeros(4, dtype=torch.float64)
        for _ in range(3):
            own = weights.clone().requires_grad_()
            loss(on, masks, own, rows, columns).backward()
            assert own.grad is not None
            speed = 0.9 * speed - own.grad * kept
            weights = weights + 1e-4 * speed
        assert torch.allclose(row.double(), weights, atol=1e-5)
    assert (found[1, [1, 3]] == 0).all()


def test_or_and_and() -> None:
    """Either of two filters is learned from them; both need a third that is on where only one is."""
    on = torch.zeros(20, 3, 6, 6, dtype=torch.bool)
    for n, own in enumerate(on):
        own[0, n % 4 : n % 4 + 2], own[1, n % 4 + 1 : n % 4 + 3] = True, True
        own[2] = own[0] ^ own[1]
    how = Descent(30, 1e-4, 16, 0)
    for masks, kept in ((on[:, 0] | on[:, 1], [1, 1, 0]), (on[:, 0] & on[:, 1], [1, 1, 1])):
        weights = segment(on, masks, PLAIN, PLAIN, torch.tensor([kept]).bool(), how)
        assert torch.equal(combined(on, weights, PLAIN, PLAIN)[0] > 0, masks)


def test_classification_tells_what_is_linear_and_keeps_to_its_filters() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(80, 5, generator=generator)
    labels = features[:, 0] + features[:, 2] > 1.3
    keep = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1]]).bool()
    weights, biases = classify(features, labels, keep, Descent(30, 1.0, 16, 0))
    right = ((features @ weights.T + biases > 0) == labels[:, None]).float().mean(0)
    assert right[0] > 0.93
    assert right[1] < 0.75
    assert (weights[1, [0, 2]] == 0).all()
    again, _ = classify(features, labels, keep, Descent(30, 1.0, 16, 0))
    assert torch.equal(weights, again)


def test_one_step_of_the_classification_by_hand() -> None:
    features, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([True, False])
    weights, biases = classify(features, labels, torch.ones(1, 2), Descent(1, 0.1, 2, 7))
    begin = start(2, 7)
    wrong = torch.tensor([1 - torch.sigmoid(begin[0]), 0 - torch.sigmoid(begin[1])])
    assert torch.allclose(weights[0], begin + 0.1 * wrong / 2)
    assert torch.allclose(biases, 0.1 * wrong.mean())
