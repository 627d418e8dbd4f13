"""Layouts as distributed -> manifests: hand-made trees with known answers."""

import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets import shared_identities
from mcxlib.settings.data import DataConfig


def scan(root, dataset, *, listed=None, kept=None, follow_links=False, **settings):
    config = DataConfig(**settings)
    return datasets.scan(root, dataset, config, listed=listed, kept=kept, follow_links=follow_links)


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
    found = scan(faceforensics, "FaceForensics++")
    parts = found.parts.set_index("part")
    real = parts.loc["original_sequences/youtube/c23/videos"]
    assert (real["expected"], real["found"], real["left_out"]) == (1000, 6, 2)
    assert dict(found.left_out.itertuples(index=False)) == {
        "original_sequences/youtube/c23/videos/notes.txt": "not a video",
        "original_sequences/youtube/c23/videos/0001.mp4": "not named as this part's videos are",
    }
    for file in (faceforensics / "manipulated_sequences/Face2Face/c23/videos").iterdir():
        file.unlink()
    (faceforensics / "manipulated_sequences/Face2Face/c23/videos").rmdir()
    parts = scan(faceforensics, "FaceForensics++").parts.set_index("part")
    gone = parts.loc["manipulated_sequences/Face2Face/c23/videos"]
    assert not gone["present"]
    assert not gone["optional"]
    assert gone["found"] == 0
    assert parts.loc["manipulated_sequences/FaceShifter/c23/videos", "optional"]


def test_faceshifter_and_actors_are_listed_but_not_trained_on(faceforensics):
    touch(
        faceforensics,
        "manipulated_sequences/FaceShifter/c23/videos/800_005.mp4",
        "manipulated_sequences/FaceShifter/c23/videos/001_870.mp4",
        "original_sequences/actors/c23/videos/01__exit_phone_room.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_27__kitchen_pan__ABCD.mp4",
    )
    table = scan(faceforensics, "FaceForensics++").manifest
    extra = table[table["manipulation"].isin(["FaceShifter", "DeepFakeDetection"])]
    assert len(extra) == 3
    assert (extra["split"] == "").all()
    # Actor 01 is not the person of YouTube video 001, and not trained on as a real one.
    actor = table[table["target_id"] == "actor01"]
    assert len(actor) == 2
    assert (actor["split"] == "").all()
    assert set(actor["donor_id"]) == {"", "actor27"}

    shifter = scan(faceforensics, "FaceShifter").manifest
    test = shifter[shifter["split"] == "test"]
    assert set(test.loc[test["is_fake"], "target_id"]) == {"800"}
    assert set(test.loc[~test["is_fake"], "target_id"]) == {"800", "999"}
    assert set(shifter["split"]) == {"test", ""}
    detection = scan(faceforensics, "DeepFakeDetection").manifest
    assert detection["split"].tolist() == ["test", "test"]
    assert sorted(detection["is_fake"]) == [False, True]


@pytest.mark.parametrize("folder", ["raw", "c0"])
def test_uncompressed_videos_are_found_under_either_name(tmp_path, folder):
    touch(tmp_path, f"original_sequences/youtube/{folder}/videos/005.mp4")
    touch(tmp_path, "original_sequences/youtube/c23/videos/006.mp4")
    table = scan(tmp_path, "FaceForensics++", compression="c0").manifest
    assert table["target_id"].tolist() == ["005"]


def test_empty_files_are_counted(tmp_path):
    touch(tmp_path, "Celeb-real/id51_0001.mp4", "Celeb-real/id52_0001.mp4")
    (tmp_path / "Celeb-real/id52_0001.mp4").write_bytes(b"")
    parts = scan(tmp_path, "Celeb-DF-v2").parts.set_index("part")
    assert parts.loc["Celeb-real", "empty"] == 1
    assert parts.loc["Celeb-real", "found"] == 2


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


def test_celebdf_official_list(tmp_path):
    touch(
        tmp_path,
        *("Celeb-real/id0_0001.mp4", "Celeb-real/id1_0001.mp4"),
        *("YouTube-real/00170.mp4", "Celeb-synthesis/id0_id1_0003.mp4"),
    )
    with pytest.raises(FileNotFoundError, match=r"List_of_testing_videos.*celebdf_paper"):
        scan(tmp_path, "Celeb-DF-v2", celebdf_protocol="celebdf_official")
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0001.mp4\n"
        "0 Celeb-synthesis/id0_id1_0003.mp4\n0 Celeb-synthesis/id9_id1_0003.mp4\n"
    )
    found = scan(tmp_path, "Celeb-DF-v2", celebdf_protocol="celebdf_official")
    table = found.manifest
    assert set(table.loc[table["split"] == "test", "video_id"]) == {
        "YouTube-real/00170",
        "Celeb-real/id1_0001",
        "Celeb-synthesis/id0_id1_0003",
    }
    assert found.left_out["path"].tolist() == ["Celeb-synthesis/id9_id1_0003"]
    (tmp_path / "List_of_testing_videos.txt").write_text("0 YouTube-real/00170.mp4\n")
    with pytest.raises(ValueError, match=r"labels 1 videos otherwise.*YouTube-real/00170"):
        scan(tmp_path, "Celeb-DF-v2", celebdf_protocol="celebdf_official")


