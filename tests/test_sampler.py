"""data.sampler: what every epoch's plan promises, resuming, several processes, errors."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from mcxlib.method.sampler import BalancedBatchSampler, PairedBatchSampler


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(0, 40), min_size=3, max_size=6))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(draw(st.integers(0, 99))).shuffle(labels)
    categories, per_category = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    assume_enough = sum(size >= per_category for size in sizes) >= categories
    return labels, categories, per_category, assume_enough


@settings(deadline=None)
@given(cases(), st.integers(0, 5))
def test_promises_of_an_epoch(case, epoch):
    labels, categories, per_category, enough = case
    if not enough:
        with pytest.raises(ValueError, match="a batch needs"):
            BalancedBatchSampler(labels, categories, per_category)
        return
    sampler = BalancedBatchSampler(labels, categories, per_category, seed=3)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == sampler.batches_in(epoch) > 0
    seen = [index for batch in batches for index in batch]
    assert len(set(seen)) == len(seen)
    for batch in batches:
        counts = Counter(labels[batch].tolist())
        assert set(counts.values()) == {per_category}
        assert len(counts) == categories
    # It ends only when fewer than `categories` classes have enough left.
    left = Counter(np.delete(labels, seen).tolist())
    assert sum(n >= per_category for n in left.values()) < categories
    assert sampler.left_out() == {c: left[c] for c in set(labels.tolist())}


def paper_like(per_class=200):
    return np.arange(5 * per_class) % 5


def test_the_papers_batch():
    labels = paper_like()
    batch = next(iter(BalancedBatchSampler(labels)))
    assert sorted(Counter(labels[batch].tolist()).values()) == [9, 9, 9]


def test_seed_and_epoch_decide_everything():
    def plan(seed, epoch):
        sampler = BalancedBatchSampler(paper_like(), seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(0)
    first = plan(1, 2)
    torch.manual_seed(1)
    np.random.seed(7)  # noqa: NPY002 - the point is that global generators do not matter
    assert plan(1, 2) == first
    assert plan(1, 3) != first
    assert plan(2, 2) != first
    sampler = BalancedBatchSampler(paper_like(), seed=1)
    list(sampler)
    sampler.set_epoch(2)
    assert list(sampler) == list(sampler) == first


def test_categories_and_images_are_drawn_uniformly():
    labels = paper_like(45)
    first_categories, images = Counter(), Counter()
    for seed in range(400):
        batch = next(iter(BalancedBatchSampler(labels, seed=seed)))
        first_categories.update(set(labels[batch].tolist()))
        images.update(batch)
    # Each class is in 3 of 5 batches: 240 +- 4 standard deviations of 9.8.
    assert all(200 < first_categories[c] < 280 for c in range(5))
    # Each image in 3/5 * 9/45 of the batches: 48 +- 5 standard deviations of 6.5.
    assert all(15 < images[i] < 81 for i in range(len(labels)))


@pytest.mark.parametrize("start", [0, 1, 7])
def test_resuming_within_an_epoch_goes_on_exactly(start):
    sampler = BalancedBatchSampler(paper_like(), seed=5)
    sampler.set_epoch(4)
    whole = list(sampler)
    sampler = BalancedBatchSampler(paper_like(), seed=5)
    sampler.set_epoch(4, start=start)
    assert list(sampler) == whole[start:]
    assert len(sampler) == len(whole) - start
    assert sampler.batches_per_epoch == len(whole)
    sampler.set_epoch(4, start=len(whole))
    assert list(sampler) == []
    with pytest.raises(ValueError, match="start"):
        sampler.set_epoch(4, start=len(whole) + 1)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_plan_without_overlap(world):
    single = BalancedBatchSampler(paper_like(), seed=2)
    ranks = [
        BalancedBatchSampler(paper_like(), seed=2, rank=r, world_size=world) for r in range(world)
    ]
    for epoch in range(4):
        for sampler in (single, *ranks):
            sampler.set_epoch(epoch)
        shares = [list(sampler) for sampler in ranks]
        assert {len(share) for share in shares} == {len(single) // world}
        together = [batch for step in zip(*shares, strict=True) for batch in step]
        assert together == list(single)[: len(together)]
        shown = Counter(i for batch in together for i in batch)
        assert max(shown.values()) == 1
        assert sum(ranks[0].left_out().values()) == len(paper_like()) - len(shown)


def test_little_is_left_out_and_not_always_the_same():
    labels = paper_like(1000)
    sampler = BalancedBatchSampler(labels)
    shown = set()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert sum(sampler.left_out().values()) < 0.2 * len(labels)
        shown |= {i for batch in sampler for i in batch}
    assert len(shown) > 0.995 * len(labels)


def test_string_labels_and_a_data_loader():
    labels = ["real", "DF", "F2F"] * 6
    sampler = BalancedBatchSampler(labels, categories=2, per_category=3)
    data = TensorDataset(torch.arange(18))
    batches = [batch.tolist() for (batch,) in DataLoader(data, batch_sampler=sampler)]
    assert batches == list(sampler)
    assert set(sampler.left_out()) == {"real", "DF", "F2F"}


def test_changing_a_batch_does_not_change_the_plan():
    sampler = BalancedBatchSampler(paper_like(50))
    expected = [list(batch) for batch in sampler]
    for batch in sampler:
        batch.clear()
    assert list(sampler) == expected


def test_errors_name_the_thing():
    labels = paper_like(20)
    with pytest.raises(ValueError, match=r"2 of 5 classes.*0: 20.*4: 4"):
        BalancedBatchSampler(np.repeat(np.arange(5), [20, 20, 8, 3, 4]))
    with pytest.raises(ValueError, match="no images"):
        BalancedBatchSampler([])
    for options, message in (
        ({"categories": 0}, "categories"),
        ({"per_category": 0}, "per_category"),
        ({"world_size": 0}, "world_size"),
        ({"rank": 1}, "rank"),
        ({"seed": -1}, "seed"),
        ({"world_size": 50}, "shared among 50 processes"),
    ):
        with pytest.raises(ValueError, match=message):
            BalancedBatchSampler(labels, **options)
    with pytest.raises(ValueError, match="epoch"):
        BalancedBatchSampler(labels).set_epoch(-1)
    with pytest.raises(ValueError, match="one-dimensional"):
        BalancedBatchSampler(labels[None])


def paired_data(sources=12, frames=4, fakes=4):
    """Labels and sources: of each source ``frames`` real images and as many of each fake class."""
    labels = np.repeat(np.arange(fakes + 1), sources * frames)
    names = [f"v{i % sources}" for i in range(len(labels))]
    order = np.random.default_rng(0).permutation(len(labels))
    return labels[order], [names[i] for i in order]


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 9), st.integers(1, 4), st.integers(2, 4), st.integers(0, 3))
def test_every_fake_has_a_real_image_of_its_own_source_in_its_batch(
    sources, frames, categories, epoch
):
    labels, names = paired_data(sources, frames)
    sampler = PairedBatchSampler(labels, names, categories, 4, seed=5)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 0
    shown = [i for batch in batches for i in batch]
    assert len(set(shown)) == len(shown)
    for batch in batches:
        real = {names[i] for i in batch if labels[i] == 0}
        assert len(real) == 4
        kinds = {int(labels[i]) for i in batch} - {0}
        assert len(kinds) == categories - 1
        for kind in kinds:
            assert {names[i] for i in batch if labels[i] == kind} == real
        assert len(batch) == 4 * categories
    # It ends only when no choice of classes has four sources left.
    left = [set() for _ in range(5)]
    for i in set(range(len(labels))) - set(shown):
        left[labels[i]].add(names[i])
    assert all(
        len(left[0].intersection(*(left[k] for k in chosen))) < 4
        for chosen in combinations(range(1, 5), categories - 1)
    )


def test_paired_batches_by_hand():
    """Three sources, one image each of real and two fakes: the one batch there can be."""
    labels, names = [0, 0, 0, 1, 1, 1, 2, 2, 2], ["a", "b", "c"] * 3
    (batch,) = PairedBatchSampler(labels, names, 3, 3)
    order = [names[i] for i in batch[:3]]
    assert [(labels[i], names[i]) for i in batch] == [(k, n) for k in (0, 1, 2) for n in order]


def test_images_of_unknown_source_are_never_drawn():
    labels, names = paired_data()
    hidden = {i for i, name in enumerate(names) if name == "v3" and labels[i] == 2}
    names = ["" if i in hidden else name for i, name in enumerate(names)]
    sampler = PairedBatchSampler(labels, names, 3, 4)
    assert not hidden & {i for batch in sampler for i in batch}
    assert sampler.left_out()[2] >= len(hidden)


def test_paired_batches_are_shared_and_resumed_as_the_others():
    labels, names = paired_data(frames=8)
    whole = list(PairedBatchSampler(labels, names, 3, 4, seed=2))
    shares = [PairedBatchSampler(labels, names, 3, 4, 2, rank=r, world_size=2) for r in (0, 1)]
    even = len(whole) // 2 * 2
    assert [batch for two in zip(*shares, strict=True) for batch in two] == whole[:even]
    late = PairedBatchSampler(labels, names, 3, 4, seed=2)
    late.set_epoch(0, start=3)
    assert list(late) == whole[3:]
    assert list(PairedBatchSampler(labels, names, 3, 4, seed=3)) != whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_category": 13}, r"need 13 sources .* and there are 12"),
        ({"categories": 6}, r"and there are 0"),
        ({"categories": 1}, r"at least 2 categories"),
        ({"sources": ["v0"]}, r"1 sources for 240 labels"),
        ({"sources": [""] * 240}, r"and there are 0; lower .* or leave batches at 'random'"),
    ],
)
def test_what_cannot_be_paired_is_refused(change, message):
    labels, names = paired_data()
    given = {"sources": names, "categories": 3, "per_category": 4} | change
    with pytest.raises(ValueError, match=message):
        PairedBatchSampler(labels, **given)
