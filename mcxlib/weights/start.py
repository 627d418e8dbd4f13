"""Weights that a training begins with, whatever part of a network they fit."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import nn

from mcxlib.weights.format import read_card


def begin_with(model: nn.Module, path: Path, part: str = "all") -> str:
    """Copy the tensors of a file of weights whose names and shapes ``model`` has; returns what was
    taken and what stays as it was, in words.

    Args:
        model: changed in place.
        path: a file of weights of any detector.
        part: "all", or "backbone": the modules of that name alone.

    Raises:
        FileNotFoundError, ValueError: as :func:`mcxlib.weights.read_card`; or nothing fits.
    """
    label = read_card(path).label
    state = model.state_dict()
    own = {name: t for name, t in state.items() if part == "all" or "backbone." in name}
    with safe_open(path, framework="pt") as file:
        there = set(file.keys())
        found = {name: file.get_tensor(name) for name in own if name in there}
    fitting = {name: tensor for name, tensor in found.items() if tensor.shape == own[name].shape}
    if not any(name.endswith("weight") for name in fitting):
        raise ValueError(
            f"{path} ({label}) has no tensor of the name and shape of one of this network's; begin "
            "with weights of the same backbone"
        )
    model.load_state_dict(fitting, strict=False)
    # The running statistics' counters say nothing to a reader.
    fresh = [name for name in state if name not in fitting and not name.endswith("tracked")]
    rest = f"fresh: {', '.join(fresh)}" if fresh else "nothing is fresh"
    return f"begins with {len(fitting)} of {len(state)} tensors of {path} ({label}); {rest}"