def test_kodf_draw_is_seeded_and_sized(tmp_path):
    touch(tmp_path, *(f"original_videos/A{i:03d}/A{i:03d}_1.mp4" for i in range(300)))
    touch(tmp_path, *(f"synthesized_videos/dfl/A{i:03d}_B000_1.mp4" for i in range(800)))
    first = scan(tmp_path, "KoDF", draw_seed=1).manifest
    again = scan(tmp_path, "KoDF", draw_seed=1).manifest
    other = scan(tmp_path, "KoDF", draw_seed=2).manifest
    drawn = first[first["split"] == "test"]
    assert (~drawn["is_fake"]).sum() == 265
    assert drawn["is_fake"].sum() == 734
    pd.testing.assert_frame_equal(first, again)
    assert not first["split"].equals(other["split"])
    assert set(first["manipulation"]) == {"real", "dfl"}
    assert set(first.loc[first["is_fake"], "donor_id"]) == {"B000"}
    # Names of another form are used all the same; whose faces they show is not known.
    touch(tmp_path, "synthesized_videos/fo/20211.mp4", "synthesized_videos/loose.mp4")
    more = scan(tmp_path, "KoDF").manifest.set_index("video_id")
    assert more.loc["synthesized_videos/fo/20211", ["manipulation", "target_id"]].tolist() == [
        "fo",
        "",
    ]
    assert more.loc["synthesized_videos/loose", "manipulation"] == "synthesized"


def test_fakeavceleb_counts_only_the_video_label(tmp_path):
    person = "African/men/id00076/00109.mp4"
    categories = [f"{v}Video-{a}Audio" for v in ("Real", "Fake") for a in ("Real", "Fake")]
    touch(tmp_path, *(f"FakeAVCeleb_v1.2/{c}/{person}" for c in categories))
    table = scan(tmp_path, "FakeAVCeleb").manifest
    is_fake = dict(zip(table["video_id"].str.split("/").str[0], table["is_fake"], strict=True))
    assert is_fake == {c: c.startswith("Fake") for c in categories}
    assert table["target_id"].eq("id00076").all()
    assert table["donor_id"].eq("").all()
    touch(
        tmp_path,
        "FakeAVCeleb_v1.2/FakeVideo-RealAudio/African/men/id00076/00109_id00701_wavtolip.mp4",
        "FakeAVCeleb_v1.2/FakeVideo-RealAudio/African/men/id00076/00109_2_id00166_faceswap.mp4",
    )
    table = scan(tmp_path, "FakeAVCeleb").manifest
    assert sorted(table["donor_id"].unique()) == ["", "id00166", "id00701"]


def test_own_data_need_only_two_folders(tmp_path):
    touch(
        tmp_path,
        *("real/holiday 1.mp4", "real/küche.MOV", "real/same.mp4", "real/same.avi"),
        *("fake/app A/one.mkv", "fake/two.webm", "fake/still.png"),
        *("fake/frames/v1/0001.png", "fake/frames/v1/0002.png", "fake/.hidden.mp4"),
        *("real/notes.txt", "elsewhere/three.mp4"),
    )
    found = scan(tmp_path, "my videos")
    table = found.manifest.set_index("video_id")
    assert set(table.index) == {
        *("real/holiday 1", "real/küche", "real/same.mp4", "real/same.avi"),
        *("fake/app A/one", "fake/two", "fake/still", "fake/frames/v1"),
    }
    assert table["is_fake"].sum() == 4
    assert table.loc["fake/app A/one", "manipulation"] == "app A"
    assert table.loc["fake/two", "manipulation"] == "fake"
    assert table.loc["fake/frames/v1", "bytes"] == 6
    assert (table["split"] == "test").all()
    assert (table["target_id"] == "").all()
    assert dict(found.left_out.itertuples(index=False)) == {
        "fake/.hidden.mp4": "a hidden file",
        "real/notes.txt": "neither a video nor an image",
        "elsewhere": "a folder that belongs to no part of my videos",
    }


def test_links_that_leave_the_root_are_listed_and_not_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root, "real/own.mp4", "real/sub/other.mp4")
    touch(outside, "secret.mp4", "more/film.mp4")
    (root / "real/link.mp4").symlink_to(outside / "secret.mp4")
    (root / "real/more").symlink_to(outside / "more")
    (root / "real/inside.mp4").symlink_to(root / "real/own.mp4")
    (root / "real/gone.mp4").symlink_to(root / "real/nothing.mp4")
    (root / "real/sub/round").symlink_to(root / "real")
    (root / "fake").symlink_to(outside)
    found = scan(root, "mine")
    assert set(found.manifest["video_id"]) == {"real/own", "real/inside", "real/sub/other"}
    reasons = dict(found.left_out.itertuples(index=False))
    leaving = "a link that leaves the data set's folder"
    assert reasons == {
        "real/link.mp4": leaving,
        "real/more": leaving,
        "fake": leaving,
        "real/gone.mp4": "a link to nothing",
        "real/sub/round": "a link to a folder that is read already",
    }
    followed = scan(root, "mine", follow_links=True).manifest
    assert {"real/link", "real/more/film", "fake/secret"} <= set(followed["video_id"])
    # The root itself may be a link: whoever names it means it.
    (tmp_path / "alias").symlink_to(root)
    assert len(scan(tmp_path / "alias", "mine").manifest) == 3


@pytest.mark.parametrize(
    ("dataset", "error", "named"),
    [
        ("FaceForensics", FileNotFoundError, "'FaceForensics' is none of FaceForensics"),
        ("KoDF", FileNotFoundError, "original_videos.*It holds: something"),
    ],
)
def test_bad_roots_are_named(tmp_path, dataset, error, named):
    (tmp_path / "something").mkdir()
    with pytest.raises(error, match=named):
        scan(tmp_path, dataset)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        scan(tmp_path / "nowhere", "KoDF")
