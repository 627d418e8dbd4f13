"""Training promises: the paper's schedule, learning, selection on validation data only, options
that do not change the result, and refusal of what would make the test no test."""

import errno
import math
import os

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from training import SETTINGS, fit, same_weights

from benchmarks import flops
from mcxlib import CLASSES, weights
from mcxlib.config import load
from mcxlib.detectors import mcx_api
from mcxlib.engine import processes, progress, schedule, session
from mcxlib.engine.score import GROUP, score_rows
from mcxlib.engine.session import Diverged, Step
from mcxlib.files import OutOfSpace, digest, read_json
from mcxlib.schemas import read_note, read_scores


@pytest.fixture
def few(crop_tables):
    """Two targets to train on, one to validate with."""
    rows, folder = crop_tables
    return rows[rows["target_id"].isin(["000", "001", "006", "008", "009"])], folder


@pytest.fixture(scope="module")
def run(crop_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config, history = fit(crop_tables, folder, epochs=8)
    return config, history, folder


def test_cosine_is_the_papers_schedule():
    """lr(t) = lr/2 (1 + cos(pi t)): hand-worked at 0, 1/3, 1/2, 1."""
    config = load("paper")
    for t, expected in ((0, 0.01), (1 / 3, 0.0075), (0.5, 0.005), (1, 0)):
        assert schedule.learning_rate(config.train, t) == pytest.approx(expected)


def test_one_cycle_agrees_with_torch():
    config = load("demo")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], config.train.lr)
    n = 100
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.train.lr, total_steps=n + 1, final_div_factor=400, cycle_momentum=False
    )
    for i in range(n):
        # torch turns at step 0.3 (n + 1) - 1, here at 0.3 n.
        assert schedule.learning_rate(config.train, i / n) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=0.12, abs=2e-5
        )
        optimizer.step()
        reference.step()


def test_it_learns_and_the_stored_weights_are_the_selected_ones(run, crop_tables):
    config, history, folder = run
    rows, crops = crop_tables
    model, trained, card = weights.load(folder / "weights.safetensors")
    assert trained == config
    assert card.crop_contract == {"crop_size": 40}
    val = rows[rows["split"] == "val"]
    scores = score_rows(model, val, crops, config)
    real = ~scores["is_fake"]
    aucs = [
        roc_auc_score(
            scores["is_fake"][keep := real | (scores["manipulation"] == name)],
            scores["fake_score"][keep],
        )
        for name in CLASSES[1:]
    ]
    assert np.mean(aucs) == pytest.approx(history["val_auc"].max(), abs=1e-6)
    # What was kept of the validation are the scores of these weights, to the last bit.
    kept = read_scores(folder / "validation.parquet")
    pd.testing.assert_frame_equal(kept, scores, check_exact=True)
    note = read_note(folder / "validation.parquet")
    assert note["weights_sha256"] == digest(folder / "weights.safetensors")
    assert np.mean(aucs) > 0.95


def test_history_has_a_row_a_step_and_one_selection_an_improvement(run):
    config, history, _ = run
    assert history["step"].tolist() == list(range(1, len(history) + 1))
    ends = history[history["val_auc"].notna()]
    assert len(ends) == config.train.epochs
    best = ends["val_auc"].cummax()
    assert (ends["selected"].notna() == (ends["val_auc"] > best.shift(fill_value=-1))).all()
    parts = history["cross_entropy"] + config.model.rank_weight * history["score_ranking"]
    np.testing.assert_allclose(history["total"], parts, rtol=1e-5)


def test_provenance_names_data_and_versions(run):
    record = read_json(run[2] / "provenance.json")
    assert record["packages"]["torch"] == torch.__version__.split("+")[0]
    assert record["trained_on"]["synthetic"] is True
    assert record["train_images"] == 6 * 5 * 4
    assert (record["precision"], record["processes"]) == ("32-true", 1)
    assert record["steps"] == len(run[1])


