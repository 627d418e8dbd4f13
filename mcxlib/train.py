"""Fit one run: batches of pairs, the paper's losses, selection on validation data only.

A run can be stopped at any moment and started again: it goes on from its last training state and
ends with the weights it would have had. Everything random is a function of what is drawn for:
batches of (seed, epoch), augmentation of (seed, epoch, image), dropout of (seed, step, process).

Several processes (torchrun, or ``devices=``) share each epoch's batches, and DDP averages their
gradients. BatchNorm normalises with each process's own batch, as with the paper's one process;
the running statistics that are kept are rank 0's.

"The weights it would have had" means to the last bit for one or two processes on the CPU, with
the same number of threads, and on GPUs with ``deterministic=True`` as far as every operation has a
deterministic version there. Of more processes the gradients' sums may be taken in another order
after a restart, and differ in their last bits.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from mcxlib import backbones, checkpoint, memory, metrics, processes, provenance
from mcxlib.config import RunConfig
from mcxlib.data import frames
from mcxlib.data.datasets import shared_identities
from mcxlib.data.sampler import BalancedBatchSampler
from mcxlib.files import (
    clear_partial,
    digest,
    space_explained,
    write_json,
    write_parquet,
)
from mcxlib.history import Diverged, History
from mcxlib.losses import PairLoss, pair_loss
from mcxlib.model import MCXAPI
from mcxlib.pairs import mine_pairs
from mcxlib.processes import Crew
from mcxlib.score import GROUP, score_rows

FINISHED = "provenance.json"
"""Written last: a run folder that holds it is a finished run."""

METHOD_CODE = (
    "colorspace",
    "pairs",
    "losses",
    "backbones",
    "model",
    "checkpoint",
    "processes",
    "metrics",
    "score",
    "train",
    "data/frames",
    "data/sampler",
)
"""The modules whose change makes another run; metrics and score choose its epoch."""

STATE_SECONDS = 600.0
"""Between two training states within an epoch; one is always written at an epoch's end."""

LOOK_STEPS = 50
"""Between two looks at the losses: each makes the host wait for the device once."""


class PairStep(nn.Module):
    """The computation of one training step as a module: images and labels in, losses out.

    With ``config.mining == "gathered"`` and several processes, pairs are mined over the images of
    all of them, and each process computes the loss of the pairs whose first image is its own. The
    mean of these losses is what one process with all the images would compute.
    """

    def __init__(self, model: MCXAPI, config: RunConfig):
        super().__init__()
        self.model = model
        self.distance = config.distance
        self.margin = config.margin
        self.rank_weight = config.rank_weight
        self.gathered = config.mining == "gathered" and processes.world()[1] > 1

    def forward(self, images: Tensor, labels: Tensor) -> PairLoss:
        """(B, 3, H, W), uint8 or floating point in [0, 1], and (B,) int64 -> losses (scalars)."""
        if not images.is_floating_point():
            images = images.float().div_(255)
        features = self.model.embed(images)
        if self.gathered:
            features, labels = processes.gather(features.float()), processes.gather(labels)
        # The sampler gives several images of several classes: every image has both partners.
        pairs = mine_pairs(features, labels, self.distance, complete=True)
        first, second = pairs
        if self.gathered:
            rank, size = processes.world()
            first, second = (p.view(2, size, -1)[:, rank].flatten() for p in pairs)
        out = self.model.interact(features[first], features[second])
        self_logits = self.model.classify(torch.cat([out.first_self, out.second_self]))
        other_logits = self.model.classify(torch.cat([out.first_other, out.second_other]))
        targets = labels[torch.cat([first, second])]
        return pair_loss(self_logits, other_logits, targets, self.margin, self.rank_weight)


