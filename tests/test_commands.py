"""What a user types: good input starts, bad input ends at once with one message that names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("colorspace", "purple", "purple"),
        ("colourspace", "rgb", "no parameter 'colourspace'; did you mean 'colorspace'"),
    ],
)
def test_papermill_refuses_before_anything_is_made(tmp_path, name, value, message):
    done = run(
        *("papermill", "notebooks/02_train.ipynb", str(tmp_path / "out.ipynb")),
        *("-p", name, value, "--no-progress-bar"),
        MCX_DATA=str(tmp_path / "data"),
        MCX_RUNS=str(tmp_path / "runs"),
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ValueError" in last
    assert message in last
    for valid in ("rgb", "hsv", "lab", "ycbcr") if value == "purple" else ("colorspace", "seed"):
        assert valid in last
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "runs").exists()


def test_mcx_says_what_is_wrong_in_one_line(tmp_path):
    done = run("mcxlib.cli", "train", "--colorspace", "purple", MCX_DATA=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("mcx: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "purple" in done.stderr


def test_paper_preset_without_data_says_how_to_point_to_it(tmp_path):
    done = run(
        *("mcxlib.cli", "crops", "--preset", "paper", "--dataset", "KoDF"),
        MCX_DATA=str(tmp_path / "data"),
        MCX_VIDEOS=str(tmp_path / "nowhere"),
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "MCX_VIDEOS" in done.stderr
