"""pairs: the mined pairs against loops over images, ties, duplicates, hard numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcxlib.method import pairs as pairs_module
from mcxlib.method.pairs import mine_pairs


@pytest.fixture(scope="module", params=[2, 10**6], ids=["products", "differences"], autouse=True)
def way(request):
    """Every promise holds for both ways of finding the nearest: the one for large batches, and
    the one for small ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_module, "LARGE", request.param)
        yield request.param


def reference(features: np.ndarray, labels, distance: str) -> tuple[list[int], list[int]]:
    """Loops in float64, straight from the paper's sentence."""
    x = np.asarray(features, dtype=np.float64)

    def between(i, j):
        if distance == "euclidean":
            return np.sqrt(((x[i] - x[j]) ** 2).sum())
        norms = np.linalg.norm(x[i]) * np.linalg.norm(x[j])
        return 1 - (x[i] @ x[j] / norms if norms else 0)

    first, second = [], []
    for same in (True, False):
        for i in range(len(x)):
            best, best_distance = None, None
            for j in range(len(x)):
                if j != i and (labels[i] == labels[j]) == same:
                    d = between(i, j)
                    if best is None or d < best_distance:
                        best, best_distance = j, d
            if best is not None:
                first.append(i)
                second.append(best)
    return first, second


def mined(features, labels, distance="euclidean", **options) -> tuple[list[int], list[int]]:
    pairs = mine_pairs(torch.as_tensor(features), torch.as_tensor(labels), distance, **options)
    assert pairs.first.dtype == pairs.second.dtype == torch.int64
    return pairs.first.tolist(), pairs.second.tolist()


def test_hand_worked():
    features = [[0.0], [1.0], [3.0], [3.5], [10.0]]
    labels = [0, 1, 0, 1, 2]  # the last class has no second member
    first, second = mined(features, labels)
    assert first == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert second == [2, 3, 0, 1, 1, 0, 3, 2, 3]


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("seed", range(5))
def test_random_batches_equal_the_loop(distance, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(27, 16)).astype(np.float32)
    labels = rng.integers(0, 5, 27)
    assert mined(features, labels, distance) == reference(features, labels, distance)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_large_batches_with_near_and_exact_duplicates_equal_the_loop(distance):
    """Offset far above the distances: the matrix product alone would get these wrong."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(150, 12))
    features[100:110] = features[:10] + 1e-3 * rng.normal(size=(10, 12))
    features = (features + 50).astype(np.float32)
    features[120:130] = features[20:30]
    labels = rng.integers(0, 5, 150)
    assert mined(features, labels, distance) == reference(features, labels, distance)


def test_the_product_alone_would_be_wrong_and_is_not_used_alone():
    """Distances below the product's rounding; the way for small batches is not gone."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    clusters = rng.integers(-1000, 1000, (15, 40)).repeat(4, axis=0)
    features = (clusters + rng.integers(0, 2, (60, 40))).astype(np.float32)
    expected = reference(features, labels, "euclidean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_module, "LARGE", 2)
        patch.setattr(pairs_module, "_distances", None)  # raises if used
        assert mined(features, labels) == expected
    centred = torch.tensor(features - features.mean(0))
    squares = centred.square().sum(1)
    rough = squares[:, None] + squares - 2 * centred @ centred.T
    rough = rough.masked_fill(torch.tensor(labels[:, None] == labels), torch.inf)
    assert rough.argmin(1).tolist() != expected[1][60:]


def test_euclidean_and_cosine_differ():
    features = [[1.0, 0.0], [10.0, 0.1], [1.0, 1.0]]
    assert mined(features, [0, 0, 0])[1] == [2, 0, 0]
    assert mined(features, [0, 0, 0], "cosine")[1] == [1, 0, 1]


@st.composite
def batches(draw):
    """Integer features: many ties and duplicates, and distances exact in float32."""
    images = draw(st.integers(1, 12))
    values = st.integers(-2, 2)
    features = draw(
        st.lists(st.lists(values, min_size=2, max_size=2), min_size=images, max_size=images)
    )
    labels = draw(st.lists(st.integers(0, 3), min_size=images, max_size=images))
    return np.array(features, dtype=np.float32), np.array(labels)


@settings(deadline=None)
@given(batches())
def test_ties_and_duplicates_take_the_lowest_index(batch):
    features, labels = batch
    assert mined(features, labels) == reference(features, labels, "euclidean")


@settings(deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_permuting_the_batch_permutes_the_pairs(batch, random):
    features, labels = batch
    # Distinct random parts break the ties, which are resolved by position on purpose.
    noise = np.random.default_rng(0).normal(size=(len(labels), 3)).astype(np.float32)
    features = np.hstack([features, noise])
    order = list(range(len(labels)))
    random.shuffle(order)
    pairs = set(zip(*mined(features, labels), strict=True))
    permuted = set(zip(*mined(features[order], labels[order]), strict=True))
    assert {(order[i], order[j]) for i, j in permuted} == pairs


@settings(deadline=None)
@given(batches())
def test_counts_follow_from_the_labels_alone(batch):
    features, labels = batch
    first, second = mined(features, labels, "cosine")
    sizes = {c: int((labels == c).sum()) for c in set(labels.tolist())}
    same = [i for i in range(len(labels)) if sizes[labels[i]] > 1]
    other = list(range(len(labels))) if len(sizes) > 1 else []
    assert first == same + other
    is_same = labels[first] == labels[second]
    assert is_same.tolist() == [True] * len(same) + [False] * len(other)
    assert all(i != j for i, j in zip(first, second, strict=True))


def test_many_equal_distances_in_a_large_batch():
    labels = torch.arange(300) % 3
    first, second = mine_pairs(torch.ones(300, 7), labels)
    assert first.tolist() == [*range(300), *range(300)]
    expected_same = [i % 3 if i >= 3 else i + 3 for i in range(300)]
    expected_other = [0 if i % 3 else 1 for i in range(300)]
    assert second.tolist() == expected_same + expected_other


@pytest.mark.parametrize(("labels", "pairs"), [([], 0), ([3], 0), ([1, 1], 2), ([0, 1], 2)])
def test_smallest_batches(labels, pairs):
    first, second = mine_pairs(torch.zeros(len(labels), 4), torch.tensor(labels, dtype=torch.long))
    assert first.tolist() == list(range(pairs))
    assert second.tolist() == list(range(pairs))[::-1]


def test_a_large_common_offset_does_not_blur_distances():
    # Integers up to 2**24 are exact in float32, sums of their squares are not.
    features = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0], [3.0, 1.0]]) + 1e6
    assert mined(features, [0, 0, 0, 0]) == ([0, 1, 2, 3], [2, 3, 0, 1])


