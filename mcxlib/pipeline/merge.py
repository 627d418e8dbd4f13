"""Run folders of several machines made one: checked, copied whole, nothing ever overwritten.

Everything is looked at first. Two different runs under one name, files of two runs in one folder,
or rendered and real data side by side end it before a file is copied. A run that is there already
is recognised by its content; what one machine has scored of it and another has not is added.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcxlib import runs, schemas
from mcxlib.files import clear_partial, digest, read_json, replacing, temporary_name
from mcxlib.pipeline.common import alone
from mcxlib.runs import RunFolder
from mcxlib.settings import recipe as recipes

PROVENANCE_FORMAT = 1
WHAT = ("merged", "completed", "identical", "left out")
"""What can be done with a run folder; see :class:`Found`."""
_TABLES = ("scores", "other_scores", "features")


@dataclass
class Found:
    """What is to be done with one run folder of one source, and why."""

    run: str
    """Its name, with the study's in front where it belongs to one."""
    source: Path
    what: str
    """``merged``, ``identical``, ``completed`` (scores were added) or ``left out``."""
    why: str = ""
    add: list[str] = field(default_factory=list)
    """Files to be added to the run that is there, below its folder."""
    fingerprint: str = ""
    """Of the data it was trained on."""


def merge(
    sources: Iterable[Path], into: Path, tell: Callable[[str], None] = lambda line: None
) -> list[Found]:
    """Copy the finished runs of ``sources`` into ``into``; what was done with each folder.

    Args:
        sources: folders of runs, such as another machine's ``runs/paper``.
        into: such a folder; made if it is not there.
        tell: called with a line for each run once that is in its place.

    Raises:
        ValueError: nothing was copied; names every run that stands in the way, and how.
    """
    into, sources = Path(into), [Path(source) for source in sources]
    for source in sources:
        if source.resolve() == into.resolve():
            raise ValueError(f"{source} is the folder to merge into; name the others only")
    with alone(into, f"merging into {into}"):
        found = _look(sources, into)
        into.mkdir(parents=True, exist_ok=True)
        _clear(into)
        for one in found:
            _carry_out(one, into)
            tell(f"{one.run}: {one.what}" + (f" ({one.why})" if one.why else ""))
    return found


def folders(runs_dir: Path) -> list[tuple[str, RunFolder]]:
    """Every run of a folder by its name, those of studies as ``study/run``; errors as
    :func:`mcxlib.runs.find`."""
    listed = [(folder.run_id, folder) for folder in runs.find(runs_dir)]
    for study in sorted(Path(runs_dir).iterdir()):
        if (
            study.is_dir()
            and not study.name.startswith(".")
            and not (study / "config.json").exists()
        ):
            listed += [(f"{study.name}/{folder.run_id}", folder) for folder in runs.find(study)]
    return listed


def _aside(runs_dir: Path) -> list[Path]:
    """Runs that were put aside, and folders that are no runs."""
    places = [runs_dir, *(f for f in sorted(runs_dir.iterdir()) if f.is_dir())]
    return [
        folder
        for place in places
        if not (place / "config.json").exists()
        for folder in sorted(place.iterdir())
        if folder.is_dir() and folder.suffix.startswith(runs.ASIDE)
    ]


def _look(sources: list[Path], into: Path) -> list[Found]:
    """What will be done, with nothing done yet; raises if anything stands in the way."""
    there = dict(folders(into)) if into.is_dir() else {}
    found: list[Found] = []
    wrong: list[str] = []
    for source in sources:
        for name, folder in folders(source):
            try:
                one = _judge(name, folder, there.get(name))
            except ValueError as error:
                wrong.append(f"{name} ({source}): {error}")
                continue
            found.append(one)
            if one.what == "merged":
                there[name] = folder
        found += [
            Found(str(folder.relative_to(source)), folder, "left out", "put aside")
            for folder in _aside(source)
        ]
    wrong += _mixed(there)
    if wrong:
        raise ValueError("nothing was merged:\n  " + "\n  ".join(wrong))
    return found


def _judge(name: str, folder: RunFolder, there: RunFolder | None) -> Found:
    """What to do with one run; ValueError if its files do not belong together, or not to those
    that are there under its name."""
    if not folder.finished:
        return Found(name, folder.path, "left out", "not finished")
    record = check(folder)
    one = Found(name, folder.path, "merged", fingerprint=str(record.get("data_sha256", "")))
    if there is None:
        return one
    if not there.finished:
        raise ValueError(
            f"{there.path} is a run of that name that is not finished; finish it, or put it aside"
        )
    theirs = check(there)
    if different := _differences(record, theirs, folder, there):
        raise ValueError(
            f"another run is at {there.path} under that name: {', '.join(different)} differ; "
            "rename one of the two seeds or studies by training it under another, or leave it out"
        )
    if digest(folder.weights) != digest(there.weights):
        one.what, one.why = "identical", "trained twice with the same weights; the first is kept"
        return one
    one.add = _lacking(folder, there)
    one.what = "completed" if one.add else "identical"
    one.why = f"{len(one.add)} files added" if one.add else "there already"
    return one


