"""What is said of one file: the schema of ``mcx detect --json`` and of the report.

Every number comes with where it is from, and what could not be judged is a list, never a score of
0.5. ``SCHEMA_VERSION`` rises when a field changes its meaning or goes; new fields do not raise it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

Verdict = Literal["no sign found", "uncertain", "suspicious", "likely manipulated"]

VERDICTS: tuple[Verdict, ...] = (
    "no sign found",
    "uncertain",
    "suspicious",
    "likely manipulated",
)
"""From least to most suspicious."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Part):
    """A number with its interval."""

    value: float
    low: float
    high: float
    level: float = 0.95
    how: str
    """Which method made it, and of how many what: "bootstrap of 4 blocks of 1 s"."""


class Face(_Part):
    """One judged face in one frame."""

    frame: int
    """Index of the frame in the file, from 0."""
    seconds: float | None
    """Time of the frame; None for images."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the displayed frame."""
    face_probability: float
    fake_score: float
    """By a detector of clips, the mean over the clips that it is in."""


class Clip(_Part):
    """Several consecutive frames of a person that were judged at once."""

    frame: int
    """Index of its first frame."""
    seconds: float | None
    """Time of its first frame."""
    frames: int
    """Of the file that it shows. Fewer than the weights judge at once: it goes on mirrored in
    time."""
    fake_score: float


class Person(_Part):
    """The faces that are taken to be one person's, and what they come to."""

    number: int
    """From 1, in order of appearance."""
    faces: tuple[Face, ...]
    score: Interval
    """Mean of the scores of fake of the frames or clips; in [0, 1], larger is more likely fake."""
    probability: Interval | None
    """The same, calibrated on the validation data of the weights; None for weights without it."""
    verdict: Verdict
    classes: dict[str, float]
    """Mean probability of each class that the weights know; empty where they know none."""
    precision: Literal["fp32", "bf16", ""] = ""
    """What the network computed the scores in; "" in answers from before this was said."""
    clips: tuple[Clip, ...] = ()
    """What was judged, by weights that judge clips; empty by weights that judge single frames."""


class NotJudged(_Part):
    """Something in the file that no score was given to."""

    what: Literal["file", "frame", "face", "person"]
    count: int
    reason: str


class Credentials(_Part):
    """What a file's C2PA content credentials say, checked without a network."""

    state: Literal["valid", "invalid", "none", "not checked"]
    """"valid" says that the file is as it was signed; whom to trust is another question."""
    signer: str = ""
    generator: str = ""
    problems: tuple[str, ...] = ()


class FileFacts(_Part):
    """What the file says of itself. Facts beside the score, never part of it."""

    sha256: str
    bytes: int
    container: str = ""
    codec: str = ""
    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    seconds: float | None = None
    encoder: str = ""
    tags: dict[str, str] = {}
    hints: tuple[str, ...] = ()
    """Sentences such as "encoded by libx264 (a re-encoding, no camera writes it)"."""
    credentials: Credentials = Credentials(state="not checked")


class WeightsFacts(_Part):
    """What judged, and what it knows."""

    path: str
    sha256: str
    label: str
    detector: str
    trained_on: dict[str, Any]
    synthetic: bool
    """Whether the training data were rendered: such weights know drawn faces only."""
    threshold: float
    """At and above this score a person is suspicious."""
    threshold_from: str
    false_alarms: Interval | None
    """Share of the real validation videos of the weights that reach the threshold."""
    strong_level: float | None = None
    """At and above this score a person is likely manipulated; None if the validation data are too
    few to say it."""
    strong_alarms: Interval | None = None
    """Share of the real validation videos that reach that level."""
    calibration: dict[str, Any] | None
    warning: str = ""


class Answer(_Part):
    """All that is said of one file or folder of frames."""

    schema_version: int = SCHEMA_VERSION
    path: str
    kind: Literal["video", "image", "frames"]
    verdict: Verdict | None
    """The most suspicious person's; None if nobody was judged."""
    reason: str = ""
    """Why there is no verdict; "" if there is one."""
    person: int | None
    """Whose verdict it is."""
    score: Interval | None
    probability: Interval | None
    people: tuple[Person, ...]
    frames_read: int
    frames_used: int
    """Frames with at least one judged face."""
    evidence: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    next_steps: tuple[str, ...] = ()
    file: FileFacts | None
    """None if the file could not be opened at all."""
    weights: WeightsFacts
    options: dict[str, Any] = {}
    """Which frames and whose faces were looked at: ``every``, ``max_frames``, ``people``;
    and the ``precision`` that was asked for."""
    program: str
    """Name and version of what made this."""
    made: str
    """When, as ISO 8601 in UTC."""
