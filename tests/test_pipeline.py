"""Steps on real layouts: draws that stay, variants side by side, two runs at once."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pandas as pd
import pytest
from filelock import FileLock
from training import CLIPS as SMALL
from training import FOLDERS, ONE_EPOCH

from mcxlib import pipeline
from mcxlib.config import load
from mcxlib.data import datasets
from mcxlib.settings import paths
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_draw_keeps_to_its_list(home):
    root = home / "videos/KoDF"
    touch(root, *(f"original_videos/A{i:03d}/1.mp4" for i in range(270)))
    config = load("paper")
    first = pipeline.ensure_manifest(config, "KoDF")
    drawn = set(first.loc[first["split"] == "test", "video_id"])
    assert len(drawn) == 265
    # More videos arrive, one that was drawn goes: read again, the draw stays what it was.
    touch(root, *(f"synthesized_videos/fo/A{i:03d}_B_1.mp4" for i in range(900)))
    gone = min(drawn)
    (root / f"{gone}.mp4").unlink()
    found = pipeline.make_manifest(config, "KoDF")
    again = found.manifest
    assert set(again.loc[again["split"] == "test", "video_id"]) == drawn - {gone}
    assert pipeline.left_out(config, "KoDF").to_numpy().tolist() == [
        [gone.rpartition("/")[0], "an empty folder"],
        [gone, "in the list of the split, not on disk"],
    ]
    # Files that touch() makes alike are said to be copies, too.
    words, copies = sorted(found.warnings(), key=lambda line: "as a copy" in line)
    assert "labelled real and, as a copy, fake" in copies
    assert "1 of its 265 videos are not there" in words
    assert "drawn from 270 real and 0 fake videos, there are 269 real and 900 fake videos" in words
    # The list can be handed on: another machine, another seed's place, the same videos.
    listed = paths.split_list("paper", "KoDF_kodf_draw_seed0")
    other = load("paper", draw_seed=5)
    published = home / "published.csv"
    published.write_bytes(listed.read_bytes())
    brought = pipeline.make_manifest(other, "KoDF", listed=published)
    taken = brought.manifest
    assert brought.protocol.startswith("list-")
    assert not paths.split_list("paper", "KoDF_kodf_draw_seed5").exists()
    assert set(taken.loc[taken["split"] == "test", "video_id"]) == drawn - {gone}
    fresh = pipeline.make_manifest(load("paper", draw_seed=6), "KoDF").manifest
    assert fresh.loc[fresh["split"] == "test", "is_fake"].sum() == 734


def test_variants_lie_side_by_side(home):
    plain = load("paper")
    same = pipeline.crop_folder(plain, "KoDF")
    assert same == paths.crops("paper", "KoDF")
    names = {
        pipeline.crop_folder(load("paper", **{k: v}), "FaceForensics++").name
        for k, v in (
            *(("crop_rule", "authors"), ("detection", "exact"), ("compression", "c40")),
            *(("frame_rule", "every"), ("lr", 0.5), ("protocol", "official")),
        )
    }
    assert names == {
        "FaceForensics++",
        "FaceForensics++_crop_rule=authors",
        "FaceForensics++_detection=exact",
        "FaceForensics++_compression=c40",
        "FaceForensics++_frame_rule=every",
    }
    # Only FaceForensics++ and what lies in its folder has compressions.
    c40 = load("paper", compression="c40")
    assert pipeline.crop_folder(c40, "KoDF") == same
    assert pipeline.crop_folder(c40, "FaceShifter").name == "FaceShifter_compression=c40"


def test_both_protocols_of_one_data_set(home):
    root = home / "videos/FaceForensics++/original_sequences/youtube/c23/videos"
    touch(root, "071.mp4", "953.mp4", "720.mp4")
    by_target = pipeline.ensure_manifest(load("paper"), "FaceForensics++")
    official = pipeline.ensure_manifest(load("paper", protocol="official"), "FaceForensics++")
    assert by_target.set_index("target_id")["split"].to_dict() == {
        "071": "train",
        "720": "val",
        "953": "test",
    }
    pd.testing.assert_frame_equal(by_target, official)  # these three agree in both
    touch(root, "012.mp4")  # a test video of the published split
    rescanned = {
        p: pipeline.make_manifest(load("paper", protocol=p), "FaceForensics++").manifest.set_index(
            "target_id"
        )["split"]["012"]
        for p in ("paper", "official")
    }
    assert rescanned == {"paper": "train", "official": "test"}


def test_crops_follow_the_manifest(home):
    """A video that arrives later is cut; those that are done are not cut again."""
    root = home / "videos/mine"
    config = load("paper", **SMALL)
    for kind, seed in (("real", 3), ("fake", 4)):
        (root / kind).mkdir(parents=True)
        write_video(root / kind / "a b.mp4", render_person((seed,), frames=2), 25, 18)
    table = pipeline.ensure_crops(config, "mine", workers=1)
    assert table["status"].tolist() == ["ok"] * 4
    folder = pipeline.crop_folder(config, "mine")
    stamps = {p.name: p.stat().st_mtime_ns for p in folder.rglob("*.npy")}
    write_video(root / "fake" / "c.mp4", render_person((5,), frames=2), 25, 18)
    assert len(pipeline.ensure_crops(config, "mine", workers=1)) == 4  # not looked for yet
    pipeline.make_manifest(config, "mine")
    assert len(pipeline.ensure_crops(config, "mine", workers=1)) == 6
    assert {p.name: p.stat().st_mtime_ns for p in folder.rglob("a b.npy")} == stamps
    rows = pipeline.ensure_rows(config, "mine")
    assert rows.groupby("is_fake").size().to_dict() == {False: 2, True: 4}


def test_two_runs_on_the_same_folder_share_the_work(home):
    """Both wait for a third that is at it, say so, and then do the work once."""
    root = home / "videos/mine/real"
    root.mkdir(parents=True)
    for i in range(3):
        write_video(root / f"{i}.mp4", render_person((i,), frames=2), 25, 18)
    command = [
        *(sys.executable, "-m", "mcxlib.cli", "crops", "--preset", "paper", "--dataset", "mine"),
        *(w for k, v in SMALL.items() if k != "input_size" for w in ("--set", f"{k}={v}")),
        *("--workers", "1"),
    ]
    config = load("paper", **SMALL)
    folder = pipeline.crop_folder(config, "mine")
    folder.parent.mkdir(parents=True)
    said = [home / "first.txt", home / "second.txt"]
    with FileLock(folder.with_name(f".{folder.name}.lock")), ExitStack() as stack:
        both = [
            subprocess.Popen(
                command,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(file.open("w")),
                text=True,
            )
            for file in said
        ]
        waiting = "faces of mine: another process is at it; waiting for it"
        end = time.monotonic() + 120
        while not all(waiting in file.read_text() for file in said):
            assert time.monotonic() < end, [file.read_text() for file in said]
            assert all(process.poll() is None for process in both)
            time.sleep(0.1)
        assert not folder.exists()
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("mine: 3 videos, 6 frames asked, 6 faces found" in out for out in outputs)
    # The progress of cutting: one of the two did it, the other found it done.
    assert sum("faces of mine:" in f.read_text().replace(waiting, "") for f in said) == 1
    assert len(pd.read_parquet(paths.table_of(folder))) == 6


def tree(home, video):
    """FaceForensics++ with a target in each part; the same picture, each file with other bytes."""
    for kind, folder in FOLDERS.items():
        for target, donor in (("071", "054"), ("720", "672"), ("953", "974")):
            name = target if kind == "real" else f"{target}_{donor}"
            path = home / f"videos/FaceForensics++/{folder}/c23/videos/{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            # What follows the last box of an MP4 file is nobody's.
            path.write_bytes(video + b"\0\0\0\x10free" + f"{kind} {name}"[:8].ljust(8).encode())


def test_what_is_finished_is_taken_while_others_hold_the_locks(home, capsys):
    """Crops, run and scores of a small tree laid out as FaceForensics++ is; then, with every
    lock held by somebody else, the same again: at once, without waiting and without a word."""
    video = home / "one.mp4"
    write_video(video, render_person((1,), frames=2), 25, 18)
    tree(home, video.read_bytes())
    small = SMALL | ONE_EPOCH | {"crop_rule": "whole"}
    config = load("paper", **small)
    dataset = "FaceForensics++"
    first = pipeline.ensure_scores(config, dataset, workers=1)
    assert sorted(first["video_id"].unique()) == sorted(
        f"{folder}/c23/videos/953{'' if kind == 'real' else '_974'}"
        for kind, folder in FOLDERS.items()
    )
    assert len(first) == 10
    locks = sorted(p for p in home.rglob("*.lock"))
    assert len(locks) >= 3
    assert capsys.readouterr().err != ""  # progress
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        for path in locks:
            stack.enter_context(FileLock(path, timeout=0))
        later = pool.submit(pipeline.ensure_scores, config, dataset)
        try:
            second = later.result(timeout=60)
        except TimeoutError:
            pytest.fail("waited for a lock although everything is finished")
        finally:
            stack.close()
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert capsys.readouterr().err == ""


def test_every_default_protocol_belongs_to_its_data_set():
    config = load("paper")
    for dataset in pipeline.ALL_DATASETS:
        known = datasets.find(dataset)
        assert known.protocol(known.protocol_of(config.data))
