"""Make the four trees: several processes, resumable video by video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from mcxlib.files import clear_partial, write_text

from .clip import plan_clip, render_frame
from .encode import write_video
from .manipulate import MANIPULATIONS, altered
from .plan import RECIPES, STYLES, Job, plan
from .spec import DemoSpec

MARKER = "demo.json"
"""Written last; holds the spec and a version that rises when the same spec gives other videos."""

VERSION = 1

LOSSLESS = 0
"""H.264's rate factor at which a mask's two values come back as they were."""


def _marker(spec: DemoSpec, done: bool) -> str:
    return json.dumps({"version": VERSION, "complete": done, "spec": asdict(spec)}, indent=2) + "\n"


def _stored(root: Path) -> dict | None:
    try:
        return json.loads((root / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _differences(stored: dict, spec: DemoSpec) -> str:
    version = stored.get("version")
    text = spec.difference(stored.get("spec", {}))
    if version != VERSION:
        text = "; ".join(filter(None, [f"version: {version!r} stored, {VERSION!r} wanted", text]))
    return text


def is_complete(root: Path, spec: DemoSpec) -> bool:
    """Whether ``make`` has finished in ``root`` with this spec and every file is still there."""
    root = Path(root)
    stored = _stored(root)
    if stored is None or not stored.get("complete") or _differences(stored, spec):
        return False
    jobs, texts = plan(spec)
    return all((root / o.path).is_file() for job in jobs for o in job.outputs) and all(
        (root / path).is_file() for path in texts
    )


def _run(job: Job, root: Path, spec: DemoSpec) -> int:
    """Make the missing files of one job; returns how many files the job has."""
    cv2.setNumThreads(1)  # the processes already use every core, and one thread is repeatable
    missing = [o for o in job.outputs if not (root / o.path).is_file()]
    if not missing:
        return len(job.outputs)
    size = (spec.frames, spec.width, spec.height)
    target = plan_clip(job.person, job.clip, *size, STYLES[job.style])
    frames = [render_frame(target, k) for k in range(spec.frames)]
    donors = {}
    for output in missing:
        result = frames
        if output.manipulation != "real":
            key = (output.donor_person, output.donor_clip)
            if key not in donors:
                donors[key] = plan_clip(*key, *size, STYLES[job.style])
            rng = np.random.default_rng([*job.clip, 505, sum(map(ord, output.manipulation))])
            result = MANIPULATIONS[output.manipulation](
                target, frames, donors[key], RECIPES[job.style], rng
            )
        write_video(root / output.path, result, spec.fps, spec.crf)
    return len(job.outputs)


def _run_masks(job: Job, root: Path, spec: DemoSpec) -> int:
    """Make the missing masks of one job; returns how many it has."""
    cv2.setNumThreads(1)
    missing = [o for o in job.outputs if o.mask and not (root / o.mask).is_file()]
    if missing:
        size = (spec.frames, spec.width, spec.height)
        target = plan_clip(job.person, job.clip, *size, STYLES[job.style])
        for output in missing:
            masks = altered(target, output.manipulation, RECIPES[job.style])
            frames = [np.dstack([mask] * 3) for mask in masks]
            write_video(root / output.mask, frames, spec.fps, LOSSLESS)
    return sum(bool(o.mask) for o in job.outputs)


def make_masks(
    root: Path,
    spec: DemoSpec | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write, beside the fakes of a finished tree, videos of where each was altered.

    White where a pixel was blended in, black where the real video's was kept; as many frames, of
    the same size, where FaceForensics++ has its masks. Nothing else in the tree is touched, and
    masks already there are kept. ``progress(done, total)`` counts masks.

    Raises:
        ValueError: ``root`` holds no finished tree of this spec.
    """
    spec = spec or DemoSpec()
    root = Path(root)
    if not is_complete(root, spec):
        raise ValueError(f"{root} holds no finished videos of this kind; make them first")
    clear_partial(root, recursive=True)
    jobs = [job for job in plan(spec)[0] if any(o.mask for o in job.outputs)]
    total = sum(bool(o.mask) for job in jobs for o in job.outputs)
    missing = [j for j in jobs if not all((root / o.mask).is_file() for o in j.outputs if o.mask)]
    done = total - sum(bool(o.mask) for job in missing for o in job.outputs)
    for count in _each(_run_masks, missing, root, spec, workers):
        done += count
        if progress:
            progress(done, total)


def make(
    root: Path,
    spec: DemoSpec | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the four synthetic data set trees under ``root``; videos already there are kept.

    The files are the same for any number of workers. ``progress(done, total)`` counts videos.

    Raises:
        ValueError: ``root`` was begun with another spec.
    """
    spec = spec or DemoSpec()
    root = Path(root)
    if workers < 1:
        raise ValueError(f"workers is {workers}; use at least 1")
    stored = _stored(root)
    if stored is not None and (difference := _differences(stored, spec)):
        raise ValueError(
            f"{root} holds synthetic data made differently ({difference}); delete that folder or "
            "choose another one"
        )
    jobs, texts = plan(spec)
    total = sum(len(job.outputs) for job in jobs)
    if is_complete(root, spec):
        if progress:
            progress(total, total)
        return
    write_text(root / MARKER, _marker(spec, done=False))
    clear_partial(root, recursive=True)
    done = 0
    for count in _each(_run, jobs, root, spec, workers):
        done += count
        if progress:
            progress(done, total)
    for path, text in texts.items():
        write_text(root / path, text)
    write_text(root / MARKER, _marker(spec, done=True))


def _each(
    run: Callable[[Job, Path, DemoSpec], int],
    jobs: list[Job],
    root: Path,
    spec: DemoSpec,
    workers: int,
) -> Iterator[int]:
    """Do every job; yields how many files each has, as they get done."""
    if workers == 1:
        yield from (run(job, root, spec) for job in jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, job, root, spec) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
