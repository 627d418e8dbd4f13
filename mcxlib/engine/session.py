"""What the training loop of :mod:`.fit` holds on to: network, data, processes, and how far it is.

The loop says what is done in which order; here stands how each of it is done, kept and resumed.
"""

from __future__ import annotations

import gc
import math
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from mcxlib import CLASSES, detectors, provenance, weights
from mcxlib.config import RunConfig
from mcxlib.data.crops import dataset as crops
from mcxlib.data.crops.clips import clips
from mcxlib.data.crops.rows import fingerprint
from mcxlib.data.datasets import shared_identities
from mcxlib.detectors import backbones
from mcxlib.detectors.base import Detector
from mcxlib.detectors.clips import clip_of
from mcxlib.engine import flops, memory, processes, schedule
from mcxlib.engine.hardware import Hardware, deterministic
from mcxlib.engine.history import Diverged, History
from mcxlib.engine.processes import Crew
from mcxlib.engine.progress import Progress
from mcxlib.engine.score import GROUP, score_rows
from mcxlib.evaluate import metrics, operating
from mcxlib.evaluate.thresholds import best_threshold
from mcxlib.files import clear_partial, space_explained, write_json, write_parquet
from mcxlib.files import digest as digest_of_file
from mcxlib.method.sampler import BalancedBatchSampler, PairedBatchSampler
from mcxlib.runs import RunFolder
from mcxlib.schemas import write_scores
from mcxlib.settings.recipe import digest

LOOK_STEPS = 50
"""Between two looks at the losses: each makes the host wait for the device once."""


@dataclass(frozen=True)
class TrainingData:
    """The joined crops of all splits, where they lie and how they were made."""

    rows: pd.DataFrame
    """Of :func:`mcxlib.data.crops.rows.join`."""
    folder: Path
    """Where the rows' files lie."""
    contract: dict[str, Any]
    """How the crops were made; travels with the weights."""
    classes: tuple[str, ...] = CLASSES
    about: dict[str, Any] = field(default_factory=dict)
    """Data set, protocol, whether it is synthetic, how many masks: for the weights' card."""
    masks: Path | None = None
    """Where the files of the rows' column ``mask`` lie; None for a detector that uses none."""
    start: Path | None = None
    """Weights to begin with."""

    def part(self, split: str) -> pd.DataFrame:
        return self.rows[self.rows["split"] == split]


