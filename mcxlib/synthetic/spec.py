"""How much synthetic data to make: the one value that, with the code, decides every byte."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class DemoSpec:
    """Sizes of the four synthetic data sets.

    ``train``, ``val`` and ``test`` count the identities of the FaceForensics++ tree (each gives one
    real video and four manipulated ones); ``cross_real`` and ``cross_fake`` count the videos of
    each of the three other trees. ``frames``, ``width``, ``height`` (pixels), ``fps`` and ``crf``
    describe every video.

    Raises:
        ValueError: a size that no data set could be made with.
    """

    train: int = 22
    val: int = 5
    test: int = 9
    cross_real: int = 10
    cross_fake: int = 12
    frames: int = 12
    width: int = 320
    height: int = 240
    fps: int = 25
    crf: int = 23
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"train": 2, "val": 2, "test": 2, "cross_real": 2, "cross_fake": 1, "frames": 2}
        most = {"train": 600, "val": 200, "test": 200, "cross_real": 60, "cross_fake": 110}
        for name, low in (
            least | {"width": 64, "height": 64, "fps": 1, "crf": 0, "seed": 0}
        ).items():
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"DemoSpec.{name} is {value}; use at least {low}")
            if value > most.get(name, value):
                raise ValueError(f"DemoSpec.{name} is {value}; use at most {most[name]}")
        for name in ("width", "height"):
            if getattr(self, name) % 2:
                raise ValueError(
                    f"DemoSpec.{name} is {getattr(self, name)}; H.264 with 4:2:0 colour needs an "
                    "even number"
                )

    @classmethod
    def small(cls) -> DemoSpec:
        """A set just large enough to exercise every step, for tests."""
        return cls(train=6, val=3, test=4, cross_real=4, cross_fake=4, frames=10)

    def difference(self, other: dict) -> str:
        """'' if ``other`` (a stored spec) is the same, else 'name: stored, wanted' by name."""
        return "; ".join(
            f"{f.name}: {other.get(f.name)!r} stored, {getattr(self, f.name)!r} wanted"
            for f in fields(self)
            if other.get(f.name) != getattr(self, f.name)
        )
