"""UADFV (Yang, Li and Lyu 2019): 49 videos and a fake of each."""

from __future__ import annotations

from mcxlib.data.datasets.base import Dataset, Part, Protocol
from mcxlib.data.datasets.rules import everything


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("real", r"(?:videos/)?(?P<clip>\d{4})", "real", 49),
        Part("fake", r"(?:videos/)?(?P<clip>\d{4})_fake", "fake", 49, source="real/{clip}"),
    )


DATASET = Dataset(
    name="UADFV",
    parts=_parts,
    protocols={
        "uadfv": Protocol("all videos, for testing: there are too few to split", everything)
    },
    unconfirmed="who the people are: no name tells",
)
