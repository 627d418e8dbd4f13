"""Tables, weights and figures that somebody hands in, broken: each is read, or refused in words.

``python tests/fuzz_readers.py`` lists the readers; with the name of one, atheris looks for bytes
that end otherwise, guided by which lines of the package each input reaches. Further words are
libFuzzer's (``-max_total_time=60``). ``make fuzz`` does so for every reader.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

REFUSALS = (ValueError, FileNotFoundError, RuntimeError)
"""What the commands print in one line; anything else would be a traceback."""


class Reader(NamedTuple):
    """Something that reads a file, and a whole one to begin with."""

    suffix: str
    whole: Callable[[], bytes]
    read: Callable[[Path], object]


def _scores(path: Path) -> object:
    from mcxlib.outside import scores

    return scores.read(path)


def _list(path: Path) -> object:
    import pandas as pd

    from mcxlib.data.datasets import lists

    names = [f"real/{i}" for i in range(3)] + [f"fake/{i}" for i in range(3)]
    table = {"video_id": names, "path": [f"{n}.mp4" for n in names], "is_fake": [False] * 3}
    table["is_fake"] += [True] * 3
    return lists.read_list(path, pd.DataFrame(table | {"dataset": "mine"}))


def _table(path: Path) -> object:
    from mcxlib.data.datasets import table

    return table.read(path)


def _card(path: Path) -> object:
    from mcxlib.weights import format as weights

    return weights.read_card(path)


def _checkpoint(path: Path) -> object:
    from mcxlib.weights import checkpoint

    return checkpoint.read(path)


def _figure(path: Path) -> object:
    from mcxlib.figures import carried

    return carried.shown(carried.read(path))


def card(content: str = "") -> bytes:
    """A small file of weights with this card; without one, that of a network of preset ``test``."""
    import torch
    from safetensors.torch import save

    from mcxlib.config import load
    from mcxlib.weights.card import Card

    config = load("test")
    classes = ("real", "DF", "F2F", "FS", "NT")
    whole = Card(
        detector=config.detector, label="x", classes=classes, config=config.stored()
    ).model_dump_json()
    return save({"w": torch.zeros(2)}, {"format": "1", "card": content or whole})


def _pickled(zipped: bool) -> bytes:
    import torch

    file = io.BytesIO()
    state = {"state_dict": {"module.w": torch.arange(3.0)}, "epoch": 3, "best_acc": 0.5}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _keras() -> bytes:
    import h5py
    import numpy as np

    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        written.create_dataset("model_weights/conv2d_1/conv2d_1/kernel:0", data=np.ones((2, 2)))
    return file.getvalue()


def figure(kind: str) -> bytes:
    """A figure of one line, with what it carries."""
    from mcxlib.figures.style import Plate, new_figure, png, style, svg

    with style():
        drawn = new_figure(1, 1)
        drawn.subplots().plot([0, 1], [1, 0])
    return {"png": png, "svg": svg}[kind](Plate(drawn, "a line"))


_SCORES = b"path,score,dataset\nreal/0.mp4,0.25,mine\nfake/1.mp4,1,\n"
_LIST = b"video_id,is_fake,split\nreal/0,0,train\n./fake\\1.mp4,true,test\n"
_TABLE = b"path;label;manipulation;source\na.mp4;real;;\nb.mp4;fake;FS;a.mp4\n"
_DFDC = json.dumps(
    {"a.mp4": {"label": "REAL", "split": "train"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}
).encode()

READERS = {
    "scores": Reader(".csv", lambda: _SCORES, _scores),
    "list": Reader(".csv", lambda: _LIST, _list),
    "table": Reader(".csv", lambda: _TABLE, _table),
    "dfdc": Reader(".json", lambda: _DFDC, _table),
    "card": Reader(".safetensors", card, _card),
    "zipped": Reader(".pth", lambda: _pickled(True), _checkpoint),
    "legacy": Reader(".pth", lambda: _pickled(False), _checkpoint),
    "keras": Reader(".h5", _keras, _checkpoint),
    "png": Reader(".png", lambda: figure("png"), _figure),
    "svg": Reader(".svg", lambda: figure("svg"), _figure),
}


def once(reader: Reader, path: Path, data: bytes) -> str:
    """Read ``data`` from ``path``; returns why it was refused, "" if it was not.

    Any error but a refusal goes through.

    Raises:
        AssertionError: a refusal that does not name the file.
    """
    path.write_bytes(data)
    try:
        reader.read(path)
        return ""
    except REFUSALS as error:
        refusal = str(error)
    assert path.name in refusal, f"does not name the file: {refusal}"
    return refusal


def guided(name: str, arguments: list[str]) -> None:
    """Ends the process: with 0 if nothing was found."""
    import atheris

    reader = READERS[name]
    with atheris.instrument_imports(include=["mcxlib"]), tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder) / "seeds"
        seeds.mkdir()
        (seeds / "whole").write_bytes(reader.whole())
        path = Path(folder) / f"x{reader.suffix}"
        assert once(reader, path, reader.whole()) == "", "the whole file is refused"
        atheris.Setup(
            [sys.argv[0], str(seeds), "-max_len=20000", "-timeout=20", *arguments],
            lambda data: once(reader, path, data),
        )
        atheris.Fuzz()


if __name__ == "__main__" and len(sys.argv) == 1:
    print(*READERS)
elif __name__ == "__main__":
    guided(sys.argv[1], sys.argv[2:])
