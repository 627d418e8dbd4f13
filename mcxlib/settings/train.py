"""How a network is trained, whichever it is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """Settings of the training. The defaults are the paper's (section 4.1), with the released
    code filling in where the paper is silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    input_size: int = Field(448, ge=32, description="sec. 4.1: 448 px shown to the network")
    categories: int = Field(3, ge=2, description="sec. 4.1: three random categories a batch")
    per_category: int = Field(9, ge=2, description="sec. 4.1: nine images of each")
    batches: Literal["random", "paired"] = Field(
        "random", description="sec. 4.1: random images; or each fake with a real one of its source"
    )
    epochs: int = Field(100, ge=1, description="sec. 4.1")
    freeze_epochs: int = Field(8, ge=0, description="sec. 4.1: backbone frozen at first")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="released code")
    schedule: Literal["constant", "cosine", "one-cycle"] = Field("cosine", description="sec. 4.1")
    lr: float = Field(0.01, gt=0, description="sec. 4.1")
    momentum: float = Field(0.9, ge=0, lt=1, description="released code")
    weight_decay: float = Field(5e-4, ge=0, description="released code")
    batchnorm_momentum: float | None = Field(None, description="None keeps the network's own")
    selection: Literal["auc", "bosc"] = Field("auc", description="validation metric; not in paper")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="not in the paper; 16-mixed scales the loss"
    )
    start_from: str = Field(
        "", description="weights to begin with: a run's name or a file; not in the paper"
    )
    start_part: Literal["all", "backbone"] = Field(
        "all", description="begin with all that fits, or with the backbone alone"
    )
    seed: int = Field(0, ge=0, description="of weights, batches and augmentation")
