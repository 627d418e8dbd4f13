"""Scores that somebody's model has given, kept as they come: a stopped call goes on where it was.

One file a model, named by the digest of its Python file: a first line that says what this is, and a
line a video. A line is written whole or, if the process is killed meanwhile, is no line: what does
not end is left out when the file is read, and the video is asked about again. A video is known by
its data set, its name and its content, so that one that was exchanged is another one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mcxlib.files import digest, write_text

FORMAT = 1
"""Of the file."""


def key(dataset: str, video_id: str, content: str, place: Path) -> str:
    """What tells one video from all others: with the manifest's digest of its content or, where
    there is none, its size and the time of its last change."""
    if not content:
        seen = place.stat() if place.exists() else None
        content = f"{seen.st_size} {seen.st_mtime_ns}" if seen else "not there"
    return hashlib.sha256("\n".join((dataset, video_id, content)).encode()).hexdigest()


class Kept:
    """The scores of one model, by :func:`key`."""

    def __init__(self, folder: Path, model: Path, *, again: bool = False) -> None:
        """Read what there is; with ``again``, nothing, and what there was is overwritten.

        Raises:
            ValueError: a file of a newer format, or one that is none of these.
        """
        made_by = digest(model)
        self.path = Path(folder) / f"{made_by[:16]}.jsonl"
        head = {"format": FORMAT, "model": model.name, "model_sha256": made_by}
        self.scores: dict[str, float] = {}
        if self.path.is_file() and not again:
            self._read(head)
        # Written anew, whole: without a line that was cut off, to which the next would be added.
        rows = [head, *({"video": name, "score": score} for name, score in self.scores.items())]
        write_text(self.path, "".join(map(_line, rows)))

    def _read(self, head: dict[str, Any]) -> None:
        whole = self.path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        try:
            found = [json.loads(line) for line in whole]
            known = int(found[0]["format"])
            if known <= FORMAT and found[0]["model_sha256"] == head["model_sha256"]:
                self.scores = {row["video"]: float(row["score"]) for row in found[1:]}
                return
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"{self.path} cannot be read ({error}); remove it, or ask about all videos again "
                "with --again"
            ) from error
        raise ValueError(
            f"{self.path} is of format {known}, or of another model, and this program reads up to "
            f"{FORMAT}; update it, or ask about all videos again with --again"
        )

    def add(self, name: str, score: float) -> None:
        """Keep a score; it is on disk when this returns to the operating system."""
        self.scores[name] = score
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line({"video": name, "score": score}))


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
