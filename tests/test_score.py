"""Scoring: the same bits for any batch size, number of workers and interruption."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mcxlib import CLASSES, detectors
from mcxlib.config import load
from mcxlib.engine import memory, score
from mcxlib.engine.score import Parts
from mcxlib.weights import build

SETTINGS = {"crop_size": 40, "input_size": 36}
P = [f"p_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def scored(crop_tables):
    """(model, 90 rows that are no multiple of a group, crop folder, configuration)."""
    rows, folder = crop_tables
    config = load("test", **SETTINGS)
    torch.manual_seed(3)
    model = build(config).eval()
    return model, rows.sample(90, random_state=1), folder, config


def test_probabilities_are_the_softmax_of_each_image_alone(scored):
    """Against numpy, image by image, from the file; within float tolerance."""
    model, rows, folder, config = scored
    table = score.score_rows(model, rows, folder, config)
    assert table.index.tolist() == list(range(90))
    for i in (0, 15, 16, 89):
        row = rows.iloc[i]
        crop = np.load(folder / row["file"])[row["row"], 2:38, 2:38].astype(np.float64) / 255
        image = torch.tensor(crop, dtype=torch.float32).permute(2, 0, 1)[None]
        with torch.no_grad():
            logits = model(image)[0].double().numpy()
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(table.loc[i, P].to_numpy(float), expected / expected.sum(), 1e-5)
        assert table.loc[i, "video_id"] == row["video_id"]
    np.testing.assert_allclose(table[P].sum(axis=1), 1, atol=1e-6)
    assert table[P].to_numpy().std(axis=0).min() > 0
    # The score of fake is 1 - p(real), in 64 bits.
    assert (table["fake_score"] == 1 - table["p_real"].astype(np.float64)).all()


def test_any_batch_size_and_worker_count_give_the_same_bits(scored):
    model, rows, folder, config = scored
    reference = score.score_rows(model, rows, folder, config, 64)
    for batch_size, workers in ((1, 0), (7, 0), (7, 2), (64, 2), (1000, 0)):
        seen = []
        table = score.score_rows(
            model,
            rows,
            folder,
            config,
            batch_size,
            loader_workers=workers,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        pd.testing.assert_frame_equal(table, reference, check_exact=True)
        read = math.ceil(batch_size / score.GROUP) * score.GROUP
        assert seen == [(min(n, 90), 90) for n in range(read, 90 + read, read)]


def test_an_interrupted_call_goes_on_from_its_parts(scored, tmp_path, monkeypatch):
    model, rows, folder, config = scored
    reference = score.score_rows(model, rows, folder, config)
    monkeypatch.setattr(score, "PART_ROWS", 32)
    computed = []
    plain = score.outputs

    def counted(model, images, *rest):
        computed.append(len(images))
        return plain(model, images, *rest)

    monkeypatch.setattr(score, "outputs", counted)

    def stop(done, total):
        if done == 80:
            raise KeyboardInterrupt

    def run(made_from, progress=None, weights=model):
        return score.score_rows(
            weights,
            rows,
            folder,
            config,
            16,
            progress=progress,
            parts=Parts(tmp_path / "parts", made_from),
        )

    with pytest.raises(KeyboardInterrupt):
        run({"weights": "a"}, stop)
    # 80 rows were computed; of the parts of 32 rows two are whole.
    assert sorted(f.name for f in (tmp_path / "parts").glob("*.parquet")) == [
        "part-000000000.parquet",
        "part-000000032.parquet",
    ]
    (tmp_path / "parts" / ".tmp-killed.parquet").write_bytes(b"half a part")  # and no part
    computed.clear()
    table = run({"weights": "a"})
    assert sum(computed) == 90 - 64
    pd.testing.assert_frame_equal(table, reference, check_exact=True)
    assert not (tmp_path / "parts").exists()

    # Parts of other weights are of no use, nor are parts of the same rows in another order.
    with pytest.raises(KeyboardInterrupt):
        run({"weights": "a"}, stop)
    computed.clear()
    other = build(config).eval()
    table = run({"weights": "b"}, weights=other)
    assert sum(computed) == 90
    expected = score.score_rows(other, rows, folder, config)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    with pytest.raises(KeyboardInterrupt):
        run({"weights": "a"}, stop)
    table = score.score_rows(
        model,
        rows[::-1],
        folder,
        config,
        parts=Parts(tmp_path / "parts", {"weights": "a"}),
    )
    assert table["video_id"].tolist() == rows["video_id"].tolist()[::-1]
    np.testing.assert_allclose(table[P], reference[P][::-1], atol=1e-6)


def test_columns_follow_the_rows(scored):
    model, rows, folder, config = scored
    rows = rows.head(3)
    plain = score.score_rows(model, rows, folder, config)
    kept = [c for c in score.COLUMNS if c not in ("face", "synthetic")]
    assert list(plain) == [*kept, "fake_score", *P]
    faces = score.score_rows(model, rows.assign(face=[0, 1, 0]), folder, config)
    assert list(faces)[:4] == ["dataset", "video_id", "frame_index", "face"]
    assert faces["face"].tolist() == [0, 1, 0]
    assert score.score_rows(model, rows[:0], folder, config).empty


def test_half_precision_is_near_and_rounded(scored):
    """bfloat16 keeps 8 bits: another result, by a few hundredths at most; and the default is the
    precision of the training."""
    model, rows, folder, config = scored
    full = score.score_rows(model, rows, folder, config)
    half = score.score_rows(model, rows, folder, config, precision="bf16-mixed")
    difference = np.abs(full[P].to_numpy() - half[P].to_numpy()).max()
    assert 0 < difference < 0.05
    by_config = score.score_rows(model, rows, folder, config.but(precision="bf16-mixed"))
    pd.testing.assert_frame_equal(by_config, half, check_exact=True)
    with pytest.raises(ValueError, match=r"unknown precision 'fp8'.*bf16-mixed"):
        score.score_rows(model, rows, folder, config, precision="fp8")


def test_mode_is_put_back_and_memory_explained(scored):
    _, rows, folder, config = scored

    class Greedy(detectors.find("mesonet")):
        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    greedy = Greedy(Greedy.Settings(), CLASSES).train()
    with pytest.raises(memory.OutOfMemory, match=r"cpu has no memory.*16 crops of 36 px.*bf16"):
        score.score_rows(greedy, rows, folder, config)
    assert greedy.training
