"""What runs in the child process: somebody's file, loaded once, asked video by video.

Only the standard library is imported here, so that what the file imports is its own.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Callable
from typing import Any

_loaded: dict[str, Callable[[str], Any]] = {}


def quiet() -> None:
    """What the file prints goes to standard error: standard output is the report's."""
    os.dup2(2, 1)


def load(file: str) -> str:
    """Import the file; why it cannot be used, or ""."""
    if file in _loaded:
        return ""
    sys.path.insert(0, os.path.dirname(file))
    try:
        spec = importlib.util.spec_from_file_location("outside_model", file)
        if spec is None or spec.loader is None:
            return "it is no Python file"
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and pickles look their module up
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        return f"importing it failed: {_said(error)}"
    predict = getattr(module, "predict", None)
    if not callable(predict):
        return "it has no function predict(path) -> float"
    _loaded[file] = predict
    return ""


def predict(file: str, path: str) -> tuple[str, float]:
    """(why there is no score or "", the score)."""
    if problem := load(file):
        return problem, math.nan
    try:
        answer = _loaded[file](path)
    except (Exception, SystemExit) as error:
        return f"predict failed: {_said(error)}", math.nan
    try:
        value = float(answer)
    except (TypeError, ValueError):
        return f"predict gave {str(answer)[:60]!r}, which is no number", math.nan
    if not 0 <= value <= 1:
        return f"predict gave {value:g}, not a score in [0, 1]", math.nan
    return "", value


def _said(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
