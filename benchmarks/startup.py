"""How long a command takes until it says something, over starting Python and importing typer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Result, Settings

COMMANDS = {
    "help": ("--help",),
    "manifest": ("manifest", "--preset", "paper", "--dataset", "mine"),
    "tables": ("tables", "--preset", "paper"),
}
SECONDS, MEGABYTES = 0.7, 150
"""Goals on two cores, for the first line of output and for the memory at its peak until then."""


def first_line(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first line on either stream, and the process's peak memory then, in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - began
    peak = _peak(process.pid)
    process.communicate()
    return seconds, peak


def _peak(pid: int) -> float:
    """Peak resident memory of a living process in MB; NaN where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else float("nan")


def startup(settings: Settings) -> dict[str, Result]:
    """``startup_help``, ``startup_manifest``, ``startup_tables``, and ``startup``, the worst."""
    repeats = 3 if settings.quick else 9
    results = {}
    with tempfile.TemporaryDirectory() as name:
        environment = home(Path(name))
        plain = [sys.executable, "-c", "import typer; print()"]
        for entry, arguments in COMMANDS.items():
            command = [sys.executable, "-m", "mcxlib.cli", *arguments]
            first_line(command, environment)  # compiled files and disk caches
            ours, theirs, peaks = [], [], []
            for _ in range(repeats):
                seconds, peak = first_line(command, environment)
                ours.append(seconds)
                peaks.append(peak)
                theirs.append(first_line(plain, environment)[0])
            results[f"startup_{entry}"] = measure.result(
                measure.Samples(ours, theirs),
                what=f"`mcx {arguments[0]}` until its first line, over Python with typer alone.",
                target=3.0,
                seed=settings.seed,
                details={
                    "seconds_until_first_line": sorted(ours)[repeats // 2],
                    "goal_seconds": SECONDS,
                    "peak_megabytes": max(peaks),
                    "goal_megabytes": MEGABYTES,
                    "device": "cpu",
                },
            )
    return results | {"startup": measure.worse(results)}


def home(folder: Path) -> dict[str, str]:
    """An environment with one small data set and no results."""
    for kind in ("real", "fake"):
        (folder / "videos" / "mine" / kind).mkdir(parents=True)
        (folder / "videos" / "mine" / kind / "a.mp4").write_bytes(b"x")
    (folder / "runs" / "paper").mkdir(parents=True)
    names = {f"MCX_{n.upper()}": str(folder / n) for n in ("videos", "data", "runs", "results")}
    return os.environ | names | {"OMP_NUM_THREADS": "1"}
