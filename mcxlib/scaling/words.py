"""The plan in lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcxlib.scaling import measured
from mcxlib.scaling.model import Machine
from mcxlib.scaling.plan import Plan, plan

DEFAULTS: Mapping[str, Any] = {
    **{"full": False, "seeds": [0], "full_seeds": [0, 1, 2], "shards": 1, "threads": 0},
    **{"gpus": 0, "loader_workers": 0},
    **{"flop_per_second": 0, "max_minutes": 1440, "retrain": "changed", "preset": "demo"},
}
"""As in ``workflow/config.yaml``; a test compares them."""


def configuration(file: Path) -> dict[str, Any]:
    """A configuration of the workflow, with what it leaves out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a mapping.
    """
    import yaml

    if not file.is_file():
        raise FileNotFoundError(f"no configuration {file}; give one with --configfile")
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{file} is no mapping of names to values, as workflow/paper.yaml is")
    return {**DEFAULTS, **found}


def plan_of(
    config: Mapping[str, Any], gpus: int, cores: int, disk_bytes: float, memory_bytes: float
) -> Plan:
    """The plan of ``config`` with so many GPUs and cores at the same time."""
    given = float(config["flop_per_second"])
    rate = given or measured.rates().train
    assumed = (
        f"a training reaches {rate:.3g} floating-point operations a second"
        + ("" if given else " (measured on a core)"),
        f"{gpus} runs at the same time, {cores} cores for extraction",
        f"the store gives {disk_bytes / 1e9:g} GB/s to all together",
        f"{memory_bytes / 1e9:g} GB of memory can hold crops",
        "cores cut faces, and processes read crops, as fast as where it was measured",
    )
    machine = Machine(
        cores, gpus, rate, max(1, int(config["loader_workers"])), disk_bytes, memory_bytes, assumed
    )
    return plan(config, machine)


def plan_lines(made: Plan, config: Mapping[str, Any]) -> list[str]:
    """The plan in words."""
    cost = made.cost
    count = sum(job.count for job in made.jobs)
    limit = int(config["max_minutes"]) / 60
    lines = [
        f"preset {config['preset']}, {len(config['seeds'])} seeds: {count} jobs, {cost.runs} runs",
        f"{'job':34} {'number':>6} {'cores':>5} {'GPUs':>4} {'GB':>5} {'asks, h':>8} takes, h",
    ]
    for job in made.jobs:
        takes = f"{job.hours:8.1f}" if job.hours else f"{'':8}"
        lines.append(
            f"{job.rule:34} {job.count:6} {job.cores:5} {job.gpus:4} {job.mem_mb / 1024:5.0f} "
            f"{job.minutes / 60:8.1f} {takes}"
        )
    if longer := [job.rule for job in made.jobs if job.hours > job.minutes / 60]:
        lines.append(f"go on in further jobs, since none has more than {limit:g} h: {len(longer)}")
    lines += [
        f"extraction {cost.core_hours:,.0f} core-hours; training and scoring "
        f"{cost.gpu_hours:,.0f} GPU-hours",
        f"disk: crops {cost.store_bytes / 1e9:,.1f} GB, read {cost.read_bytes / 1e12:,.1f} TB in "
        f"all; runs {made.run_bytes / 1e9:,.1f} GB",
        f"from the first video to the last score {cost.hours:,.1f} h; what takes longest is "
        f"{cost.bottleneck}",
        "assumed, not measured: " + "; ".join(made.assumed),
    ]
    if made.missing:
        lines += ["data still missing:", *(f"  {line}" for line in made.missing)]
    return lines
