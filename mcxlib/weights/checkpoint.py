"""Files of other people's weights -> named tensors, without running any code that is in them.

A PyTorch checkpoint is a pickle, and a pickle is a program. It is read by PyTorch's restricted
reader, which knows how to build tensors and plain containers and nothing else; NumPy's scalars are
added, since training scripts store an accuracy with the weights.
"""

from __future__ import annotations

import builtins
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Under one of these, training scripts store the weights beside other things."""

_SCALARS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    # The same function, as NumPy 1 called it.
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
]
_GLOBAL = re.compile(r"GLOBAL ([A-Za-z_][\w.]*)")
"""How the restricted reader names what it did not take."""
_PROGRAMS = frozenset(
    {"builtins", "importlib", "nt", "os", "posix", "pty", "runpy", "shutil", "socket", "subprocess"}
    | {"sys", "webbrowser", "__builtin__"}
)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint (zip or legacy), a safetensors or a Keras HDF5 file.

    Wrappers around a state dict are taken off: the dict it lies in, ``module.`` before every name.
    Of an HDF5 file, names are ``layer/weight`` and arrays as Keras stores them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint; a whole pickled network; a pickle that would run code; no
            named tensors in it; says which and what to do.
        RuntimeError: a package to read it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} to import")
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(_HDF5):
        return _keras(path)
    if start[8:] == b"{" and path.suffix == ".safetensors":
        return _safetensors(path)
    return _unwrapped(path, _pickled(path))


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            if {"card", "config", "backbone"} & (file.metadata() or {}).keys():
                raise ValueError(f"{path} is a file of weights of this project already; use it")
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error})") from error
    return _unwrapped(path, found)


def _pickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_SCALARS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of is refused here, in one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, str(error))) from None
    except Exception as error:  # a damaged file fails in many ways, depending on where
        text = str(error)
        if "TorchScript" in text:
            raise ValueError(
                f"{path} is a TorchScript program, not weights; save the state dict of the network "
                "it was made of: torch.save(model.state_dict(), 'weights.pth')"
            ) from None
        raise ValueError(
            f"{path} is not a checkpoint that can be read ({type(error).__name__}); known are "
            "PyTorch's (.pth, .pt, .tar), .safetensors and Keras's .h5: is it complete, or still "
            "packed in an archive?"
        ) from error


def _refusal(path: Path, text: str) -> str:
    """What to say of a pickle that the restricted reader did not take."""
    found = _GLOBAL.search(text)
    if found is None:
        return (
            f"{path} is not a checkpoint that can be read without running code; nothing of it was "
            "run. Known are PyTorch's state dicts (.pth, .pt, .tar), .safetensors and Keras's .h5"
        )
    name = found[1]
    if name.split(".")[0] in _PROGRAMS or hasattr(builtins, name):
        return (
            f"{path} would call {name} when it is opened: this is a program, not weights. Nothing "
            "of it was run; do not open it by other means"
        )
    return (
        f"{path} holds a whole pickled object ({name}), not only its weights, and opening it would "
        "run code; nothing of it was run. If you trust its source, open it there and save the "
        "weights alone: torch.save(model.state_dict(), 'weights.pth')"
    )


def _unwrapped(path: Path, found: Any) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    if not isinstance(found, dict) or not found:
        raise ValueError(
            f"{path} holds no state dict but a {type(found).__name__}; save one: "
            "torch.save(model.state_dict(), 'weights.pth')"
        )
    wrong = [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if wrong or not all(isinstance(key, str) for key in found):
        raise ValueError(
            f"{path}: a state dict has a tensor to every name, but there is none at "
            f"{listed(wrong or [str(key) for key in found if not isinstance(key, str)])}"
        )
    if all(key.startswith("module.") for key in found):
        found = {key.removeprefix("module."): value for key, value in found.items()}
    return dict(found)


def _keras(path: Path) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise RuntimeError(
            f"{path} is an HDF5 file, and h5py is not installed: pip install '.[weights]' in "
            "the project's folder"
        ) from error
    arrays: dict[str, Tensor] = {}

    def keep(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            # .../conv2d_1/kernel:0
            layer, weight = item.name.split("/")[-2:]
            arrays[f"{layer}/{weight.split(':')[0]}"] = torch.from_numpy(np.asarray(item))

    try:
        with h5py.File(path, "r") as file:
            file.get("model_weights", file).visititems(keep)
    except Exception as error:  # a damaged file fails in many ways, depending on where
        raise ValueError(f"{path} is a damaged HDF5 file ({error})") from error
    if not arrays:
        raise ValueError(f"{path} is an HDF5 file without weights of Keras layers")
    return arrays


def listed(names: list[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
