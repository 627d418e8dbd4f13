"""The entries by name, and results.json: a finished entry is written at once, others are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.measure import Result, Settings
from mcxlib.files import read_json, write_json

RESULTS = "results.json"
MACHINE = "machine"

ENTRIES = {
    "step_over_floor": ("benchmarks.steps", "step_over_floor"),
    "step_over_plain": ("benchmarks.steps", "step_over_plain"),
    "mining": ("benchmarks.parts", "mining"),
    "scoring": ("benchmarks.reading", "scoring"),
    "colour": ("benchmarks.parts", "colour"),
    "loading": ("benchmarks.reading", "loading"),
    "faces": ("benchmarks.faces", "run"),
    "faces_tracked": ("benchmarks.faces", "tracked"),
    "detect": ("benchmarks.answer", "detect"),
    "detectors": ("benchmarks.detectors", "run"),
    "startup": ("benchmarks.startup", "startup"),
}
"""Name -> module and function; a function takes the settings and returns entries by name."""

Entry = Callable[[Settings], dict[str, Result]]


def names() -> list[str]:
    """The entries whose module exists."""
    return [name for name, (module, _) in ENTRIES.items() if find_spec(module)]


def entry(name: str) -> Entry:
    """The function that measures ``name``.

    Raises:
        ValueError: no such entry; lists those there are.
    """
    if name not in names():
        raise ValueError(f"unknown entry {name!r}; valid: {', '.join(names())}")
    module, function = ENTRIES[name]
    return getattr(import_module(module), function)


def key(name: str, settings: Settings) -> str:
    """The name in results.json: what was measured on a GPU stands beside what was on the CPU."""
    return f"{name}_cuda" if settings.device.type == "cuda" else name


def read(path: Path) -> dict[str, Any]:
    """results.json, empty if there is none."""
    return read_json(path) if path.is_file() else {}


def _earlier(path: Path, here: dict[str, Any], chosen: Sequence[str], settings: Settings) -> dict:
    """What of results.json goes on to count."""
    stored = read(path)
    if not stored:
        return {}
    if stored.get("quick", False) != settings.quick:
        kind = "full" if settings.quick else "--quick"
        raise ValueError(f"{path} holds {kind} measurements; choose another folder with --output")
    before = stored.get(key(MACHINE, settings))
    if before is None or machine.same(before, here):
        return stored
    if set(chosen) >= set(names()):
        # Everything is measured anew: what the other machine measured for this device goes.
        cuda = settings.device.type == "cuda"
        return {k: v for k, v in stored.items() if k.endswith("_cuda") != cuda or k == "quick"}
    raise ValueError(
        f"{path} was measured on another machine or with another torch ({before['processor']}, "
        f"torch {before['torch']}); measure all entries, or choose another folder with --output"
    )


def run(
    path: Path,
    chosen: Sequence[str],
    settings: Settings,
    starting: Callable[[str], None] = lambda name: None,
) -> Iterator[dict[str, Result]]:
    """Measure the entries ``chosen`` in turn; yields what each gave once it is in ``path``.

    ``starting`` is called with an entry's name before it is measured.

    Whatever else ``path`` holds stays, so a run that is stopped keeps what it has finished.

    Raises:
        ValueError: an unknown entry, or ``path`` holds what must not be mixed with these.
    """
    functions = {name: entry(name) for name in chosen}
    here = machine.description(settings.device)
    stored = _earlier(path, here, chosen, settings) | {"quick": settings.quick}
    here["matrix_product"] = machine.matrix_rates(settings)
    stored[key(MACHINE, settings)] = here
    write_json(path, stored)
    for name, function in functions.items():
        starting(name)
        found = function(settings)
        stored |= {key(part, settings): result.row() for part, result in found.items()}
        write_json(path, stored)
        yield found
