"""A file of other people's weights -> a file of this project's, with a card that says whose."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from mcxlib import config as configs
from mcxlib import provenance
from mcxlib.config import RunConfig
from mcxlib.data.faces.contract import contract
from mcxlib.detectors import backbones
from mcxlib.files import digest, replacing
from mcxlib.weights import checkpoint, known
from mcxlib.weights.card import Card
from mcxlib.weights.checkpoint import listed
from mcxlib.weights.format import build, read_backbone, read_card, save
from mcxlib.weights.layouts import LAYOUTS, Layout, Tensors, canonical

BACKBONE = "legacy_xception"
"""What :mod:`.layouts` calls a backbone alone."""


class Imported(NamedTuple):
    """What an import made."""

    path: Path
    layout: Layout
    dropped: tuple[str, ...]
    """Tensors of the original that no output depends on."""


def import_weights(path: Path, layout: str = "", output: Path | None = None) -> Imported:
    """Make a ``.safetensors`` of this project out of a published file, beside it or as ``output``.

    No code in the file is run. Every tensor is accounted for: taken, or dropped by name.

    Args:
        path: a PyTorch checkpoint, a safetensors or a Keras HDF5 file.
        layout: a name of :data:`LAYOUTS`; by default, found out from the names in the file.
        output: by default the file's name without its last suffixes, in the same folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as :func:`.checkpoint.read`; a layout that is not known; tensors that are
            missing, unknown, of another shape or not finite; something else at ``output``.
    """
    path = Path(path)
    tensors = canonical(checkpoint.read(path))
    chosen = _layout(path, tensors, layout)
    config = _config(chosen)
    state, dropped = _matched(path, chosen, tensors, _expected(chosen.name))
    output = output or path.with_name(f"{_stem(path)}.safetensors")
    sha256 = digest(path)
    _check_output(output, path, sha256)
    about = _about(chosen, path, sha256, dropped)
    if config is None:
        _save_backbone(output, state, about)
    else:
        model = build(config, chosen.classes)
        model.load_state_dict(state)
        save(output, model, _card(chosen, config, model.score_kind, about))
    return Imported(output, chosen, dropped)


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".tar", ".pth", ".pt", ".ckpt", ".pkl", ".h5", ".hdf5", ".safetensors"):
        name = name.removesuffix(suffix)
    return f"{name}.imported" if path.suffix == ".safetensors" else name or path.name


def _layout(path: Path, tensors: Tensors, name: str) -> Layout:
    names = [entry.name for entry in LAYOUTS]
    if name:
        if name not in names:
            raise ValueError(f"unknown layout {name!r}; valid: {', '.join(names)}")
        return LAYOUTS[names.index(name)]
    for entry in LAYOUTS:
        if entry.fits(tensors):
            return entry
    shares = {entry.name: _share(entry, tensors) for entry in LAYOUTS}
    nearest = max(shares, key=lambda key: shares[key])
    hint = (
        f"nearest is {nearest}, which has {shares[nearest]:.0%} of its names; --as {nearest} says "
        "what does not fit"
        if shares[nearest] >= 0.01
        else f"none of them has its names ({listed(list(tensors))})"
    )
    raise ValueError(f"{path} is of no layout that is known ({', '.join(names)}); {hint}")


def _share(layout: Layout, tensors: Tensors) -> float:
    """Of the names in a file, the part that a layout knows."""
    theirs = {name for key in _expected(layout.name) for name in layout.theirs(key)}
    return sum(k in theirs or _extra(layout, k) for k in tensors) / len(tensors)


def _extra(layout: Layout, name: str) -> bool:
    return re.fullmatch(layout.extra, name) is not None


def _config(layout: Layout) -> RunConfig | None:
    """Of the run the weights are taken to be of; None for a backbone."""
    if not layout.detector:
        return None
    return configs.load("paper", detector=layout.detector, **layout.settings)


@cache
def _expected(name: str) -> dict[str, Tensor]:
    """The tensors of a layout's network by our names: shapes and types, no values."""
    layout = next(entry for entry in LAYOUTS if entry.name == name)
    config = _config(layout)
    with torch.device("meta"):
        if config is None:
            return backbones.create(BACKBONE, 3).state_dict()
        return build(config, layout.classes).state_dict()


def _matched(
    path: Path, layout: Layout, tensors: Tensors, expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Their tensors by our names, and the names of those that are not needed."""
    state: dict[str, Tensor] = {}
    left, missing, misshaped = dict(tensors), [], []
    for name, wanted in expected.items():
        options = layout.theirs(name)
        theirs = next((option for option in options if option in left), None)
        if theirs is not None:
            value = left.pop(theirs)
            if value.shape != wanted.shape:
                misshaped.append(f"{theirs} {tuple(value.shape)} for {tuple(wanted.shape)}")
            state[name] = value.to(wanted.dtype)
        elif name.endswith("num_batches_tracked"):  # older writers have none; scoring needs none
            state[name] = torch.zeros((), dtype=torch.long)
        else:
            missing.append(options[0])
    dropped = tuple(name for name in left if _extra(layout, name))
    unknown = [name for name in left if name not in dropped]
    odd = [name for name, value in state.items() if not value.isfinite().all()]
    complaints = {
        "missing": missing,
        "unknown": unknown,
        "of another shape": misshaped,
        "not finite": odd,
    }
    if any(complaints.values()):
        said = "; ".join(f"{what}: {listed(names)}" for what, names in complaints.items() if names)
        raise ValueError(
            f"{path} does not fit {layout.name} ({layout.what}): {said}. Is it another network, or "
            "a changed one?"
        )
    return state, dropped


def _check_output(output: Path, original: Path, sha256: str) -> None:
    """Only an earlier import of the same file is written over."""
    if not output.exists():
        return
    try:
        about = read_backbone(output) or read_card(output).imported or {}
    except ValueError:
        about = {}
    if output.samefile(original) or about.get("sha256") != sha256:
        raise ValueError(f"{output} is there already and is something else; give --output")


def _about(layout: Layout, path: Path, sha256: str, dropped: tuple[str, ...]) -> dict[str, Any]:
    published = known.of(layout.name, path.name)
    return {
        "layout": layout.name,
        "what": layout.what,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "published": published.published,
        "licence": published.licence,
        "trained_on": published.trained_on,
        "normalisation": layout.normalisation,
        "dropped": list(dropped),
    }


def _card(layout: Layout, config: RunConfig, score_kind: str, about: dict[str, Any]) -> Card:
    return Card(
        detector=config.detector,
        label=f"{config.label}, imported from {layout.what}",
        classes=layout.classes,
        score_kind=score_kind,
        input={"size": config.train.input_size, "colour": "RGB", "range": [0, 1]},
        config=config.stored(),
        crop_contract=contract(config.data) | dict(layout.crops),
        validation={
            "threshold": 0.5,
            "threshold_from": "convention: nothing is known of these weights on validation data",
        },
        trained_on={"dataset": about["trained_on"], "synthetic": False},
        recipe=None,
        provenance=provenance.collect(),
        imported=about | {"note": "how it was trained is not known: config says what to score by"},
    )


def _save_backbone(path: Path, state: dict[str, Tensor], about: dict[str, Any]) -> None:
    tensors = {name: value.contiguous() for name, value in state.items()}
    metadata = {"backbone": json.dumps({"backbone": BACKBONE} | about)}
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata=metadata))