def test_small_angles_are_told_apart():
    angles = torch.tensor([0.0, 2e-4, 1e-4, 3e-4], dtype=torch.float64)
    features = torch.stack([angles.cos(), angles.sin()], dim=1).float()
    # 1 - cos(1e-4) is 5e-9, below what 1 - u.v can show in float32.
    assert mined(features, [0] * 4, "cosine")[1] == [2, 2, 0, 1]


def test_cosine_of_zero_and_of_huge_vectors():
    features = torch.tensor([[0.0, 0.0], [1e30, 0.0], [-1e-30, 1e-30], [0.0, 1e20]])
    # From the zero vector all are at distance 1; from the second: 1, 1.7 and 1.
    assert mined(features, [0] * 4, "cosine")[1] == [1, 0, 3, 2]
    assert mined(features[1:], [0] * 3, "cosine")[1] == [2, 2, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_broken_features_lose_and_never_pair_wrongly(bad, distance):
    features = torch.tensor([[bad, 1.0], [1.0, 0.0], [1.0, 0.1], [5.0, 2.0], [9.0, 4.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    first, second = mined(features, labels, distance)
    assert first == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert second[:5] == [1, 2, 1, 4, 3]
    assert second[5] == 3
    assert all(j != 0 for j in second[5:])


def test_no_gradient_is_recorded_and_inputs_are_kept():
    features = torch.randn(6, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    before = features.detach().clone()
    pairs = mine_pairs(features, labels, "cosine")
    assert not pairs.second.requires_grad
    assert features.grad is None
    assert torch.equal(features.detach(), before)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    features = torch.tensor([[0.0, 1.0], [0.0, 2.0], [4.0, 4.0], [4.5, 4.0]], dtype=dtype)
    assert mined(features, [0, 1, 0, 1]) == ([0, 1, 2, 3] * 2, [2, 3, 0, 1, 1, 0, 3, 2])


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_complete_batches_need_no_value_on_the_host(distance):
    # Meta tensors have shapes and no values: any read of a value raises.
    features = torch.empty(6, 4, device="meta")
    labels = torch.empty(6, dtype=torch.int64, device="meta")
    pairs = mine_pairs(features, labels, distance, complete=True)
    assert pairs.first.shape == pairs.second.shape == (12,)
    with pytest.raises((NotImplementedError, RuntimeError)):
        mine_pairs(features, labels, distance)


def test_labels_on_the_cpu_need_no_value_of_the_features():
    features = torch.empty(4, 3, device="meta")
    pairs = mine_pairs(features, torch.tensor([0, 0, 1, 2]))
    assert pairs.first.shape == (2 + 4,)
    assert pairs.second.device.type == "meta"


def test_complete_gives_the_same_pairs_and_checks_the_promise():
    features = torch.randn(8, 5)
    labels = torch.tensor([0, 1] * 4)
    assert mined(features, labels, complete=True) == mined(features, labels)
    for broken in ([0, 0, 1, 1, 1, 1, 1, 2], [0] * 8):
        with pytest.raises(ValueError, match="complete=False"):
            mine_pairs(features, torch.tensor(broken), complete=True)


def test_errors_name_the_thing():
    features, labels = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="euclidean, cosine"):
        mine_pairs(features, labels, "manhattan")
    with pytest.raises(ValueError, match=r"\(B, D\)"):
        mine_pairs(features[None], labels)
    with pytest.raises(ValueError, match="floating point"):
        mine_pairs(features.long(), labels)
    with pytest.raises(ValueError, match=r"\(4,\)"):
        mine_pairs(features, labels[:3])
    with pytest.raises(ValueError, match="integers"):
        mine_pairs(features, labels.float())


def test_random_partners_are_of_the_right_kind_and_all_of_them_are_drawn():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    torch.manual_seed(0)
    seen = [set() for _ in range(14)]
    for _ in range(400):
        pairs = mine_pairs(torch.zeros(7, 3), labels, "random", complete=True)
        assert pairs.first.tolist() == [*range(7), *range(7)]
        for found, partner in zip(seen, pairs.second.tolist(), strict=True):
            found.add(partner)
    for image in range(7):
        same = {i for i in range(7) if labels[i] == labels[image] and i != image}
        assert seen[image] == same
        assert seen[7 + image] == {i for i in range(7) if labels[i] != labels[image]}
