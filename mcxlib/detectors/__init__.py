"""Every detector of the paper's tables: one file each, on the seam of :mod:`.base`.

A file of this folder that defines a subclass of ``Detector`` with a ``name`` adds that detector:
``mesonet.py`` holds ``mesonet``, ``mcx_api.py`` holds ``mcx-api``. Looking for names reads files
and imports nothing.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib import CLASSES

if TYPE_CHECKING:
    from mcxlib.detectors.base import Detector

_NAME = re.compile(r'^    name(?:: ClassVar\[str\])? = "([a-z0-9-]+)"$', re.M)


@cache
def modules() -> dict[str, str]:
    """Name of each detector -> the module that holds it, in the order of the names."""
    found = {
        match[1]: f"{__name__}.{file.stem}"
        for file in Path(__file__).parent.glob("[a-z]*.py")
        if (match := _NAME.search(file.read_text(encoding="utf-8")))
    }
    return dict(sorted(found.items()))


def known(name: str) -> str:
    """``name``, if there is such a detector.

    Raises:
        ValueError: there is none; names the nearest and all others.
    """
    if name in modules():
        return name
    near = difflib.get_close_matches(str(name), modules(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"unknown detector {name!r}{hint} Valid: {', '.join(modules())}")


def find(name: str) -> type[Detector]:
    """The class of a detector. Errors as :func:`known`."""
    module = import_module(modules()[known(name)])
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and vars(value).get("name") == name
    )


def build(name: str, classes: tuple[str, ...] = CLASSES, **settings: Any) -> Detector:
    """A detector with fresh weights, in channels-last memory.

    Convolutions run faster with channels innermost, on CPU and GPU; shapes are unchanged.
    """
    import torch

    kind = find(name)
    return kind(kind.Settings(**settings), classes).to(memory_format=torch.channels_last)
