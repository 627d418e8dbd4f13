"""Runs of several machines in one folder: what is copied, recognised, completed, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from mcxlib import cli, schemas, weights
from mcxlib.config import load
from mcxlib.files import digest, write_json
from mcxlib.pipeline import merge as merging
from mcxlib.runs import RunFolder
from mcxlib.weights import Card


def make(runs: Path, seed=0, weight=1.0, scored=("KoDF",), study="", **about) -> RunFolder:
    """A finished run of a small network whose last bias is ``weight``, with its scores."""
    config = load("test", detector="mesonet", seed=seed)
    folder = RunFolder(runs / study / config.run_id)
    folder.path.mkdir(parents=True)
    write_json(folder.config, config.stored())
    torch.manual_seed(seed)
    model = weights.build(config)
    with torch.no_grad():
        list(model.parameters())[-1].fill_(weight)
    recipe = {"format": 1, "engine": 1, "code": {}, "settings": {"lr": weight}, "data": "d"}
    card = Card(
        detector="mesonet",
        label="MesoNet",
        classes=("real", "DF"),
        score_kind="a probability",
        input={"size": 64, "colour": "RGB", "range": [0, 1]},
        config=config.stored(),
        crop_contract={},
        recipe=recipe,
        provenance={"finished": about.pop("finished", "then")},
    )
    weights.save(folder.weights, model, card)
    for name in scored:
        score(folder, name)
    record = {"format": 1, "run_id": config.run_id, "recipe": recipe, "data_sha256": "d"}
    record |= {"trained_on": {"synthetic": about.pop("synthetic", True)}}
    write_json(folder.provenance, record | about)
    return folder


def score(folder: RunFolder, name: str, value=0.5) -> None:
    table = pd.DataFrame(
        {
            "dataset": name,
            "video_id": ["a", "b"],
            "frame_index": 0,
            "split": "test",
            "is_fake": [False, True],
            "manipulation": ["real", "DF"],
            "fake_score": [value, 1 - value],
        }
    )
    schemas.write_scores(folder.scores(name), table, "a probability")
    write_json(folder.scores(name).with_suffix(".json"), {"weights_sha256": digest(folder.weights)})


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_runs_of_two_machines_lie_in_one_folder_as_they_were(tmp_path):
    a, b = make(tmp_path / "a"), make(tmp_path / "b", seed=1)
    study = make(tmp_path / "b", seed=2, study="ablation")
    (b.path / "scores/.KoDF.parquet.lock").touch()
    found = merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert [one.what for one in found] == ["merged"] * 3
    for folder, copy in ((a, a.run_id), (b, b.run_id), (study, f"ablation/{study.run_id}")):
        own = {k: v for k, v in bytes_of(folder.path).items() if ".lock" not in k}
        assert bytes_of(tmp_path / "all" / copy) == own
    assert not [f for f in (tmp_path / "all").rglob(".tmp-*")]


def test_the_same_run_is_recognised_and_what_only_one_machine_scored_is_added(tmp_path):
    make(tmp_path / "a", scored=("KoDF",))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    b = RunFolder(next((tmp_path / "b").iterdir()))
    score(b, "Celeb-DF-v2")
    found = merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert [one.what for one in found] == ["merged", "completed"]
    made = RunFolder(tmp_path / "all" / b.run_id)
    assert [f.stem for f in made.scored()] == ["Celeb-DF-v2", "KoDF"]
    assert bytes_of(made.path) == bytes_of(b.path)
    before = bytes_of(tmp_path / "all")
    again = merging.merge([tmp_path / "b", tmp_path / "a"], tmp_path / "all")
    assert [one.what for one in again] == ["identical", "identical"]
    assert bytes_of(tmp_path / "all") == before


def test_a_run_trained_twice_to_the_same_weights_is_kept_once(tmp_path):
    make(tmp_path / "a", finished="on Monday")
    make(tmp_path / "b", finished="on Tuesday", scored=("KoDF", "Celeb-DF-v2"))
    found = merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert [one.what for one in found] == ["merged", "identical"]
    assert "trained twice" in found[1].why
    assert bytes_of(tmp_path / "all") == bytes_of(tmp_path / "a")


def test_two_different_runs_of_one_name_are_refused_before_anything_is_copied(tmp_path):
    make(tmp_path / "a", seed=1)
    make(tmp_path / "a", weight=1.0)
    make(tmp_path / "b", weight=2.0)
    with pytest.raises(ValueError, match=r"mesonet_rgb_seed0 .*setting lr, weights differ"):
        merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize("said", [{}, [], None, {"weights": "x"}])
def test_scores_that_do_not_say_their_weights_are_refused(tmp_path, said):
    run = make(tmp_path / "a")
    write_json(run.scores("KoDF").with_suffix(".json"), said)
    with pytest.raises(ValueError, match=r"mesonet_rgb_seed0 .*KoDF.json does not say of which"):
        merging.merge([tmp_path / "a"], tmp_path / "all")


def test_other_scores_of_the_same_weights_are_refused(tmp_path):
    make(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    score(RunFolder(next((tmp_path / "b").iterdir())), "KoDF", 0.25)
    with pytest.raises(ValueError, match=r"scores/KoDF\.parquet differ"):
        merging.merge([tmp_path / "b"], tmp_path / "a")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.weights.unlink(), "has no weights.safetensors"),
        (lambda f: f.path.rename(f.path.with_name("mesonet_rgb_seed7")), "was renamed"),
        (
            lambda f: write_json(f.scores("KoDF").with_suffix(".json"), {"weights_sha256": "x"}),
            "scores are of other weights",
        ),
        (
            lambda f: write_json(f.provenance, f.read_provenance() | {"recipe": {"format": 1}}),
            "of another training than its provenance",
        ),
        (
            lambda f: write_json(f.provenance, f.read_provenance() | {"format": 9}),
            "format 9.*update it",
        ),
        (lambda f: f.config.write_text("{"), "cannot be read"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, spoil, said):
    spoil(make(tmp_path / "a"))
    with pytest.raises(ValueError, match=rf"nothing was merged:\n.*{said}"):
        merging.merge([tmp_path / "a"], tmp_path / "all")


def test_drawn_people_and_real_ones_are_not_mixed(tmp_path):
    make(tmp_path / "a", seed=1)
    make(tmp_path / "b", synthetic=False)
    with pytest.raises(ValueError, match=r"rendered videos and mesonet_rgb_seed0 on distributed"):
        merging.merge([tmp_path / "b"], tmp_path / "a")


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    make(tmp_path / "a")
    unfinished = make(tmp_path / "a", seed=1)
    unfinished.provenance.unlink()
    old = make(tmp_path / "a", seed=2).put_aside()
    found = merging.merge([tmp_path / "a"], tmp_path / "all")
    left = {one.source.name: one.why for one in found if one.what == "left out"}
    assert left == {unfinished.run_id: "not finished", old.name: "put aside"}
    assert [f.name for f in (tmp_path / "all").iterdir()] == ["mesonet_rgb_seed0"]


def test_what_a_killed_merge_leaves_counts_for_nothing_and_is_cleared(tmp_path, monkeypatch):
    make(tmp_path / "a")
    make(tmp_path / "a", seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: pytest.fail("as if killed", pytrace=False))
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(pytest.fail.Exception):
            merging.merge([tmp_path / "a"], tmp_path / "all")
    (left,) = (tmp_path / "all").iterdir()
    assert left.name.startswith(".tmp-")
    assert (left / "provenance.json").is_file()
    assert merging.folders(tmp_path / "all") == []
    found = merging.merge([tmp_path / "a"], tmp_path / "all")
    assert [one.what for one in found] == ["merged", "merged"]
    assert bytes_of(tmp_path / "all") == bytes_of(tmp_path / "a")


def test_runs_of_other_crops_are_named(tmp_path):
    for seed, data in enumerate(("d", "d", "e")):
        make(tmp_path / "a", seed=seed, data_sha256=data)
    found = merging.merge([tmp_path / "a"], tmp_path / "all")
    assert merging.other_data(found) == ["mesonet_rgb_seed2"]


def test_the_command_sums_up(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "a", seed=1).provenance.unlink()
    words = ["results", "merge", str(tmp_path / "a"), "--into", str(tmp_path / "all")]
    said = CliRunner().invoke(cli.app, words).output
    assert "2 folders of 1 sources: 1 merged, 0 completed, 0 identical, 1 left out" in said
    assert "mesonet_rgb_seed1: left out (not finished)" in said
    with pytest.raises(ValueError, match="is the folder to merge into"):
        merging.merge([tmp_path / "all"], tmp_path / "all")


def test_a_finished_run_of_older_code_is_merged_too(tmp_path):
    source = Path(__file__).parent / "fixtures/format0/runs"
    (one,) = merging.merge([source], tmp_path / "all")
    assert one.what == "merged"
    table = schemas.read_scores(tmp_path / "all" / one.run / "scores/KoDF.parquet")
    assert np.isfinite(table["fake_score"]).all()
    assert json.loads((tmp_path / "all" / one.run / "provenance.json").read_text())
