"""One's own data: a folder ``real`` and a folder ``fake``, under any name.

In ``fake`` lies one folder a manipulation, or none. Videos, images, or folders of frames.
"""

from __future__ import annotations

from mcxlib.data.datasets.base import Dataset, Part, Protocol
from mcxlib.data.datasets.rules import everything


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("real", ".+", "real"),
        Part("fake", r"(?:(?P<manipulation>[^/]+)/)?.+", "fake"),
    )


DATASET = Dataset(
    name="one's own folders",
    parts=_parts,
    protocols={"plain": Protocol("all videos, for testing", everything)},
    images=True,
    own=True,
)
