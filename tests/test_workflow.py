"""The workflow: what it plans, what wakes it and what does not.

The commands are stand-ins that write what is asked for at once; what the true ones decide by
themselves is tested with them.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcxlib.settings import matrix

ROOT = Path(__file__).parents[1]

STAND_IN = """
import json, sys
from pathlib import Path

words = sys.argv[1:]
value = lambda name: Path(words[words.index(name) + 1])
if "--done" in words:
    value("--done").parent.mkdir(parents=True, exist_ok=True)
    value("--done").write_text(json.dumps({"made": words[0]}))
elif words[0] == "tables":
    kinds = (".csv", ".md", "_notes.md", "_cells.csv", "_rates.csv")
    for name in (f"{n}{kind}" for n in (1, 2, 3) for kind in kinds):
        (value("--output") / f"table{name}").write_text("a")
    for name in ("headline.md", "machine.md", "seeds.md", "seeds.csv", "results.csv",
                 "results.parquet"):
        (value("--output") / name).write_text("a")
elif words[0] == "claims":
    for kind in ("csv", "json", "md"):
        (value("--output") / f"claims.{kind}").write_text("a")
elif words[0] == "scaling":
    for name in ("rates", "checked", "assumed", "sizes", "stores", "demo"):
        for kind in ("md", "csv"):
            (value("--output") / f"{name}.{kind}").write_text("a")
elif words[0] == "figures":
    for name in ("preview", "xception", "tsne", "layercam", "cam_mcx-api", "cam_api-net"):
        (value("--output") / f"{name}.png").write_text("a")
else:
    Path(f"book/generated/notebooks/{words[1]}.ipynb").write_text("{}")
"""

SHOWN = ("tables", "figures", "book/generated/notebooks/05_tsne.ipynb")


def snakemake(folder: Path, *arguments: str, python: str | Path = sys.executable) -> str:
    done = subprocess.run(
        [python, "-m", "snakemake", "--cores", "2", "--nolock", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def planned(said: str) -> dict[str, int]:
    """Jobs by rule, of a dry run."""
    counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", said, re.M)}
    counts.pop("total", None)
    return counts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the tree in which the stand-ins have made everything but the book."""
    folder = tmp_path_factory.mktemp("work") / "mit Umlaut ä"
    ignore = shutil.ignore_patterns("__pycache__", "generated")
    for name in ("workflow", "mcxlib", "notebooks", "book", "benchmarks", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "_config.yml", folder)
    (folder / "stand_in.py").write_text(STAND_IN)
    config = f"mcx={shlex.quote(sys.executable)} stand_in.py"
    (folder / "workflow/config.yaml").write_text(
        (folder / "workflow/config.yaml").read_text() + f'\nmcx: "{config.partition("=")[2]}"\n'
    )
    snakemake(folder, *SHOWN)
    assert "Nothing to be done" in snakemake(folder, "-n", *SHOWN)
    return folder


