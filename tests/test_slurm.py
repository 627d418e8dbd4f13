"""The workflow on a real SLURM, on this machine: a job array, a killed job, a preempted one, and a
job of two nodes; each ends with the same bits as without SLURM.

``make test-slurm`` runs this; the other tests leave it out, since it needs SLURM's daemons and some
minutes. Where they cannot run, everything here is skipped, and says why.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from slurm_cluster import NoSlurm, cluster

from mcxlib.data import datasets

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[1]
KILLED, PREEMPTED = "mesonet_rgb_seed0", "mcx-api_rgb_seed0"
PAUSE = 20  # the step after which both wait: past the first states, before the end
LONG = 1500  # s; nothing here takes as long, unless it hangs

MCX = [sys.executable, "-m", "mcxlib.cli"]
PAIR = ["--preset", "test", "--detector", "mesonet", "--threads", "1", "--set", "epochs=3"]


def command(words: list[str], environment: dict[str, str], folder: Path = ROOT) -> str:
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONG
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def wait(for_what: str, ready: Callable[[], object], process: subprocess.Popen) -> None:
    end = time.monotonic() + LONG
    while not ready():
        assert process.poll() is None, f"ended before {for_what}"
        assert time.monotonic() < end, f"no {for_what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def slurm():
    """The variables that point to a running SLURM."""
    try:
        with cluster() as variables:
            yield os.environ | variables | {"OMP_NUM_THREADS": "1"}
    except NoSlurm as reason:
        pytest.skip(f"NOTHING ABOUT THE CLUSTER WAS TESTED: {reason}")


@pytest.fixture(scope="module")
def reference(slurm, tmp_path_factory):
    """A home with crops and two runs that were made without SLURM."""
    home = tmp_path_factory.mktemp("plain")
    environment = os.environ | {"MCX_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    command([*MCX, "crops", "--preset", "test", "--workers", "2"], environment)
    score = [*MCX, "score", "--preset", "test", "--threads", "1", "--detector"]
    both = [
        subprocess.Popen(
            [*score, run.partition("_")[0]],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for run in (KILLED, PREEMPTED)
    ]
    assert [process.wait(LONG) for process in both] == [0, 0]
    return home


@pytest.fixture(scope="module")
def tree(reference, tmp_path_factory):
    """A copy of the project with the rendered videos, and nothing else made."""
    folder = tmp_path_factory.mktemp("cluster") / "a tree"
    ignore = shutil.ignore_patterns("__pycache__", "generated")
    for name in ("workflow", "mcxlib", "notebooks", "book", "benchmarks", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "_config.yml", folder)
    shutil.copytree(reference / "data/test/videos", folder / "data/test/videos")
    (folder / "reached").mkdir()
    paused = [sys.executable, ROOT / "tests/slurm_paused.py", folder / "reached", str(PAUSE)]
    (folder / "cluster.json").write_text(
        json.dumps(
            {
                "preset": "test",
                "shards": 2,
                "threads": 1,
                "retrain": "never",
                "mcx": shlex.join(map(str, paused)),
            }
        )
    )
    return folder


def jobs(slurm: dict[str, str]) -> dict[str, str]:
    """Job number -> its state and what the workflow calls it."""
    said = command(["squeue", "--noheader", "--states=all", "--format=%A|%T|%k|%o"], slurm)
    return dict(line.split("|", 1) for line in said.splitlines())


def job_of(run: str, slurm: dict[str, str]) -> str:
    """The number of the job that is at a run now."""
    (number,) = (n for n, words in jobs(slurm).items() if run in words and "RUNNING" in words)
    return number


@pytest.fixture(scope="module")
def finished(tree, slurm):
    """The workflow has run through the queue; what snakemake said, and the preempted job."""
    # The plugin does not quote Python's path in its job scripts: a link without a space stands in.
    with tempfile.TemporaryDirectory(prefix="mcx-python-") as plain:
        link = Path(plain) / "environment"
        link.symlink_to(sys.prefix)
        yield _through_the_queue(tree, slurm, link / "bin/python")


def _through_the_queue(tree: Path, slurm: dict[str, str], python: Path) -> tuple[str, str]:
    words = [python, "-m", "snakemake", "--profile", "workflow/profiles/slurm"]
    words += ["--configfile", "cluster.json", "--slurm-status-command", "squeue"]
    words += ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
    words += [f"results/test/done/{run}.json" for run in (KILLED, PREEMPTED)]
    environment = slurm | {"PYTHONPATH": str(tree), "HOME": str(tree)}
    with open(tree / "said.txt", "w") as said:
        process = subprocess.Popen(words, cwd=tree, env=environment, stdout=said, stderr=said)
        try:
            for run in (KILLED, PREEMPTED):
                wait(f"{run} in the middle", (tree / "reached" / run).exists, process)
            command(["scancel", "--signal=KILL", job_of(KILLED, slurm)], slurm)
            preempted = job_of(PREEMPTED, slurm)
            # Needs both CPUs, in the queue that goes first.
            command(["sbatch", "--partition=high", "--ntasks=2", "--wrap=true"], slurm, tree)
            assert process.wait(LONG) == 0, (tree / "said.txt").read_text()[-3000:]
        finally:
            process.kill()
            process.wait()
    return (tree / "said.txt").read_text(), preempted


def test_faces_are_cut_by_job_arrays_and_joined_to_the_same_bytes(finished, reference, tree):
    shards = list((tree / "results/test/done/crops").rglob("*.json"))
    assert len(shards) == 2 * len(datasets.paper_order())
    made, plain = (folder / "data/test/crops" for folder in (tree, reference))
    files = sorted(f.relative_to(plain) for f in plain.rglob("*.npy"))
    assert files == sorted(f.relative_to(made) for f in made.rglob("*.npy"))
    assert len(files) > 80
    assert all((made / f).read_bytes() == (plain / f).read_bytes() for f in files)
    for table in plain.glob("*.parquet"):
        own = pd.read_parquet(made / table.name)
        pd.testing.assert_frame_equal(own, pd.read_parquet(table))


def test_a_killed_job_is_submitted_again(finished):
    said, _ = finished
    assert re.search(rf"Error in rule run.*{KILLED}", said, re.S)
    assert "Trying to restart job" in said


def test_a_preempted_job_is_taken_up_again_by_slurm_itself(finished, slurm):
    shown = command(["scontrol", "show", "job", finished[1]], slurm)
    assert int(re.search(r"Restarts=(\d+)", shown)[1]) >= 1
    assert "JobState=COMPLETED" in shown


@pytest.mark.parametrize("run", [KILLED, PREEMPTED])
def test_both_went_on_and_end_with_the_same_bits(finished, reference, tree, run):
    made, plain = (folder / "runs/test" / run for folder in (tree, reference))
    weights, expected = (load_file(f / "weights.safetensors") for f in (made, plain))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    scores = sorted(f.name for f in (plain / "scores").glob("[!.]*.parquet"))
    assert len(scores) == len(datasets.paper_order())
    for name in scores:
        pd.testing.assert_frame_equal(
            pd.read_parquet(made / "scores" / name), pd.read_parquet(plain / "scores" / name)
        )


def test_both_went_on_from_their_last_state(finished, tree):
    """Preempted, a training has time to write its state: no step is done twice. Killed, it has
    not, and begins again after its last whole epoch."""

    def steps(run):
        return [int(step) for step in (tree / "reached" / f"{run}.steps").read_text().split()]

    last = json.loads((tree / "runs/test" / PREEMPTED / "provenance.json").read_text())["steps"]
    assert steps(PREEMPTED) == list(range(1, last + 1))
    assert last > PAUSE
    before, again = steps(KILLED)[:PAUSE], steps(KILLED)[PAUSE:]
    assert before == list(range(1, PAUSE + 1))
    assert 1 < again[0] <= PAUSE + 1
    assert again == list(range(again[0], again[-1] + 1))


def test_one_job_of_two_nodes_trains_as_torchrun_does_on_one(slurm, reference, tmp_path):
    """Two nodes of one process each, over gloo, against two processes of one torchrun."""
    plain = os.environ | {"MCX_HOME": str(reference), "OMP_NUM_THREADS": "1"}
    plain |= {"PYTHONPATH": str(ROOT), "MCX_RUNS": str(tmp_path / "plain")}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command([*torchrun, "--nproc-per-node=2", "-m", "mcxlib.cli", "train", *PAIR], plain)
    nodes = slurm | plain | {key: slurm[key] for key in ("SLURM_CONF", "PATH")}
    nodes |= {"MCX_RUNS": str(tmp_path / "nodes"), "MCX_PYTHON": sys.executable}
    nodes |= {"MCX_HOST": "127.0.0.1"}  # both nodes have this machine's address
    script = ROOT / "workflow/slurm/train_nodes.sh"
    batch = ["sbatch", "--wait", "--partition=pair", "--nodes=2", f"--output={tmp_path}/said.txt"]
    done = subprocess.run([*batch, script, *PAIR], env=nodes, timeout=LONG, cwd=ROOT)
    assert done.returncode == 0, (tmp_path / "said.txt").read_text()[-3000:]
    folders = [next((tmp_path / name / "test").glob("mesonet_*")) for name in ("plain", "nodes")]
    assert [json.loads((f / "provenance.json").read_text())["processes"] for f in folders] == [2, 2]
    one, two = (load_file(f / "weights.safetensors") for f in folders)
    assert all(torch.equal(one[name], two[name]) for name in one)
    losses = [pd.read_parquet(f / "history.parquet")["total"] for f in folders]
    np.testing.assert_array_equal(*losses)
