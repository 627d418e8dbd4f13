"""Masks of altered pixels: cut where their crops are, moved as their images are, and used by the
detectors that ask for them and by no other."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from training import SETTINGS

from mcxlib import detectors, pipeline
from mcxlib.config import load
from mcxlib.data.crops.dataset import CropDataset, loader
from mcxlib.data.crops.rows import fingerprint
from mcxlib.data.faces import masks
from mcxlib.data.faces.contract import contract
from mcxlib.data.faces.crop import crop_face, crop_mask
from mcxlib.engine import fit as engine
from mcxlib.engine.session import Step
from mcxlib.files import read_json
from mcxlib.pipeline import data as data_steps
from mcxlib.settings import paths
from mcxlib.settings.data import DataConfig
from mcxlib.synthetic.encode import write_video

CONFIG = DataConfig(crop_size=52)
SIZE = (64, 96)


class TestCropsOfMasks:
    def test_shares_of_pixels_when_shrunk_and_two_values_when_enlarged(self):
        rng = np.random.default_rng(0)
        mask = 255 * rng.integers(0, 2, (104, 104)).astype(np.uint8)
        small = crop_mask(mask, (0, 0, 104, 104), "whole", 52)
        expected = mask.reshape(52, 2, 52, 2).mean((1, 3))
        np.testing.assert_allclose(small, expected, atol=0.51)
        large = crop_mask(mask, (0, 0, 104, 104), "whole", 208)
        np.testing.assert_array_equal(large, mask.repeat(2, 0).repeat(2, 1))

    @pytest.mark.parametrize("rule", ["loose", "authors", "seferbekov", "whole"])
    @pytest.mark.parametrize("box", [(10, 12, 50, 44), (-15, 20, 30, 70), (70, -9, 120, 30)])
    def test_it_lies_where_the_face_s_pixels_lie(self, rule, box):
        """A frame whose pixels are white where it was altered: both crops show the same, up to
        what lies between the values on a border."""
        mask = np.zeros(SIZE, np.uint8)
        mask[20:45, 5:80] = 255
        face = crop_face(np.dstack([mask] * 3), box, rule, 52)
        found = crop_mask(mask, box, rule, 52)
        assert found.shape == (52, 52)
        inner = np.isin(face[..., 0], (0, 255))
        assert inner.mean() > 0.8
        assert (found[inner] == face[..., 0][inner]).mean() > 0.99


def squares(count):
    """Frames of a mask, uint8 (count, height, width): a white square that moves."""
    frames = np.zeros((count, *SIZE), np.uint8)
    for k, frame in enumerate(frames):
        frame[8 + 4 * k : 32 + 4 * k, 16 + 8 * k : 48 + 8 * k] = 255
    return frames


def coloured(frames):
    return [np.dstack([frame] * 3) for frame in frames]


@pytest.fixture
def cut(tmp_path):
    """(rows, videos, folder): two crops of each of four fakes, boxes of which a crop is 52 px."""
    rows = pd.DataFrame(
        [
            {"video_id": name, "frame_index": frame, "row": row, "x1": x, "y1": y}
            | {"x2": x + 40.0, "y2": y + 40.0}
            for name in ("good", "none", "short", "small")
            for row, (frame, x, y) in enumerate(((1, 10.0, 8.0), (3, 50.0, 30.0)))
        ]
    )
    videos = {}
    for name in rows["video_id"].unique():
        videos[name] = (tmp_path / f"{name}.mp4", tmp_path / f"{name}_mask.mp4")
        write_video(videos[name][0], coloured(np.zeros((4, *SIZE), np.uint8)), 25, 23)
    write_video(videos["good"][1], coloured(squares(4)), 25, 23)
    write_video(videos["short"][1], coloured(squares(3)), 25, 23)
    write_video(videos["small"][1], coloured(squares(4)[:, :48, :64]), 25, 23)
    return rows, videos, tmp_path / "masks"


def run(cut):
    rows, videos, folder = cut
    return masks.cut_masks(rows, videos, folder, contract(CONFIG), 2).set_index("video_id")


class TestCutting:
    def test_the_frames_and_boxes_of_the_crops(self, cut):
        """Lossy H.264 smears a mask's border; the two values come back."""
        table = run(cut)
        assert table["status"].to_dict() == {
            "good": "ok", "none": "none", "short": "unreadable", "small": "unreadable"
        }  # fmt: skip
        found = np.load(cut[2] / table.loc["good", "file"])
        assert found.dtype == np.uint8
        # 1.3 times a side of 40 is 52, so a crop is the part from 6 px before the box on, and
        # the frame's border is repeated beyond it.
        frames = np.pad(squares(4), ((0, 0), (60, 60), (60, 60)), mode="edge")
        for row, (frame, x, y) in enumerate(((1, 10, 8), (3, 50, 30))):
            expected = frames[frame, y + 54 : y + 106, x + 54 : x + 106]
            wrong = found[row] != expected
            assert set(np.unique(found[row])) == {0, 255}
            assert wrong.sum() <= 4

    def test_why_there_are_none_is_said(self, cut):
        table = run(cut)
        assert "no file" in table.loc["none", "note"]
        assert "none_mask.mp4" in table.loc["none", "note"]
        assert "short_mask.mp4" in table.loc["short", "note"]
        assert "64 x 48 pixels, the video has 96 x 64" in table.loc["small", "note"]
        assert (table.loc[["none", "short", "small"], "file"] == "").all()

    def test_what_is_done_is_not_done_again(self, cut):
        rows, videos, folder = cut
        run(cut)
        times = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
        assert len(times) == 4  # masks and a note; notes of two that cannot be read
        run(cut)
        assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == times
        # Its source has gone: what was cut of it stays good.
        kept = videos["good"][1].read_bytes()
        videos["good"][1].unlink()
        assert run(cut).loc["good", "status"] == "ok"
        # Another file under its name, or another box: cut anew.
        write_video(videos["good"][1], coloured(squares(4)[::-1]), 25, 18)
        assert videos["good"][1].stat().st_size != len(kept)
        before = np.load(folder / "good.npy")
        assert run(cut).loc["good", "status"] == "ok"
        anew = np.load(folder / "good.npy")
        assert not np.array_equal(anew, before)
        rows.loc[rows["video_id"] == "good", ["x1", "x2"]] += 8
        run(cut)
        assert not np.array_equal(np.load(folder / "good.npy"), anew)
        assert [p for p in folder.iterdir() if p.name.startswith(".")] == []

    def test_a_crash_leaves_no_half_file_that_counts(self, cut, monkeypatch):
        def crash(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(masks, "write_json", crash)
        with pytest.raises(KeyboardInterrupt):
            run(cut)
        monkeypatch.undo()
        assert (
            masks.found(*cut, contract(CONFIG)).set_index("video_id").loc["good", "status"]
            == "none"
        )
        assert run(cut).loc["good", "status"] == "ok"


@pytest.fixture(scope="module")
def masked(crop_tables, tmp_path_factory):
    """(rows, crops, masks): a fake's mask is the red of its crop; NT's are not known."""
    rows, folder = crop_tables
    place = tmp_path_factory.mktemp("masks")
    files = rows["file"].where(rows["is_fake"] & (rows["manipulation"] != "NT"), "")
    for file in set(files) - {""}:
        (place / file).parent.mkdir(exist_ok=True)
        np.save(place / file, np.load(folder / file)[..., 0])
    known = (files != "") | ~rows["is_fake"]
    return rows.assign(mask=files, mask_known=known), folder, place


class TestDataset:
    def test_a_mask_moves_with_its_image(self, masked):
        rows, folder, place = masked
        kinds = rows["manipulation"].to_numpy()
        chosen = [int(np.flatnonzero(kinds == name)[2]) for name in ("real", "DF", "NT", "FS")]
        data = CropDataset(rows, folder, 32, augment=True, seed=3, masks=place)
        plain = CropDataset(rows, folder, 32, augment=True, seed=3)
        seen = set()
        for epoch in range(12):
            data.epoch = plain.epoch = epoch
            images, labels, moved, known = data.__getitems__(chosen)
            assert moved.shape == (4, 1, 32, 32)
            assert moved.dtype == torch.uint8
            assert known.tolist() == [True, True, False, True]
            for i in (1, 3):
                assert torch.equal(moved[i, 0], images[i, 0])
            assert not moved[[0, 2]].any()
            expected = plain.__getitems__(chosen)
            assert len(expected) == 2, "without masks a batch is what it was"
            assert torch.equal(images, expected[0])
            assert torch.equal(labels, expected[1])
            seen.add(moved[1].numpy().tobytes())
        assert len(seen) > 6

    def test_workers_bring_the_same(self, masked):
        rows, folder, place = masked
        data = CropDataset(rows, folder, 32, augment=True, seed=3, masks=place)
        order = [[0, 5, 9], [14, 2, 7]]
        for one, two in zip(loader(data, order), loader(data, order, workers=1), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def train(masked, place, run_dir, **settings):
    """History of a short training, with the masks that lie in ``place`` or without any."""
    rows, folder, _ = masked
    config = load("test", **SETTINGS | {"epochs": 1, "freeze_epochs": 0} | settings)
    used = {"masks": place} if place else {}
    data = engine.TrainingData(rows, folder, {"crop_size": 40}, **used)
    recipe = pipeline.run_recipe(config, fingerprint(rows))
    return engine.fit(config, data, run_dir, recipe)


@pytest.mark.parametrize(
    ("detector", "part", "settings"),
    [
        ("m2tr", "masks", {"side": 32}),
        (
            "dcl",
            "intra",
            # No warm-up: the first step is looked at.
            {"side": 0, "grid": 6, "backbone": "slim_efficientnet", "warmup_share": 0.0},
        ),
    ],
)
def test_masks_reach_the_loss(masked, tmp_path, detector, part, settings):
    """Two trainings that differ in their masks alone differ from the first step on."""
    rows = masked[0]
    corners = tmp_path / "corners"
    others = tmp_path / "others"
    for file in set(rows["mask"]) - {""}:
        for where, cut in ((corners, np.s_[:, 8:20, 8:20]), (others, np.s_[:, 20:, :])):
            mask = np.zeros((4, 40, 40), np.uint8)
            mask[cut] = 255
            (where / file).parent.mkdir(parents=True, exist_ok=True)
            np.save(where / file, mask)
    histories = [
        train(masked, where, tmp_path / f"run{i}", detector=detector, **settings)
        for i, where in enumerate((corners, others, None))
    ]
    first = [history[[part, "total"]].iloc[0] for history in histories]
    assert first[0][part] > 0
    assert first[1][part] > 0
    assert first[0][part] != first[1][part]
    assert first[0]["total"] != first[1]["total"]
    assert (histories[2][part] == 0).all()


def test_step_hands_masks_in_as_shares_and_unknown_ones_as_nan():
    class Asks(torch.nn.Module):
        def losses(self, images, labels, masks=None):
            return {"images": images, "masks": masks}

    batch = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1])
    found = torch.tensor([0, 51, 255, 0], dtype=torch.uint8).repeat(2, 1, 4, 1)
    step = Step(Asks())
    given = step(*batch, found, torch.tensor([True, False]))["masks"]
    np.testing.assert_allclose(given[0, 0, 0], [0, 0.2, 1, 0], rtol=1e-6)
    assert given[1].isnan().all()
    assert step(*batch)["masks"] is None