def test_arithmetic_is_counted_over_steps_and_validations(crop_tables, tmp_path):
    """Against the count of one step and one image on tensors without data, times how many."""
    config, history = fit(crop_tables, tmp_path, epochs=3, freeze_epochs=1)
    size, images = config.train.input_size, config.train.categories * config.train.per_category
    frozen, free = (flops.training_step(config, images, size, frozen=f) for f in (True, False))
    steps = history.groupby("epoch")["step"].count()
    rows, _ = crop_tables
    groups = -(-int((rows["split"] == "val").sum()) // GROUP)
    once = groups * flops.inference(config, GROUP, size)
    expected = steps[0] * frozen + (steps[1] + steps[2]) * free + 3 * once
    assert read_json(tmp_path / "provenance.json")["flop"] == pytest.approx(expected, rel=1e-3)


def test_paired_batches_take_the_sources_from_the_rows(crop_tables, tmp_path):
    rows, folder = crop_tables
    rows = rows.assign(source=("real/" + rows["target_id"]).where(rows["is_fake"], ""))
    config, history = fit((rows, folder), tmp_path / "paired", epochs=1, batches="paired")
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    batches = list(session.batch_sampler(config, train, len(CLASSES)))
    assert len(history) == len(batches) > 0
    for batch in batches:
        shown = train.iloc[batch]
        fakes = shown[shown["is_fake"]]
        assert set(fakes["source"]) == set(shown.loc[~shown["is_fake"], "video_id"])
        assert (len(shown), fakes["class_index"].nunique()) == (12, 2)
    with pytest.raises(ValueError, match="leave batches at 'random'"):
        fit(crop_tables, tmp_path / "unknown", batches="paired")


def test_selection_never_sees_the_test_split(few, tmp_path):
    """Other test labels, same run: nothing that training stores may change."""
    rows, folder = few
    other = rows.copy()
    test = other["split"] == "test"
    other.loc[test, "is_fake"] = ~other.loc[test, "is_fake"]
    other.loc[test, "class_index"] = (other.loc[test, "class_index"] + 1) % 5
    fit((rows, folder), tmp_path / "a")
    fit((other, folder), tmp_path / "b")
    assert same_weights(tmp_path / "a", tmp_path / "b")


def test_freezing_leaves_the_backbone_as_it_was(crop_tables, tmp_path, monkeypatch):
    """Section 4.1: frozen at first. Compared after the frozen epoch and after the next one."""
    after: list[dict] = []
    keep = progress.save_state

    def record(folder, step, state):
        after.append({k: v.clone() for k, v in state["model"].items()})
        return keep(folder, step, state)

    monkeypatch.setattr(progress, "save_state", record)
    config, history = fit(crop_tables, tmp_path, epochs=2, freeze_epochs=1)
    assert (history["lr_backbone"] == history["lr"].where(history["epoch"] > 0, 0)).all()
    torch.manual_seed(config.seed)
    fresh = weights.build(config).state_dict()
    moved = [{k for k in fresh if not torch.equal(fresh[k], w[k])} for w in after]
    assert moved[0], "the head trains in the frozen epoch"
    assert not [k for k in moved[0] if k.startswith("backbone.")]
    assert [k for k in moved[1] if k.startswith("backbone.")]


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
    plain = mcx_api.pair_loss

    def poisoned(*arguments):
        nonlocal calls
        calls += 1
        losses = plain(*arguments)
        return losses._replace(total=losses.total * math.nan) if calls == 12 else losses

    monkeypatch.setattr(mcx_api, "pair_loss", poisoned)
    with pytest.raises(Diverged, match=r"loss is nan at step 12.*Lower lr"):
        fit(crop_tables, tmp_path)
    assert progress.latest_state(tmp_path / "states")["step"] < 12
    assert not (tmp_path / "provenance.json").exists()


def test_damaged_newest_state_falls_back(few, tmp_path, monkeypatch):
    fit(few, tmp_path / "whole")
    with monkeypatch.context() as patch:  # stopped at the last moment before it is finished
        patch.setattr(session.Session, "_record", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(few, tmp_path / "run")
    states = sorted((tmp_path / "run" / "states").glob("*.pt"))
    assert len(states) == progress.KEPT
    content = bytearray(states[-1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    states[-1].write_bytes(bytes(content))
    with pytest.warns(UserWarning, match=f"{states[-1].name} is damaged"):
        state = progress.latest_state(tmp_path / "run" / "states")
    assert state["epoch"] == SETTINGS["epochs"] - 1
    with pytest.warns(UserWarning, match="damaged"):
        fit(few, tmp_path / "run")
    assert same_weights(tmp_path / "whole", tmp_path / "run")


def test_another_recipe_starts_afresh(few, tmp_path, monkeypatch):
    """States of other data are not gone on with: the result is that of the new data alone."""
    rows, folder = few
    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "_record", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(few, tmp_path / "run")
    fewer = rows[~((rows["split"] == "train") & (rows["frame_index"] == 3))]
    with pytest.warns(UserWarning, match="other data, settings or code; starting afresh"):
        fit((fewer, folder), tmp_path / "run")
    fit((fewer, folder), tmp_path / "clean")
    assert same_weights(tmp_path / "run", tmp_path / "clean")


def test_identities_are_guarded_as_the_protocol_asks(crop_tables, tmp_path):
    """A donor in both training and test data: counted with the paper's split, which cannot avoid
    it, and refused with the published split, where it would be a mistake. An empty identity is
    nobody's."""
    rows, folder = crop_tables
    leaky = rows.copy()
    leaky.loc[(leaky["split"] == "train") & (leaky["manipulation"] == "DF"), "donor_id"] = "009"
    leaky.loc[(leaky["split"] == "val") & (leaky["manipulation"] == "FS"), "donor_id"] = "008"
    fit((leaky, folder), tmp_path / "paper", epochs=1)
    record = read_json(tmp_path / "paper" / "provenance.json")
    assert record["identities_shared_by_train_and_test"] == 1
    assert record["identities_shared_by_validation_and_test"] == 1
    with pytest.raises(ValueError, match=r"training data share 0 videos .* 1 identities .*009"):
        fit((leaky, folder), tmp_path / "official", protocol="official")
    leaky.loc[leaky["split"] == "train", "donor_id"] = ""
    with pytest.raises(ValueError, match=r"validation data share 0 videos .* 1 identities .*008"):
        fit((leaky, folder), tmp_path / "official", protocol="official")
    nameless = rows.assign(target_id="", donor_id="")
    fit((nameless, folder), tmp_path / "nameless", epochs=1, protocol="official")
    video = rows.copy()
    test_video = rows.loc[rows["split"] == "test", "video_id"].iloc[0]
    video.loc[video["video_id"] == "real/000", "video_id"] = test_video
    with pytest.raises(ValueError, match=f"training data share 1 videos.*{test_video}"):
        fit((video, folder), tmp_path / "video")


@pytest.mark.parametrize(("fake", "kind"), [(False, "real"), (True, "fake")])
def test_validation_data_of_one_kind_are_refused(crop_tables, tmp_path, fake, kind):
    rows, folder = crop_tables
    one = rows[(rows["split"] != "val") | (rows["is_fake"] == fake)]
    with pytest.raises(ValueError, match=f"only {kind} crops.*'val' split"):
        fit((one, folder), tmp_path)
    assert not list(tmp_path.iterdir())


def poison(monkeypatch, at, factor):
    """Multiply all gradients of step ``at`` by ``factor``; its loss stays what it is."""
    calls = 0
    plain = mcx_api.pair_loss

    def poisoned(*arguments):
        nonlocal calls
        calls += 1
        losses = plain(*arguments)
        if calls == at:
            losses.total.register_hook(lambda gradient: gradient * factor)
        return losses

    monkeypatch.setattr(mcx_api, "pair_loss", poisoned)


def test_weights_that_are_not_finite_are_never_stored(crop_tables, tmp_path, monkeypatch):
    poison(monkeypatch, 5, math.nan)
    with pytest.raises(Diverged, match=r"weights are not finite at step 5.*Lower lr"):
        fit(crop_tables, tmp_path, {"state_seconds": 0.0})
    assert progress.latest_state(tmp_path / "states")["step"] == 4


def test_half_precision_skips_infinite_gradients_and_resumes_exactly(few, tmp_path, monkeypatch):
    """The loss's scale (2^16 at first, halved after infinite gradients) is part of the state."""
    settings = {"precision": "16-mixed", "epochs": 1, "categories": 2, "per_category": 2}
    with monkeypatch.context() as patch:
        poison(patch, 3, math.inf)
        _, history = fit(few, tmp_path / "whole", **settings)
    assert np.isfinite(history["total"]).all()

    kept = []
    keep = progress.save_state

    def stop(folder, step, state):
        path = keep(folder, step, state)
        kept.append(state)
        if step == 4:
            raise ZeroDivisionError
        return path

    with monkeypatch.context() as patch:
        poison(patch, 3, math.inf)
        patch.setattr(progress, "save_state", stop)
        with pytest.raises(ZeroDivisionError):
            fit(few, tmp_path / "stopped", {"state_seconds": 0.0}, **settings)
    assert [state["precision"]["scale"] for state in kept] == [2.0**16] * 2 + [2.0**15] * 2
    _, again = fit(few, tmp_path / "stopped", **settings)
    assert len(again) > 6
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")
    assert again["total"].tolist() == history["total"].tolist()


def test_gradients_infinite_at_any_scale_are_divergence(few, tmp_path, monkeypatch):
    plain, kind = mcx_api.pair_loss, processes.MixedPrecision

    def poisoned(*arguments):
        losses = plain(*arguments)
        losses.total.register_hook(lambda gradient: gradient * math.inf)
        return losses

    monkeypatch.setattr(mcx_api, "pair_loss", poisoned)
    # Near the end of the scale's way down, which takes 36 steps.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-18)
    monkeypatch.setattr(processes, "MixedPrecision", lambda *a: kind(*a, scaler=scaler))
    with pytest.raises(Diverged, match=r"infinite at any loss scale, step 3\..*Lower lr"):
        fit(few, tmp_path, {"state_seconds": 0.0}, precision="16-mixed", categories=2)


def test_bfloat16_is_near_single_precision(few, tmp_path):
    """8 bits of precision: the first step's loss agrees to 2 %, and it is another number."""
    _, single = fit(few, tmp_path / "single", epochs=1)
    _, half = fit(few, tmp_path / "half", epochs=1, precision="bf16-mixed")
    difference = abs(single["total"].iloc[0] - half["total"].iloc[0])
    assert 0 < difference < 0.02 * single["total"].iloc[0]
    stored = load_file(tmp_path / "half" / "weights.safetensors")
    assert {v.dtype for v in stored.values()} == {torch.float32, torch.int64}


def test_bytes_and_floats_are_the_same_images(crop_tables):
    config = load("test", **SETTINGS)
    step = Step(weights.build(config).eval())
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 36, 36), dtype=torch.uint8, generator=generator)
    labels = torch.arange(3).repeat_interleave(4)
    torch.manual_seed(0)
    assert step(images, labels) == step(images.float() / 255, labels)


def test_checkpointing_the_backbone_changes_no_bit(few, tmp_path):
    """Nor do torch's deterministic algorithms on a CPU; the switch is put back."""
    fit(few, tmp_path / "plain", epochs=2, freeze_epochs=1)
    options = {"checkpoint_backbone": True, "deterministic": True}
    seen = []

    def look(*_):
        seen.append(torch.are_deterministic_algorithms_enabled())

    fit(few, tmp_path / "ck", options, look, epochs=2, freeze_epochs=1)
    assert same_weights(tmp_path / "plain", tmp_path / "ck")
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_compiling_changes_nothing_but_the_speed(few, tmp_path, monkeypatch):
    """With the tracing of torch.compile and without its code generator, which takes minutes."""
    plain, compiled = torch.compile, []

    def traced(call, *, dynamic):
        compiled.append((type(call.__self__).__name__, dynamic))
        return plain(call, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    _, eager = fit(few, tmp_path / "eager", epochs=1)
    assert not compiled
    _, history = fit(few, tmp_path / "compiled", {"compile": True}, epochs=1)
    assert compiled == [("XceptionAligned", False)], "the backbone alone, at fixed sizes"
    np.testing.assert_allclose(history["total"], eager["total"], rtol=1e-4)
    with pytest.raises(ValueError, match="exclude each other"):
        fit(few, tmp_path, {"compile": True, "checkpoint_backbone": True})
    with pytest.raises(ValueError, match="mesonet has no backbone"):
        fit(few, tmp_path, {"compile": True}, detector="mesonet")


@pytest.mark.compiler
def test_two_networks_are_compiled_in_one_process(few, tmp_path):
    """With sizes that may vary, the second would end in an error of the code generator."""
    small = {"backbone": "test_resnet.r160_in1k", "epochs": 1}
    for name, other in (("a", {}), ("b", {"colorspace": "rgb+hsv", "input_size": 32})):
        _, eager = fit(few, tmp_path / f"{name}-eager", **small, **other)
        _, compiled = fit(few, tmp_path / name, {"compile": True}, **small, **other)
        np.testing.assert_allclose(compiled["total"], eager["total"], rtol=1e-3)


def test_no_memory_on_the_device_says_what_to_change(few, tmp_path, monkeypatch):
    calls = 0
    plain = mcx_api.pair_loss

    def greedy(*arguments):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return plain(*arguments)

    fit(few, tmp_path / "whole", epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(mcx_api, "pair_loss", greedy)
        with pytest.raises(
            RuntimeError,
            match=r"3 x 4 crops of 36 px in 32-true.*checkpoint_backbone.*per_category",
        ):
            fit(few, tmp_path / "run", {"state_seconds": 0.0}, epochs=1)
    assert progress.latest_state(tmp_path / "run" / "states")["step"] == 1
    fit(few, tmp_path / "run", epochs=1)
    assert same_weights(tmp_path / "whole", tmp_path / "run")


def test_a_full_disk_stops_with_the_last_state_kept(few, tmp_path, monkeypatch):
    plain = os.replace

    def full(source, target):
        if str(target).endswith("step-00000002.pt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(source, target)

    fit(few, tmp_path / "whole", epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OutOfSpace, match=r"step-00000002.pt.*run/states.*GiB free.*larger"):
            fit(few, tmp_path / "run", {"state_seconds": 0.0}, epochs=1)
    assert not list((tmp_path / "run" / "states").glob(".tmp*"))
    assert progress.latest_state(tmp_path / "run" / "states")["step"] == 1
    fit(few, tmp_path / "run", epochs=1)
    assert same_weights(tmp_path / "whole", tmp_path / "run")


def test_strategies_that_are_not_supported_are_named(crop_tables, tmp_path):
    with pytest.raises(ValueError, match=r"'auto' or 'ddp', not 'fsdp'"):
        fit(crop_tables, tmp_path, {"strategy": "fsdp"})
