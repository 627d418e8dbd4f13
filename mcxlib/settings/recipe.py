"""What decides a network's weights, digested so that words about the code do not count.

A recipe has three parts: the code of the detector (its own module and what that imports of
``method`` and ``detectors``), its settings, and the fingerprint of the data. Comments, docstrings,
type annotations, the texts of errors and the settings' descriptions are left out of the code, and
so are the classes of settings themselves: their values count, not that there is one more of them.
The loop that trains is not in a recipe either; tests pin what it does to the last bit, and
``ENGINE`` rises when they have to change.

Files are read, nothing is imported.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FORMAT = 1

ENGINE = 1
"""Rises when the same code, settings and data give other weights than before."""

ROOT = Path(__file__).parents[1]

_COUNTED = ("mcxlib.method.", "mcxlib.detectors.")
_ALWAYS = ("mcxlib.method.sampler", "mcxlib.engine.schedule")
_ABOUT = {
    *("deviations", "licence", "name", "paper_labels", "published", "tables"),
    *("label", "score_kind", "uses_masks", "video_rule"),
}
"""Names in a detector that say something about it and decide nothing. Whether masks were there is
in the fingerprint of the data."""


def recipe(
    module: str,
    settings: Mapping[str, Any],
    data: str | None = None,
    also: Iterable[str] = (),
    start: str | None = None,
) -> dict[str, Any]:
    """The recipe of a run, ready for JSON.

    Args:
        module: of the detector, ``"mcxlib.detectors.mcx_api"``.
        settings: every setting of training and detector, by name.
        data: fingerprint of the rows trained on; None if it is not known.
        also: further modules whose code decides, such as those of the colour spaces.
        start: digest of the weights that training begins with; None for fresh ones.
    """
    made_by = {
        "format": FORMAT,
        "engine": ENGINE,
        "code": code(module, *sorted(also)),
        "settings": dict(sorted(settings.items())),
        "data": data,
    }
    return made_by | ({"start": start} if start else {})


def digest(made_by: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe."""
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()


def differences(
    stored: Mapping[str, Any] | None,
    now: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> list[str]:
    """In what a stored recipe differs from today's: "code of method.losses", "lr", "data".

    A setting that was not there when the run was made counts only where it is not its default.
    Fingerprints of data and of weights begun with are compared where both are known.
    """
    if not stored or stored.get("format") != FORMAT:
        return ["a recipe that older code did not write down"]
    found = []
    if stored.get("engine") != now["engine"]:
        found.append("the training loop")
    before, after = stored.get("code", {}), now["code"]
    found += [
        f"code of {name.removeprefix('mcxlib.')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    missing = object()
    settings = stored.get("settings", {})
    for name in sorted(settings.keys() | now["settings"].keys()):
        old = settings.get(name, (defaults or {}).get(name, missing))
        new = now["settings"].get(name, (defaults or {}).get(name, missing))
        if old != new:
            found.append(f"setting {name}")
    for name, what in (("data", "data"), ("start", "weights begun with")):
        before, after = stored.get(name), now.get(name)
        if before and after and before != after:
            found.append(what)
    return found


def code(*modules: str) -> dict[str, str]:
    """Digest of each module that ``modules`` consist of, by its name."""
    return _closure([*modules, *_ALWAYS], _COUNTED, settings=False)


def trigger(*modules: str) -> str:
    """Digest of these modules and all of this package that they import, settings included: what a
    scheduler looks at to start a command that finds out by itself what there is to do."""
    found = _closure(list(modules), ("mcxlib.",), settings=True)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def trigger_of_run(detector: str, colorspace: str) -> str:
    """The same for a run: its recipe's code, and all settings as they are written down."""
    module = f"mcxlib.detectors.{detector.replace('-', '_')}"
    spaces = [f"mcxlib.method.colorspace.{name}" for name in colorspace.split("+")]
    settings = ["mcxlib.presets", "mcxlib.settings.train", "mcxlib.settings.data"]
    found = _closure([module, *spaces, *settings, *_ALWAYS], _COUNTED, settings=True)
    return hashlib.sha256(json.dumps([ENGINE, found]).encode()).hexdigest()


def _closure(waiting: list[str], counted: tuple[str, ...], settings: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in found or (file := _file(name)) is None:
            continue
        found[name], imports = _read(file, file.stat().st_mtime_ns, settings)
        waiting += [other for other in imports if other.startswith(counted)]
    return dict(sorted(found.items()))


def _file(module: str) -> Path | None:
    path = ROOT.parent.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@cache
def _read(file: Path, _: int, settings: bool) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's code, and the names of all that it may import."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
    return hashlib.sha256(json.dumps(_plain(tree, settings)).encode()).hexdigest(), tuple(imports)


def _plain(node: Any, settings: bool) -> Any:
    """A syntax tree as nested lists, the same for every version of Python; None for words and,
    unless they are asked for, for classes of settings."""
    if isinstance(node, list):
        return [plain for item in node if (plain := _plain(item, settings)) is not None]
    if not isinstance(node, ast.AST):
        return repr(node)
    if _is_words(node):
        return None
    if isinstance(node, ast.ClassDef) and node.name.endswith("Settings") and not settings:
        return None
    kind = type(node).__name__
    if isinstance(node, ast.Raise):
        return [kind]
    if isinstance(node, ast.ClassDef):
        node = ast.ClassDef(
            name=node.name,
            bases=node.bases,
            keywords=node.keywords,
            body=[item for item in node.body if not _is_about(item)],
            decorator_list=node.decorator_list,
        )
    parts = []
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "ctx", "type_comment", "kind", "type_params"):
            continue
        if value is None or value == []:
            continue
        parts.append([field, _plain(value, settings)])
    return [kind, parts]


def _is_words(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.keyword):
        return node.arg == "description"
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_about(node: ast.AST) -> bool:
    """Whether a statement in the body of a class only says something about it."""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id in _ABOUT
    if isinstance(node, ast.Assign):
        return all(isinstance(t, ast.Name) and t.id in _ABOUT for t in node.targets)
    return isinstance(node, ast.FunctionDef) and node.name in _ABOUT
