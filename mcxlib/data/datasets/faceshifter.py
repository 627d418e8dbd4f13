"""FaceShifter's fakes of FaceForensics++'s videos: an unseen manipulation, not in the paper."""

from __future__ import annotations

from mcxlib.data.datasets import faceforensics
from mcxlib.data.datasets.base import Dataset, Part, Protocol
from mcxlib.data.datasets.rules import test_of


def _parts(compression: str) -> tuple[Part, ...]:
    return (
        faceforensics.real(compression),
        faceforensics.fake(compression, "FaceShifter", "FaceShifter"),
    )


DATASET = Dataset(
    name="FaceShifter",
    parts=_parts,
    protocols={
        "faceshifter_paper": Protocol(
            "the test part of `paper`", test_of(faceforensics.by_target_number)
        ),
        "faceshifter_official": Protocol(
            "the test part of `official`", test_of(faceforensics.by_official_list)
        ),
    },
    choose=lambda config: f"faceshifter_{config.protocol}",
    home=faceforensics.NAME,
    beside=faceforensics.BESIDE,
    mask_of=faceforensics.mask_of,
)
