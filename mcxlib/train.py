"""Fit one run: batches of pairs, the paper's losses, selection on validation data only.

A run can be stopped at any moment and started again: it goes on from its last training state and
ends with the weights it would have had. Everything random is either in that state (dropout) or a
function of (seed, epoch, image) alone (sampling, augmentation).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mcxlib import checkpoint, metrics, provenance
from mcxlib.config import RunConfig
from mcxlib.data import frames
from mcxlib.data.datasets import shared_identities
from mcxlib.data.sampler import BalancedBatchSampler
from mcxlib.files import digest, write_json, write_parquet
from mcxlib.losses import PairLoss, pair_loss
from mcxlib.model import MCXAPI
from mcxlib.pairs import mine_pairs
from mcxlib.score import score_rows

FINISHED = "provenance.json"
"""Written last: a run folder that holds it is a finished run."""

METHOD_CODE = (
    "colorspace",
    "pairs",
    "losses",
    "backbones",
    "model",
    "checkpoint",
    "train",
    "data/frames",
    "data/sampler",
)
"""The modules whose change makes another run."""

STATE_SECONDS = 600
"""Between two training states within an epoch; one is always written at an epoch's end."""


class PairStep(nn.Module):
    """The computation of one training step as a module: images and labels in, losses out."""

    def __init__(self, model: MCXAPI, config: RunConfig):
        super().__init__()
        self.model = model
        self.distance = config.distance
        self.margin = config.margin
        self.rank_weight = config.rank_weight

    def forward(self, images: Tensor, labels: Tensor) -> PairLoss:
        features = self.model.embed(images)
        # The sampler gives several images of several classes: every image has both partners.
        pairs = mine_pairs(features, labels, self.distance, complete=True)
        out = self.model.interact(features[pairs.first], features[pairs.second])
        self_logits = self.model.classify(torch.cat([out.first_self, out.second_self]))
        other_logits = self.model.classify(torch.cat([out.first_other, out.second_other]))
        targets = labels[torch.cat([pairs.first, pairs.second])]
        return pair_loss(self_logits, other_logits, targets, self.margin, self.rank_weight)


class Diverged(RuntimeError):
    """The loss became NaN or infinite; the message says when and what to change."""


