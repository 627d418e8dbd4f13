"""Which of the faces found in a frame are taken, and what there is to say about the choice."""

from __future__ import annotations

from typing import NamedTuple

SEVERAL = "faces, the largest taken"
ANOTHER_PERSON = "another person than in the frame before"


class Face(NamedTuple):
    """A face in a frame."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in frame pixels."""
    probability: float

    @property
    def side(self) -> float:
        """The longer side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def meets(self, other: Face) -> bool:
        """Whether the two boxes have any part in common."""
        wide = min(self.box[2], other.box[2]) - max(self.box[0], other.box[0])
        high = min(self.box[3], other.box[3]) - max(self.box[1], other.box[1])
        return wide > 0 and high > 0


def take(found: list[Face], faces: str, before: Face | None) -> tuple[list[Face], list[str]]:
    """The faces to crop, and notes on the choice.

    The largest face is not always the same person's. It is another's for certain if its box lies
    apart from the one taken before, while that one's place still shows a face.

    Args:
        found: the faces of a frame, the largest first.
        faces: "all", or "largest".
        before: the face taken from the last frame asked for that showed one.
    """
    if faces == "all":
        return found, []
    notes = []
    if len(found) > 1:
        notes.append(f"{len(found)} {SEVERAL}")
    elsewhere = bool(found) and before is not None and not found[0].meets(before)
    if elsewhere and any(face.meets(before) for face in found[1:]):
        notes.append(ANOTHER_PERSON)
    return found[:1], notes
