"""One file -> an answer: the faces that are found in it, joined into people, each judged."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from mcxlib import __version__, weights
from mcxlib.answer import clips, look, scores, tracks, verdict, words
from mcxlib.answer.abreast import abreast
from mcxlib.answer.sandbox import Limits, Refused, Sandbox
from mcxlib.answer.schema import (
    VERDICTS,
    Answer,
    Clip,
    Face,
    FileFacts,
    NotJudged,
    Person,
    WeightsFacts,
)
from mcxlib.data.faces import choice
from mcxlib.data.faces.align import Smoothers, aligned
from mcxlib.data.faces.contract import LOOSE_FACTOR, MIN_FACE, MIN_PROBABILITY
from mcxlib.data.faces.crop import crop_face
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.data.video import scenes
from mcxlib.detectors.clips import clip_of
from mcxlib.engine.folding import folded
from mcxlib.files import digest
from mcxlib.weights import Loaded

MOST_FRAMES = 256
FRAMES = 32
"""Of a file, unless another number is asked for, by weights that judge single frames."""

MOST_FACES = 384
"""Judged in one file: each is kept as a crop."""

SMALLEST = 0.04
"""Share of a frame's shorter side below which no face is looked for: 43 px of 1080. Smaller ones
show too little to be judged, and looking for them takes most of the time and memory."""

MOST_ABREAST = 4 << 20
"""Pixels of a frame up to which several are searched at a time: larger ones take much memory."""

_ROOM = 256 << 20
"""Bytes of decoded frames that wait at a time."""


@dataclass(frozen=True)
class Options:
    """What of a file is looked at.

    Raises:
        ValueError: a number out of range.
    """

    every: int = 0
    """Take frames 0, ``every``, 2 ``every``, ...; 0: spread over the whole file."""
    max_frames: int | None = None
    """None: ``FRAMES``, or four clips where the weights judge clips."""
    people: Literal["all", "largest"] = "all"
    """"largest" looks at the largest face of each frame only, which is faster."""
    precision: scores.Asked = "fp32"
    """Of the network: see :func:`mcxlib.answer.scores.score`."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError(f"every is a number of frames, not {self.every}")
        if self.max_frames is not None and not 1 <= self.max_frames <= MOST_FRAMES:
            raise ValueError(f"max_frames must lie in 1 to {MOST_FRAMES}, not {self.max_frames}")
        if self.people not in ("all", "largest"):
            raise ValueError(f"people are 'all' or 'largest', not {self.people!r}")
        if self.precision not in get_args(scores.Asked):
            raise ValueError(
                f"precision is one of {', '.join(get_args(scores.Asked))}, not {self.precision!r}"
            )


@dataclass(frozen=True)
class Judged:
    """An answer, and what it was made from."""

    answer: Answer
    crops: dict[int, np.ndarray]
    """By the person's number: uint8 RGB (n, S, S, 3), in the order of ``Person.faces``."""
    network: Loaded


def judge(path: Path, weights: Path, options: Options | None = None) -> Judged:
    """Judge one video, image or folder of frames with the weights in a file.

    What cannot be judged is said in the answer, and raises nothing. For several files,
    :class:`Judge` reads the weights once.

    Raises:
        FileNotFoundError, ValueError: the weights cannot be read, or expect crops that this program
            does not make.
    """
    with Judge(weights, options) as judges:
        return judges(path)


def detect(path: str | Path, weights: str | Path | None = None, **options: Any) -> Answer:
    """What is said of one video, image or folder of frames; ``mcxlib.detect`` is this function.

    Args:
        path: of the file or folder.
        weights: a .safetensors file, a run's folder, or ``"demo"``; see
            :func:`mcxlib.weights.find`.
        options: fields of :class:`Options`.

    Raises:
        FileNotFoundError, ValueError: no weights, or weights that cannot be read.
    """
    from mcxlib.weights import find

    if weights is None:
        raise ValueError(words.NO_WEIGHTS)
    return judge(Path(path), find(weights), Options(**options)).answer


class _Seen(NamedTuple):
    """One face that was found and cut out."""

    number: int
    """Of its frame."""
    seconds: float | None
    face: choice.Face
    crop: np.ndarray


