"""What --weights takes: a file, a run's folder, a name; and what is said of everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mcxlib import weights
from mcxlib.runs import RunFolder

RUN = RunFolder(Path(__file__).parent / "fixtures/format0/runs/mcx-api_rgb_seed0")


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("MCX_RUNS", "MCX_DATA", "MCX_RESULTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MCX_HOME", str(tmp_path))
    return tmp_path


def test_a_file_and_the_folder_of_its_run_are_the_same_weights():
    assert weights.find(RUN.weights) == RUN.weights
    assert weights.find(str(RUN.path)) == RUN.weights


def test_demo_is_the_demonstration_when_it_is_there(home):
    with pytest.raises(FileNotFoundError, match=r"no demonstration weights at .*make makes them"):
        weights.find("demo")
    folder = home / "runs/demo/mcx-api_rgb_seed0"
    shutil.copytree(RUN.path, folder)
    assert weights.find("demo") == folder / "weights.safetensors"


def test_what_is_missing_or_unfinished_is_said(home, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*nowhere.*or 'demo'"):
        weights.find(home / "nowhere")
    (home / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not the folder of a run"):
        weights.find(home / "empty")
    shutil.copytree(RUN.path, home / "run")
    (home / "run/weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"run/weights\.safetensors is missing; bring it back"):
        weights.find(home / "run")
    (home / "run/provenance.json").unlink()
    with pytest.raises(ValueError, match="run is not finished; mcx train goes on"):
        weights.find(home / "run")


@pytest.mark.parametrize("name", ["best.pth", "other.safetensors"])
def test_a_foreign_file_is_sent_to_the_import(tmp_path, name):
    file = tmp_path / name
    if file.suffix == ".pth":
        torch.save({"a": torch.zeros(1)}, file)
    else:
        save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"not a file of weights of this .*mcx weights import '"):
        weights.find(file)
