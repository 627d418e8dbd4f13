"""A video file to an answer, as ``mcx detect`` gives it, against a first script.

Plain is what that script does: OpenCV reads every frame of the file, facenet-pytorch looks through
each whole frame asked for, ``extract_face`` cuts the largest face out, and the timm network scores
one image at a time, in NCHW memory. The project's side is :class:`mcxlib.answer.judge.Judge`, with
its process for reading and all that it finds out beside. Both have their networks loaded.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from benchmarks import measure, plain, startup, steps
from benchmarks.measure import Result, Settings
from mcxlib import weights
from mcxlib.answer.judge import Judge, Options
from mcxlib.answer.scores import Asked
from mcxlib.data.video.sampling import frame_indices
from mcxlib.detectors.mcx_api import MCXAPI
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

TARGET = 0.25
MEGABYTES = 1536
SECONDS = 3.0
"""Goals for the command: memory at its peak, and the time until its first line."""

ENTRIES: dict[str, Asked] = {"detect": "fp32", "detect_auto": "auto"}
"""By precision."""

FPS = 25
SIZE = (640, 480)


def _clip(file: Path, frames: int, times: int, seed: int) -> int:
    """A clip of ``frames`` frames, encoded once and repeated ``times`` times; its length.

    Drawn forwards and backwards, so that it has no cut; each repetition begins with a key frame.
    """
    drawn = render_person((seed,), *SIZE, 25)
    there_and_back = [*drawn, *drawn[::-1]]
    once = file.with_name("once.mp4")
    write_video(once, [there_and_back[i % 50] for i in range(frames)], FPS, 23)
    with av.open(str(once)) as source, av.open(str(file), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        length = int(frames * Fraction(1, FPS) / stream.time_base)
        starts = [(packet.pts, packet.dts) for packet in packets]
        for time_ in range(times):
            for packet, (pts, dts) in zip(packets, starts, strict=True):
                packet.pts, packet.dts = pts + time_ * length, dts + time_ * length
                packet.stream = copy
                target.mux(packet)
    return frames * times


def _plain(file: Path, asked: int, mtcnn: MTCNN, model: MCXAPI, size: int) -> tuple[float, int]:
    """A first script's fake score of a file, and how many faces it is the mean of."""
    capture = cv2.VideoCapture(str(file))
    frames = []
    while True:
        read, image = capture.read()
        if not read:
            break
        frames.append(image)
    frames = [
        cv2.cvtColor(frames[i], cv2.COLOR_BGR2RGB)
        for i in frame_indices("even", asked, 1, len(frames))
    ]
    scores = []
    for frame in frames:
        boxes, _ = mtcnn.detect(frame)
        if boxes is None:
            continue
        box = boxes[np.argmax((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))]
        face = extract_face(Image.fromarray(frame), box, image_size=size, margin=size // 4)
        with torch.inference_mode():
            logits = model.classify(plain.embed(model, face[None] / 255))
        scores.append(1 - float(logits.softmax(1)[0, 0]))
    return float(np.mean(scores)), len(scores)


def _peak(command: list[str], environment: dict[str, str]) -> float:
    """Peak memory of a command and all processes it starts together, in MB, seen every 0.1 s.

    What they share is counted once (the system's proportional set size).
    """
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(_memory, _family(process.pid))))
        time.sleep(0.1)
    return peak


def _memory(pid: int) -> float:
    """A process's memory in MB, of shared pages its part; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(after[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def detect(settings: Settings) -> dict[str, Result]:
    """``detect``: a clip of a minute, 32 frames asked, from the file to the answer; and
    ``detect_auto``, in half precision where the processor has units for it.

    Raises:
        RuntimeError: one of the two does not find the face in every frame asked for.
    """
    frames, times, asked = (50, 2, 4) if settings.quick else (250, 6, 32)
    config = steps.paper_config(settings, "rgb")
    torch.manual_seed(settings.seed)
    model = weights.build(config).eval()
    card = weights.Card(
        detector="mcx-api", label=config.label, classes=model.classes, config=config.stored()
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, stored = folder / "clip.mp4", folder / "weights.safetensors"
        length = _clip(file, frames, times, 700 + settings.seed)
        weights.save(stored, model, card)
        simple = plain.nchw(model)
        mtcnn = MTCNN(keep_all=True)

        def theirs() -> int:
            return _plain(file, asked, mtcnn, simple, config.train.input_size)[1]

        samples, used = {}, {}
        for entry, precision in ENTRIES.items():
            options = Options(max_frames=asked, precision=precision)
            with Judge(stored, options) as judge:

                def ours(judge=judge, entry=entry) -> int:
                    answer = judge(file).answer
                    used[entry] = [person.precision for person in answer.people]
                    return answer.frames_used

                if (found := (ours(), theirs())) != (asked, asked):
                    raise RuntimeError(f"a face was found in {found} of {asked} frames")
                samples[entry] = measure.take_turns(
                    ours,
                    theirs,
                    least=settings.repetitions(5),
                    seconds=settings.seconds(60),
                    warm_up=0,
                )
        command = [sys.executable, "-m", "mcxlib.cli", "detect", str(file), "--weights"]
        command += [str(stored), "--max-frames", str(asked)]
        environment = startup.home(folder)
        startup.first_line(command, environment)  # compiled files and disk caches
        first = [startup.first_line(command, environment)[0] for _ in range(3)]
        peaks = {
            entry: _peak([*command, "--precision", precision], environment)
            for entry, precision in ENTRIES.items()
        }
    return {
        entry: measure.result(
            samples[entry],
            what=f"A clip of {length / FPS:.0f} s and {SIZE[0]}x{SIZE[1]} to its answer, {asked} "
            f"frames asked, `--precision {precision}`, over OpenCV on every frame, facenet-pytorch "
            "on the whole frames and the network on one image at a time.",
            target=TARGET,
            seed=settings.seed,
            details={
                "frames": length,
                "frames_asked": asked,
                "backbone": config.model.backbone,
                "pixels": config.train.input_size,
                "precision": ", ".join(sorted(set(used[entry]))),
                "seconds_until_first_line": sorted(first)[1],
                "goal_seconds": SECONDS,
                "peak_megabytes": peaks[entry],
                "goal_megabytes": MEGABYTES,
                "device": "cpu",
            },
        )
        for entry, precision in ENTRIES.items()
    }
