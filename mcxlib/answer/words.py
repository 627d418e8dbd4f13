"""What is said in words: evidence, limits, reasons and what to do next."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib.answer.schema import Clip, Face, FileFacts, Interval, Person, Verdict, WeightsFacts

if TYPE_CHECKING:
    from mcxlib.answer.look import Look
    from mcxlib.answer.verdict import Scale
    from mcxlib.weights import Card

HALF = (
    "Scores were computed in half precision (bf16), which moved frames' scores by 0.03 at most "
    "where it was measured, on rendered clips"
)
NO_WEIGHTS = (
    "no weights named: --weights takes a .safetensors file or a run's folder (mcx train makes "
    "one); --weights demo takes the demonstration's, which know drawn faces only"
)

DRAWN_ONLY = (
    "these weights were trained on drawn faces only: of photographed people they know nothing, and "
    "what they say of them means nothing"
)

CUT = ("detector", "detection", "min_probability", "aligned", "crop_rule", "loose_factor")
"""Of a contract for crops: what can differ between imported weights' own and that used here."""

SMALLER = "smaller than the largest faces of a crowded frame"
NOT_LARGEST = "not the largest face of its frame"

SHORT_SECONDS = 4.0
"""Time between a person's first and last frame below which blocks of time are shorter than they
should be."""

_NAMES = {
    "DF": "Deepfakes",
    "F2F": "Face2Face",
    "FS": "FaceSwap",
    "NT": "NeuralTextures",
}


