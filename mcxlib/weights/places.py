"""Where weights lie: a file, or a run's folder."""

from __future__ import annotations

from pathlib import Path

from mcxlib.runs import RunFolder
from mcxlib.settings import paths

DEMO = "demo"
"""Stands for the demonstration's MCX-API(RGB), which knows drawn faces only."""


def find(name_or_path: str | Path) -> Path:
    """The file of weights that a path or name stands for.

    Args:
        name_or_path: a .safetensors file, a run's folder, or ``"demo"``.

    Raises:
        FileNotFoundError: there is none; says what was looked for.
    """
    if str(name_or_path) == DEMO:
        found = RunFolder(paths.runs("demo") / "mcx-api_rgb_seed0").weights
        if not found.is_file():
            raise FileNotFoundError(
                f"no weights at {found}; make the demonstration's first: "
                "mcx train --preset demo --colorspace rgb"
            )
        return found
    path = Path(name_or_path)
    found = RunFolder(path).weights if path.is_dir() else path
    if not found.is_file():
        raise FileNotFoundError(
            f"no weights at {found}; name a .safetensors file or a run's folder"
        )
    return found