class Stopped(RuntimeError):
    """A signal asked for the end; all that was done is kept. ``signal`` is its number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal = signal_number


class Step(nn.Module):
    """The computation of one training step as a module, for DDP: a batch in, losses out."""

    def __init__(self, model: Detector):
        super().__init__()
        self.model = model

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        masks: Tensor | None = None,
        known: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """(B, 3, H, W), or clips of them, uint8 or floating point in [0, 1], and (B,) int64 ->
        scalars by name.

        With masks, uint8 (B, 1, H, W), and which are known, bool (B,), for a detector that uses
        them.
        """
        if not images.is_floating_point():
            images = images.float().div_(255)
        if masks is None or known is None:
            return self.model.losses(images, labels)
        losses: Any = self.model.losses
        shares = masks.float().div_(255).masked_fill(~known[:, None, None, None], math.nan)
        return losses(images, labels, masks=shares)


class Session:
    """One process's part in the training of one run; see :func:`mcxlib.engine.fit.fit`."""

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        folder: Path,
        recipe: dict[str, Any],
        hardware: Hardware,
    ) -> None:
        self.config, self.data, self.recipe, self.hardware = config, data, recipe, hardware
        self.folder = RunFolder(Path(folder))
        self.fabric = processes.launch(
            config.train.precision,
            hardware.accelerator,
            hardware.devices,
            hardware.num_nodes,
            hardware.strategy,
        )
        self.crew = Crew()
        self.signals = processes.Signals()
        self.at = Progress()
        self._began = self._saved = time.monotonic()
        self._spent = 0.0

    def is_finished(self) -> bool:
        return self.crew.share(self.folder.finished)

    # -- before the first step --------------------------------------------------------------

    def begin(self) -> None:
        """Build network, optimiser and batches, and go on from a stored state if there is one."""
        config, train = self.config, self.config.train
        if self.crew.rank == 0:
            self.folder.path.mkdir(parents=True, exist_ok=True)
            clear_partial(self.folder.path)
            clear_partial(self.folder.states)
            write_json(self.folder.config, config.stored())
            write_parquet(self.folder.videos, self._videos())
        if self.fabric.device.type == "cpu":
            memory.keep_freed()
        torch.manual_seed(config.seed)
        self.model = self._network()
        self.optimizer: Any = self.fabric.setup_optimizers(
            schedule.optimizer(train, self.model.groups())
        )
        self._has_slow_part = len(self.model.groups()) > 1
        self.precision = self.fabric.strategy.precision
        found = clips(
            self.data.part("train").reset_index(drop=True),
            *clip_of(detectors.find(config.detector), config.model),
        )
        rows = found.rows
        if self.crew.rank == 0 and (words := found.words()):
            print(f"{config.run_id}: {words}", file=sys.stderr)
        self.dataset = crops.CropDataset(
            rows,
            self.data.folder,
            train.input_size,
            augment=True,
            seed=config.seed,
            masks=self.data.masks,
        )
        self.sampler = batch_sampler(
            config, rows, len(self.data.classes), self.crew.rank, self.crew.size
        )
        self.step: Any = None
        self._trained: tuple[bool, ...] = ()
        self._made = provenance.collect()
        self._resume()
        exact = (
            "" if train.precision == "32-true" else f" or train in 32-true, not {train.precision}"
        )
        self._advice = (
            f"Lower lr (now {train.lr}){exact}; the state before it is kept in {self.folder.states}"
        )
        name = f"{config.run_id}: "
        self.history = History(self.at.history, self.crew, self.folder.events, name, self._advice)
        self._began = self._saved = time.monotonic()

    def _videos(self) -> pd.DataFrame:
        """Which videos are trained and selected on, so that nobody tests on them later."""
        names = ["dataset", "video_id", "split", "is_fake", "content", "target_id", "donor_id"]
        rows = self.data.rows[self.data.rows["split"].isin(["train", "val"])]
        own = rows[[n for n in names if n in rows]].drop_duplicates("video_id")
        before = RunFolder(self.data.start.parent).videos if self.data.start else None
        if before is None or not before.is_file():
            return own
        # What it began with has seen videos too.
        both = pd.concat([own, pd.read_parquet(before)], ignore_index=True)
        return both.drop_duplicates(["dataset", "video_id"])

    def _network(self) -> Detector:
        hardware = self.hardware
        model: Any = weights.build(self.config, self.data.classes)
        if hardware.sync_batchnorm and self.crew.size > 1:
            if self.fabric.device.type != "cuda":
                raise ValueError(f"sync_batchnorm works on GPUs, not on {self.fabric.device.type}")
            model = convert_sync_batchnorm(model)
        if hardware.checkpoint_backbone or hardware.compile:
            part = model.slow_part()
            if part is None:
                raise ValueError(
                    f"{self.config.detector} has no backbone that could be compiled or computed "
                    "twice; leave --compile and --checkpoint-backbone off"
                )
            if hardware.checkpoint_backbone:
                backbones.checkpoint_blocks(part)
            else:
                # The backbone alone, for the sizes it meets: shapes that may vary end in errors
                # of the compiler as soon as a process compiles a second network.
                part.compile(dynamic=False)
        return model.to(self.fabric.device)

    def _resume(self) -> None:
        """Take over the newest state of this recipe; states of another one are removed."""
        engine = {"processes": self.crew.size, "sync_batchnorm": self.hardware.sync_batchnorm}
        made_by = digest(self.recipe)
        state = self.crew.share(self._stored(made_by) if self.crew.rank == 0 else None)
        if state is None:
            self.at.recipe, self.at.engine = made_by, engine
            if self.data.start:
                part = self.config.train.start_part
                told = weights.begin_with(self.model, self.data.start, part)
                if self.crew.rank == 0:
                    print(f"{self.config.run_id}: {told}", file=sys.stderr)
            return
        if state.engine != engine:
            raise ValueError(
                f"the training state in {self.folder.states} was made with {state.engine}, and "
                f"this is {engine}: go on as it was begun, or remove the folder to start afresh"
            )
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.precision.load_state_dict(state.precision)
        self.at, self._spent = state, state.seconds

    def _stored(self, made_by: str) -> Progress | None:
        states = self.folder.states
        if not states.is_dir():
            return None
        state = Progress.latest(states)
        if state is None or state.recipe != made_by:
            warnings.warn(
                f"the training state in {states} is damaged, or of other data, settings or code; "
                "starting afresh",
                stacklevel=4,
            )
            shutil.rmtree(states)
            return None
        return state

    # -- steps ------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Signals are noted, a full disk is explained, algorithms are deterministic if wanted."""
        with ExitStack() as stack:
            stack.enter_context(self.signals)
            stack.enter_context(space_explained(self.folder.events / "events"))
            stack.enter_context(deterministic(self.hardware.deterministic))
            yield
        self.history.close()

    def batches(self) -> Iterator[tuple[Tensor, ...]]:
        """What is left of the epoch: uint8 images (B, 3, H, W) and labels (B,), and what else
        :class:`Step` takes."""
        self.model.freeze(self.at.epoch < self.config.train.freeze_epochs)
        self._wrap()
        self.step.train()
        self.dataset.epoch = self.at.epoch
        self.sampler.set_epoch(self.at.epoch, start=self.at.batch)
        self.history.restart_clock()
        self._step_flop: float | None = None
        yield from crops.loader(self.dataset, self.sampler, self.hardware.loader_workers)
        self.history.flush()

    def _wrap(self) -> None:
        trained = tuple(p.requires_grad for p in self.model.parameters())
        if self.step is not None and trained == self._trained:
            return
        # DDP averages the gradients of what could be trained when it was made. The one before
        # must be gone first, or it would go on averaging too.
        self.step = None
        gc.collect()
        self.step = self.fabric.setup_module(Step(self.model))
        self._trained = trained

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add a step's arithmetic to the run's: counted in the first step after a start, after a
        change of epoch, and taken to be the same in those that follow."""
        if self.hardware.compile:
            self._step_flop = math.nan  # the counter cannot look into compiled code
        if self._step_flop is None:
            with flops.counting() as total:
                yield
            self._step_flop = total() * self.crew.size
        else:
            yield
        self.at.flop += self._step_flop

    def to_device(self, batch: Tensor) -> Tensor:
        return batch.to(self.fabric.device, non_blocking=True)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step, for all groups."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def note(self, rate: float, losses: dict[str, Tensor], images: int) -> None:
        """Add a step to the history."""
        row = {"step": self.at.step, "epoch": self.at.epoch, "lr": rate}
        if self._has_slow_part:
            frozen = self.at.epoch < self.config.train.freeze_epochs
            row["lr_backbone"] = 0.0 if frozen else rate
        self.history.add(row, losses, images)

    def look(self) -> None:
        """Between two steps: look at the losses, write a state, stop.

        Raises:
            Diverged, Stopped: see :func:`mcxlib.engine.fit.fit`.
        """
        wish = Crew.GO_ON
        if self.signals.received:
            wish = Crew.STOP
        elif self.crew.rank == 0 and time.monotonic() - self._saved >= self.hardware.state_seconds:
            wish = Crew.SAVE
        agreed = self.crew.agree(wish)
        if agreed != Crew.GO_ON or self.at.step % LOOK_STEPS == 0:
            self.history.flush()
            self._check_scale()
        if agreed != Crew.GO_ON:
            self.keep()
        if agreed == Crew.STOP:
            raise self._stopped()

    def _check_scale(self) -> None:
        """In fp16, a step with infinite gradients is left out and the loss's scale halved, which
        is no fault; if none is small enough, nothing is learned any more."""
        scaler = getattr(self.precision, "scaler", None)
        if scaler is not None and scaler.get_scale() < 2**-20:
            raise Diverged(
                f"{self.config.run_id}: gradients are infinite at any loss scale, step "
                f"{self.at.step}. {self._advice}"
            )

    def keep(self) -> None:
        """Write a state to go on from."""
        if not _finite(self.model):
            raise Diverged(
                f"{self.config.run_id}: the weights are not finite at step {self.at.step}. "
                f"{self._advice}"
            )
        failure = None
        if self.crew.rank == 0:
            self.history.write_events()
            at = self.at
            at.history = self.history.rows
            at.model, at.optimizer = self.model.state_dict(), self.optimizer.state_dict()
            at.precision = self.precision.state_dict()
            at.seconds = self.seconds
            try:
                at.save(self.folder.states)
            except RuntimeError as error:
                failure = error
        if self.crew.agree(Crew.FAIL if failure else Crew.GO_ON) == Crew.FAIL:
            raise failure or RuntimeError("process 0 could not write the training state")
        self._saved = time.monotonic()
        self.history.restart_clock()

    @property
    def seconds(self) -> float:
        """Spent on the run so far, in all sessions."""
        return self._spent + time.monotonic() - self._began

    def _stopped(self) -> Stopped:
        received = self.signals.received
        name = signal.Signals(received).name if received else "another process"
        return Stopped(
            f"{self.config.run_id}: stopped by {name} after step {self.at.step}; start it again "
            f"in the same way to go on from the state in {self.folder.states}",
            received,
        )

    @property
    def out_of_memory(self) -> str:
        """What to say when the device's memory does not hold a step."""
        train = self.config.train
        return (
            f"{self.config.run_id}: {self.fabric.device} has no memory left for a step of "
            f"{train.categories} x {train.per_category} crops of {train.input_size} px in "
            f"{train.precision}. Try checkpoint_backbone=True, which changes nothing else; or "
            "precision='bf16-mixed', a smaller per_category, or a smaller input_size. The last "
            f"state is kept in {self.folder.states}"
        )

    # -- after an epoch ---------------------------------------------------------------------

    def validate(self) -> None:
        """Score the validation data, keep the weights if they are the best so far.

        Raises:
            Diverged, Stopped: see :func:`mcxlib.engine.fit.fit`.
        """
        try:
            scores = self._score_validation()
        except _StopValidation:
            self.keep()
            raise self._stopped() from None
        if scores["fake_score"].isna().any():
            raise Diverged(
                f"{self.config.run_id}: validation gave NaN scores after step {self.at.step}. "
                f"{self._advice}"
            )
        table = metrics.per_manipulation(
            scores["is_fake"], scores["fake_score"], scores["manipulation"]
        ).set_index("manipulation")
        found = {m: float(table.loc["Average", m]) for m in ("auc", "bosc")}
        told = {f"val_{m}": value for m, value in found.items()}
        if found[self.config.train.selection] > self.at.best:
            self.at.best = found[self.config.train.selection]
            if self.crew.rank == 0:
                weights.save(self.folder.weights, self.model, self._card(scores, found))
                self._keep_validation(scores)
            told["selected"] = 1.0
        self.history.validated(**told)

    def _score_validation(self) -> pd.DataFrame:
        """Scores of the validation data, each process having scored its share."""

        def look(*_: int) -> None:
            # Alone, it can be left at once and done again. Several processes finish it together.
            if self.signals.received and self.crew.size == 1:
                raise _StopValidation

        self.crew.share_buffers(self.model)
        val = self.data.part("val")
        # Whole groups: see score.
        share = np.arange(len(val)) // GROUP % self.crew.size == self.crew.rank
        own = score_rows(
            self.model,
            val[share],
            self.data.folder,
            self.config,
            device=self.fabric.device,
            loader_workers=self.hardware.loader_workers,
            progress=look,
        )
        self.at.flop += own.attrs["flop"] * self.crew.size
        return pd.concat(self.crew.collect(own), ignore_index=True)

    def _keep_validation(self, scores: pd.DataFrame) -> None:
        """What thresholds, temperatures and fusions are fitted on, which never are test scores."""
        write_scores(
            self.folder.validation,
            scores,
            self.model.score_kind,
            dataset=str(scores["dataset"].iloc[0]),
            classes=list(self.data.classes),
            video_rule=self.model.video_rule,
            weights_sha256=digest_of_file(self.folder.weights),
        )

    def _card(self, scores: pd.DataFrame, found: dict[str, float]) -> weights.Card:
        counts = {s: len(self.data.part(s)) for s in ("train", "val")}
        best = best_threshold(scores["is_fake"], scores["fake_score"])
        return weights.Card(
            detector=self.config.detector,
            label=self.config.label,
            classes=self.data.classes,
            score_kind=self.model.score_kind,
            input={"size": self.config.train.input_size, "colour": "RGB", "range": [0, 1]},
            config=self.config.stored(),
            crop_contract=self.data.contract,
            validation=found
            | {
                "threshold": 0.5,
                "threshold_best_bosc": best,
                "epoch": self.at.epoch,
                "frames_real": int((~scores["is_fake"].astype(bool)).sum()),
                "frames_fake": int(scores["is_fake"].astype(bool).sum()),
                "real_videos": operating.real_videos(scores, (0.5, best)),
            },
            calibration=operating.calibration(scores),
            trained_on=self.data.about
            | {"crops": counts, "fingerprint": fingerprint(self.data.rows)},
            recipe=self.recipe,
            provenance=self._made,
        )

    def end_epoch(self, progress: Callable[[int, int, str], None] | None) -> None:
        """Count the epoch, write a state, report, and stop if that was asked for."""
        epochs = self.config.train.epochs
        self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        self.keep()
        if progress and self.crew.rank == 0:
            last = self.history.rows[-1]
            text = f"loss {last['total']:.3f}, val AUC {last['val_auc']:.3f}"
            progress(self.at.epoch, epochs, text)
        wish = Crew.STOP if self.signals.received else Crew.GO_ON
        if self.at.epoch < epochs and self.crew.agree(wish):
            raise self._stopped()

    def finish(self) -> pd.DataFrame:
        """Write history and provenance, which make the run a finished one; returns the history."""
        table = pd.DataFrame(self.history.rows)
        if self.crew.rank == 0:
            write_parquet(self.folder.history, table)
            write_json(self.folder.provenance, self._record())
            # Only now are the states, the largest files of a run, of no more use.
            shutil.rmtree(self.folder.states, ignore_errors=True)
        self.crew.agree(Crew.GO_ON)  # nobody returns before the run is finished
        return table

    def _record(self) -> dict[str, Any]:
        config, hardware = self.config, self.hardware
        train, val, test = (self.data.part(s) for s in ("train", "val", "test"))
        return provenance.collect(
            format=1,
            run_id=config.run_id,
            label=config.label,
            trained_on=self.data.about,
            precision=config.train.precision,
            device=self.fabric.device.type,
            **self.at.engine,
            compiled=hardware.compile,
            checkpoint_backbone=hardware.checkpoint_backbone,
            deterministic=hardware.deterministic,
            steps=self.at.step,
            train_images=len(train),
            val_images=len(val),
            identities_shared_by_train_and_test=len(shared_identities(train, test)),
            identities_shared_by_validation_and_test=len(shared_identities(val, test)),
            crop_contract=self.data.contract,
            data_sha256=fingerprint(self.data.rows),
            recipe=self.recipe,
            seconds=round(self.seconds, 1),
            flop=None if math.isnan(self.at.flop) else self.at.flop,
        )


def batch_sampler(
    config: RunConfig, rows: pd.DataFrame, classes: int, rank: int = 0, world_size: int = 1
) -> BalancedBatchSampler:
    """The batches that ``config`` asks for, of the training rows, or clips; errors as the
    samplers'."""
    train = config.train
    labels = rows["class_index"].to_numpy()
    categories, each = min(train.categories, classes), train.per_category
    share = {"seed": config.seed, "rank": rank, "world_size": world_size}
    if train.batches == "random":
        return BalancedBatchSampler(labels, categories, each, **share)
    made_from = rows["source"].fillna("") if "source" in rows else [""] * len(rows)
    sources = np.where(rows["is_fake"].astype(bool), made_from, rows["video_id"])
    return PairedBatchSampler(labels, sources.tolist(), categories, each, **share)


def _finite(model: nn.Module) -> bool:
    """Whether all weights are finite; the host waits for the device once."""
    largest = torch.stack([p.detach().abs().amax() for p in model.parameters()])
    return math.isfinite(float(largest.max()))


class _StopValidation(Exception):
    pass
