"""Weights and training states on disk, written whole or not at all, loaded without running code."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mcxlib.config import RunConfig, load
from mcxlib.files import digest, replacing, write_text
from mcxlib.model import MCXAPI

KEPT = 2
"""Training states kept; an older one serves when the newest is damaged."""


def build(config: RunConfig) -> MCXAPI:
    """The network a configuration describes, with fresh weights, in channels-last memory."""
    model = MCXAPI(
        colorspace=config.colorspace, backbone=config.backbone, pretrained=config.pretrained
    )
    if config.batchnorm_momentum is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = config.batchnorm_momentum
    return model.to(memory_format=torch.channels_last)


def save_weights(path: Path, model: MCXAPI, config: RunConfig, contract: dict[str, Any]) -> None:
    """Write ``model`` as safetensors; the configuration and crop contract travel inside."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"config": config.model_dump_json(), "crop_contract": json.dumps(contract)}
    with replacing(path) as temporary:
        # Written by Python: the library's own writer reports a full disk as a broken file.
        temporary.write_bytes(save(tensors, metadata=metadata))


def load_weights(path: Path) -> tuple[MCXAPI, RunConfig, dict[str, Any]]:
    """Model in evaluation mode, its configuration and crop contract, from a safetensors file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, not one of this project's, or its tensors do not fit
            the network its own configuration describes; says which.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; train the run first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error})") from error
    if "config" not in metadata:
        raise ValueError(
            f"{path} holds no run configuration: it was not written by this project; "
            "its layout cannot be guessed"
        )
    values = json.loads(metadata["config"]) | {"pretrained": False}
    config = load(**values)
    model = build(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network it describes: {error}") from error
    return model.eval(), config, json.loads(metadata.get("crop_contract", "{}"))


def save_state(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a training state as ``step-NNNNNNNN.pt``; keep the newest ``KEPT``.

    The checksum is written first: a state without a matching one was cut short. States of later
    steps are removed: they are the damaged ones that a fallback left behind.

    Raises:
        OutOfSpace: the disk is full; the states before this one are kept.
    """
    folder = Path(folder)
    path = _state_path(folder, step)
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        # Written by Python, whose errors say why, unlike those of torch's own writer.
        temporary.write_bytes(content.getbuffer())
        write_text(path.with_suffix(".sha256"), hashlib.sha256(content.getbuffer()).hexdigest())
    states = sorted(folder.glob("step-*.pt"))
    here = states.index(path)
    for old in states[: max(0, here + 1 - KEPT)] + states[here + 1 :]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    return path


def latest_state(folder: Path) -> dict[str, Any] | None:
    """The newest undamaged training state, or None; warns about each damaged one it passes."""
    for path in sorted(Path(folder).glob("step-*.pt"), reverse=True):
        checksum = path.with_suffix(".sha256")
        if checksum.is_file() and checksum.read_text().strip() == digest(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        warnings.warn(f"{path} is damaged; going back to the state before it", stacklevel=2)
    return None


def _state_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"
