"""Training promises: the paper's schedule, learning, selection on validation data only, the same
weights after an interruption, and refusal of what would make the test no test."""

import math
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from mcxlib import CLASSES, checkpoint, train
from mcxlib.config import load
from mcxlib.files import read_json
from mcxlib.score import score_rows

SETTINGS = {"crop_size": 40, "input_size": 36, "epochs": 3, "per_category": 4}


def fit(tables, run_dir, **overrides):
    rows, folder = tables
    config = load("test", **(SETTINGS | overrides))
    return config, train.fit(config, rows, folder, run_dir, {"crop_size": 40})


@pytest.fixture(scope="module")
def run(crop_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config, history = fit(crop_tables, folder, epochs=8)
    return config, history, folder


def test_cosine_is_the_papers_schedule():
    """lr(t) = lr/2 (1 + cos(pi t)): hand-worked at 0, 1/3, 1/2, 1."""
    config = load("paper")
    for t, expected in ((0, 0.01), (1 / 3, 0.0075), (0.5, 0.005), (1, 0)):
        assert train.learning_rate(config, t) == pytest.approx(expected)


def test_one_cycle_agrees_with_torch():
    config = load("demo")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], config.lr)
    n = 100
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=n + 1, final_div_factor=400, cycle_momentum=False
    )
    for i in range(n):
        # torch turns at step 0.3 (n + 1) - 1, here at 0.3 n.
        assert train.learning_rate(config, i / n) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=0.12, abs=2e-5
        )
        optimizer.step()
        schedule.step()


def test_it_learns_and_the_stored_weights_are_the_selected_ones(run, crop_tables):
    config, history, folder = run
    rows, crops = crop_tables
    model, trained, contract = checkpoint.load_weights(folder / "weights.safetensors")
    assert trained == config
    assert contract == {"crop_size": 40}
    val = rows[rows["split"] == "val"]
    scores = score_rows(model, val, crops, config)
    real = ~scores["is_fake"]
    aucs = [
        roc_auc_score(
            scores["is_fake"][keep := real | (scores["manipulation"] == name)],
            1 - scores["p_real"][keep],
        )
        for name in CLASSES[1:]
    ]
    assert np.mean(aucs) == pytest.approx(history["val_auc"].max(), abs=1e-6)
    assert np.mean(aucs) > 0.95


def test_history_has_a_row_a_step_and_one_selection_an_improvement(run):
    config, history, _ = run
    assert history["step"].tolist() == list(range(1, len(history) + 1))
    ends = history[history["val_auc"].notna()]
    assert len(ends) == config.epochs
    best = ends["val_auc"].cummax()
    assert (ends["selected"].notna() == (ends["val_auc"] > best.shift(fill_value=-1))).all()
    parts = history["cross_entropy"] + config.rank_weight * history["score_ranking"]
    np.testing.assert_allclose(history["total"], parts, rtol=1e-5)


def test_provenance_names_data_and_versions(run):
    record = read_json(run[2] / train.FINISHED)
    assert record["packages"]["torch"] == torch.__version__.split("+")[0]
    assert record["source"] == "synthetic demonstration data"
    assert record["train_images"] == 6 * 5 * 4
    assert record["steps"] == len(run[1])