@dataclass
class _Found:
    """What looking through a file gave."""

    frames: list[list[_Seen]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    without: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what ("frame", "face") and reason: how many were not judged."""
    read: int = 0
    notes: set[str] = field(default_factory=set)


class Judge:
    """Judges files with the same weights; use it in a ``with`` statement.

    Args:
        weights: a .safetensors file of this project.
        options: of every file.
        limits: of the process that reads the files.

    Raises:
        FileNotFoundError, ValueError: see :func:`judge`.
    """

    def __init__(
        self, weights_file: Path, options: Options | None = None, limits: Limits | None = None
    ) -> None:
        self.options = options or Options()
        self.network = weights.load(Path(weights_file))
        self.clip = clip_of(type(self.network.model), self.network.config.model).frames
        self.options = replace(self.options, max_frames=self._most(Path(weights_file)))
        self.scoring = self.network._replace(model=folded(self.network.model))
        self.contract = self._contract(Path(weights_file))
        self.scale = verdict.scale(self.network.card)
        self.about = self._about(Path(weights_file))
        self.finder: FaceFinder | None = None
        if self.contract["detector"]:
            self.finder = FaceFinder(
                self.contract["min_probability"],
                self.contract["detection"],
                self.options.people,
                smallest=SMALLEST,
            )
        self.sandbox = Sandbox(limits or Limits())

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.__exit__()

    def __call__(self, path: Path) -> Judged:
        """The answer about one file or folder; raises nothing that is the file's fault."""
        path = Path(path)
        about: FileFacts | None = None
        try:
            before = look.content(path)
            about = FileFacts(sha256=before.sha256, bytes=before.bytes)
            seen = self.sandbox.run(look.look, path, self.options.every, self.most, self.clip)
            about = FileFacts(
                sha256=before.sha256,
                bytes=before.bytes,
                credentials=seen.credentials,
                **seen.found,  # type: ignore[arg-type]
            )
            if seen.kind == "image" and self.clip > 1:
                raise look.Unreadable(words.no_clip(self.clip))
            found = self._search(path, seen)
            if look.changed(path, before):
                raise look.Unreadable("the file changed while it was read")
        except (look.Unreadable, Refused) as error:
            return self._nothing(path, about, str(error))
        return self._judged(path, about, seen, found)

    # -- weights ----------------------------------------------------------------------------

    @property
    def most(self) -> int:
        """Frames of a file that are looked at."""
        return self.options.max_frames or FRAMES

    def _most(self, file: Path) -> int:
        """``max_frames``, where nothing else was asked for, by what the weights judge.

        Raises:
            ValueError: the weights judge clips, and the options ask for what is none.
        """
        if self.clip == 1:
            return FRAMES if self.options.max_frames is None else self.options.max_frames
        if self.options.every:
            raise ValueError(
                f"{file} judges clips of {self.clip} consecutive frames, and --every takes frames "
                "apart: leave it out"
            )
        most = self.options.max_frames
        if most is None:
            most = min(clips.MOST, MOST_FRAMES // self.clip) * self.clip
        if most < self.clip:
            raise ValueError(
                f"{file} judges clips of {self.clip} frames, and max_frames {most} are fewer"
            )
        return most

    def _contract(self, file: Path) -> dict[str, Any]:
        """How faces are cut out for these weights. For imported ones as near as this program comes
        to how they were cut in their training, of which their card tells.

        Raises:
            ValueError: in a way this program does not know.
        """
        from mcxlib.data.faces.contract import contract

        own = contract(self.network.config.data)
        if self.network.card.imported:
            return own
        stored = own | self.network.card.crop_contract
        for name, known in (
            ("detector", ("MTCNN", None)),
            ("crop_rule", tuple(MIN_PROBABILITY)),
            ("loose_factor", (LOOSE_FACTOR, None)),
            ("colour_order", ("RGB",)),
        ):
            if stored[name] not in known:
                raise ValueError(
                    f"{file} was trained on crops with {name} {stored[name]!r}, which this program "
                    f"does not make; it knows {', '.join(map(repr, known))}"
                )
        return stored

    def _about(self, file: Path) -> WeightsFacts:
        card = self.network.card
        synthetic = bool(card.trained_on.get("synthetic", False))
        return WeightsFacts(
            path=words.shown(file),
            sha256=digest(file),
            label=card.label,
            detector=card.detector,
            trained_on=card.trained_on,
            synthetic=synthetic,
            threshold=self.scale.threshold,
            threshold_from=self.scale.threshold_from,
            false_alarms=self.scale.false_alarms,
            strong_level=self.scale.strong_level,
            strong_alarms=self.scale.strong_alarms,
            calibration=card.calibration or None,
            warning=words.DRAWN_ONLY if synthetic else "",
        )

    # -- faces ------------------------------------------------------------------------------

    def _search(self, path: Path, seen: look.Look) -> _Found:
        """Find and cut out the faces of the frames."""
        found = _Found()
        if self.finder:
            self.finder.reset()
        most = max(1, min(16, MOST_FACES // len(seen.indices)))
        before: np.ndarray | None = None
        smoothers = Smoothers()
        looked = abreast(self._looked, self._frames(path, seen), self._threads(seen))
        for ((got, frame), search), seconds in zip(looked, seen.seconds, strict=True):
            found.notes.update(filter(None, got.note.split("; ")))
            if frame is None:
                found.without["frame", got.problem] += 1
                found.frames.append([])
                continue
            found.read += 1
            small = scenes.small(frame)
            if before is not None and seen.kind != "image" and scenes.is_cut(before, small):
                found.cuts.append(len(found.frames))
            before = small
            try:
                faces = search.result()
                kept = faces[:most] if self.options.people == "all" else faces[:1]
                crops = self._crops(frame, kept, got.number, smoothers)
            except Exception as error:  # whatever it is, it is this frame's
                found.without["frame", f"finding faces failed ({type(error).__name__})"] += 1
                found.frames.append([])
                continue
            if not faces:
                found.without["frame", "no face"] += 1
            elif len(faces) > len(kept):
                left = words.SMALLER if self.options.people == "all" else words.NOT_LARGEST
                found.without["face", left] += len(faces) - len(kept)
            found.frames.append(
                [
                    _Seen(got.number, seconds, face, crop)
                    for face, crop in zip(kept, crops, strict=True)
                ]
            )
        return found

    def _frames(self, path: Path, seen: look.Look) -> Iterator[tuple[look.Got, np.ndarray | None]]:
        """The frames that were asked for, each with its pixels, (H, W, 3) uint8."""
        with tempfile.TemporaryDirectory(prefix="mcx-") as folder:
            out = Path(folder) / "frames"
            left = list(seen.indices)
            while left:
                try:
                    part = self.sandbox.run(look.fetch, path, left, out, _ROOM)
                except Refused as error:
                    for index in left:
                        yield look.Got(index, None, 0, str(error), ""), None
                    return
                size = out.stat().st_size
                for got in part:
                    left.remove(got.number)
                    if got.shape is None:
                        yield got, None
                        continue
                    height, width, _ = got.shape
                    if got.offset + height * width * 3 > size:
                        raise Refused("fewer pixels came than were announced")
                    pixels = np.fromfile(out, np.uint8, height * width * 3, offset=got.offset)
                    yield got, pixels.reshape(height, width, 3)

    def _threads(self, seen: look.Look) -> int:
        """How many frames are searched at a time."""
        if self.finder is None or not self.finder.independent:
            return 1
        width, height = (seen.found.get(name) for name in ("width", "height"))
        known = isinstance(width, int) and isinstance(height, int)
        if not known or width * height > MOST_ABREAST:  # type: ignore[operator]
            return 1
        return min(torch.get_num_threads(), len(seen.indices))

    def _looked(self, fetched: tuple[look.Got, np.ndarray | None]) -> list[choice.Face]:
        got, frame = fetched
        return [] if frame is None else self._faces(frame, got.number)

    def _faces(self, frame: np.ndarray, number: int) -> list[choice.Face]:
        """The faces of a frame, uint8 (H, W, 3), the largest first."""
        if self.finder is None:  # the frames are crops already
            height, width = frame.shape[:2]
            return [choice.Face((0.0, 0.0, float(width), float(height)), 1.0)]
        return self.finder(frame, number) if min(frame.shape[:2]) >= MIN_FACE else []

    def _crops(
        self, frame: np.ndarray, faces: list[choice.Face], number: int, smoothers: Smoothers
    ) -> list[np.ndarray]:
        """The faces of a frame, cut out as the weights want them."""
        rule, size = self.contract["crop_rule"], self.contract["crop_size"]
        if rule != "aligned" or self.finder is None:
            return [crop_face(frame, face.box, rule, size) for face in faces]
        points = [self.finder.points(frame, face) for face in faces]
        return [aligned(frame, its, size) for its in smoothers(points, faces, number)]

    # -- people -----------------------------------------------------------------------------

    def _judged(self, path: Path, about: FileFacts, seen: look.Look, found: _Found) -> Judged:
        without = found.without
        least = 1 if seen.kind == "image" else verdict.LEAST_FRAMES
        people: list[Person] = []
        crops: dict[int, np.ndarray] = {}
        boxes = [[s.face.box for s in faces] for faces in found.frames]
        for track in tracks.join(boxes, found.cuts):
            faces = [found.frames[s.frame][s.face] for s in track]
            if len(faces) < least:
                without["person", words.too_short(len(faces), least)] += 1
                continue
            cut = None
            if self.clip > 1:
                cut = clips.cut([face.number for face in faces], self.clip, seen.stride)
                if cut is None:
                    without["person", words.no_clip(self.clip)] += 1
                    continue
                if left := len(faces) - len(cut.used):
                    without["face", words.in_no_clip(self.clip)] += left
            number = len(people) + 1
            person, crops[number] = self._person(number, faces, cut)
            people.append(person)
        worst = max(people, key=lambda p: (VERDICTS.index(p.verdict), p.score.value), default=None)
        answer = Answer(
            path=words.shown(path),
            kind=seen.kind,  # type: ignore[arg-type]
            verdict=worst.verdict if worst else None,
            reason="" if worst else words.reason(found.read, found.frames, without),
            person=worst.number if worst else None,
            score=worst.score if worst else None,
            probability=worst.probability if worst else None,
            people=tuple(people),
            frames_read=found.read,
            frames_used=len({f.frame for p in people for f in p.faces}),
            evidence=words.evidence(people, worst, self.scale),
            limitations=words.limitations(
                self.network.card,
                self.about,
                self.scale,
                seen,
                people,
                found.cuts,
                found.notes,
                self.contract,
                self.clip,
            ),
            not_judged=tuple(
                NotJudged(what=what, count=count, reason=reason)  # type: ignore[arg-type]
                for (what, reason), count in without.items()
            ),
            next_steps=words.next_steps(worst.verdict if worst else None, about, self.about),
            file=about,
            **self._common(),
        )
        return Judged(answer, crops, self.network)

    def _person(
        self, number: int, faces: list[_Seen], cut: clips.Cut | None
    ) -> tuple[Person, np.ndarray]:
        """A person, and the crops of the faces that were judged, (n, S, S, 3)."""
        crops = np.stack([face.crop for face in faces])
        seconds = [face.seconds for face in faces]
        starts = range(len(faces)) if cut is None else cut.places[:, 0].tolist()
        items = scores.Items(
            crops if cut is None else crops[cut.places], [seconds[start] for start in starts]
        )
        values, score, precision = scores.score(
            self.scoring, items, self.scale, self.options.precision
        )
        names = self.network.model.classes if values.shape[1] > 1 else ()
        found, of_faces = values[:, 0], values[:, 0]
        judged: tuple[Clip, ...] = ()
        if cut is not None:
            judged = tuple(
                Clip(
                    frame=faces[start].number,
                    seconds=seconds[start],
                    frames=int(frames),
                    fake_score=float(value),
                )
                for start, frames, value in zip(starts, cut.frames, found, strict=True)
            )
            of_faces, crops = cut.of_faces(found), crops[cut.used]
            faces = [faces[i] for i in cut.used]
        person = Person(
            number=number,
            faces=tuple(
                Face(
                    frame=face.number,
                    seconds=face.seconds,
                    box=face.face.box,
                    face_probability=face.face.probability,
                    fake_score=float(value),
                )
                for face, value in zip(faces, of_faces, strict=True)
            ),
            score=score,
            probability=verdict.probability(score, self.scale),
            verdict=verdict.verdict(score, self.scale),
            classes=dict(zip(names, values[:, 1:].mean(axis=0).tolist(), strict=True)),
            precision=precision,
            clips=judged,
        )
        return person, crops

    def _nothing(self, path: Path, about: FileFacts | None, reason: str) -> Judged:
        kind: Any = "frames" if path.is_dir() else "image" if _named_image(path) else "video"
        answer = Answer(
            path=words.shown(path),
            kind=kind,
            verdict=None,
            reason=reason,
            person=None,
            score=None,
            probability=None,
            people=(),
            frames_read=0,
            frames_used=0,
            not_judged=(NotJudged(what="file", count=1, reason=reason),),
            next_steps=words.next_steps(None, about, self.about),
            file=about,
            **self._common(),
        )
        return Judged(answer, {}, self.network)

    def _common(self) -> dict[str, Any]:
        return {
            "weights": self.about,
            "options": asdict(self.options),
            "program": f"mcxlib {__version__}",
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _named_image(path: Path) -> bool:
    from mcxlib.data.video.kinds import IMAGE_SUFFIXES

    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES
