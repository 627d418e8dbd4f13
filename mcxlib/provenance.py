"""What a result was made with: versions, code, hardware, time."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mcxlib

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "facenet-pytorch",
    "numpy",
    "scikit-learn",
    "av",
)


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def code() -> dict[str, Any]:
    """Which code this is: version, commit and whether files differ from it."""
    return {
        "mcxlib": mcxlib.__version__,
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def collect(**more: Any) -> dict[str, Any]:
    """A JSON-ready record; ``more`` adds the caller's own entries (data hashes, wall time)."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return (
        code()
        | {
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        | more
    )


def elsewhere(record: Mapping[str, Any]) -> list[str]:
    """In what a stored record differs from here and now, as far as numbers can depend on it."""
    found = []
    torch = record.get("packages", {}).get("torch", "unknown").split("+")[0]
    if torch != _version("torch").split("+")[0]:
        found.append(f"torch {torch}")
    if (machine := record.get("processor", "unknown")) != processor():
        found.append(f"on {machine}")
    return found
