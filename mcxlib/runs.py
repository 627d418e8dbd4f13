"""A run's folder: what lies in it, whether it is finished, by which recipe. No other module knows
the names of its files.

    config.json           settings and the run's row in the tables
    weights.safetensors   the network that was selected, with its card
    history.parquet       a row a step
    videos.parquet        what it was trained and selected on, by video and content
    validation.parquet    scores of the validation frames by those weights
    provenance.json       written last: with it, the run is finished
    scores/               a table and a note for each data set the tables need
    other_scores/         the same for everything else: other crops, other protocols, own videos
    features/             features of a sample of the scored frames
    robustness/           scores of a sample of the test frames, harmed in several ways
    states/               what an interrupted training goes on from
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mcxlib.files import read_json, visible

ASIDE = ".old"
"""Begins the suffix of a run that was put aside: ``.old-1``, ``.old-2``; ``.old`` of older code."""

_REMEDY = "bring back the file, or train that run again in another folder"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Recipe(_Part):
    code: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class _Masks(_Part):
    with_masks: int
    fakes: int


class _TrainedOn(_Part):
    masks: _Masks | None = None


class _Record(_Part):
    """Of a run's record, what this program reads, where it is there."""

    run_id: str = ""
    finished: str = ""
    commit: str | None = None
    processor: str | None = None
    device: str | None = None
    format: int = 0
    steps: float | None = None
    seconds: float | None = None
    flop: float | None = None
    recipe: _Recipe = _Recipe()
    trained_on: _TrainedOn = _TrainedOn()
    packages: dict[str, str] = {}
    crop_contract: dict[str, Any] = {}
    gpus: list[Any] | None = None


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def history(self) -> Path:
        return self.path / "history.parquet"

    @property
    def videos(self) -> Path:
        return self.path / "videos.parquet"

    @property
    def validation(self) -> Path:
        return self.path / "validation.parquet"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def states(self) -> Path:
        return self.path / "states"

    @property
    def events(self) -> Path:
        return self.path / "tensorboard"

    def scores(self, dataset: str, other: str = "") -> Path:
        """Scores on a data set; with ``other``, those that are no row of the tables."""
        if other:
            return self.path / "other_scores" / f"{other}.parquet"
        return self.path / "scores" / f"{dataset}.parquet"

    def read_score_note(self, dataset: str) -> dict[str, Any]:
        """Of which weights and of which list of crops the scores are; empty if nobody noted it."""
        try:
            return read_json(self.scores(dataset).with_suffix(".json"))
        except FileNotFoundError:
            return {}

    def features(self, dataset: str) -> Path:
        return self.path / "features" / f"{dataset}.parquet"

    def robustness(self, dataset: str, sample: str) -> Path:
        """Scores under harm of the frames of a sample of a data set."""
        return self.path / "robustness" / f"{dataset}_{sample}.parquet"

    def scored(self) -> list[Path]:
        """The tables of scores that are rows of the tables, in the order of their names."""
        return visible(self.path / "scores", "*.parquet")

    @property
    def finished(self) -> bool:
        return self.provenance.is_file()

    def read_provenance(self) -> dict[str, Any] | None:
        """The record of a finished run; None if it is not finished (or gone meanwhile).

        Raises:
            ValueError: it cannot be read, or is not what a finished run writes; says in what.
        """
        try:
            record = read_json(self.provenance)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.provenance} cannot be read ({error}); {_REMEDY}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{self.provenance} is no record of a run; {_REMEDY}")
        try:
            _Record.model_validate(record)
        except ValidationError as error:
            name = ".".join(map(str, error.errors()[0]["loc"]))
            raise ValueError(
                f"{self.provenance}: {name} is not what it should be; {_REMEDY}"
            ) from None
        return record

    def read_recipe(self) -> dict[str, Any] | None:
        """By what a finished run was made; None if that was not written down."""
        return (self.read_provenance() or {}).get("recipe")

    def read_config(self) -> dict[str, Any]:
        """The stored configuration, as written.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            stored = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.config} cannot be read ({error}); {_REMEDY}") from error
        if not isinstance(stored, dict):
            raise ValueError(f"{self.config} is no configuration of a run; {_REMEDY}")
        return stored

    def put_aside(self) -> Path:
        """Move the folder out of the way under the next free number; nothing is deleted."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}{ASIDE}-{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside


def find(runs_dir: Path) -> list[RunFolder]:
    """Every run in a folder, in the order of their names, but those that were put aside.

    Raises:
        ValueError: no such folder.
    """
    runs_dir = Path(runs_dir)
    if not runs_dir.is_dir():
        raise ValueError(f"no runs folder {runs_dir}; train and score a model first")
    return [
        RunFolder(file.parent)
        for file in sorted(runs_dir.glob("*/config.json"))
        if not file.parent.name.startswith(".") and not file.parent.suffix.startswith(ASIDE)
    ]


def studies(runs_dir: Path) -> list[Path]:
    """Folders beside the runs that hold the runs of a study, in the order of their names."""
    return sorted(
        folder
        for folder in Path(runs_dir).iterdir()
        if not folder.name.startswith(".") and any(folder.glob("*/config.json"))
    )
