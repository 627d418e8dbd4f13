"""Layouts as distributed -> manifests: hand-made trees with known answers."""

import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets import scan, shared_identities


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 3)


@pytest.fixture
def faceforensics(tmp_path):
    real = "original_sequences/youtube/c23/videos"
    fake = "manipulated_sequences/{}/c23/videos"
    touch(tmp_path, *(f"{real}/{i}.mp4" for i in ("000", "599", "600", "799", "800", "999")))
    touch(tmp_path, *(f"{fake.format(m)}/000_003.mp4" for m in ("Deepfakes", "Face2Face")))
    touch(tmp_path, f"{fake.format('FaceSwap')}/600_599.mp4")
    touch(tmp_path, f"{fake.format('NeuralTextures')}/800_000.mp4")
    touch(tmp_path, f"{real}/notes.txt", f"{real}/0001.mp4")
    return tmp_path


def test_faceforensics_rows_and_split(faceforensics):
    table = scan(faceforensics, "FaceForensics++").manifest.set_index("video_id")
    reals = table[~table["is_fake"]]
    # Section 4.1 by target id: below 600, 600 to 799, 800 and above.
    assert reals["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    fs = table.loc["manipulated_sequences/FaceSwap/c23/videos/600_599"]
    assert (fs["manipulation"], fs["target_id"], fs["donor_id"], fs["split"]) == (
        "FS",
        "600",
        "599",
        "val",
    )
    assert table["bytes"].eq(3).all()
    assert table["path"].str.endswith(".mp4").all()
    assert list(scan(faceforensics, "FaceForensics++").manifest) == list(datasets.COLUMNS)


def test_faceforensics_parts_report_what_is_missing(faceforensics):
    parts = scan(faceforensics, "FaceForensics++").parts.set_index("part")
    real = parts.loc["original_sequences/youtube/c23/videos"]
    assert (real["expected"], real["found"], real["unrecognised"]) == (1000, 6, 2)
    for file in (faceforensics / "manipulated_sequences/Face2Face/c23/videos").iterdir():
        file.unlink()
    (faceforensics / "manipulated_sequences/Face2Face/c23/videos").rmdir()
    parts = scan(faceforensics, "FaceForensics++").parts.set_index("part")
    gone = parts.loc["manipulated_sequences/Face2Face/c23/videos"]
    assert not gone["present"]
    assert gone["found"] == 0


def test_leak_through_a_donor_is_seen(faceforensics):
    """599 (train) is the donor of a validation fake, 000 (train) of a test fake."""
    table = scan(faceforensics, "FaceForensics++").manifest
    train, val, test = (table[table["split"] == s] for s in ("train", "val", "test"))
    assert shared_identities(train, val) == ["599"]
    assert shared_identities(train, test) == ["000"]
    assert shared_identities(val, test) == []


def test_celebdf_paper_protocol(tmp_path):
    touch(
        tmp_path,
        *("Celeb-real/id50_0000.mp4", "Celeb-real/id51_0001.mp4", "Celeb-real/id61_0000.mp4"),
        *("Celeb-synthesis/id51_id0_0000.mp4", "Celeb-synthesis/id1_id51_0000.mp4"),
        *("YouTube-real/00239.mp4", "YouTube-real/00240.mp4", "YouTube-real/00299.mp4"),
    )
    table = scan(tmp_path, "Celeb-DF-v2").manifest
    chosen = set(table.loc[table["split"] == "test", "video_id"])
    assert chosen == {
        "Celeb-real/id51_0001",
        "Celeb-real/id61_0000",
        "Celeb-synthesis/id51_id0_0000",
        "YouTube-real/00240",
        "YouTube-real/00299",
    }
    assert set(table["split"]) == {"test", ""}


def test_kodf_draw_is_seeded_and_sized(tmp_path):
    touch(tmp_path, *(f"original_videos/A{i:03d}/A{i:03d}_1.mp4" for i in range(300)))
    touch(tmp_path, *(f"synthesized_videos/dfl/A{i:03d}_B000_1.mp4" for i in range(800)))
    first = scan(tmp_path, "KoDF", seed=1).manifest
    again = scan(tmp_path, "KoDF", seed=1).manifest
    other = scan(tmp_path, "KoDF", seed=2).manifest
    drawn = first[first["split"] == "test"]
    assert (~drawn["is_fake"]).sum() == 265
    assert drawn["is_fake"].sum() == 734
    pd.testing.assert_frame_equal(first, again)
    assert not first["split"].equals(other["split"])


def test_fakeavceleb_counts_only_the_video_label(tmp_path):
    person = "African/men/id00076/00109.mp4"
    categories = [f"{v}Video-{a}Audio" for v in ("Real", "Fake") for a in ("Real", "Fake")]
    touch(tmp_path, *(f"FakeAVCeleb_v1.2/{c}/{person}" for c in categories))
    table = scan(tmp_path, "FakeAVCeleb").manifest
    is_fake = dict(zip(table["video_id"].str.split("/").str[0], table["is_fake"], strict=True))
    assert is_fake == {c: c.startswith("Fake") for c in categories}
    assert table["target_id"].eq("id00076").all()


@pytest.mark.parametrize(
    ("dataset", "error", "named"),
    [
        ("FaceForensics", ValueError, "unknown data set 'FaceForensics'"),
        ("KoDF", FileNotFoundError, "original_videos"),
    ],
)
def test_bad_roots_are_named(tmp_path, dataset, error, named):
    with pytest.raises(error, match=named):
        scan(tmp_path, dataset)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        scan(tmp_path / "nowhere", "KoDF")