class Stopped(RuntimeError):
    """A signal asked for the end; all that was done is kept. ``signal`` is its number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal = signal_number


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
    # The released code has an optimiser for the backbone and one for the head. One with two
    # groups does the same, and leaves a single place where half precision's scale is applied.
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,  # one pass over the weights in place of several
        )
    return torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay, fused=True)


def recipe(config: RunConfig, rows: pd.DataFrame) -> str:
    """Digest of all that decides a run's weights: settings, data, and the code of the method.

    A training state made under another recipe is not gone on with.
    """
    here = Path(__file__).parent
    code = [digest(here / f"{name}.py") for name in METHOD_CODE]
    text = json.dumps([config.model_dump(), frames.fingerprint(rows), code, torch.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _guard(config: RunConfig, train: pd.DataFrame, val: pd.DataFrame, test: pd.DataFrame) -> None:
    """Refuse data that cannot be selected on, or that make a test on the test data no test."""
    for name, part in (("train", train), ("val", val)):
        if part.empty:
            raise ValueError(f"no face crop in the {name!r} split: nothing to train or select on")
    if val["is_fake"].nunique() < 2:
        kind = "fake" if val["is_fake"].iloc[0] else "real"
        raise ValueError(
            f"the validation data hold only {kind} crops, and neither BOSC nor AUC can be computed "
            "from one kind: no epoch could be selected. Put videos of the other kind into the "
            "'val' split"
        )
    for name, part in (("training", train), ("validation", val)):
        videos = set(part["video_id"]) & set(test["video_id"])
        targets = (set(part["target_id"]) & set(test["target_id"])) - {""}
        # The paper splits by target, and donors do cross its parts: they are counted and
        # published. In the published split no identity crosses; there it would be a mistake.
        people = set()
        if config.protocol == "official":
            people = set(shared_identities(part, test)) - targets
        if videos or targets or people:
            donors = f" and {len(people)} identities through a donor" if people else ""
            some = ", ".join(sorted(videos | targets | people)[:5])
            raise ValueError(
                f"the {name} data share {len(videos)} videos and {len(targets)} target identities"
                f"{donors} with the test data ({some}, ...): a score on the test data would not be "
                "a test"
            )


def fit(
    config: RunConfig,
    rows: pd.DataFrame,
    crop_folder: Path,
    run_dir: Path,
    contract: dict[str, Any],
    *,
    loader_workers: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    compile: bool = False,
    checkpoint_backbone: bool = False,
    sync_batchnorm: bool = False,
    deterministic: bool = False,
    state_seconds: float = STATE_SECONDS,
) -> pd.DataFrame:
    """Train the run of ``config`` into ``run_dir``; returns its history, one row a step.

    A finished run is not trained again. Ctrl-C and SIGTERM let the step be finished, and a second
    Ctrl-C does not. TensorBoard's event files are in ``run_dir/tensorboard``.

    Args:
        config: the run; its ``precision`` and ``mining`` are those of the training.
        rows: the joined crops of all splits (:func:`mcxlib.data.frames.join`).
        crop_folder: where the rows' files lie.
        run_dir: one folder for all processes.
        contract: how the crops were made; travels with the weights.
        loader_workers: processes that read ahead, for each training process.
        progress: called by rank 0 with (epochs done, epochs, text).
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"`` or another of Fabric's.
        devices: processes on each node; ``"auto"``: those that torchrun started, or one. More
            than one without torchrun starts the calling program again for each of the others.
        num_nodes: machines, if not started by torchrun.
        strategy: ``"auto"`` or ``"ddp"``.
        compile: compile the step with ``torch.compile``.
        checkpoint_backbone: see :func:`mcxlib.backbones.checkpoint_blocks`.
        sync_batchnorm: normalise over the batches of all processes; on GPUs only.
        deterministic: ask torch for algorithms that give the same bits each time, at some cost on
            GPUs; it warns of an operation that has none. CPUs give the same bits anyway.
        state_seconds: between two training states within an epoch.

    Raises:
        ValueError: a split is missing, a class has too few images, the validation data hold one
            kind only or share videos or people with the test data, options that exclude each
            other, or a state made by another number of processes.
        Diverged: the loss or a weight is no longer finite, on any process.
        Stopped: a signal asked for the end.
        OutOfMemory: the device's memory does not hold a step.
        OutOfSpace: no room for weights or a state.

        After any of the last four the best weights and the last good state are kept, and the same
        call goes on from there.
    """
    if compile and checkpoint_backbone:
        raise ValueError(
            "compile and checkpoint_backbone exclude each other: the compiler chooses by itself "
            "what to compute twice; leave one of them off"
        )
    run_dir = Path(run_dir)
    fabric = processes.launch(config.precision, accelerator, devices, num_nodes, strategy)
    crew = Crew()
    if crew.share((run_dir / FINISHED).is_file()):
        return pd.read_parquet(run_dir / "history.parquet")
    train, val, test = (rows[rows["split"] == s] for s in ("train", "val", "test"))
    _guard(config, train, val, test)
    states = run_dir / "states"
    if crew.rank == 0:
        run_dir.mkdir(parents=True, exist_ok=True)
        clear_partial(run_dir)
        clear_partial(states)
        write_json(run_dir / "config.json", config.model_dump() | {"run_id": config.run_id})

    if fabric.device.type == "cpu":
        memory.keep_freed()
    torch.manual_seed(config.seed)
    model = checkpoint.build(config)
    if sync_batchnorm and crew.size > 1:
        if fabric.device.type != "cuda":
            raise ValueError(f"sync_batchnorm works on GPUs, not on {fabric.device.type}")
        model = convert_sync_batchnorm(model)
    if checkpoint_backbone:
        backbones.checkpoint_blocks(model.backbone)
    model.to(fabric.device)
    groups = [{"params": p} for p in (model.backbone_parameters(), model.head_parameters())]
    optimizer = fabric.setup_optimizers(_optimizer(config, groups))
    precision = fabric.strategy.precision
    dataset = frames.CropDataset(
        train.reset_index(drop=True), crop_folder, config.input_size, augment=True, seed=config.seed
    )
    sampler = BalancedBatchSampler(
        dataset.labels,
        config.categories,
        config.per_category,
        seed=config.seed,
        rank=crew.rank,
        world_size=crew.size,
    )

    epoch, start, step = 0, 0, 0
    best, spent = -math.inf, 0.0
    earlier: list[dict[str, float]] = []
    made_by = recipe(config, rows)
    engine = {"processes": crew.size, "sync_batchnorm": sync_batchnorm}
    state = crew.share(_stored_state(states, made_by) if crew.rank == 0 else None)
    if state is not None:
        if state["engine"] != engine:
            raise ValueError(
                f"the training state in {states} was made with {state['engine']}, and this is "
                f"{engine}: go on as it was begun, or remove the folder to start afresh"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        precision.load_state_dict(state["precision"])
        epoch, start, step = state["epoch"], state["batch"], state["step"]
        earlier, best, spent = state["history"], state["best"], state["seconds"]

    exact = "" if config.precision == "32-true" else f" or train in 32-true, not {config.precision}"
    advice = f"Lower lr (now {config.lr}){exact}; the state before it is kept in {states}"
    history = History(earlier, crew, run_dir / "tensorboard", f"{config.run_id}: ", advice)
    began = saved = time.monotonic()

    def keep(epoch: int, batch: int) -> None:
        """Write a state to go on from at ``batch`` of ``epoch``."""
        nonlocal saved
        if not _finite(model):
            raise Diverged(f"{config.run_id}: the weights are not finite at step {step}. {advice}")
        failure = None
        if crew.rank == 0:
            history.write_events()
            try:
                checkpoint.save_state(
                    states,
                    step,
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "precision": precision.state_dict(),
                        "recipe": made_by,
                        "engine": engine,
                        "epoch": epoch,
                        "batch": batch,
                        "step": step,
                        "history": history.rows,
                        "best": best,
                        "seconds": spent + time.monotonic() - began,
                    },
                )
            except RuntimeError as error:
                failure = error
        if crew.agree(Crew.FAIL if failure else Crew.GO_ON) == Crew.FAIL:
            raise failure or RuntimeError("process 0 could not write the training state")
        saved = time.monotonic()
        history.restart_clock()

    def stopped() -> Stopped:
        name = signal.Signals(signals.received).name if signals.received else "another process"
        return Stopped(
            f"{config.run_id}: stopped by {name} after step {step}; start it again in the same "
            f"way to go on from the state in {states}",
            signals.received,
        )

    full = (
        f"{config.run_id}: {fabric.device} has no memory left for a step of {config.categories} x "
        f"{config.per_category} crops of {config.input_size} px in {config.precision}. Try "
        "checkpoint_backbone=True, which changes nothing else; or precision='bf16-mixed', a "
        f"smaller per_category, or a smaller input_size. The last state is kept in {states}"
    )
    step_module, was_frozen = None, None
    with (
        processes.Signals() as signals,
        space_explained(run_dir / "tensorboard" / "events"),
        _deterministic(deterministic),
    ):
        while epoch < config.epochs:
            frozen = epoch < config.freeze_epochs
            model.freeze_backbone(frozen)
            if step_module is None or frozen != was_frozen:
                # DDP averages the gradients of what could be trained when it was made. The one
                # before must be gone first, or it would go on averaging too.
                step_module = None
                gc.collect()
                step_module = _wrap(fabric, model, config, compile)
                was_frozen = frozen
            step_module.train()
            dataset.epoch = epoch
            sampler.set_epoch(epoch, start=start)
            batches = sampler.batches_per_epoch
            history.restart_clock()
            loader = frames.loader(dataset, sampler, loader_workers)
            for batch, (images, labels) in enumerate(loader, start):
                lr = learning_rate(config, (epoch + batch / batches) / config.epochs)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                _seed_step(config.seed, step, crew.rank)
                with memory.explained(full):
                    # As bytes: a quarter of the traffic, and no precision plugin rounds them.
                    losses = step_module(
                        images.to(fabric.device, non_blocking=True),
                        labels.to(fabric.device, non_blocking=True),
                    )
                    fabric.backward(losses.total)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                step += 1
                history.add(
                    {"step": step, "epoch": epoch, "lr": lr, "lr_backbone": 0.0 if frozen else lr},
                    losses,
                    len(images),
                )
                wish = Crew.GO_ON
                if signals.received:
                    wish = Crew.STOP
                elif crew.rank == 0 and time.monotonic() - saved >= state_seconds:
                    wish = Crew.SAVE
                agreed = crew.agree(wish)
                if agreed != Crew.GO_ON or step % LOOK_STEPS == 0:
                    history.flush()
                    _check_scale(precision, step, f"{config.run_id}: ", advice)
                if agreed != Crew.GO_ON:
                    keep(epoch, batch + 1)
                if agreed == Crew.STOP:
                    raise stopped()
            history.flush()

            try:
                scores = _validate(
                    model, val, crop_folder, config, fabric.device, loader_workers, crew, signals
                )
            except _StopValidation:
                keep(epoch, batches)
                raise stopped() from None
            if scores["p_real"].isna().any():
                raise Diverged(
                    f"{config.run_id}: validation gave NaN scores after step {step}. {advice}"
                )
            table = metrics.per_manipulation(
                scores["is_fake"], 1 - scores["p_real"], scores["manipulation"]
            ).set_index("manipulation")
            auc, bosc = (float(table.loc["Average", m]) for m in ("auc", "bosc"))
            chosen = {"auc": auc, "bosc": bosc}[config.selection]
            if chosen > best:
                best = chosen
                if crew.rank == 0:
                    checkpoint.save_weights(
                        run_dir / "weights.safetensors", model, config, contract
                    )
                history.validated(val_auc=auc, val_bosc=bosc, selected=1.0)
            else:
                history.validated(val_auc=auc, val_bosc=bosc)
            epoch, start = epoch + 1, 0
            keep(epoch, start)
            if progress and crew.rank == 0:
                loss = history.rows[-1]["total"]
                progress(epoch, config.epochs, f"loss {loss:.3f}, val AUC {auc:.3f}")
            if epoch < config.epochs and crew.agree(Crew.STOP if signals.received else Crew.GO_ON):
                raise stopped()
        history.close()

        table = pd.DataFrame(history.rows)
        if crew.rank == 0:
            write_parquet(run_dir / "history.parquet", table)
            write_json(
                run_dir / FINISHED,
                provenance.collect(
                    run_id=config.run_id,
                    source=config.source,
                    precision=config.precision,
                    mining=config.mining,
                    device=fabric.device.type,
                    **engine,
                    compiled=compile,
                    checkpoint_backbone=checkpoint_backbone,
                    deterministic=deterministic,
                    steps=step,
                    train_images=len(train),
                    val_images=len(val),
                    identities_shared_by_train_and_test=len(shared_identities(train, test)),
                    identities_shared_by_validation_and_test=len(shared_identities(val, test)),
                    crop_contract=contract,
                    data_sha256=frames.fingerprint(rows),
                    recipe_sha256=made_by,
                    seconds=round(spent + time.monotonic() - began, 1),
                ),
            )
            # Only now are the states, the largest files of a run, of no more use.
            shutil.rmtree(states)
        crew.agree(Crew.GO_ON)  # nobody returns before the run is finished
    return table


def _wrap(fabric: Fabric, model: MCXAPI, config: RunConfig, compile: bool) -> nn.Module:
    step: nn.Module = PairStep(model, config)
    return fabric.setup_module(torch.compile(step) if compile else step)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic = before[2]


def _seed_step(seed: int, step: int, rank: int) -> None:
    """Make what a step draws (dropout) a function of these three, so that no generator's state
    has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def _stored_state(states: Path, made_by: str) -> dict[str, Any] | None:
    """The state to go on from; states of another recipe are removed."""
    state = checkpoint.latest_state(states)
    if state is not None and state["recipe"] != made_by:
        warnings.warn(
            f"the training state in {states} is of other data, settings or code; starting afresh",
            stacklevel=3,
        )
        shutil.rmtree(states)
        return None
    return state


