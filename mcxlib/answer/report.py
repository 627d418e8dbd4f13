"""An answer as one HTML page that stands alone: no script, no other file, no network.

The page holds what :class:`~mcxlib.answer.schema.Answer` holds, and adds pictures: each person's
scores over time, and of the most and the least suspicious faces the crop and two activation maps.
Whatever comes from a file (its name, its tags, who signed it) is text on the page, never markup:
it is escaped, and characters that would not be seen or would turn the text around are written out.
"""

from __future__ import annotations

import base64
import io
import math
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcxlib.answer.schema import VERDICTS
from mcxlib.files import write_text

if TYPE_CHECKING:
    from jinja2 import Template
    from numpy.typing import ArrayLike

    from mcxlib.answer.judge import Judged
    from mcxlib.answer.schema import Face, Person
    from mcxlib.detectors.base import Detector

FACES = 3
"""Faces that are shown of each end, most and least suspicious."""

PEOPLE = 8
"""People whose faces are shown, the most suspicious ones; all others have their scores only."""

METHOD = "LayerCAM"
"""Of the activation maps; as in the paper's Fig. 4."""

WIDEST = 160
"""Pixels: larger crops are made smaller for the page."""

_ZERO_WIDTH_JOINERS = "\u200c\u200d"  # letters of many languages, and emoji, are made with them


@dataclass(frozen=True)
class Shown:
    """One face on the page, with addresses (``data:``) of its pictures."""

    face: Face
    crop: str
    maps: dict[str, str]
    """Output ("fake", "real") -> its map laid over the crop; empty if the detector has none."""


@dataclass(frozen=True)
class Timeline:
    """Scores of one person's frames in a plane; all in percent of its width and height."""

    points: list[tuple[float, float, Face]]
    ticks: list[tuple[float, str]]
    unit: str


@dataclass(frozen=True)
class Entry:
    """One person on the page."""

    person: Person
    timeline: Timeline
    most: list[Shown] = field(default_factory=list)
    least: list[Shown] = field(default_factory=list)


def write(judged: Judged, path: Path) -> Path:
    """Write the page, whole or not at all; returns ``path``.

    Raises:
        OutOfSpace: no room; what was there before is untouched.
    """
    path = Path(path)
    write_text(path, html(judged))
    return path


def writer(place: Path, files: Iterable[Path]) -> Callable[[Judged], None]:
    """What writes the page of each of ``files`` that is judged, and says where on standard error.

    Args:
        place: of the one page if it ends in .html, else a folder for one page a file.
        files: how many there are is looked at if ``place`` is for one.

    Raises:
        WrongUse: one page for several files.
    """
    from mcxlib.answer.command import WrongUse

    alone = place.suffix.lower() in (".html", ".htm")
    if alone and (many := len(list(files))) > 1:
        raise WrongUse(f"--report {place} is one page, and there are {many} files; name a folder")
    taken: set[str] = set()

    def page_of(judged: Judged) -> None:
        path = place if alone else place / _free(Path(judged.answer.path).name, taken)
        print(f"mcx: report in {write(judged, path)}", file=sys.stderr, flush=True)

    return page_of


def _free(name: str, taken: set[str]) -> str:
    """A page's name for a file's that no other file of this call has, whatever its case."""
    # File systems allow 255 bytes; a letter may take four.
    stem = name.encode()[:200].decode(errors="ignore") or "file"
    tries = (f"{stem}{extra}.html" for extra in chain([""], (f"-{n}" for n in count(2))))
    found = next(t for t in tries if t.casefold() not in taken)
    taken.add(found.casefold())
    return found


def html(judged: Judged) -> str:
    """The page as text. It can be shown and kept without this program."""
    answer = judged.answer
    people = sorted(
        answer.people, key=lambda p: (VERDICTS.index(p.verdict), p.score.value), reverse=True
    )
    pictured = {person.number for person in people[:PEOPLE]}
    model = judged.network.model
    size = judged.network.config.train.input_size
    entries = [
        _entry(p, judged.crops[p.number] if p.number in pictured else None, model, size)
        for p in people
    ]
    return _template().render(
        answer=answer,
        name=Path(answer.path).name or answer.path,
        entries=entries,
        pictured=PEOPLE,
        method=METHOD,
        no_map=_no_map(model),
        meanings=MEANINGS,
        manipulations=_manipulations(),
    )


def frame(page: str, title: str, height: str) -> str:
    """A page as an element of another page: an ``iframe`` that runs no script.

    ``height`` is a CSS length. Braces and dollar signs are written as references too, so that the
    text passes through templates of other programs unchanged.
    """
    inside = escape(page)
    for character in "{}$`\\":
        inside = inside.replace(character, f"&#{ord(character)};")
    style = f"width: 100%; height: {height}; border: 0"
    return f'<iframe title="{escape(title)}" sandbox style="{style}" srcdoc="{inside}"></iframe>'