def test_selection_never_sees_the_test_split(crop_tables, tmp_path):
    """Other test labels, same run: nothing that training stores may change."""
    rows, folder = crop_tables
    other = rows.copy()
    test = other["split"] == "test"
    other.loc[test, "is_fake"] = ~other.loc[test, "is_fake"]
    other.loc[test, "class_index"] = (other.loc[test, "class_index"] + 1) % 5
    fit((rows, folder), tmp_path / "a")
    fit((other, folder), tmp_path / "b")
    a, b = (load_file(tmp_path / x / "weights.safetensors") for x in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_freezing_leaves_the_backbone_as_it_was(crop_tables, tmp_path, monkeypatch):
    """Section 4.1: frozen at first. Compared after the frozen epoch and after the next one."""
    after: list[dict] = []
    keep = checkpoint.save_state

    def record(folder, step, state):
        after.append({k: v.clone() for k, v in state["model"].items()})
        return keep(folder, step, state)

    monkeypatch.setattr(checkpoint, "save_state", record)
    config, _ = fit(crop_tables, tmp_path, epochs=2, freeze_epochs=1)
    torch.manual_seed(config.seed)
    fresh = checkpoint.build(config).state_dict()
    moved = [{k for k in fresh if not torch.equal(fresh[k], w[k])} for w in after]
    assert moved[0], "the head trains in the frozen epoch"
    assert not [k for k in moved[0] if k.startswith("backbone.")]
    assert [k for k in moved[1] if k.startswith("backbone.")]


INTERRUPTED = """
    import os, pickle, signal, sys
    import torch
    from mcxlib import checkpoint, train
    from mcxlib.config import load
    torch.set_num_threads(1)
    rows, folder = pickle.load(open(sys.argv[1], "rb"))
    die_at = int(sys.argv[3])
    calls = 0
    plain = train.pair_loss
    def counted(*a, **k):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*a, **k)
    train.pair_loss = counted
    train.STATE_SECONDS = 0.0
    train.fit(load("test", **{settings}), rows, folder, sys.argv[2], {{"crop_size": 40}})
"""


@pytest.mark.parametrize("die_at", [1, 4, 9])
def test_kill_and_start_again_gives_the_same_weights(crop_tables, tmp_path, die_at):
    import pickle

    settings = SETTINGS | {"epochs": 2}
    reference = tmp_path / "reference"
    fit(crop_tables, reference, epochs=2)
    material = tmp_path / "tables.pkl"
    material.write_bytes(pickle.dumps(crop_tables))
    code = textwrap.dedent(INTERRUPTED).format(settings=settings)
    run = [sys.executable, "-c", code, str(material), str(tmp_path / "killed")]
    first = subprocess.run([*run, str(die_at)], capture_output=True, text=True)
    assert first.returncode == -signal.SIGKILL, first.stderr
    assert not (tmp_path / "killed" / train.FINISHED).exists()
    second = subprocess.run([*run, "0"], capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    a, b = (load_file(f / "weights.safetensors") for f in (reference, tmp_path / "killed"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    histories = [pd.read_parquet(f / "history.parquet") for f in (reference, tmp_path / "killed")]
    pd.testing.assert_frame_equal(*histories)


def test_shared_target_between_validation_and_test_is_refused(crop_tables, tmp_path):
    rows, folder = crop_tables
    leaky = rows.copy()
    leaky.loc[(leaky["split"] == "val") & (leaky["target_id"] == "006"), "target_id"] = "008"
    with pytest.raises(ValueError, match=r"validation data share 0 videos and 1 target.*008"):
        fit((leaky, folder), tmp_path)


def test_missing_split_is_named(crop_tables, tmp_path):
    rows, folder = crop_tables
    with pytest.raises(ValueError, match="'val' split"):
        fit((rows[rows["split"] != "val"], folder), tmp_path)


def test_divergence_stops_and_keeps_the_last_state(crop_tables, tmp_path, monkeypatch):
    calls = 0
    plain = train.pair_loss

    def poisoned(*arguments):
        nonlocal calls
        calls += 1
        losses = plain(*arguments)
        return losses._replace(total=losses.total * math.nan) if calls == 12 else losses

    monkeypatch.setattr(train, "pair_loss", poisoned)
    with pytest.raises(train.Diverged, match=r"loss is nan at step 12.*Lower lr"):
        fit(crop_tables, tmp_path)
    assert checkpoint.latest_state(tmp_path / "states")["step"] < 12
    assert not (tmp_path / train.FINISHED).exists()


def test_damaged_newest_state_falls_back(crop_tables, tmp_path, monkeypatch):
    fit(crop_tables, tmp_path / "whole")
    with monkeypatch.context() as patch:  # stopped at the last moment before it is finished
        patch.setattr(train.provenance, "collect", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(crop_tables, tmp_path / "run")
    states = sorted((tmp_path / "run" / "states").glob("*.pt"))
    assert len(states) == checkpoint.KEPT
    content = bytearray(states[-1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    states[-1].write_bytes(bytes(content))
    with pytest.warns(UserWarning, match=f"{states[-1].name} is damaged"):
        state = checkpoint.latest_state(tmp_path / "run" / "states")
    assert state["epoch"] == SETTINGS["epochs"] - 1
    with pytest.warns(UserWarning, match="damaged"):
        fit(crop_tables, tmp_path / "run")
    a, b = (load_file(tmp_path / f / "weights.safetensors") for f in ("whole", "run"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_another_recipe_starts_afresh(crop_tables, tmp_path, monkeypatch):
    """States of other data are not gone on with: the result is that of the new data alone."""
    rows, folder = crop_tables
    with monkeypatch.context() as patch:
        patch.setattr(train.provenance, "collect", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(crop_tables, tmp_path / "run")
    fewer = rows[~((rows["split"] == "train") & (rows["frame_index"] == 3))]
    with pytest.warns(UserWarning, match="other data, settings or code; starting afresh"):
        fit((fewer, folder), tmp_path / "run")
    fit((fewer, folder), tmp_path / "clean")
    a, b = (load_file(tmp_path / f / "weights.safetensors") for f in ("run", "clean"))
    assert all(torch.equal(a[k], b[k]) for k in a)