def learning_rate(config: RunConfig, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1] of the training.

    ``cosine``: from ``lr`` to 0 (section 4.1). ``one-cycle``: up from ``lr``/25 over the first
    three tenths, then down to ``lr``/10 000, both along a cosine.
    """
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
    low, last, turn = config.lr / 25, config.lr / 1e4, 0.3
    if progress < turn:
        return low + (config.lr - low) * 0.5 * (1 - math.cos(math.pi * progress / turn))
    return last + (config.lr - last) * 0.5 * (
        1 + math.cos(math.pi * (progress - turn) / (1 - turn))
    )


def _optimizer(config: RunConfig, parameters) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay)


def recipe(config: RunConfig, rows: pd.DataFrame) -> str:
    """Digest of all that decides a run's weights: settings, data, and the code of the method.

    A training state made under another recipe is not gone on with.
    """
    here = Path(__file__).parent
    code = [digest(here / f"{name}.py") for name in METHOD_CODE]
    text = json.dumps([config.model_dump(), frames.fingerprint(rows), code, torch.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _guard(train: pd.DataFrame, val: pd.DataFrame, test: pd.DataFrame) -> None:
    """Refuse validation data that share a video or a target identity with the test data."""
    for name, part in (("training", train), ("validation", val)):
        videos = set(part["video_id"]) & set(test["video_id"])
        targets = set(part["target_id"]) & set(test["target_id"])
        if videos or targets:
            raise ValueError(
                f"the {name} data share {len(videos)} videos and {len(targets)} target identities "
                f"with the test data ({', '.join(sorted(videos | targets)[:5])}, ...): "
                "a score on the test data would not be a test"
            )


def fit(
    config: RunConfig,
    rows: pd.DataFrame,
    crop_folder: Path,
    run_dir: Path,
    contract: dict[str, Any],
    *,
    precision: str = "32-true",
    loader_workers: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Train the run of ``config`` into ``run_dir``; returns its history, one row a step.

    ``rows`` are the joined crops of all splits (:func:`mcxlib.data.frames.join`). ``progress`` is
    called with (epochs done, epochs, text). A finished run is not trained again.

    Raises:
        ValueError: a split is missing, a class has too few images, validation and test overlap.
        Diverged: the loss is no longer finite; the last good weights and state are kept.
    """
    run_dir = Path(run_dir)
    if (run_dir / FINISHED).is_file():
        return pd.read_parquet(run_dir / "history.parquet")

    train, val, test = (rows[rows["split"] == s] for s in ("train", "val", "test"))
    for name, part in (("train", train), ("val", val)):
        if part.empty:
            raise ValueError(f"no face crop in the {name!r} split: nothing to train or select on")
    _guard(train, val, test)
    leaks = len(shared_identities(train, test))

    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(run_dir / "config.json", config.model_dump() | {"run_id": config.run_id})

    fabric = Fabric(accelerator="auto", devices=1, precision=precision)
    fabric.launch()
    torch.manual_seed(config.seed)
    model = checkpoint.build(config)
    step_module = fabric.setup_module(PairStep(model, config))
    optimizers = [
        fabric.setup_optimizers(_optimizer(config, list(parameters)))
        for parameters in (model.backbone_parameters(), model.head_parameters())
    ]
    dataset = frames.CropDataset(
        train.reset_index(drop=True), crop_folder, config.input_size, augment=True, seed=config.seed
    )
    sampler = BalancedBatchSampler(
        dataset.labels, config.categories, config.per_category, seed=config.seed
    )

    epoch, start, step = 0, 0, 0
    history: list[dict[str, float]] = []
    best = -math.inf
    spent = 0.0
    states = run_dir / "states"
    made_by = recipe(config, rows)
    state = checkpoint.latest_state(states)
    if state is not None and state["recipe"] != made_by:
        warnings.warn(
            f"the training state in {states} is of other data, settings or code; starting afresh",
            stacklevel=2,
        )
        shutil.rmtree(states)
        state = None
    if state is not None:
        model.load_state_dict(state["model"])
        for optimizer, values in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        epoch, start, step = state["epoch"], state["batch"], state["step"]
        history, best, spent = state["history"], state["best"], state["seconds"]

    started = saved = time.monotonic()
    pending: list[Tensor] = []
    pending_rows: list[dict[str, float]] = []

    def flush() -> None:
        """Move the losses of the last steps to the host, and stop if one is not finite."""
        if not pending:
            return
        for row, (total, ce, rank) in zip(pending_rows, torch.stack(pending).tolist(), strict=True):
            if not math.isfinite(total):
                raise Diverged(
                    f"{config.run_id}: the loss is {total} at step {int(row['step'])} (epoch "
                    f"{int(row['epoch'])}). Lower lr (now {config.lr}) or train in fp32; the state "
                    f"before it is kept in {states}"
                )
            history.append(row | {"total": total, "cross_entropy": ce, "score_ranking": rank})
        pending.clear()
        pending_rows.clear()

    def keep(epoch: int, batch: int) -> None:
        checkpoint.save_state(
            states,
            step,
            {
                "model": model.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                "recipe": made_by,
                "epoch": epoch,
                "batch": batch,
                "step": step,
                "history": history,
                "best": best,
                "seconds": spent + time.monotonic() - started,
            },
        )

    while epoch < config.epochs:
        model.freeze_backbone(epoch < config.freeze_epochs)
        step_module.train()
        dataset.epoch = epoch
        sampler.set_epoch(epoch, start=start)
        batches = sampler.batches_per_epoch
        loader = frames.loader(dataset, sampler, loader_workers)
        for batch, (images, labels) in enumerate(loader, start):
            lr = learning_rate(config, (epoch + batch / batches) / config.epochs)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.zero_grad(set_to_none=True)
            losses = step_module(
                frames.to_float(images, fabric.device), labels.to(fabric.device, non_blocking=True)
            )
            fabric.backward(losses.total)
            for optimizer in optimizers[epoch < config.freeze_epochs :]:
                optimizer.step()
            step += 1
            pending.append(torch.stack([part.detach().float() for part in losses]))
            pending_rows.append({"step": step, "epoch": epoch, "lr": lr})
            if time.monotonic() - saved > STATE_SECONDS:
                flush()
                keep(epoch, batch + 1)
                saved = time.monotonic()
        flush()

        scores = score_rows(model, val, crop_folder, config, device=fabric.device)
        table = metrics.per_manipulation(
            scores["is_fake"], 1 - scores["p_real"], scores["manipulation"]
        ).set_index("manipulation")
        auc, bosc = (float(table.loc["Average", m]) for m in ("auc", "bosc"))
        history[-1] |= {"val_auc": auc, "val_bosc": bosc}
        if (chosen := {"auc": auc, "bosc": bosc}[config.selection]) > best:
            best = chosen
            checkpoint.save_weights(run_dir / "weights.safetensors", model, config, contract)
            history[-1]["selected"] = 1.0
        epoch, start = epoch + 1, 0
        keep(epoch, start)
        saved = time.monotonic()
        if progress:
            progress(epoch, config.epochs, f"loss {history[-1]['total']:.3f}, val AUC {auc:.3f}")

    table = pd.DataFrame(history)
    write_parquet(run_dir / "history.parquet", table)
    write_json(
        run_dir / FINISHED,
        provenance.collect(
            run_id=config.run_id,
            source=config.source,
            precision=precision,
            steps=step,
            train_images=len(train),
            val_images=len(val),
            identities_shared_by_train_and_test=leaks,
            crop_contract=contract,
            data_sha256=frames.fingerprint(rows),
            recipe_sha256=made_by,
            seconds=round(spent + time.monotonic() - started, 1),
        ),
    )
    # Only now are the states, the largest files of a run, of no more use.
    shutil.rmtree(states)
    return table