# -- the whole way, in FaceForensics++'s own layout ---------------------------------------------

WHOLE = {
    **{"crop_rule": "whole", "crop_size": 40, "input_size": 32, "frame_rule": "first"},
    **{"frame_count": 2, "epochs": 1, "freeze_epochs": 0, "per_category": 2, "side": 32},
    **{"videos": "distributed", "detector": "m2tr"},
}
FOLDERS = {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}


@pytest.fixture
def home(home):
    """A project whose FaceForensics++ has four people to train on, two for each other part, and
    masks of all training fakes but NT's."""
    root = home / "videos/FaceForensics++"
    rng = np.random.default_rng(0)
    people = (0, 1, 2, 3, 600, 601, 800, 801)
    for i, person in enumerate(people):
        donor = people[i ^ 1]
        frames = rng.integers(40, 120, (2, 40, 40, 3)).astype(np.uint8)
        write_video(
            root / f"original_sequences/youtube/c23/videos/{person:03d}.mp4", list(frames), 25, 18
        )
        for k, (name, folder) in enumerate(FOLDERS.items()):
            fake, mask = frames.copy(), np.zeros((2, 40, 40, 3), np.uint8)
            part = np.s_[:, 10 * (k // 2) :, 20 * (k % 2) :][:2]
            fake[part] += 90
            mask[part] = 255
            file = f"videos/{person:03d}_{donor:03d}.mp4"
            write_video(root / f"manipulated_sequences/{folder}/c23/{file}", list(fake), 25, 18)
            if name != "NT":
                write_video(
                    root / f"manipulated_sequences/{folder}/masks/{file}", list(mask), 25, 18
                )
    return home


def test_a_run_on_faceforensics_takes_its_masks(home, capfd):
    config = load("test", **WHOLE)
    folder = pipeline.ensure_run(config, 1)
    history = pd.read_parquet(folder / "history.parquet")
    assert (history["masks"] > 0).any()
    record = read_json(folder / "provenance.json")
    assert record["trained_on"]["masks"] == {"fakes": 16, "with_masks": 12}
    said = capfd.readouterr().err
    assert "4 of 16 fake training videos have no masks" in said
    crops = pipeline.crop_folder(config, "FaceForensics++")
    report = read_json(crops.with_name(f"{crops.name}.masks.report.json"))
    assert (report["fakes"], report["with_masks"]) == (16, 12)
    assert {v["status"] for v in report["without"]} == {"none"}
    assert len(report["without"]) == 4
    assert all("NeuralTextures" in v["video_id"] for v in report["without"])
    # Only what is trained on was cut.
    cut = sorted(p.stem for p in paths.masks_of(crops).rglob("*.npy"))
    assert cut == sorted(["000_001", "001_000", "002_003", "003_002"] * 3)
    # The crops and what they are known by are as for a detector without masks.
    rows = pipeline.ensure_rows(config, "FaceForensics++")
    other = load(
        "test", **{k: v for k, v in WHOLE.items() if k != "side"} | {"detector": "mesonet"}
    )
    assert pipeline.crop_folder(other, "FaceForensics++") == crops
    assert record["data_sha256"] != fingerprint(rows)
    plain = pipeline.ensure_run(other, 1)
    record = read_json(plain / "provenance.json")
    assert record["data_sha256"] == fingerprint(rows)
    assert "masks" not in record["trained_on"]


def test_a_run_without_any_mask_says_so_and_masks_that_come_are_a_change(home, capfd):
    root = home / "videos/FaceForensics++/manipulated_sequences"
    for folder in ("Deepfakes", "Face2Face", "FaceSwap"):
        shutil.move(root / folder / "masks", home / folder)
    config = load("test", **WHOLE)
    folder = pipeline.ensure_run(config, 1)
    said = capfd.readouterr().err
    assert "16 of 16 fake training videos have no masks; trained without masks" in said
    assert (pd.read_parquet(folder / "history.parquet")["masks"] == 0).all()
    record = read_json(folder / "provenance.json")
    assert record["trained_on"]["masks"] == {"fakes": 16, "with_masks": 0}
    # Not even the empty masks of real faces: they alone would teach that nothing is altered.
    assert record["data_sha256"] == fingerprint(pipeline.ensure_rows(config, "FaceForensics++"))
    shutil.move(home / "Deepfakes", root / "Deepfakes/masks")
    pipeline.ensure_run(config, 1, retrain="changed")
    assert "training anew (data)" in capfd.readouterr().err
    assert (pd.read_parquet(folder / "history.parquet")["masks"] > 0).any()


def test_rendered_fakes_get_their_masks_when_they_are_first_needed(home, monkeypatch):
    """The renderer is asked once, after the crops, and never by a detector without masks."""
    from mcxlib import synthetic

    config = load("test", **WHOLE)
    rows = pipeline.ensure_rows(config, "FaceForensics++")
    hidden = home / "hidden"
    masks_of_df = home / "videos/FaceForensics++/manipulated_sequences/Deepfakes/masks"
    shutil.move(masks_of_df, hidden)
    calls = []

    def make(folder, spec, workers, progress):
        calls.append((folder, spec))
        shutil.copytree(hidden, masks_of_df, dirs_exist_ok=True)

    rendered = config.but(videos="rendered")
    at = data_steps.plan(config, "FaceForensics++")
    monkeypatch.setattr(synthetic, "make_masks", make)
    monkeypatch.setattr(data_steps, "ensure_videos", lambda *_: home / "videos")
    monkeypatch.setattr(data_steps, "videos_folder", lambda _: home / "videos")
    again = data_steps.Plan(**{**vars(at), "data": rendered.data})
    monkeypatch.setattr(data_steps, "plan", lambda *_: again)
    found, report = data_steps.ensure_masks(rendered, "FaceForensics++", rows)
    assert report == {"fakes": 16, "with_masks": 12}
    assert calls == [(home / "videos", synthetic.DemoSpec.small())]
    assert (
        found.loc[found["manipulation"] == "DF", "mask_known"]
        .eq(found.loc[found["manipulation"] == "DF", "split"] == "train")
        .all()
    )


def test_who_asks_for_masks():
    asks = {
        name
        for name in detectors.modules()
        if detectors.find(name).uses_masks(load("demo", detector=name).model)
    }
    assert asks == {"m2tr", "dcl"}
    assert not detectors.find("m2tr").uses_masks(load("paper", detector="m2tr").model)
    off = load("paper", detector="dcl", intra_weight=0.0).model
    assert not detectors.find("dcl").uses_masks(off)


def test_where_crops_to_show_were_altered(home):
    from mcxlib.pipeline.altered import altered

    config = load("test", **WHOLE)
    rows = pipeline.ensure_rows(config, "FaceForensics++")
    test = rows[rows["split"] == "test"].groupby("manipulation").head(1).reset_index(drop=True)
    size = config.data.crop_size
    masks, known = altered(config, test, size)
    found = dict(zip(test["manipulation"], zip(masks, known, strict=True), strict=True))
    assert {name: bool(known) for name, (_, known) in found.items()} == {
        "real": True, "DF": True, "F2F": True, "FS": True, "NT": False,
    }  # fmt: skip
    assert not found["real"][0].any()
    assert found["DF"][0].all()
    # Of FaceSwap all but the upper quarter of the frame was altered.
    rows_altered = found["FS"][0].mean(1)
    assert (rows_altered[: size // 4 - 1] < 0.1).all()
    assert (rows_altered[size // 4 + 1 :] > 0.9).all()
    middle, _ = altered(config, test, size - 4)
    np.testing.assert_array_equal(middle[:, :], masks[:, 2:-2, 2:-2])
    # Nothing is written beside the crops.
    crops = pipeline.crop_folder(config, "FaceForensics++")
    assert not paths.masks_of(crops).exists()