def shown(path: str | Path) -> str:
    """A path as text that any terminal and any JSON takes."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def span(interval: Interval) -> str:
    """``0.83 (0.71 to 0.92)``."""
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def too_short(frames: int, least: int) -> str:
    return f"seen in {frames} of the frames looked at: too short, at least {least} are needed"


def no_clip(frames: int) -> str:
    return f"these weights judge clips of {frames} consecutive frames, and no two are consecutive"


def in_no_clip(frames: int) -> str:
    return f"in no clip of {frames} consecutive frames of one person"


def reason(read: int, frames: Sequence[Sequence[object]], without: Counter[tuple[str, str]]) -> str:
    """Why nobody in a file was judged."""
    if any(frames):
        lines = [why for (what, why) in without if what == "person"]
        return f"nobody is seen for long enough ({lines[0]})" if lines else "nobody was judged"
    if read:
        return f"no face in {read} frame{'s' * (read > 1)}"
    problems = [why for (what, why) in without if what == "frame"]
    return f"no frame could be read ({problems[0]})" if problems else "no frame could be read"


def evidence(people: Sequence[Person], worst: Person | None, scale: Scale) -> tuple[str, ...]:
    """What the verdict rests on."""
    if worst is None:
        return ()
    lines = []
    if len(people) > 1:
        lines.append(
            f"{len(people)} people were judged one by one; the verdict is person "
            f"{worst.number}'s, the most suspicious"
        )
    lines.append(f"Person {worst.number}: score {span(worst.score)}, {_compared(worst, scale)}")
    if worst.probability:
        lines.append(
            f"Calibrated on the validation data, were real and fake equally common: probability of "
            f"fake {span(worst.probability)}"
        )
    items: Sequence[Clip | Face] = worst.clips or worst.faces
    if len(items) > 1:
        peak = max(items, key=lambda item: item.fake_score)
        what = "clip begins with frame" if worst.clips else "frame is"
        when = f" at {peak.seconds:.2f} s" if peak.seconds is not None else ""
        lines.append(f"The most suspicious {what} number {peak.frame}{when}: {peak.fake_score:.2f}")
    fakes = {name: p for name, p in worst.classes.items() if name != "real"}
    if worst.verdict in VERDICTS_OF_SUSPICION and len(fakes) > 1:
        name = max(fakes, key=lambda key: fakes[key])
        lines.append(
            f"Of the manipulations these weights know it resembles {_NAMES.get(name, name)} most "
            f"({fakes[name]:.2f})"
        )
    return tuple(lines)


VERDICTS_OF_SUSPICION: tuple[Verdict, ...] = ("suspicious", "likely manipulated")


def _narrow(person: Person) -> bool:
    first, last = person.faces[0].seconds, person.faces[-1].seconds
    return first is not None and last is not None and last - first < SHORT_SECONDS


def _compared(person: Person, scale: Scale) -> str:
    level = f"the threshold {scale.threshold:.2f}"
    if person.verdict == "no sign found":
        return f"all of it below {level}"
    if person.verdict == "uncertain":
        return f"and {level} lies within"
    if person.verdict == "likely manipulated" and scale.strong_alarms:
        alarms = scale.strong_alarms
        return (
            f"all of it at or above {scale.strong_level:.2f}, which {alarms.value:.1%} of the real "
            f"validation videos reach (at most {alarms.high:.1%}; {alarms.how})"
        )
    if scale.why_not_strong:
        return f"all of it at or above {level}; no more is said, as {scale.why_not_strong}"
    return (
        f"all of it at or above {level}, but not above {scale.strong_level:.2f}, which one real "
        "video in a hundred reaches"
    )


def limitations(
    card: Card,
    weights: WeightsFacts,
    scale: Scale,
    seen: Look,
    people: Sequence[Person],
    cuts: Collection[int],
    notes: Collection[str],
    contract: Mapping[str, Any],
    of_clip: int = 1,
) -> tuple[str, ...]:
    """What the answer does not know; ``contract`` is how the faces were cut out, ``of_clip`` how
    many frames are judged at once."""
    lines = [weights.warning] if weights.warning else []
    data = card.trained_on.get("dataset")
    lines.append(
        f"The weights know the manipulations of {data or 'their training data'}; others may show "
        "no sign"
    )
    trained = card.crop_contract
    if otherwise := [n for n in CUT if n in trained and trained[n] != contract.get(n)]:
        lines.append(_cut_otherwise(otherwise, trained, contract))
    if scale.false_alarms is None:
        lines.append(
            "How often real videos reach the threshold is not known: the card of the weights does "
            "not say how its real validation videos scored"
        )
    else:
        alarms = scale.false_alarms
        lines.append(
            f"{alarms.value:.1%} of the real validation videos reach the threshold too (between "
            f"{alarms.low:.1%} and {alarms.high:.1%}; {alarms.how}); of other real videos, more may"
        )
    if scale.why_not_calibrated:
        lines.append(f"The score is no probability, and none is given: {scale.why_not_calibrated}")
    if any(p.score.how.startswith("none") for p in people):
        clips = any(p.clips for p in people)
        few = "Fewer than four clips have" if clips else "A single picture has"
        lines.append(f"{few} no interval, so the verdict is uncertain whatever it is")
    elif people:
        lines.append(
            "The intervals say how far a score could move with other moments of this file, not how "
            "often the weights are wrong"
        )
    if any(_narrow(p) for p in people):
        lines.append(
            "The time looked at is short: its moments resemble each other, and the interval is "
            "narrower than it should be"
        )
    if mirrored := sum(clip.frames < of_clip for p in people for clip in p.clips):
        lines.append(
            f"{mirrored} clip{'s' * (mirrored > 1)} of a person seen for fewer than {of_clip} "
            "frames in a row: they go on mirrored in time"
        )
    if any(p.precision == "bf16" for p in people):
        lines.append(HALF)
    if len(people) > 1:
        lines.append(
            "People are told apart by place, not recognised: one who leaves and comes back, or is "
            "there after a cut, counts again; and of many people one may look suspicious by chance"
        )
    if cuts:
        lines.append(f"{len(cuts)} cut{'s' * (len(cuts) > 1)} found between the frames looked at")
    lines += [text for text in (seen.note, seen.problem) if text]
    lines += [f"Of the frames: {note}" for note in sorted(notes)]
    return tuple(lines)


def _cut_otherwise(
    names: Sequence[str], trained: Mapping[str, Any], here: Mapping[str, Any]
) -> str:
    """In what the faces that weights were trained on differ from those that are judged."""
    # Here and not above: the package of weights is large.
    from mcxlib.weights.known import UNKNOWN

    told = [n for n in names if trained[n] not in (None, UNKNOWN)]
    how = [f"{n.replace('_', ' ')}: {trained[n]}" for n in told]
    if silent := [n.replace("_", " ") for n in names if n not in told]:
        how.append(f"not known: {', '.join(silent)}")
    return (
        f"The weights were trained on faces that were found or cut otherwise ({'; '.join(how)}), "
        f"here by {here.get('detector')} with crop rule {here.get('crop_rule')}; their scores may "
        "be worse here"
    )


def next_steps(
    verdict: Verdict | None, file: FileFacts | None, weights: WeightsFacts
) -> tuple[str, ...]:
    """What a careful person would do with the answer."""
    steps = []
    if weights.synthetic:
        steps.append("Judge it with weights that were trained on photographed people")
    if verdict is None:
        steps.append("Look for a longer, larger or undamaged copy in which a face is seen well")
    elif verdict == "uncertain":
        steps.append("Judge more frames (--max-frames), or a longer or less compressed copy")
    elif verdict in VERDICTS_OF_SUSPICION:
        steps.append("Look at the most suspicious frames yourself, and judge other copies")
    if verdict is not None:
        steps.append("Find out where the file comes from: a score is no proof, in either direction")
    if file and file.credentials.state == "invalid":
        steps.append("Its content credentials do not check: ask for the file as it was signed")
    return tuple(steps)
