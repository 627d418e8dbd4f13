"""What each job of the workflow asks a cluster for: threads, memory, time, GPUs.

The time is the counted operations over the rate that a job is expected to reach, times a margin,
and at most ``max_minutes``: a run that needs longer is ended by the cluster, submitted again and
goes on exactly from its last state. ``config`` is the workflow's (``workflow/config.yaml``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mcxlib.scaling import measured
from mcxlib.scaling.work import Amount, amount, run_flop, step_bytes
from mcxlib.settings.matrix import Row

MARGIN = 2.0
"""Asked for over expected: machines differ, and other jobs share them."""
START_MINUTES = 10
"""Asked for by every job, whatever it does: starting Python on a busy network disk."""
BASE_MB = 4096
"""Host memory of a process with torch; an assumption, as the next two are."""
READER_MB = 1536
"""Of a process that reads crops ahead, or cuts faces."""
CLIPS = 4
"""Frames that a detector of clips takes at most, over those that the others take."""
ABLATION_RUNS = 10
"""Short runs of a seed of the study; a test compares it with the study's own list."""
ABLATION_SHARE = 0.05
"""Of a run's cost, that one of them takes at most: two epochs of a hundred and the scoring."""


def needs(config: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Rule -> memory (``mem_mb``) and time (``runtime``, minutes) of jobs that train nothing."""
    much = amount(config["preset"])
    workers = int(config["threads"]) or 1
    cut = BASE_MB + workers * READER_MB
    hours = much.videos.all * much.frames * measured.rates().crop / 3600
    shards = max(1, int(config["shards"]))
    return {
        # With shards there is nothing left to cut when all is joined, unless one gave up.
        "crops": {"mem_mb": cut, "runtime": _minutes(config, 60 * hours / workers)},
        "shard": {"mem_mb": cut, "runtime": _minutes(config, 60 * hours / workers / shards)},
        "clips": {"mem_mb": cut, "runtime": _minutes(config, 60 * CLIPS * hours / workers)},
        "videos": {"mem_mb": cut, "runtime": _minutes(config, 30)},
        # A sample of test videos cut and scored anew a level; faces drawn and told apart.
        "robustness": {"mem_mb": 2 * BASE_MB, "runtime": _minutes(config, 240)},
        "traces": {"mem_mb": BASE_MB, "runtime": _minutes(config, 60)},
        "maps": {"mem_mb": 2 * BASE_MB, "runtime": _minutes(config, 30)},
        "tables": {"mem_mb": BASE_MB, "runtime": _minutes(config, 30)},
        "scaling": {"mem_mb": BASE_MB, "runtime": _minutes(config, 10)},
        "claims": {"mem_mb": 2 * BASE_MB, "runtime": _minutes(config, 60)},
        "figures": {"mem_mb": 2 * BASE_MB, "runtime": _minutes(config, 60)},
        "notebook": {"mem_mb": 2 * BASE_MB, "runtime": _minutes(config, 60)},
    }


def gpus(config: Mapping[str, Any]) -> int:
    """GPUs of a training or scoring."""
    return int(config["gpus"])


def threads(config: Mapping[str, Any]) -> int:
    """Cores of a training: its own, and those of the processes that read ahead."""
    return 1 + int(config["loader_workers"])


def readers(config: Mapping[str, Any]) -> str:
    """The option for processes that read ahead; "" for none."""
    count = int(config["loader_workers"])
    return f"--loader-workers {count}" if count else ""


def run_minutes(config: Mapping[str, Any], row: Row) -> int:
    """Time that a run asks for."""
    return _minutes(config, 60 * run_hours(config, row))


def run_hours(config: Mapping[str, Any], row: Row) -> float:
    """Time that a run is expected to take, of arithmetic alone."""
    return run_flop(row, amount(config["preset"])) / _rate(config) / 3600


def study_minutes(config: Mapping[str, Any]) -> int:
    """Time that all short runs of a seed of the study ask for."""
    return _minutes(config, 60 * study_hours(config))


def study_hours(config: Mapping[str, Any]) -> float:
    """Time that they are expected to take."""
    return ABLATION_RUNS * ABLATION_SHARE * run_hours(config, Row("mcx-api", "rgb"))


def run_memory(config: Mapping[str, Any], row: Row) -> int:
    """Host memory that a run asks for, in MB; on a CPU, the step's own is in it."""
    much: Amount = amount(config["preset"])
    own = 0 if gpus(config) else math.ceil(step_bytes(row, much) / 2**20)
    return BASE_MB + int(config["loader_workers"]) * READER_MB + own


def _rate(config: Mapping[str, Any]) -> float:
    """Floating-point operations a second of a run."""
    return float(config["flop_per_second"]) or measured.rates().train


def _minutes(config: Mapping[str, Any], expected: float) -> int:
    wanted = math.ceil(START_MINUTES + MARGIN * expected)
    return min(wanted, int(config["max_minutes"]))