def check(folder: RunFolder) -> dict[str, Any]:
    """The provenance of a finished run whose files belong together.

    Raises:
        ValueError: a newer format, a missing file, or weights, configuration or scores that are
            another run's; says which.
    """
    from mcxlib.weights.format import read_card

    record = folder.read_provenance() or {}
    if record.get("format", 0) > PROVENANCE_FORMAT:
        raise ValueError(
            f"its provenance has format {record['format']}, and this program reads up to "
            f"{PROVENANCE_FORMAT}; update it"
        )
    if record.get("run_id", folder.run_id) != folder.run_id:
        raise ValueError(f"its provenance is of {record['run_id']}: the folder was renamed")
    folder.read_config()
    try:
        card = read_card(folder.weights)
    except FileNotFoundError:
        raise ValueError(f"it has no {folder.weights.name}") from None
    if card.recipe and record.get("recipe") and card.recipe != record["recipe"]:
        raise ValueError("its weights are of another training than its provenance")
    own = digest(folder.weights)
    for note in _notes(folder):
        said, name = read_json(note), note.relative_to(folder.path)
        if not isinstance(said, dict) or "weights_sha256" not in said:
            raise ValueError(f"{name} does not say of which weights the scores are")
        if said["weights_sha256"] != own:
            raise ValueError(f"{name}: those scores are of other weights")
    return record


def _notes(folder: RunFolder) -> list[Path]:
    """The notes that say of what the scores were made, where there are any."""
    return [
        table.with_suffix(".json")
        for part in ("scores", "other_scores")
        for table in _visible(folder.path / part)
        if table.suffix == ".parquet" and table.with_suffix(".json").is_file()
    ]


def _differences(
    new: dict[str, Any], old: dict[str, Any], folder: RunFolder, there: RunFolder
) -> list[str]:
    """In what two runs of one name differ; empty if they are the same run."""
    if not _same_tensors(folder.weights, there.weights):
        before, after = old.get("recipe"), new.get("recipe")
        why = recipes.differences(before, after) if before and after else []
        return [*why, "weights"]
    if digest(folder.weights) != digest(there.weights):
        return []
    return [
        name for name in sorted(_tables(folder) & _tables(there)) if not _same(folder, there, name)
    ]


def _same_tensors(one: Path, other: Path) -> bool:
    from safetensors.numpy import load_file

    if digest(one) == digest(other):
        return True
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def _tables(folder: RunFolder) -> set[str]:
    """Tables of scores and features, below the folder."""
    return {
        f"{part}/{file.name}"
        for part in _TABLES
        for file in _visible(folder.path / part)
        if file.suffix == ".parquet"
    }


def _same(folder: RunFolder, there: RunFolder, name: str) -> bool:
    """Whether two tables hold the same numbers and notes; the files may have been written twice."""
    import pandas as pd

    one, other = folder.path / name, there.path / name
    if digest(one) == digest(other):
        return True
    if schemas.read_note(one) != schemas.read_note(other):
        return False
    a, b = pd.read_parquet(one), pd.read_parquet(other)
    try:
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    except AssertionError:
        return False
    return True


def _lacking(folder: RunFolder, there: RunFolder) -> list[str]:
    """The tables and their notes that only ``folder`` has."""
    new = sorted(_tables(folder) - _tables(there))
    notes = [
        n for table in new if (folder.path / (n := f"{table[: -len('.parquet')]}.json")).exists()
    ]
    return [*new, *notes]


def _mixed(there: dict[str, RunFolder]) -> list[str]:
    """What must not lie in one folder: numbers of drawn people and of real ones."""
    kinds: dict[bool, list[str]] = {}
    for name, folder in there.items():
        about = (folder.read_provenance() or {}).get("trained_on", {})
        if "synthetic" in about:
            kinds.setdefault(bool(about["synthetic"]), []).append(name)
    if len(kinds) < 2:
        return []
    drawn, real = kinds[True][0], kinds[False][0]
    return [
        f"{drawn} was trained on rendered videos and {real} on distributed ones; keep them in two "
        "folders"
    ]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))


def _carry_out(one: Found, into: Path) -> None:
    target = into / one.run
    if one.what == "merged":
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(temporary_name())
        try:
            shutil.copytree(one.source, temporary, ignore=_not_copied)
            temporary.rename(target)  # fails if somebody has made the run meanwhile
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    # Notes come after their tables: a table without its note counts as unfinished.
    for name in one.add:
        with replacing(target / name) as temporary:
            shutil.copyfile(one.source / name, temporary)


def _not_copied(folder: str, names: list[str]) -> list[str]:
    """Locks, other writers' unfinished files, and what an interrupted training goes on from."""
    return [name for name in names if name.startswith(".") or name == "states"]


def _clear(into: Path) -> None:
    """Remove what a merge that was killed has left."""
    clear_partial(into)
    for folder in [*into.glob(".tmp-*"), *into.glob("[!.]*/.tmp-*")]:
        if folder.is_dir():
            shutil.rmtree(folder)


def other_data(found: Iterable[Found]) -> list[str]:
    """The merged runs whose training data have another fingerprint than most have."""
    known = [one for one in found if one.fingerprint]
    prints = [one.fingerprint for one in known]
    if len(set(prints)) < 2:
        return []
    usual = max(sorted(set(prints)), key=prints.count)
    return sorted({one.run for one in known if one.fingerprint != usual})
