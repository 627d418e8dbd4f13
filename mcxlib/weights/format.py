"""Write and read weights as safetensors with their card; older files are migrated when read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from mcxlib import CLASSES, detectors
from mcxlib import config as configs
from mcxlib.config import RunConfig
from mcxlib.detectors.base import Detector, set_batchnorm_momentum
from mcxlib.files import replacing
from mcxlib.weights.card import FORMAT, Card


class Loaded(NamedTuple):
    """A network from a file."""

    model: Detector
    """In evaluation mode, on the CPU."""
    config: RunConfig
    card: Card


def build(config: RunConfig, classes: tuple[str, ...] = CLASSES) -> Detector:
    """The network a configuration describes, with fresh weights, in channels-last memory."""
    settings = {name: getattr(config.model, name) for name in type(config.model).model_fields}
    model = detectors.build(config.detector, classes, **settings)
    set_batchnorm_momentum(model, config.train.batchnorm_momentum)
    return model


def save(path: Path, model: Detector, card: Card) -> None:
    """Write ``model`` and its card, whole or not at all.

    Raises:
        OutOfSpace: no room; a file that was there before is untouched.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"format": str(card.format), "card": card.model_dump_json()}
    with replacing(path) as temporary:
        # Written by Python: the library's own writer reports a full disk as a broken file.
        temporary.write_bytes(to_bytes(tensors, metadata=metadata))


def load(path: Path) -> Loaded:
    """A network, its configuration and its card.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, not one of this project's, of a newer format, made with
            settings of the detector that this program does not have, or its tensors do not fit the
            network its own configuration describes; says which.
    """
    path = Path(path)
    card = read_card(path)
    with _understood(path):
        config = configs.from_stored(card.config)
        strange = configs.strange(card.config)
    if strange:
        raise ValueError(
            f"{path} was made with settings of {config.detector} that this program does not have "
            f"({', '.join(strange)}), and might compute something else here; use the version of "
            "mcxlib that its provenance names"
        )
    with _understood(path):
        # What the file holds takes the place of what training began with.
        fresh = config.model.model_copy(update={"pretrained": False})
        model = build(config.model_copy(update={"model": fresh}), card.classes)
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network it describes: {error}") from error
    return Loaded(model.eval(), config, card)


def read_backbone(path: Path) -> dict[str, Any] | None:
    """What an imported backbone says of itself; None for another file. Errors as :func:`load`."""
    text = _metadata(Path(path)).get("backbone")
    return json.loads(text) if text else None


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; train the run first")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error})") from error


def read_card(path: Path) -> Card:
    """The card alone; no network is built. Errors as :func:`load`."""
    path = Path(path)
    metadata = _metadata(path)
    with _understood(path):
        if "card" in metadata:
            values = json.loads(metadata["card"])
            if values["format"] <= FORMAT:
                return Card(**values)
            raise ValueError(
                f"{path} is of format {values['format']}, and this program reads up to {FORMAT}; "
                "update it"
            )
        if "config" in metadata:
            return _migrated(json.loads(metadata["config"]), metadata)
    if "backbone" in metadata:
        raise ValueError(
            f"{path} is a backbone, not a detector; train with it: mcx train --set "
            f"pretrained='{path}'"
        )
    raise ValueError(
        f"{path} holds no card and no run configuration: it was not written by this project; its "
        "layout cannot be guessed"
    )


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """What a damaged or made-up card breaks is said in one line that names the file."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__} in it"
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        elif isinstance(error, ValueError):
            what = str(error)
        if what.startswith(str(path)):
            raise
        raise ValueError(
            f"{path} has a card that cannot be understood ({what}); take the file as mcx wrote it"
        ) from error


def _migrated(values: dict, metadata: dict[str, str]) -> Card:
    """The card of a file that was written before there were cards."""
    config = configs.from_stored(values)
    rendered = config.data.videos == "rendered"
    return Card(
        format=0,
        detector=config.detector,
        label=config.label,
        classes=CLASSES,
        score_kind=f"1 - p(real) of a softmax over {len(CLASSES)} classes",
        input={"size": config.train.input_size, "colour": "RGB", "range": [0, 1]},
        config=values,
        crop_contract=json.loads(metadata.get("crop_contract", "{}")),
        trained_on={"dataset": config.data.train_on, "synthetic": rendered},
    )
