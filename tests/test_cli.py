"""The commands on real layouts: what they print, and what they refuse."""

import pytest
from media import write_video
from typer.testing import CliRunner

from mcxlib import cli, pipeline
from mcxlib.config import load_data
from mcxlib.settings import paths
from mcxlib.synthetic import render_person


@pytest.fixture
def mcx(home):
    def run(*arguments):
        result = CliRunner().invoke(cli.app, [*arguments, "--preset", "paper"])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_manifest_says_what_is_there_and_what_is_not(mcx, tmp_path):
    root = tmp_path / "videos/FaceForensics++"
    real, fake = "original_sequences/youtube", "manipulated_sequences/Deepfakes"
    touch(root, f"{real}/c23/videos/000.mp4", f"{real}/c23/videos/561.mp4")
    touch(root, f"{real}/c23/videos/x.mp4", f"{fake}/c23/videos/998_561.mp4")
    said = mcx("manifest", "--dataset", "FaceForensics++")
    assert "FaceForensics++: 3 videos; protocol paper: 2 train, 1 test" in said
    assert f"  {real}/c23/videos: 2 of 1000 published\n" in said
    assert "Face2Face/c23/videos: 0 of 1000 published  <- MISSING" in said
    assert "FaceShifter/c23/videos: 0 of 1000 published\n" in said
    assert "people in both train / test: 1 of 3" in said
    assert f"{real}/c23/videos/x.mp4: not named as this part's videos are" in said
    # The published split keeps the donor and the target of a pair together.
    said = mcx("manifest", "--dataset", "FaceForensics++", "--set", "protocol=official")
    assert "protocol official: 2 train, 1 test" in said
    assert "people in both train / test: 0 of 3" in said


def test_manifest_counts_what_systems_left_beside_frames(mcx, tmp_path):
    at = tmp_path / "videos/mine"
    touch(at, "real/a/0.png", "real/a/1.png", "real/a/.DS_Store", "real/a/._0.png", "fake/b/0.png")
    said = mcx("manifest", "--dataset", "mine")
    assert "mine: 2 videos" in said
    assert "  real: 1, 2 other files or folders passed over\n" in said
    assert "  fake: 1\n" in said


def test_what_is_wrong_is_named(mcx, tmp_path):
    with pytest.raises(FileNotFoundError, match="set MCX_VIDEOS"):
        mcx("manifest", "--dataset", "KoDF")
    with pytest.raises(ValueError, match="--set takes NAME=VALUE, not 'protocol'"):
        mcx("crops", "--dataset", "KoDF", "--set", "protocol")
    with pytest.raises(ValueError, match="unknown setting 'protokoll'; did you mean 'protocol'"):
        mcx("crops", "--dataset", "KoDF", "--set", "protokoll=official")
    with pytest.raises(ValueError, match="belong to one data set"):
        mcx("manifest", "--list", "x.csv")


def test_crops_report_what_was_left_out(mcx, tmp_path):
    root = tmp_path / "videos/mine"
    (root / "real").mkdir(parents=True)
    write_video(root / "real/a.mp4", 2, (320, 240), frames=list(render_person((3,), frames=2)))
    touch(root, "fake/broken.mp4")
    sizes = [w for n in ("crop_size=72", "frame_count=2") for w in ("--set", n)]
    said = mcx("crops", "--dataset", "mine", "--workers", "1", *sizes)
    assert "mine: 2 videos, 2 frames asked, 2 faces found, 0 no face, 0 unreadable frames" in said
    assert "fake/broken: unreadable: 1: " in said
    assert "not a readable video" in said
    config = load_data("paper", crop_size=72, frame_count=2)
    assert paths.table_of(pipeline.crop_folder(config, "mine")).is_file()
