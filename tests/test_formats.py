"""What older code wrote stays readable: a run of the first format loads, scores and is listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from mcxlib import CLASSES, pipeline, schemas, tables, weights
from mcxlib.config import load
from mcxlib.data.crops.rows import join
from mcxlib.engine.score import score_rows
from mcxlib.runs import RunFolder

FIRST = Path(__file__).parent / "fixtures/format0"
RUN = RunFolder(FIRST / "runs/mcx-api_rgb_seed0")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with that run under preset test and nothing else."""
    monkeypatch.setenv("MCX_HOME", str(tmp_path))
    shutil.copytree(RUN.path, tmp_path / "runs/test" / RUN.run_id)
    return tmp_path


def test_weights_of_the_first_format_load():
    model, config, card = weights.load(RUN.weights)
    assert config == load("test")
    assert (card.format, card.label, card.classes) == (0, "MCX-API(RGB)", CLASSES)
    assert card.crop_contract["crop_size"] == 72
    assert card.trained_on["synthetic"] is True
    stored = load_file(RUN.weights)
    assert all(torch.equal(v, stored[k]) for k, v in model.state_dict().items())
    assert not model.training


def test_its_weights_score_crops_as_they_did():
    """The probabilities that the code of that day stored, from the same crops; another processor
    may round otherwise."""
    model, config, card = weights.load(RUN.weights)
    crops = pd.read_parquet(FIRST / "crops/KoDF.parquet")
    manifest = pd.read_parquet(FIRST / "crops/KoDF.manifest.parquet")
    rows = join(crops, manifest, card.classes)
    found = score_rows(model, rows, FIRST / "crops/KoDF", config)
    stored = pd.read_parquet(RUN.scores("KoDF"))
    both = found.merge(stored, on=["video_id", "frame_index"], suffixes=("", "_stored"))
    assert len(both) == len(rows) == 10
    for name in CLASSES:
        np.testing.assert_allclose(both[f"p_{name}"], both[f"p_{name}_stored"], atol=1e-4)


def test_scores_of_the_first_format_get_their_score_of_fake():
    table = schemas.read_scores(RUN.scores("KoDF"))
    stored = pd.read_parquet(RUN.scores("KoDF"))
    assert "fake_score" not in stored
    expected = 1 - stored["p_real"].astype(np.float64)
    np.testing.assert_array_equal(table["fake_score"], expected)


def test_it_is_listed_and_says_by_what_it_was_made(home):
    table = tables.closed_set(home / "runs/test")
    row = table[table["label"] == "MCX-API(RGB)"].set_index("test_set")
    assert set(row["status"]) == {"measured"}
    assert set(row["source"]) == {"synthetic demonstration data"}
    assert (
        "made by older code (a recipe that older code did not write down)"
        in row.loc["DF", "standing"]
    )
    assert tables.verify(table, home / "runs/test") < 1e-12


def test_it_is_used_as_it_is(home):
    """Neither trained anew nor scored anew, and nothing else is asked for: there is no data."""
    config = load("test")
    folder = home / "runs/test" / RUN.run_id
    before = {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}
    assert pipeline.ensure_run(config) == folder
    for dataset in pipeline.ALL_DATASETS:
        assert len(pipeline.ensure_scores(config, dataset)) > 0
    after = {p: p.stat().st_mtime_ns for p in before}
    assert after == before
    assert not (home / "data").exists()
    assert [p.name for p in (home / "runs/test").iterdir() if p.is_dir()] == [RUN.run_id]


def test_newer_formats_are_refused_and_foreign_files_named(tmp_path):
    model, config, card = weights.load(RUN.weights)
    newer = tmp_path / "newer.safetensors"
    weights.save(newer, model, card.model_copy(update={"format": 9, "config": config.stored()}))
    with pytest.raises(ValueError, match=r"newer\.safetensors is of format 9.*up to 1; update"):
        weights.load(newer)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, foreign)
    with pytest.raises(ValueError, match="holds no card and no run configuration"):
        weights.load(foreign)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        weights.load(tmp_path / "text.safetensors")
    with pytest.raises(FileNotFoundError, match="train the run first"):
        weights.load(tmp_path / "none.safetensors")
    table = schemas.read_scores(RUN.scores("KoDF"))
    schemas.write_noted(tmp_path / "scores.parquet", table, {"format": 9})
    with pytest.raises(ValueError, match=r"scores of format 9.*up to 1; update"):
        schemas.read_scores(tmp_path / "scores.parquet")


def test_a_setting_that_is_gone_is_no_reason_to_compute_something_else(tmp_path):
    """The tensors would fit: only the card tells that the network did something more with them."""
    model, config, card = weights.load(RUN.weights)
    stored = config.stored()
    stored["model"] |= {"temper": 0.5, "shout": True}
    file = tmp_path / "other.safetensors"
    weights.save(file, model, card.model_copy(update={"format": 1, "config": stored}))
    said = r"other\.safetensors was made with settings of mcx-api .*\(temper = 0\.5, shout = True\)"
    with pytest.raises(ValueError, match=said):
        weights.load(file)
    assert weights.read_card(file).config == stored


def test_what_is_written_today_says_its_format(tmp_path):
    model, config, card = weights.load(RUN.weights)
    today = card.model_copy(update={"format": 1, "config": config.stored()})
    weights.save(tmp_path / "w.safetensors", model, today)
    again = weights.read_card(tmp_path / "w.safetensors")
    assert (again.format, again.config["format"]) == (1, 1)
    assert weights.load(tmp_path / "w.safetensors").config == config
    table = schemas.read_scores(RUN.scores("KoDF"))
    schemas.write_scores(tmp_path / "s.parquet", table, "1 - p(real)")
    note = schemas.read_note(tmp_path / "s.parquet")
    assert note["format"] == 1
    assert note["direction"] == "larger is more likely fake; decided at 0.5"
    assert json.loads(json.dumps(note)) == note
