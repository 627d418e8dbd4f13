"""losses: equations 3 to 5 against loops in float64, gradients by finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcxlib.method.losses import pair_loss


def softmax(row: np.ndarray) -> np.ndarray:
    e = np.exp(row - row.max())
    return e / e.sum()


def reference(self_logits, other_logits, targets, margin=0.05, weight=1.0, reduction="mean"):
    entropies, rankings, advantages = [], [], []
    for self_row, other_row, c in zip(self_logits, other_logits, targets, strict=True):
        p_self, p_other = softmax(self_row)[c], softmax(other_row)[c]
        entropies += [-np.log(p_self), -np.log(p_other)]
        rankings.append(max(0.0, p_other - p_self + margin))
        advantages.append(p_self - p_other)
    reduce = np.mean if reduction == "mean" else np.sum
    total = reduce(entropies) + weight * reduce(rankings)
    return total, reduce(entropies), reduce(rankings), np.mean(advantages)


def example(rows=10, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, rows, classes)) * 2
    return logits[0], logits[1], rng.integers(0, classes, rows)


def tensors(self_logits, other_logits, targets):
    return torch.tensor(self_logits), torch.tensor(other_logits), torch.tensor(targets)


def test_hand_worked():
    # Two classes; probabilities of class 0: self 0.8, other 0.5.
    own = torch.tensor([[np.log(4.0), 0.0]])
    other = torch.tensor([[0.0, 0.0]])
    loss = pair_loss(own, other, torch.tensor([0]))
    assert loss.cross_entropy.item() == pytest.approx((-np.log(0.8) - np.log(0.5)) / 2)
    assert loss.score_ranking.item() == 0
    # For class 1 the other gate wins by 0.3, and the margin is added.
    loss = pair_loss(own, other, torch.tensor([1]), weight=2.0)
    assert loss.score_ranking.item() == pytest.approx(0.35)
    assert loss.total.item() == pytest.approx((-np.log(0.2) - np.log(0.5)) / 2 + 0.7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("margin", "weight"), [(0.05, 1.0), (0.3, 0.7), (0.0, 0.0)])
def test_equations(reduction, margin, weight):
    data = example()
    got = pair_loss(*tensors(*data), margin, weight, reduction=reduction)
    expected = reference(*data, margin, weight, reduction)
    np.testing.assert_allclose([part.item() for part in got], expected, rtol=1e-12)


def test_sum_and_mean_relate_as_documented():
    data = tensors(*example(rows=8))  # four pairs
    mean, total = pair_loss(*data), pair_loss(*data, reduction="sum")
    expected = 16 * mean.cross_entropy + 8 * mean.score_ranking
    torch.testing.assert_close(total.total, expected)
    halved = pair_loss(*data, weight=0.5)
    torch.testing.assert_close(total.total, 16 * halved.total)


def test_gradients_equal_central_differences():
    own, other, targets = example(rows=6, seed=3)
    tensor_own = torch.tensor(own, requires_grad=True)
    tensor_other = torch.tensor(other, requires_grad=True)
    pair_loss(tensor_own, tensor_other, torch.tensor(targets), weight=0.9).total.backward()
    step = 1e-6
    for values, gradient in ((own, tensor_own.grad), (other, tensor_other.grad)):
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + step
            above = reference(own, other, targets, weight=0.9)[0]
            values[index] = kept - step
            below = reference(own, other, targets, weight=0.9)[0]
            values[index] = kept
            assert gradient[index].item() == pytest.approx((above - below) / (2 * step), abs=1e-8)


def test_gradcheck():
    own, other, targets = tensors(*example(rows=5, seed=4))
    own.requires_grad_()
    other.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: pair_loss(a, b, targets).total, (own, other))


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-50, 50), st.randoms(use_true_random=False))
def test_invariances(seed, shift, random):
    own, other, targets = example(seed=seed)
    expected = torch.stack(pair_loss(*tensors(own, other, targets)))
    shifted = pair_loss(*tensors(own + shift, other - shift, targets))
    torch.testing.assert_close(torch.stack(shifted), expected)
    rows = list(range(len(targets)))
    random.shuffle(rows)
    permuted = pair_loss(*tensors(own[rows], other[rows], targets[rows]))
    torch.testing.assert_close(torch.stack(permuted), expected)
    classes = np.random.default_rng(seed).permutation(5)  # new name of each class
    names = np.argsort(classes)
    renamed = pair_loss(*tensors(own[:, names], other[:, names], classes[targets]))
    torch.testing.assert_close(torch.stack(renamed), expected)


def test_equal_logits_cost_exactly_the_margin():
    own, _, targets = tensors(*example())
    assert pair_loss(own, own, targets, margin=0.05).score_ranking.item() == pytest.approx(0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    own, other, targets = tensors(*example())
    own, other = own.to(dtype), other.to(dtype)
    got = pair_loss(own, other, targets)
    assert got.total.dtype == torch.float32
    expected = reference(own.double().numpy(), other.double().numpy(), targets.numpy())
    np.testing.assert_allclose([part.item() for part in got], expected, rtol=1e-5)


def test_huge_logits_stay_finite():
    own = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = pair_loss(own, -own, torch.tensor([1]))
    loss.total.backward()
    assert loss.total.isfinite()
    assert own.grad.isfinite().all()


def test_errors_name_the_thing():
    own, other, targets = tensors(*example())
    cases = [
        ((own, other[:-1], targets), {}, r"\(M, C\)"),
        ((own[0], other[0], targets), {}, r"\(M, C\)"),
        ((own.long(), other.long(), targets), {}, "floating point"),
        ((own, other, targets[:-1]), {}, r"\(10,\)"),
        ((own, other, targets.float()), {}, "int64"),
        ((own, other, targets + 5), {}, r"0\.\.4"),
        ((own, other, targets - 5), {}, r"0\.\.4"),
        ((own[:0], other[:0], targets[:0]), {}, "no pairs"),
        ((own, other, targets), {"margin": float("nan")}, "margin"),
        ((own, other, targets), {"weight": -1.0}, "weight"),
        ((own, other, targets), {"reduction": "none"}, "mean, sum"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            pair_loss(*arguments, **options)
