"""``mcx detect``: files in, a line, a row or a record of each out, and a list that goes on."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from mcxlib.answer import words
from mcxlib.answer.schema import SCHEMA_VERSION, Answer

if TYPE_CHECKING:
    from mcxlib.answer.judge import Judge, Judged, Options

ALL_JUDGED, NOT_ALL_JUDGED, WRONG_USE = 0, 1, 2
"""Exit codes."""

CSV_COLUMNS = (
    "path",
    "verdict",
    "reason",
    "score",
    "score_low",
    "score_high",
    "probability",
    "people",
    "faces",
    "frames_used",
    "frames_read",
    "sha256",
    "weights_sha256",
    "warning",
)

Form = Literal["text", "json", "csv"]


@dataclass(frozen=True)
class Request:
    """What a call of the command asks for."""

    paths: list[Path]
    weights: str
    every: int
    max_frames: int | None
    people: str
    form: Form = "text"
    output: Path | None = None
    precision: str = "fp32"


class WrongUse(ValueError):
    """The call cannot be carried out as it stands; the message says why."""


def run(request: Request, also: Callable[[Judged], None] | None = None) -> int:
    """Judge the files of a request; returns the exit code.

    Args:
        request: see there.
        also: called with each file's answer and crops, but for answers that were known already.

    Raises:
        WrongUse: nothing was judged.
    """
    if not request.weights:
        raise WrongUse(words.NO_WEIGHTS)
    out, err = sys.stdout, sys.stderr
    paths = list(expanded(request.paths))
    done = Done(request.output) if request.output else None
    count = f"{len(paths)} files" if len(paths) > 1 else words.shown(paths[0])
    print(f"mcx: judging {count} with the weights {request.weights}", file=err, flush=True)
    writer = _Writer(request.form, out)
    failed = 0
    with _judge(request) as judges:
        if judges.about.warning:
            print(f"mcx: {judges.about.warning}", file=err, flush=True)
        for number, path in enumerate(paths, start=1):
            began = time.monotonic()
            answer, known = _answer(path, judges, done, also)
            failed += answer.verdict is None
            writer.write(answer)
            if len(paths) > 1:
                took = "known already" if known else f"{time.monotonic() - began:.1f} s"
                name = words.shown(path)
                print(f"mcx: {number} of {len(paths)}, {name}: {took}", file=err, flush=True)
    return NOT_ALL_JUDGED if failed else ALL_JUDGED


def expanded(paths: list[Path]) -> Iterator[Path]:
    """Each file; of a folder, every video in it and below it, and every folder of images only.

    A path that is not there is passed on: the answer says so.
    """
    from mcxlib.data.video.kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES, junk

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for folder, names, files in os.walk(path):
            names[:] = sorted(name for name in names if not junk(name))
            here = [Path(folder) / file for file in sorted(files) if not junk(file)]
            videos = [file for file in here if file.suffix.lower() in VIDEO_SUFFIXES]
            images = [file for file in here if file.suffix.lower() in IMAGE_SUFFIXES]
            if videos:
                yield from sorted(videos + images)
            elif images:
                yield Path(folder)
            found = found or bool(videos or images)
        if not found:
            yield path


def text(answer: Answer) -> str:
    """An answer in one line."""
    if answer.verdict is None or answer.score is None:
        return f"{answer.path}: not judged: {answer.reason}"
    faces = sum(len(person.faces) for person in answer.people)
    parts = [f"{answer.path}: {answer.verdict}, score {words.span(answer.score)}"]
    if answer.probability:
        parts.append(f"probability of fake {words.span(answer.probability)}")
    if len(answer.people) > 1:
        parts.append(f"person {answer.person} of {len(answer.people)}, the most suspicious")
    parts.append(f"{faces} faces in {answer.frames_used} of {answer.frames_read} frames")
    if clips := sum(len(person.clips) for person in answer.people):
        parts.append(f"{clips} clip{'s' * (clips > 1)}")
    if answer.weights.synthetic:
        parts.append("by weights that know drawn faces only")
    return ", ".join(parts)


def row(answer: Answer) -> dict[str, Any]:
    """An answer as a row of ``CSV_COLUMNS``; what is not known is empty."""
    score, probability = answer.score, answer.probability
    values = (
        answer.path,
        answer.verdict or "",
        answer.reason,
        score.value if score else "",
        score.low if score else "",
        score.high if score else "",
        probability.value if probability else "",
        len(answer.people),
        sum(len(person.faces) for person in answer.people),
        answer.frames_used,
        answer.frames_read,
        answer.file.sha256 if answer.file else "",
        answer.weights.sha256,
        answer.weights.warning,
    )
    return dict(zip(CSV_COLUMNS, values, strict=True))


class Done:
    """Answers in a file of JSON lines, one added as soon as there is one.

    An answer holds for the same content, weights and options; what had no verdict is judged again.
    A last line without its end, of a call that was cut off, is removed.

    Raises:
        WrongUse: a line is no answer of this program, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[tuple[str, str, str], Answer] = {}
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            whole = lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines
            for number, line in enumerate(whole, start=1):
                self._take(number, line)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab") as file:
                file.truncate(sum(map(len, whole)))
        except OSError as error:
            raise WrongUse(f"--output {path}: {error.strerror or error}") from error

    def _take(self, number: int, line: bytes) -> None:
        try:
            version = json.loads(line)["schema_version"]
            if version != SCHEMA_VERSION:
                raise ValueError(f"schema version {version}, this program writes {SCHEMA_VERSION}")
            answer = Answer.model_validate_json(line)
        except (ValueError, KeyError, TypeError) as error:
            why = str(error).splitlines()[0]
            raise WrongUse(
                f"--output {self.path}: line {number} is no answer of this program ({why}); name "
                "another file"
            ) from error
        if answer.file and answer.verdict:
            key = _key(answer.file.sha256, answer.weights.sha256, answer.options)
            self.answers[key] = answer

    def find(self, path: Path, judges: Judge) -> Answer | None:
        """What was said of a file's content before, under whatever name; None if nothing was."""
        from dataclasses import asdict

        from mcxlib.answer.look import Unreadable, content

        if not self.answers:
            return None
        try:
            found = content(path)
        except Unreadable:
            return None
        key = _key(found.sha256, judges.about.sha256, asdict(judges.options))
        return self.answers.get(key)

    def add(self, answer: Answer) -> None:
        """Write an answer, on the disk when this returns."""
        from mcxlib.files import space_explained

        with space_explained(self.path), open(self.path, "ab") as file:
            file.write(answer.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


class _Writer:
    """Answers on standard output, each as soon as there is one."""

    def __init__(self, form: Form, out: TextIO) -> None:
        self.out = out
        self.write: Callable[[Answer], None] = {
            "text": lambda answer: self._line(text(answer)),
            "json": lambda answer: self._line(answer.model_dump_json()),
            "csv": self._row,
        }[form]
        if form == "csv":
            self._csv = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
            self._csv.writeheader()

    def _line(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    def _row(self, answer: Answer) -> None:
        self._csv.writerow(row(answer))
        self.out.flush()


def _judge(request: Request) -> Judge:
    # Here and not above: they take seconds to import, and a wrong call is answered before.
    from mcxlib.answer.judge import Judge
    from mcxlib.weights import find

    try:
        return Judge(find(request.weights), options(request))
    except (ValueError, FileNotFoundError) as error:
        raise WrongUse(str(error)) from error


def options(request: Request) -> Options:
    """The request's options, checked."""
    from mcxlib.answer.judge import Options

    return Options(
        request.every,
        request.max_frames,
        request.people,  # type: ignore[arg-type]
        request.precision,  # type: ignore[arg-type]
    )


def _answer(
    path: Path, judges: Judge, done: Done | None, also: Callable[[Judged], None] | None
) -> tuple[Answer, bool]:
    """The answer about a file, and whether it was known already."""
    if done and (known := done.find(path, judges)):
        if known.path != words.shown(path):  # the same content under another name
            known = known.model_copy(update={"path": words.shown(path)})
            done.add(known)
        return known, True
    judged = judges(path)
    if done:
        done.add(judged.answer)
    if also:
        also(judged)
    return judged.answer, False


def _key(content: str, weights: str, options: dict[str, Any]) -> tuple[str, str, str]:
    return content, weights, json.dumps(options, sort_keys=True)