@pytest.fixture
def untouched(tmp_path):
    """The tree as cloned, by links: nothing is made yet."""
    for name in ("workflow", "mcxlib", "notebooks", "benchmarks", "tools", "_config.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "book").mkdir()
    for page in (ROOT / "book").iterdir():
        if page.name != "generated":  # results, if the book was built before
            (tmp_path / "book" / page.name).symlink_to(page)
    return tmp_path


def test_an_environment_in_a_folder_with_a_space_is_one_word_of_each_command(untouched):
    environment = untouched / "neues Häuschen {1}" / ".venv"
    environment.parent.mkdir()
    environment.symlink_to(sys.prefix)
    said = snakemake(untouched, "-n", "-p", "book", python=environment / "bin/python")
    lines = re.findall(r"^(?:Shell command: |(?='))(.*)$", said, re.M)
    commands = {shlex.split(line)[0] for line in lines}
    assert commands == {str(environment / "bin" / name) for name in ("python", "jupyter-book")}


def test_every_run_and_notebook_is_planned(untouched):
    counts = planned(snakemake(untouched, "-n", "book"))
    assert counts["run"] == len(matrix.rows("demo")) == 15
    assert counts["notebook"] == len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert counts["videos"] == counts["crops"] == counts["book"] == 1


def test_the_larger_detectors_are_planned_when_asked_for(untouched):
    said = snakemake(untouched, "-n", "book", "--config", "full=1")
    rows = {row.run_id(0) for row in matrix.rows("paper")}
    assert set(re.findall(r"output: results/demo/done/(\S+_seed0)\.json", said)) == rows
    assert {"dcl_rgb_seed0", "m2tr_rgb_seed0", "madd_rgb_seed0"} <= rows
    # Detectors of clips wait for their own crops, the others for those that all share.
    waits = re.findall(r"input: (\S+)\s+output: results/demo/done/(\S+)_seed0\.json", said)
    done = {detector: f"results/demo/done/clips/{detector}.json" for detector in matrix.CLIPS}
    assert {
        name.rpartition("_rgb")[0]: crops for crops, name in waits if "/clips/" in crops
    } == done
    assert ("results/demo/done/crops.json", "dcl_rgb") in waits


def test_the_papers_matrix_is_planned_with_what_each_job_asks_for(untouched):
    said = snakemake(untouched, "-n", "book", "--configfile", "workflow/paper.yaml")
    counts = planned(said)
    assert counts["shard"] == 4 * 16
    assert counts["run"] == 3 * len(matrix.rows("paper"))
    assert counts["ablation"] == 3
    pattern = r"output: results/paper/done/(\S+)\.json.*?resources: (.*?)\n"
    asked = dict(re.findall(pattern, said, re.S))
    assert "runtime=1440" in asked["mcx-api_rgb_seed2"]
    assert "gpu=1" in asked["mcx-api_rgb_seed2"]
    assert "gpu=" not in asked["crops/FaceForensics++/16"]
    assert "--threads 1 --loader-workers 4" in snakemake(
        untouched, "-n", "-p", "results/paper/done/mesonet_rgb_seed0.json",
        "--configfile", "workflow/paper.yaml",
    )  # fmt: skip


def test_touched_and_commented_files_make_nothing_run_again(made):
    for file in (made / "mcxlib").rglob("*.py"):
        file.touch()
    pairs = made / "mcxlib/method/pairs.py"
    pairs.write_text("# a word in front\n" + pairs.read_text())
    assert "Nothing to be done" in snakemake(made, "-n", *SHOWN)


def test_a_changed_equation_wakes_the_runs_that_depend_on_it_and_no_other(made):
    pairs = made / "mcxlib/method/pairs.py"
    text = pairs.read_text()
    changed = text.replace("torch.arange(images, device=features.device).repeat(2)", "None")
    assert changed != text
    pairs.write_text(changed)
    try:
        said = snakemake(made, "-n", *SHOWN)
        woken = set(re.findall(r"output: results/demo/done/(\S+)\.json", said))
        expected = {r.run_id(0) for r in matrix.rows("demo") if r.detector.endswith("api")}
        expected.add("api-net_rgb_seed0")
        expected |= {f"ablation-{seed}" for seed in matrix.ABLATION_SEEDS["demo"]}
        # Studies of these runs, whose numbers the tables hold too; not the traces.
        expected |= {"robustness", "maps"}
        assert woken == expected
        assert planned(said)["run"] == 10
        assert not {"videos", "crops"} & planned(said).keys()
        # The commands find that all is as it was (their notes stay the same): nothing else runs.
        snakemake(made, *SHOWN)
        assert "Nothing to be done" in snakemake(made, "-n", *SHOWN)
    finally:
        pairs.write_text(text)


def test_a_changed_figure_draws_and_trains_nothing(made):
    snakemake(made, *SHOWN)
    style = made / "mcxlib/figures/style.py"
    text = style.read_text()
    style.write_text(text.replace('"#0072B2"', '"#0072B3"'))
    try:
        counts = planned(snakemake(made, "-n", *SHOWN))
        assert counts.get("figures") == 1
        assert not {"run", "ablation", "crops", "videos"} & counts.keys()
    finally:
        style.write_text(text)


def test_where_slurm_cannot_run_that_is_said_and_is_no_failure(tmp_path):
    script = ROOT / "tests/slurm_cluster.py"
    done = subprocess.run(
        [sys.executable, script, "true"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 77
    assert "not installed: " in done.stderr
    assert "apt-get install munge slurmctld slurmd slurm-client" in done.stderr
