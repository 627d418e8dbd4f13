"""The study of pairing: what differs between its runs, what they begin with, what is said of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training import data_of, fit, run

from mcxlib import config as configs
from mcxlib import detectors, pipeline, weights
from mcxlib.data.crops.rows import fingerprint
from mcxlib.engine import fit as engine
from mcxlib.engine.hardware import Hardware
from mcxlib.experiments import ablation
from mcxlib.settings import recipe as recipes


@pytest.fixture(scope="module")
def few(crop_tables):
    rows, folder = crop_tables
    return rows[rows["target_id"].isin(["000", "001", "006", "008", "009"])], folder


def test_each_variation_differs_from_the_method_in_what_it_says():
    method, *others = (ablation.run("demo", v, 1) for v in ablation.VARIATIONS)
    plain = configs.load(
        "demo", seed=1, study="ablation", epochs=2, lr=1e-3, start_from="xception_rgb_seed0",
        start_part="backbone",
    )  # fmt: skip
    assert method == plain
    assert ablation.start("demo").run_id == "xception_rgb_seed0"
    found = {}
    for variation, config in zip(ablation.VARIATIONS[1:], others, strict=True):
        before, now = method.flat(), config.flat()
        found[variation.name] = {k: v for k, v in now.items() if k in before and before[k] != v}
    assert found == {
        "no ranking": {"rank_weight": 0.0},
        "alone": {"gates": "alone"},
        "cosine": {"distance": "cosine"},
        "random": {"distance": "random"},
        "sources": {"batches": "paired"},
        "binary": {"outputs": "binary"},
        "no pairs": {"detector": "xception"},
        "no pairs, sources": {"detector": "xception", "batches": "paired"},
        "no pairs, binary": {"detector": "xception", "outputs": "binary"},
    }
    assert len({config.run_id for config in (method, *others)}) == len(ablation.VARIATIONS)


def test_its_runs_are_no_rows_of_the_tables():
    config = ablation.run("demo", ablation.VARIATIONS[0], 0)
    folder = pipeline.run_folder(config).path
    assert folder.parent.name == "ablation"
    assert folder.parent.parent == pipeline.run_folder(configs.load("demo")).path.parent


def test_gates_alone_compare_nothing():
    torch.manual_seed(0)
    model = detectors.build("mcx-api", backbone="slim_xception", gates="alone").eval()
    images = torch.rand(6, 3, 32, 32)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.no_grad():
        losses = model.losses(images, labels)
        x = model.embed(images)
        # By equations 1 and 2 with x_2 = x_1: x + x * sigmoid(x_m * x), for all four features.
        mutual = model.map2(model.map1(torch.cat([x, x], dim=1)))
        logits = model.classifier(x + x * torch.sigmoid(mutual * x)).double()
        entropy = -logits.log_softmax(1)[torch.arange(6), labels]
        pairs = model._compare(x[:3], x[3:])
    assert losses["score_ranking"].item() == pytest.approx(model.settings.margin)
    assert losses["self_minus_other"].item() == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(pairs.first_self, pairs.first_other)
    # Every image is the first of two pairs and somebody's partner: a mean weighted by that.
    assert entropy.min() - 1e-6 <= losses["cross_entropy"].item() <= entropy.max() + 1e-6


def test_two_outputs_with_and_without_a_real_image():
    torch.manual_seed(0)
    model = detectors.build("mcx-api", backbone="slim_xception", outputs="binary", dropout=0.0)
    model.train()
    images = torch.rand(6, 3, 32, 32)
    with_real = model.losses(images, torch.tensor([0, 0, 1, 1, 2, 2]))
    as_two = model.losses(images, torch.tensor([0, 0, 3, 3, 3, 3]))
    assert with_real["total"].item() == as_two["total"].item()
    assert torch.isfinite(model.losses(images, torch.tensor([1, 1, 2, 2, 3, 3]))["total"])
    logits = model.eval()(images)
    assert logits.shape == (6, 2)
    assert model.class_probabilities(logits) is None
    expected = 1 / (1 + np.exp(logits.double().numpy(force=True) @ [1, -1]))
    np.testing.assert_allclose(model.fake_score(logits).numpy(force=True), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="use mining=process"):
        configs.load("demo", outputs="binary", mining="gathered")


def begin(few, folder, start, **settings):
    config = configs.load("test", crop_size=40, input_size=36, per_category=4, epochs=1, **settings)
    data = data_of(few)
    given = engine.TrainingData(
        data.rows, data.folder, data.contract, about=data.about, start=start
    )
    recipe = pipeline.run_recipe(config, fingerprint(data.rows))
    engine.fit(config, given, folder, recipe, Hardware())
    return load_file(folder / "weights.safetensors")


def test_training_begins_with_the_weights_that_are_named(few, tmp_path, capsys):
    fit(few, tmp_path / "first", epochs=1, detector="xception")
    start = tmp_path / "first" / "weights.safetensors"
    # A rate of next to nothing shows what it began with.
    small = {"lr": 1e-12, "weight_decay": 0.0}
    before = load_file(start)
    after = begin(few, tmp_path / "all", start, **small)
    assert "fresh: map1.weight, map1.bias, map2.weight, map2.bias" in capsys.readouterr().err
    weight = "backbone.stem.0.conv.weight"
    torch.testing.assert_close(after[weight], before[weight], rtol=0, atol=1e-9)
    torch.testing.assert_close(after["classifier.weight"], before["classifier.weight"])
    after = begin(few, tmp_path / "part", start, start_part="backbone", **small)
    torch.testing.assert_close(after[weight], before[weight], rtol=0, atol=1e-9)
    assert not torch.allclose(after["classifier.weight"], before["classifier.weight"])
    # What was seen by the weights it began with is not to be tested on either.
    seen = pd.read_parquet(tmp_path / "first" / "videos.parquet")
    pd.DataFrame({"dataset": ["x"], "video_id": ["elsewhere"], "split": ["train"]}).to_parquet(
        tmp_path / "first" / "videos.parquet"
    )
    begin(few, tmp_path / "other", start, **small)
    both = pd.read_parquet(tmp_path / "other" / "videos.parquet")
    assert set(both["video_id"]) == {*seen["video_id"], "elsewhere"}


def test_weights_that_do_not_fit_or_are_not_there(few, tmp_path, monkeypatch):
    fit(few, tmp_path / "first", epochs=1, detector="mesonet")
    model = detectors.build("mcx-api", backbone="slim_xception")
    with pytest.raises(ValueError, match=r"MesoNet.* begin with weights of the same backbone"):
        weights.begin_with(model, tmp_path / "first" / "weights.safetensors", "backbone")
    monkeypatch.setenv("MCX_RUNS", str(tmp_path / "runs"))
    config = configs.load("test", start_from="nothing")
    with pytest.raises(FileNotFoundError, match=r"start_from=nothing: .*train that run first"):
        pipeline.start_weights(config)
    path = tmp_path / "runs" / "test" / "nothing" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    assert pipeline.start_weights(config) == path
    before = pipeline.run_recipe(config)
    path.write_bytes(b"two")
    assert recipes.differences(before, pipeline.run_recipe(config)) == ["weights begun with"]
    path.unlink()
    assert recipes.differences(before, pipeline.run_recipe(config)) == []


def numbers(**of) -> pd.DataFrame:
    """Seeds 0 and 1 of every variation with AUC 0.8; ``of``: other values by name."""
    rows = []
    for variation in ablation.VARIATIONS:
        for seed in (0, 1):
            value = of.get(variation.name.replace(" ", "_"), (0.8, 0.8))[seed]
            rows.append(
                {"variation": variation.name, "what": variation.what, "seed": seed, "auc": value}
                | {"bosc": 100 * value, "unseen_auc": value, "unseen_bosc": 100 * value}
            )
    return pd.DataFrame(rows)


def test_differences_are_taken_seed_by_seed():
    table = numbers(pairs=(0.9, 0.7), cosine=(0.95, 0.8), random=(0.95, 0.6))
    found = ablation.compared(table).set_index(["variation", "metric"])
    row = found.loc[("cosine", "auc")]  # 0.05 and 0.1 above
    assert row["mean"] == pytest.approx(0.075)
    assert (row["lowest"], row["highest"]) == pytest.approx((0.05, 0.1))
    assert row["agree"]
    row = found.loc[("random", "unseen_bosc")]  # 5 above and 10 below
    assert (row["mean"], row["agree"]) == (pytest.approx(-2.5), False)
    shown = ablation.summary(table).set_index("Variation")
    assert shown.loc["partners at random", "AUC"] == "0.775 (0.600 to 0.950)"
    assert shown.loc["partners nearest by cosine", "unseen BOSC (%)"] == "87.5 (80.0 to 95.0)"
    said = ablation.words(table)
    assert said[2] == (
        "partners nearest by cosine: AUC 0.075 higher on the closed set (in all 2 seeds) and "
        "0.075 higher on the unseen sets (in all 2 seeds)"
    )
    assert "0.025 lower on the closed set (but not in every seed)" in said[3]
    once = ablation.words(table[table["seed"] == 0])
    assert "0.050 higher on the closed set (of one seed)" in once[2]


def test_numbers_are_those_of_the_stored_scores(few, tmp_path, monkeypatch):
    """One variation's scores by hand: closed set by frames, unseen sets by videos."""
    from sklearn.metrics import roc_auc_score

    from mcxlib.files import write_json
    from mcxlib.schemas import write_scores
    from mcxlib.tables import results

    monkeypatch.setenv("MCX_RUNS", str(tmp_path))
    rng = np.random.default_rng(0)
    for variation in ablation.VARIATIONS:
        config = ablation.run("test", variation, 0)
        folder = pipeline.run_folder(config)
        write_json(folder.config, config.stored() | {"run_id": config.run_id})
        write_json(folder.provenance, {"commit": "abc", "trained_on": {"synthetic": True}})
        for name in pipeline.ALL_DATASETS:
            frames = pd.DataFrame(
                {
                    "dataset": name,
                    "video_id": np.repeat([f"v{i}" for i in range(10)], 4),
                    "frame_index": np.tile(range(4), 10),
                    "split": "test",
                    "manipulation": np.repeat(["real", "DF", "F2F", "FS", "NT"] * 2, 4),
                    "fake_score": rng.random(40),
                }
            )
            frames["is_fake"] = frames["manipulation"] != "real"
            folder.scores(name).parent.mkdir(parents=True, exist_ok=True)
            write_scores(folder.scores(name), frames, "made up")
            note = {"weights_sha256": variation.name, "rows_sha256": name}
            write_json(folder.scores(name).with_suffix(".json"), note)
    row = ablation.results("test", [0]).set_index("variation").loc["cosine"]
    folder = pipeline.run_folder(ablation.run("test", ablation.VARIATIONS[3], 0))
    closed, *unseen = (pd.read_parquet(folder.scores(n)) for n in pipeline.ALL_DATASETS)
    each = [
        roc_auc_score(part["is_fake"], part["fake_score"])
        for name in ("DF", "F2F", "FS", "NT")
        for part in [closed[closed["manipulation"].isin(["real", name])]]
    ]
    assert row["auc"] == pytest.approx(np.mean(each))
    videos = [t.groupby("video_id")[["is_fake", "fake_score"]].mean() for t in unseen]
    expected = np.mean([roc_auc_score(v["is_fake"], v["fake_score"]) for v in videos])
    assert row["unseen_auc"] == pytest.approx(expected)
    # The same as data, a row a number.
    assert ablation.finished("test", (0, 1)) == [0]
    table = results.tidy(ablation.numbers("test", [0]))
    assert len(table) == len(ablation.VARIATIONS) * 4
    mine = table[table["row"] == "partners nearest by cosine"].set_index(["level", "metric"])
    assert mine.loc[("frame", "auc"), "value"] == pytest.approx(np.mean(each))
    assert mine.loc[("video", "auc"), "value"] == pytest.approx(expected)
    about = mine.loc[("video", "auc")]
    assert about[["weights_sha256", "data_sha256", "code", "seeds", "synthetic"]].tolist() == [
        "cosine", "FakeAVCeleb KoDF Celeb-DF-v2", "abc", "0", True
    ]  # fmt: skip
    assert about["run_ids"] == folder.run_id
    folder.scores("KoDF").unlink()
    with pytest.raises(FileNotFoundError, match="on KoDF in the study ablation: make them with"):
        ablation.results("test", [0])


def test_the_runs_are_made_once(few, tmp_path):
    """A warm start goes through the same loop as any run: finished, it is used."""
    config, history = fit(few, tmp_path / "a", epochs=1, gates="alone")
    again = run(config, few, tmp_path / "a")
    pd.testing.assert_frame_equal(history, again)
    assert "self_minus_other" in history
