"""Which frames of a video are used: three rules."""

from __future__ import annotations


def frame_indices(rule: str, count: int, step: int, total: int) -> list[int]:
    """Which frames of a video of ``total`` frames a rule asks for, ascending.

    ``first``: the first ``count``; ``every``: 0, ``step``, 2 ``step``, ... up to ``count`` of
    them; ``even``: ``count`` frames at the middles of equal parts of the video. A video with
    fewer frames gives those it has.

    Raises:
        ValueError: an unknown rule; names the three.
    """
    if rule == "first":
        return list(range(min(count, total)))
    if rule == "every":
        return list(range(0, total, step))[:count]
    if rule == "even":
        if total <= count:
            return list(range(total))
        return [int((i + 0.5) * total / count) for i in range(count)]
    raise ValueError(f"unknown frame rule {rule!r}; valid: first, every, even")
