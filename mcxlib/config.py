"""One frozen configuration for a run: the data's settings, the training's and the detector's own.

The defaults *are* the paper; a preset lists only what it changes. Settings are named flat, as a
person types them (``load("demo", colorspace="hsv", epochs=3)``), and kept apart by who reads them.
Unknown names and ill-typed values are refused with the list of what would be valid.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, model_validator

from mcxlib import detectors
from mcxlib.presets import PRESETS
from mcxlib.settings.data import DataConfig
from mcxlib.settings.train import TrainConfig

FORMAT = 1
"""Of :meth:`RunConfig.stored`; before it, one flat object with ``method`` for the detector."""

ALIASES = {"method": "detector"}
"""Names of former days that are still understood."""


class RunConfig(BaseModel):
    """Settings of one run. Frozen; build it with :func:`load`, which knows the presets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    data: DataConfig
    train: TrainConfig
    model: SerializeAsAny[BaseModel]
    """The detector's own settings, an instance of its ``Settings``."""

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.train.input_size > self.data.crop_size:
            raise ValueError(
                f"input_size {self.train.input_size} is larger than crop_size "
                f"{self.data.crop_size}: the network's input is cut out of the stored crop"
            )
        if self.train.freeze_epochs >= self.train.epochs:
            raise ValueError(
                f"freeze_epochs {self.train.freeze_epochs} leaves none of the {self.train.epochs} "
                "epochs to train the backbone"
            )
        return self

    @property
    def preset(self) -> str:
        return self.data.preset

    @property
    def seed(self) -> int:
        return self.train.seed

    @property
    def colorspace(self) -> str:
        """The colour spaces the network sees; a detector without that setting sees RGB."""
        return getattr(self.model, "colorspace", "rgb")

    @property
    def label(self) -> str:
        """The row of the paper's tables the run belongs to."""
        return detectors.find(self.detector).label(self.model)

    def flat(self) -> dict[str, Any]:
        """Every setting by its name, as plain values."""
        values = {"detector": self.detector}
        for part in (self.data, self.train, self.model):
            values |= part.model_dump(mode="json")
        return values

    def but(self, **settings: Any) -> RunConfig:
        """The same run with other settings, by their names. Errors as :func:`load`; another
        detector is another run, with other settings, and is loaded."""
        values = self.flat()
        detector = values.pop("detector")
        if settings.pop("detector", detector) != detector:
            raise ValueError(
                f"this is a run of {detector}: load a configuration of another detector"
            )
        known(self.preset, settings, _settings(detector))
        return _build(detector, values | settings)

    def changed(self) -> dict[str, Any]:
        """The settings that are not their defaults (the paper's): what a recipe is made of."""
        return {
            name: value
            for part in (self.data, self.train, self.model)
            for name, value in part.model_dump(mode="json", exclude_defaults=True).items()
            if name != "preset"
        }

    def stored(self) -> dict[str, Any]:
        """What :func:`from_stored` reads back, ready for JSON."""
        return {"format": FORMAT, "run_id": self.run_id, "label": self.label} | json.loads(
            self.model_dump_json()
        )

    @property
    def run_id(self) -> str:
        """Folder name of the run; settings that differ from the preset add a short digest."""
        name = f"{self.detector}_{self.colorspace}_seed{self.seed}"
        plain = load(self.preset, **_named(self)).flat()
        changed = {k: v for k, v in self.flat().items() if v != plain[k]}
        if not changed:
            return name
        text = json.dumps(changed, sort_keys=True)
        return f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _named(config: RunConfig) -> dict[str, Any]:
    """The settings that a run's name spells out."""
    named: dict[str, Any] = {"detector": config.detector, "seed": config.seed}
    if "colorspace" in type(config.model).model_fields:
        named["colorspace"] = config.colorspace
    return named


def _parts(detector: str) -> dict[str, type[BaseModel]]:
    return {
        "data": DataConfig,
        "train": TrainConfig,
        "model": detectors.find(detector).Settings,
    }


def _settings(detector: str) -> list[str]:
    """The names :func:`load` takes for a detector."""
    fields = [name for part in _parts(detector).values() for name in part.model_fields]
    return ["detector", *(name for name in fields if name != "preset")]


def load(preset: str = "demo", **overrides: Any) -> RunConfig:
    """The configuration of ``preset`` with ``overrides``.

    Raises:
        ValueError: unknown preset or detector, unknown setting (with the nearest valid one and the
            whole list), ill-typed value or unknown colour space; one message names all of them.
    """
    values = {ALIASES.get(name, name): value for name, value in overrides.items()}
    detector = values.pop("detector", "mcx-api")
    known(preset, values, _settings(detector))
    presets = {**PRESETS[preset], **detectors.find(detector).presets.get(preset, {})}
    return _build(detector, {"preset": preset} | presets | values)


def load_data(preset: str = "demo", **overrides: Any) -> DataConfig:
    """The data's settings alone, without importing a network library. Errors as :func:`load`."""
    fields = DataConfig.model_fields
    known(preset, overrides, [name for name in fields if name != "preset"])
    values = {k: v for k, v in PRESETS[preset].items() if k in fields} | overrides
    return explained(lambda: DataConfig(preset=preset, **values))


def from_stored(values: dict[str, Any]) -> RunConfig:
    """The configuration :meth:`RunConfig.stored` gave, of this format or an older one.

    Raises:
        ValueError: a newer format, an unknown detector, or values that are not valid.
    """
    if values.get("format", 0) > FORMAT:
        raise ValueError(f"configuration of format {values['format']}; this program reads {FORMAT}")
    if "format" in values:
        values = {"detector": values["detector"]} | {
            name: value
            for part in ("data", "train", "model")
            for name, value in values[part].items()
        }
    values = {ALIASES.get(k, k): v for k, v in values.items() if k not in ("run_id", "label")}
    # Before there was a choice, every preset but the paper's was of rendered videos.
    values.setdefault("videos", "distributed" if values["preset"] == "paper" else "rendered")
    return _build(values.pop("detector"), values)


def strange(values: dict[str, Any]) -> list[str]:
    """What :func:`from_stored` leaves out because the detector has no such setting any more, as
    ``name = value``: a network built without it need not be the one that was trained."""
    if "format" not in values:  # one flat object of all settings: whose each was is not known
        return []
    fields = detectors.find(values["detector"]).Settings.model_fields
    return [f"{name} = {value!r}" for name, value in values["model"].items() if name not in fields]


def known(preset: str, values: dict[str, Any], fields: list[str]) -> None:
    """Refuse a preset or a setting that does not exist."""
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"unknown setting {key!r}{hint} Valid: {', '.join(fields)}")


def _build(detector: str, values: dict[str, Any]) -> RunConfig:
    parts = _parts(detector)
    sections = {
        name: {k: v for k, v in values.items() if k in part.model_fields}
        for name, part in parts.items()
    }

    def build() -> RunConfig:
        model = parts["model"](**sections.pop("model"))
        data, train = DataConfig(**sections["data"]), TrainConfig(**sections["train"])
        return RunConfig(detector=detector, data=data, train=train, model=model)

    return explained(build)


def explained(build: Any) -> Any:
    """Call ``build``; pydantic's complaints become one line that names settings and values."""
    try:
        return build()
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = str(item["loc"][-1]) if item["loc"] else "settings"
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"{name} = {item['input']!r}: {text}" if item["loc"] else text)
        raise ValueError("; ".join(lines)) from None
