"""Broken files of eight formats, and whether each ends in a verdict or a named reason.

``python tests/fuzz.py 2000`` judges 2,000 of them and counts the reasons.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.util import get_temp_dir
from pathlib import Path

import numpy as np
from media import write_video
from PIL import Image

from mcxlib.answer.schema import VERDICTS, Answer
from mcxlib.synthetic import render_person

WEIGHTS = Path(__file__).parent / "fixtures/format0/runs/mcx-api_rgb_seed0/weights.safetensors"

VIDEOS = {
    "mp4": ("libx264", "yuv420p"),
    "mkv": ("libx264", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "webm": ("libvpx", "yuv420p"),
    "mov": ("mjpeg", "yuvj420p"),
    "gif": ("gif", "rgb8"),
}


def originals(folder: Path) -> dict[str, bytes]:
    """A file of each format by its suffix, showing a drawn face."""
    frames = render_person((5,), 160, 120, 5)
    files = {}
    for suffix, (codec, pixels) in VIDEOS.items():
        path = folder / f"whole.{suffix}"
        write_video(path, len(frames), (160, 120), codec, pixels, frames=frames)
        files[suffix] = path.read_bytes()
    for suffix in ("jpg", "png"):
        path = folder / f"whole.{suffix}"
        Image.fromarray(frames[0]).save(path)
        files[suffix] = path.read_bytes()
    return files


def broken(files: dict[str, bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    """One file that is cut, flipped, spliced, blanked, or lies about its sizes: (suffix, bytes)."""
    suffix, other = rng.choice(list(files), 2)
    data = bytearray(files[suffix])
    place = int(rng.integers(len(data)))
    if rng.random() < 0.3:  # headers decide most
        place = int(rng.integers(min(512, len(data))))
    way = rng.integers(5)
    if way == 0:
        del data[max(1, place) :]
    elif way == 1:
        for where in rng.integers(len(data), size=rng.integers(1, 65)):
            data[where] ^= 1 << int(rng.integers(8))
    elif way == 2:
        second = files[other]
        data[place:] = second[int(rng.integers(len(second))) :]
    elif way == 3:
        end = min(len(data), place + int(rng.integers(1, 4096)))
        data[place:end] = bytes(end - place)
    else:
        data[place : place + 4] = b"\xff\xff\xff\xff" if rng.random() < 0.5 else b"\x7f\xff\xff\xff"
    return str(suffix), bytes(data) or b"\0"


def run(count: int, seed: int = 0, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Judge ``count`` broken files; returns how many ended how. ``progress`` is told their number.

    Raises:
        AssertionError: one of them ended in neither a verdict nor a reason, or left something.
    """
    # Here and not above: the process that reads files imports this file, if it is the program.
    from mcxlib.answer.judge import Judge, Options
    from mcxlib.answer.sandbox import Limits

    rng = np.random.default_rng(seed)
    ends: Counter[str] = Counter()
    limits = Limits(memory=512 << 20, computing=20, seconds=60)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = originals(folder)
        temporary = folder / "temporary"
        temporary.mkdir()
        get_temp_dir()  # multiprocessing's own, made once a program
        tempfile.tempdir = str(temporary)
        try:
            with Judge(WEIGHTS, Options(max_frames=4, people="largest"), limits) as judges:
                for suffix in files:
                    answer = judges(folder / f"whole.{suffix}").answer
                    assert answer.verdict, f"{suffix}, unbroken: {answer.reason}"
                for number in range(count):
                    suffix, data = broken(files, rng)
                    path = folder / f"{number}.{suffix}"
                    path.write_bytes(data)
                    answer = judges(path).answer
                    check(answer, f"seed {seed}, number {number}, {suffix}")
                    assert path.read_bytes() == data
                    assert not list(temporary.glob("mcx-*")), f"{path.name} left something"
                    path.unlink()
                    ends[answer.verdict or answer.reason] += 1
                    if progress:
                        progress(number + 1)
        finally:
            tempfile.tempdir = None
    return ends


def check(answer: Answer, which: str) -> None:
    """One answer has a verdict with a score, or a reason in one line and no score."""
    assert Answer.model_validate_json(answer.model_dump_json()) == answer, which
    if answer.verdict is None:
        assert answer.reason, which
        assert answer.reason.isprintable(), (which, answer.reason)
        assert answer.score is None, which
        return
    assert answer.verdict in VERDICTS, which
    assert not answer.reason, which
    assert 0 <= answer.score.low <= answer.score.value <= answer.score.high <= 1, which


def told(number: int) -> None:
    if number % 100 == 0:
        print(f"{number} files", file=sys.stderr, flush=True)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for end, times in run(wanted, progress=told).most_common():
        print(f"{times:6d}  {end}")