def _finite(model: nn.Module) -> bool:
    """Whether all weights are finite; the host waits for the device once."""
    largest = torch.stack([p.detach().abs().amax() for p in model.parameters()])
    return bool(largest.isfinite().all())


def _check_scale(precision: Any, step: int, name: str, advice: str) -> None:
    """In fp16, a step with infinite gradients is left out and the loss's scale halved, which is
    no fault; if none is small enough, nothing is learned any more."""
    scaler = getattr(precision, "scaler", None)
    if scaler is not None and scaler.get_scale() < 2**-20:
        raise Diverged(f"{name}gradients are infinite at any loss scale, step {step}. {advice}")


class _StopValidation(Exception):
    pass


def _validate(
    model: MCXAPI,
    val: pd.DataFrame,
    crop_folder: Path,
    config: RunConfig,
    device: torch.device,
    loader_workers: int,
    crew: Crew,
    signals: processes.Signals,
) -> pd.DataFrame:
    """Scores of the validation data, each process having scored its share."""

    def look(*_: int) -> None:
        # Alone, it can be left at once and done again. Several processes finish it together.
        if signals.received and crew.size == 1:
            raise _StopValidation

    crew.share_buffers(model)
    share = np.arange(len(val)) // GROUP % crew.size == crew.rank  # whole groups: see score
    own = score_rows(
        model,
        val[share],
        crop_folder,
        config,
        device=device,
        loader_workers=loader_workers,
        progress=look,
    )
    return pd.concat(crew.collect(own), ignore_index=True)
