"""Which videos a run uses and how faces are cut out of them: everything that decides a crop."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DataConfig(BaseModel):
    """Settings of the data. The defaults are the paper's (section 4.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    preset: str = Field("demo", description="names the folders that data and runs lie in")
    study: str = Field(
        "", pattern="^[a-z0-9-]*$", description="folder of runs that are no rows of the tables"
    )
    videos: Literal["distributed", "rendered"] = Field(
        "distributed", description="data sets as distributed ($MCX_VIDEOS), or the drawn people"
    )
    train_on: str = Field("FaceForensics++", description="sec. 4.1: the data set trained on")
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
    detection: Literal["fast", "exact", "tracked"] = Field(
        "fast",
        description="exact: MTCNN on every whole frame, as the released code; tracked: faces are "
        "followed from frame to frame",
    )
    crop_rule: Literal["loose", "authors", "seferbekov", "aligned", "whole"] = Field(
        "loose",
        description="sec. 4.1: loose crop; seferbekov: the box and a third more on each side, "
        "not square; aligned: eyes, nose and mouth in the same place in all frames, for clips; "
        "whole: frames that are crops already",
    )
    crop_size: int = Field(512, ge=32, description="sec. 4.1: 512 px stored")

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.crop_rule == "aligned" and self.faces == "all":
            raise ValueError(
                "crop_rule aligned follows one face through a video: set faces to largest"
            )
        return self


CROP_FIELDS = (
    "frame_rule",
    "frame_count",
    "frame_step",
    "faces",
    "detection",
    "crop_rule",
    "crop_size",
)
"""The settings that decide what a crop looks like."""

PROTOCOL_FIELDS = ("protocol", "celebdf_protocol", "draw_seed")
"""The settings that decide which videos are used for what."""
