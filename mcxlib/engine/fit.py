"""Fit one run: batches, the detector's losses, selection on validation data only.

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

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib.config import RunConfig
from mcxlib.engine import guard, memory
from mcxlib.engine.hardware import Hardware
from mcxlib.engine.schedule import learning_rate, seed_step
from mcxlib.engine.session import Session, TrainingData

__all__ = ["Hardware", "TrainingData", "fit"]


def fit(
    config: RunConfig,
    data: TrainingData,
    folder: Path,
    recipe: dict[str, Any],
    hardware: Hardware | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Train the run of ``config`` into ``folder``; returns its history, one row a step.

    A finished run is not trained again. Ctrl-C and SIGTERM let the step be finished, and a second
    Ctrl-C does not. TensorBoard's event files lie in the folder too.

    Args:
        config: the run; its precision is that of the training.
        data: the joined crops of all splits, where they lie and how they were made.
        folder: one for all processes.
        recipe: what the run is made by (:mod:`mcxlib.settings.recipe`); a state of another recipe
            is not gone on with.
        hardware: devices, processes, compiling and the like; decides nothing about the method.
        progress: called by rank 0 with (epochs done, epochs, text).

    Raises:
        ValueError: a split is missing, a class has too few images, one class only, parts that
            share videos or people, options that exclude each other, or a state made by another
            number of processes.
        Diverged: the loss or a weight is no longer finite, on any process.
        Stopped: a signal asked for the end.
        OutOfMemory: the device's memory does not hold a step.
        OutOfSpace: no room for weights or a state.

        After any of the last four the best weights and the last good state are kept, and the same
        call goes on from there.
    """
    run = Session(config, data, folder, recipe, hardware or Hardware())
    if run.is_finished():
        return pd.read_parquet(run.folder.history)
    guard.check(config, data.rows)
    run.begin()
    model, optimizer, at = run.model, run.optimizer, run.at
    with run.watching():
        while at.epoch < config.train.epochs:
            for batch in run.batches():
                done = (at.epoch + at.batch / run.sampler.batches_per_epoch) / config.train.epochs
                rate = learning_rate(config.train, done)
                run.set_rate(rate)
                seed_step(config.seed, at.step, run.crew.rank)
                with memory.explained(run.out_of_memory), run.counted():
                    model.before_step(done)
                    # As bytes: a quarter of the traffic, and no precision plugin rounds them.
                    losses = run.step(*map(run.to_device, batch))
                    run.fabric.backward(losses["total"])
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    model.after_step()
                at.step += 1
                at.batch += 1
                run.note(rate, losses, len(batch[0]))
                run.look()
            run.validate()
            run.end_epoch(progress)
    return run.finish()
