"""mcxlib: the method, data handling and tables of the MCX-API paper, as a small package.

``mcxlib.detect(path, weights)`` says of a video whether it looks manipulated.
"""

from importlib import import_module
from typing import Any

CLASSES = ("real", "DF", "F2F", "FS", "NT")
"""The five outputs of the classifier, in order: index 0 is real, 1 to 4 are FaceForensics++'s
manipulations (Deepfakes, Face2Face, FaceSwap, NeuralTextures)."""

__version__ = "0.1.0"

_LAZY = {"detect": "mcxlib.answer.judge"}
"""Names that are imported when they are first used: the modules they are from need torch."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
