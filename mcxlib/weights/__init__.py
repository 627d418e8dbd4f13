"""Networks as files: our own format, with a version and a card, read without running code; other
people's weights in, ONNX out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcxlib.weights.card import Card
    from mcxlib.weights.format import Loaded, build, load, read_card, save
    from mcxlib.weights.places import find
    from mcxlib.weights.start import begin_with

__all__ = ["Card", "Loaded", "begin_with", "build", "find", "load", "read_card", "save"]

_HOMES = {
    "card": ("Card",),
    "format": ("Loaded", "build", "load", "read_card", "save"),
    "places": ("find",),
    "start": ("begin_with",),
}
"""Submodule -> the names it gives; imported when first asked for, since networks bring torch."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