MEANINGS = {
    "no sign found": "The whole interval lies below the threshold: nothing was found of what this "
    "network has learned to see. That does not prove the file genuine.",
    "uncertain": "The threshold lies inside the interval, so the scores do not decide it. Treat "
    "this as no result.",
    "suspicious": "The whole interval lies at or above the threshold. That is a reason to look "
    "further, and not enough to rest on.",
    "likely manipulated": "The whole interval lies where hardly any real validation video does. "
    "That is a measurement by one network, and no proof.",
}
"""What each verdict says and does not say."""


def visible(value: Any) -> Any:
    """Text with every character that is not seen written out, such as U+202E in brackets.

    Control, format and unassigned characters, separators of lines, and halves of characters (from
    file names that are no Unicode) would hide or turn around what stands beside them. Zero-width
    joiners stay. Markup of the template's own is left alone.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(
        f"[U+{ord(c):04X}]"
        if unicodedata.category(c) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
        and c not in _ZERO_WIDTH_JOINERS
        else c
        for c in value
    )


@cache
def _template() -> Template:
    # Here and not above: the command line need not wait for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mcxlib.answer", "."),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": clock,
        "size": size_of,
        "words": words,
        "percent": lambda share: f"{100 * share:.3g} %",
    }
    return environment.get_template("report.html")


def clock(seconds: float | None) -> str:
    """ "3.2 s", "1:03.2", "1:00:03"; "" for None."""
    if seconds is None:
        return ""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    if not minutes:
        return f"{rest / 10:.1f} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest // 10:02d}"


def size_of(count: int) -> str:
    """Bytes in words: "12 bytes", "3.4 kB", "1.2 MB"; a kB is 1000 bytes."""
    if count < 1000:
        return f"{count} bytes"
    power = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {('', 'kB', 'MB', 'GB')[power]}"


def words(value: Any) -> str:
    """A value of a card in words: nested entries as "name value", parted by commas."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {words(v)}" for name, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def timeline(faces: Sequence[Face]) -> Timeline:
    """Where each face's score lies between the first frame and the last, and marks of time."""
    timed = all(face.seconds is not None for face in faces)
    at = np.array([face.seconds if timed else face.frame for face in faces], float)
    first, last = at.min(), at.max()
    marks = np.linspace(first, last, 5)
    marks = np.unique(marks if timed else marks.round())
    return Timeline(
        points=[
            (x, 100 * (1 - face.fake_score), face)
            for x, face in zip(_share(at, first, last), faces, strict=True)
        ],
        ticks=[
            (x, clock(mark) if timed else f"{mark:.0f}")
            for x, mark in zip(_share(marks, first, last), marks, strict=True)
        ],
        unit="time" if timed else "frame",
    )


def _share(values: ArrayLike, first: float, last: float) -> list[float]:
    values = np.asarray(values, float)
    if first == last:
        return [50.0] * len(values)
    return (100 * (values - first) / (last - first)).tolist()


def _entry(person: Person, crops: np.ndarray | None, model: Detector, size: int) -> Entry:
    line = timeline(person.faces)
    if crops is None:
        return Entry(person, line)
    scores = np.array([face.fake_score for face in person.faces])
    order = np.argsort(-scores, kind="stable")
    if person.clips:  # one face of each: the others of a clip look and score alike
        starts = [clip.frame for clip in person.clips]
        order = order[np.isin([person.faces[i].frame for i in order], starts)]
    most = order[:FACES]
    least = order[max(FACES, len(order) - FACES) :][::-1]
    shown = _shown(person, crops, np.concatenate([most, least]), model, size)
    return Entry(person, line, shown[: len(most)], shown[len(most) :])


def _shown(
    person: Person, crops: np.ndarray, chosen: np.ndarray, model: Detector, size: int
) -> list[Shown]:
    """The chosen faces as the network gets them: the central ``size`` px of each crop."""
    import torch

    from mcxlib import explain

    room = (crops.shape[1] - size) // 2
    images = crops[chosen, room : room + size, room : room + size]
    maps = {}
    if not _no_map(model):
        given = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        for output in ("fake", "real"):
            maps[output] = explain.activation_maps(model, given, METHOD, output)
    return [
        Shown(
            person.faces[face],
            _address(image),
            {
                output: _address(explain.overlay(image / 255, of[number]))
                for output, of in maps.items()
            },
        )
        for number, (face, image) in enumerate(zip(chosen, images, strict=True))
    ]


def _no_map(model: Detector) -> str:
    """Why there are no activation maps; "" if there are."""
    try:
        model.cam_layer()
    except ValueError as error:
        return str(error)
    return ""


def _address(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 as the address of itself, at most :data:`WIDEST` px wide."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _manipulations() -> dict[str, str]:
    from mcxlib.data.datasets.faceforensics import MANIPULATIONS

    return dict(MANIPULATIONS)
