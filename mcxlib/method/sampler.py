"""Labels -> class-balanced batches that never repeat an image (paper, section 4.1).

"[...] randomly sampling three categories in each batch. For each category, we randomly choose
nine images [...] no sample overlap among all batches, as we exclude the selected sample from the
dataset."

An epoch ends when fewer than three categories still have nine images, so a few images stay
unseen in each epoch, different ones each time. Categories are drawn uniformly among those with
enough images left, so classes of equal size run out at nearly, not exactly, the same time; what
is left over belongs mostly to the last two. With the paper's batch and five classes of equal
size, an epoch leaves out about 0.5 % of 90,000 images, 2.5 % of 3,600, 5 % of 1,000 and 20 % of
200; :meth:`BalancedBatchSampler.left_out` counts them. The number of batches varies accordingly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from torch.utils.data import Sampler


class BalancedBatchSampler(Sampler[list[int]]):
    """Batches of ``categories * per_category`` image indices, category by category.

    Use it as the ``batch_sampler`` of a ``DataLoader``. The batches of an epoch are a function
    of (labels, categories, per_category, seed, epoch) alone. They are planned once for all
    processes; process ``rank`` of ``world_size`` takes every world_size-th batch of the plan, so
    no image is shown to two processes, every process has the same number of batches, and one
    process that reads world_size batches a step sees what world_size processes see together.

    Args:
        labels: one class for each image, integers or strings, any number of classes.
        categories: classes in a batch (the paper: 3).
        per_category: images of each (the paper: 9).
        seed: of all draws.
        rank: which process this is, counted from 0.
        world_size: number of processes.

    Raises:
        ValueError: if there are too few classes with enough images for one batch a process, or
            a setting is out of range.
    """

    def __init__(
        self,
        labels: Sequence[int] | Sequence[str] | np.ndarray,
        categories: int = 3,
        per_category: int = 9,
        seed: int = 0,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        for name, value in (
            ("categories", categories),
            ("per_category", per_category),
            ("world_size", world_size),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0..{world_size - 1}, not {rank}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}")
        self.categories = categories
        self.per_category = per_category
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        array = np.asarray(labels)
        if array.ndim != 1:
            raise ValueError(f"labels must be one-dimensional, not of shape {array.shape}")
        self._members = {name: np.flatnonzero(array == name) for name in np.unique(array).tolist()}
        self._check_sizes()
        self.set_epoch(0)

    def _check_sizes(self) -> None:
        enough = sum(len(m) >= self.per_category for m in self._members.values())
        if enough < self.categories:
            sizes = ", ".join(f"{name}: {len(m)}" for name, m in self._members.items())
            raise ValueError(
                f"a batch needs {self.categories} classes with at least {self.per_category} "
                f"images each, but {enough} of {len(self._members)} classes have that many "
                f"({sizes or 'no images'}); add images or lower categories or per_category"
            )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, and the batch at which iteration begins (to resume within one).

        Args:
            epoch: counted from 0; each has its own draws.
            start: number of this process's batches to skip, 0 to :attr:`batches_per_epoch`. It
                holds until the next call.

        Raises:
            ValueError: if ``epoch`` or ``start`` is out of range.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, not {epoch}")
        plan = self._plan(epoch)
        share = len(plan) // self.world_size
        if not 0 <= start <= share:
            raise ValueError(f"start must lie in 0..{share} in epoch {epoch}, not {start}")
        self.epoch = epoch
        self.start = start
        self._shown = plan[: share * self.world_size]

    def _plan(self, epoch: int) -> list[list[int]]:
        """Every batch of an epoch, for all processes together."""
        rng = np.random.default_rng([self.seed, epoch])
        unused = [rng.permutation(members).tolist() for members in self._members.values()]
        available = [c for c, left in enumerate(unused) if len(left) >= self.per_category]
        plan: list[list[int]] = []
        while len(available) >= self.categories:
            # The smallest of independent uniform keys: a uniform draw without replacement.
            keys = rng.random(len(available))
            batch = []
            for position in np.argsort(keys)[: self.categories].tolist():
                left = unused[available[position]]
                batch.extend(left[-self.per_category :])
                del left[-self.per_category :]
            plan.append(batch)  # 27 indices: three categories by nine images
            available = [c for c in available if len(unused[c]) >= self.per_category]
        return self._shared(plan)

    def _shared(self, plan: list[list[int]]) -> list[list[int]]:
        if len(plan) < self.world_size:
            raise ValueError(
                f"{len(plan)} batches cannot be shared among {self.world_size} processes; "
                "add images, or lower world_size, categories or per_category"
            )
        return plan

    @property
    def batches_per_epoch(self) -> int:
        """Batches of the current epoch for this process, wherever iteration begins."""
        return len(self._shown) // self.world_size

    def batches_in(self, epoch: int) -> int:
        """:attr:`batches_per_epoch` of any epoch; the number varies a little with the draws."""
        return len(self._plan(epoch)) // self.world_size

    def __len__(self) -> int:
        """Number of batches that iterating yields now: exact, and less after a ``start``."""
        return self.batches_per_epoch - self.start

    def __iter__(self) -> Iterator[list[int]]:
        own = self._shown[self.rank :: self.world_size]
        return iter([list(batch) for batch in own[self.start :]])

    def left_out(self) -> dict[int | str, int]:
        """Images of each class that the current epoch shows to no process."""
        shown = {index for batch in self._shown for index in batch}
        return {
            name: sum(index not in shown for index in members.tolist())
            for name, members in self._members.items()
        }


class PairedBatchSampler(BalancedBatchSampler):
    """Batches in which every fake comes with a real image of its own source; not in the paper.

    A batch has one real image of each of ``per_category`` sources, and one fake of the same source
    in each of ``categories`` - 1 classes: as many images of as many classes as the paper's. Among
    the combinations of classes that have enough sources left, one is drawn uniformly, and so are
    its sources. No image is shown twice in an epoch, which ends when no combination is left: with
    one real image for each fake of two classes, an epoch has fewer batches than the paper's.

    Args:
        labels: class of each image; 0 is real.
        sources: of each image, the video it is of or was made from; "" if that is not known, and
            then the image is never drawn.
        categories, per_category, seed, rank, world_size: see :class:`BalancedBatchSampler`.

    Raises:
        ValueError: as there, or too few sources that show all classes of a batch.
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray,
        sources: Sequence[str],
        categories: int = 3,
        per_category: int = 9,
        seed: int = 0,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(sources) != len(labels):
            raise ValueError(f"{len(sources)} sources for {len(labels)} labels")
        if categories < 2:
            raise ValueError(f"pairs need at least 2 categories, not {categories}")
        self._by_source: dict[int, dict[str, list[int]]] = {}
        for index, (label, source) in enumerate(zip(labels, sources, strict=True)):
            if source:
                self._by_source.setdefault(int(label), {}).setdefault(source, []).append(index)
        super().__init__(labels, categories, per_category, seed, rank=rank, world_size=world_size)

    def _check_sizes(self) -> None:
        most = max((len(common) for _, common in self._combinations(self._by_source)), default=0)
        if most < self.per_category:
            raise ValueError(
                f"paired batches need {self.per_category} sources with a real image and fakes of "
                f"{self.categories - 1} classes each, and there are {most}; lower per_category or "
                "categories, or leave batches at 'random'"
            )

    def _combinations(
        self, left: dict[int, dict[str, list[int]]]
    ) -> list[tuple[tuple[int, ...], list[str]]]:
        """Every choice of fake classes with the sources that have an image left in each and a
        real one."""
        names = {c: {s for s, images in by.items() if images} for c, by in left.items()}
        real, fakes = names.get(0, set()), sorted(c for c in names if c != 0)
        return [
            (chosen, sorted(real.intersection(*(names[c] for c in chosen))))
            for chosen in combinations(fakes, self.categories - 1)
        ]

    def _plan(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        left = {
            c: {s: rng.permutation(by[s]).tolist() for s in sorted(by)}
            for c, by in sorted(self._by_source.items())
        }
        plan: list[list[int]] = []
        while usable := [
            (chosen, common)
            for chosen, common in self._combinations(left)
            if len(common) >= self.per_category
        ]:
            chosen, common = usable[int(rng.integers(len(usable)))]
            drawn = rng.permutation(common)[: self.per_category].tolist()
            plan.append([left[c][source].pop() for c in (0, *chosen) for source in drawn])
        return self._shared(plan)
