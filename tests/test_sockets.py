"""Processes that talk to each other, where the folder for temporary files has a long name."""

import os
import subprocess
import sys
import tempfile
from multiprocessing import process, util
from pathlib import Path

import pytest

from mcxlib import sockets

ROOT = Path(__file__).parents[1]

TRIED = """
import sys, tempfile
from pathlib import Path
from fuzz import WEIGHTS
from mcxlib.answer.judge import Judge, Options
from mcxlib.config import load
from mcxlib.data.faces import extract
import pandas as pd

if __name__ == "__main__":
    assert len(tempfile.gettempdir()) > 100
    folder, video = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3] == "judge":
        with Judge(WEIGHTS, Options(max_frames=4)) as judges:
            print(judges(video).answer.frames_used)
    else:
        about = {"dataset": "d", "video_id": "a", "path": video.name, "split": "test", "bytes": 1}
        data = load("test", frame_count=4).data
        rows = extract.crop_videos(
            pd.DataFrame([about]), video.parent, folder / "crops", data, workers=2
        )
        print((rows["status"] == "ok").sum())
"""


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / ("x" * 100)
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    from mcxlib.synthetic import render_person
    from mcxlib.synthetic.encode import write_video

    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path, render_person((5,), frames=4), 25, 18)
    return path


@pytest.mark.parametrize("what", ["judge", "crop"])
def test_a_long_name_is_no_hindrance(what, long, video, tmp_path):
    script = tmp_path / "tried.py"
    script.write_text(TRIED)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(video), what],
        env=os.environ | {"TMPDIR": str(long), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4"], "four faces"


def test_a_loader_with_processes(long, crop_tables, tmp_path):
    """Tensors come from its processes over sockets too."""
    script = tmp_path / "load.py"
    crops = crop_tables[1]
    crop_tables[0].to_parquet(tmp_path / "rows.parquet")
    script.write_text(
        "import sys, pandas as pd\n"
        "from mcxlib.data.crops.dataset import CropDataset, loader\n"
        "rows = pd.read_parquet(sys.argv[1])\n"
        "for images, _ in loader(CropDataset(rows, sys.argv[2], 36), [[0, 1], [2, 3]], 1):\n"
        "    print(len(images))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "rows.parquet"), str(crops)],
        env=os.environ | {"TMPDIR": str(long), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["2", "2"], done.stderr


def test_no_place_at_all_is_said_and_a_short_name_changes_nothing(long, monkeypatch):
    monkeypatch.setattr(process.current_process(), "_config", {})
    monkeypatch.setattr(util, "get_temp_dir", lambda: pytest.fail("not needed"))
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (sockets.LONGEST - sockets.ADDED - 1))
    sockets.make_room()
    monkeypatch.setattr(sockets, "SHORT", ())
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (sockets.LONGEST - sockets.ADDED))
    with pytest.raises(ValueError, match=r"TMPDIR to one of at most 68"):
        sockets.make_room()
