"""One frozen configuration for a run: every setting, its default from the paper, and presets.

The defaults *are* the paper (section 4.1), with the released code filling in where the paper is
silent; a preset lists only what it changes, each with its reason. Unknown keys and ill-typed
values are refused with the list of what would be valid.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mcxlib import colorspace as cs

Method = Literal["mcx-api", "api-net"]

BACKBONES = MappingProxyType(
    {
        # Section 4.1: Xception for MCX-API; Table 1: "API-Net(ResNet101)".
        "paper": {"mcx-api": "legacy_xception", "api-net": "resnet101"},
        # About 1 and 5 million weights: what two CPU cores can train in a minute.
        "demo": {"mcx-api": "slim_xception", "api-net": "resnet10t"},
        "test": {"mcx-api": "slim_xception", "api-net": "resnet10t"},
    }
)

_DEMO: dict[str, Any] = {
    # Two cores, minutes instead of days: small crops, and the few steps they allow.
    "crop_size": 96,
    "input_size": 80,
    "epochs": 11,
    # The synthetic videos are half a second long: frames spread over them differ more than the
    # first ones do.
    "frame_rule": "even",
    "frame_count": 8,
    # SGD at 0.01 does not leave the chance level in so few steps from random weights; AdamW with
    # a one-cycle schedule does.
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "lr": 3e-3,
    "weight_decay": 0.05,
    # Freezing a backbone of random weights would spend the few steps on random features.
    "freeze_epochs": 0,
    # Running statistics with the usual momentum lag behind the weights in so short a run.
    "batchnorm_momentum": 0.2,
}

PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "paper": {},
        "demo": _DEMO,
        # For the tests: the demo on fewer people and fewer steps. Its numbers mean nothing.
        "test": _DEMO | {"crop_size": 72, "input_size": 64, "epochs": 16, "frame_count": 5},
    }
)


class RunConfig(BaseModel):
    """Settings of one run. Frozen; build it with :func:`load`, which knows the presets."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    preset: Literal["paper", "demo", "test"] = "demo"

    # -- model ------------------------------------------------------------------------------
    method: Method = "mcx-api"
    colorspace: str = Field("rgb", description="sec. 3, Table 1 and 3: colour spaces joined by +")
    backbone: str = Field("", description="a timm name or slim_xception; '' is the preset's own")
    pretrained: bool = Field(False, description="not in the paper; the released code has False")

    # -- data -------------------------------------------------------------------------------
    protocol: Literal["paper", "official"] = Field(
        "paper", description="FaceForensics++: sec. 4.1, by target identity; or its published split"
    )
    celebdf_protocol: Literal["celebdf_paper", "celebdf_official"] = Field(
        "celebdf_paper", description="sec. 4.1: id51 to id61; or Celeb-DF's own test list"
    )
    draw_seed: int = Field(0, ge=0, description="of KoDF's and FakeAVCeleb's draws; not in paper")
    compression: Literal["c0", "c23", "c40"] = Field("c23", description="Table 1: FF++ c23")
    frame_rule: Literal["first", "every", "even"] = Field("first", description="sec. 4.1")
    frame_count: int = Field(30, ge=1, description="sec. 4.1: first 30 frames; 0 < n")
    frame_step: int = Field(10, ge=1, description="for 'every': the released script's step")
    faces: Literal["largest", "all"] = Field("largest", description="not in the paper")
    detection: Literal["fast", "exact"] = Field(
        "fast", description="exact: MTCNN on every whole frame, as the released code"
    )
    crop_rule: Literal["loose", "authors", "whole"] = Field(
        "loose", description="sec. 4.1: loose crop; whole: frames that are crops already"
    )
    crop_size: int = Field(512, ge=32, description="sec. 4.1: 512 px stored")
    input_size: int = Field(448, ge=32, description="sec. 4.1: 448 px shown to the network")

    # -- training ---------------------------------------------------------------------------
    categories: int = Field(3, ge=2, description="sec. 4.1: three random categories a batch")
    per_category: int = Field(9, ge=2, description="sec. 4.1: nine images of each")
    distance: Literal["euclidean", "cosine"] = Field("euclidean", description="sec. 4.1")
    margin: float = Field(0.05, description="sec. 4.1: epsilon of eq. 4")
    rank_weight: float = Field(1.0, ge=0, description="sec. 4.1: lambda of eq. 5")
    epochs: int = Field(100, ge=1, description="sec. 4.1")
    freeze_epochs: int = Field(8, ge=0, description="sec. 4.1: backbone frozen at first")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="released code")
    schedule: Literal["cosine", "one-cycle"] = Field("cosine", description="sec. 4.1")
    lr: float = Field(0.01, gt=0, description="sec. 4.1")
    momentum: float = Field(0.9, ge=0, lt=1, description="released code")
    weight_decay: float = Field(5e-4, ge=0, description="released code")
    batchnorm_momentum: float | None = Field(None, description="None keeps the backbone's own")
    selection: Literal["auc", "bosc"] = Field("auc", description="validation metric; not in paper")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="not in the paper; 16-mixed scales the loss"
    )
    mining: Literal["process", "gathered"] = Field(
        "process", description="several processes: pairs within each batch, or over all of them"
    )
    seed: int = Field(0, ge=0)

    @field_validator("colorspace")
    @classmethod
    def _known_colorspace(cls, value: str) -> str:
        cs.parse(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.input_size > self.crop_size:
            raise ValueError(
                f"input_size {self.input_size} is larger than crop_size {self.crop_size}: "
                "the network's input is cut out of the stored crop"
            )
        if self.freeze_epochs >= self.epochs:
            raise ValueError(
                f"freeze_epochs {self.freeze_epochs} leaves none of the {self.epochs} epochs "
                "to train the backbone"
            )
        if self.method == "api-net" and self.colorspace != "rgb":
            raise ValueError(
                f"api-net is the base architecture on rgb; for {self.colorspace!r} use mcx-api"
            )
        if not self.backbone:
            object.__setattr__(self, "backbone", BACKBONES[self.preset][self.method])
        return self

    @property
    def run_id(self) -> str:
        """Folder name of the run; settings that differ from the preset add a short digest."""
        name = f"{self.method}_{self.colorspace}_seed{self.seed}"
        plain = load(
            preset=self.preset, method=self.method, colorspace=self.colorspace, seed=self.seed
        )
        if plain == self:
            return name
        changed = {k: v for k, v in self.model_dump().items() if v != getattr(plain, k)}
        return (
            f"{name}_{hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:6]}"
        )

    @property
    def is_synthetic(self) -> bool:
        """Whether numbers from this run come from synthetic demonstration data."""
        return self.preset != "paper"

    @property
    def source(self) -> str:
        """Which data a number from this run comes from, in words for tables and captions."""
        return "synthetic demonstration data" if self.is_synthetic else "the distributed data sets"


def load(preset: str = "demo", **overrides: Any) -> RunConfig:
    """The configuration of ``preset`` with ``overrides``.

    Raises:
        ValueError: unknown preset, unknown key (with the nearest valid one and the whole list),
            ill-typed value or unknown colour space; one message names all of them.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    fields = [name for name in RunConfig.model_fields if name != "preset"]
    for key in overrides:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown setting {key!r}{hint} Valid: {', '.join(fields)}")
    try:
        return RunConfig(preset=preset, **(PRESETS[preset] | overrides))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = ".".join(map(str, item["loc"])) or "settings"
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"{name} = {item['input']!r}: {text}" if item["loc"] else text)
        raise ValueError("; ".join(lines)) from None
