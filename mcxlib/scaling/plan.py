"""What a workflow will ask of a cluster, before anything is submitted: jobs, hours, disk, data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mcxlib.data import datasets
from mcxlib.scaling import jobs, measured
from mcxlib.scaling.model import Cost, Machine, cost
from mcxlib.scaling.work import amount, operations, uncounted
from mcxlib.settings import matrix, paths

STATES = 6
"""Times the weights, that two training states take: weights and the optimiser's averages, twice."""

TERMS: Mapping[str, str] = {
    "FaceForensics++": "by a form at github.com/ondyari/FaceForensics",
    "Celeb-DF-v2": "by a form at github.com/yuezunli/celeb-deepfakeforensics",
    "KoDF": "on request at deepbrainai-research.github.io/kodf",
    "FakeAVCeleb": "by a form at github.com/DASH-Lab/FakeAVCeleb",
}
"""Data set -> where its distributor hands it out, under terms of its own that are agreed to there.
No data set is part of this project or downloaded by it."""


@dataclass(frozen=True)
class Jobs:
    """The jobs of one rule that ask for the same."""

    rule: str
    count: int
    cores: int
    gpus: int
    mem_mb: int
    minutes: int
    """That each asks for."""
    hours: float
    """That each is expected to take, in as many jobs as the time limit makes of it."""


@dataclass(frozen=True)
class Plan:
    """All of it."""

    jobs: list[Jobs]
    cost: Cost
    run_bytes: int
    """Weights of all runs, and the states of those that are trained at the same time."""
    missing: list[str]
    """Data that are not where they are looked for, and where they are handed out."""
    assumed: list[str] = field(default_factory=list)
    """Inputs that nobody measured here."""

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON, with what is computed from it."""
        own = {"hours": self.cost.hours, "bottleneck": self.cost.bottleneck}
        return asdict(self) | {"together": own}


def plan(config: Mapping[str, Any], machine: Machine) -> Plan:
    """The plan of a workflow's configuration on ``machine``."""
    preset = config["preset"]
    rows = matrix.rows(preset, full=bool(config["full"]))
    seeds = matrix.seeds(config)
    counted = [operations(row) for row in rows]
    much, rates = amount(preset), measured.rates()
    found = cost(counted, len(seeds), much, machine, rates)
    weights = len(seeds) * sum(4 * count.parameters for count in counted)
    at_once = min(machine.gpus, found.runs)
    states = STATES * 4 * max(count.parameters for count in counted) * at_once
    return Plan(
        _jobs(config, rows, found),
        found,
        weights + states,
        missing(preset),
        [*machine.assumed, *_taken(rows)],
    )


def _taken(rows: Sequence[matrix.Row]) -> list[str]:
    names = uncounted(rows)
    return [f"{', '.join(names)} cost as much as the dearest counted row"] if names else []


def _jobs(config: Mapping[str, Any], rows: Sequence[matrix.Row], found: Cost) -> list[Jobs]:
    need, preset = jobs.needs(config), config["preset"]
    cores = int(config["threads"]) or 1
    shards = int(config["shards"])
    cutting = found.core_hours / cores

    def plain(rule: str, count: int, each: int, hours: float) -> Jobs:
        asked = need[rule]
        return Jobs(rule, count, each, 0, asked["mem_mb"], asked["runtime"], hours)

    listed = [plain("videos", 1, cores, 0.0)] if preset != "paper" else []
    if shards > 1:
        count = shards * len(datasets.paper_order())
        listed += [plain("shard", count, cores, cutting / count), plain("crops", 1, cores, 0.0)]
    else:
        listed += [plain("crops", 1, cores, cutting)]
    if of_clips := sum(row.detector in matrix.CLIPS for row in rows):
        listed += [plain("clips", of_clips, cores, jobs.CLIPS * cutting)]
    for row in rows:
        listed.append(
            Jobs(
                f"run {row.run_id(0).rpartition('_seed')[0]}",
                len(matrix.seeds(config)),
                jobs.threads(config),
                jobs.gpus(config),
                jobs.run_memory(config, row),
                jobs.run_minutes(config, row),
                jobs.run_hours(config, row),
            )
        )
    seeds = matrix.ABLATION_SEEDS[preset]
    method = matrix.Row("mcx-api", "rgb")
    studied = Jobs(
        "ablation",
        len(seeds),
        jobs.threads(config),
        jobs.gpus(config),
        jobs.run_memory(config, method),
        jobs.study_minutes(config),
        jobs.study_hours(config),
    )
    harmed = replace(plain("robustness", 1, 1, 0.0), gpus=jobs.gpus(config))
    once = ("traces", "maps", "tables", "scaling", "claims", "figures")
    rest = [plain(rule, 1, 1, 0.0) for rule in once]
    return [*listed, studied, harmed, *rest, plain("notebook", _notebooks(), 1, 0.0)]


def _notebooks() -> int:
    return len(list((paths.home() / "notebooks").glob("[0-9]*.ipynb")))


def missing(preset: str) -> list[str]:
    """The parts of the paper's data sets that are not on disk; empty for drawn people."""
    if preset != "paper":
        return []
    root = paths.distributed()
    return [
        line for entry in datasets.catalogue() if entry["paper"] for line in _lacking(root, entry)
    ]


def _lacking(root: Path, entry: Mapping[str, Any]) -> list[str]:
    own = root / entry["folder"]
    parts = [part["folder"] for part in entry["parts"] if not part["optional"]]
    gone = [part for part in parts if not any(own.glob(part))]
    if not gone:
        return []
    what = f"all of it, in {own}" if len(gone) == len(parts) else f"{', '.join(gone)} in {own}"
    return [f"{entry['name']}: {what}; handed out {TERMS[entry['name']]}, under its own terms"]
