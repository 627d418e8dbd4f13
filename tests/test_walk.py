"""What lies in people's folders beside videos, and what becomes of it."""

import errno
import hashlib
import os
import socket

import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets.content import fingerprint
from mcxlib.data.datasets.manifest import checked
from mcxlib.data.datasets.walk import Item
from mcxlib.data.video import kinds
from mcxlib.settings.data import DataConfig


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def scan(root, dataset="mine", **options):
    return datasets.scan(root, dataset, DataConfig(), **options)


def reasons(found):
    return dict(found.left_out.itertuples(index=False))


def test_what_systems_leave_behind_is_counted_and_no_video(tmp_path):
    """Two folders of frames stay two videos, whatever lies beside the frames."""
    frames = [f"{video}/{i:03d}.png" for video in ("real/a", "fake/swap/b") for i in range(3)]
    touch(tmp_path, *frames, ".DS_Store", "real/.DS_Store", "real/Thumbs.db")
    touch(tmp_path, "real/a/.DS_Store", "real/a/._000.png", "real/a/desktop.ini")
    touch(tmp_path, "real/a/landmarks.json", "fake/swap/b/notes.txt", "fake/swap/b/__MACOSX/x.png")
    touch(tmp_path, "__MACOSX/real/a/000.png", "fake/swap/__MACOSX/._b")
    found = scan(tmp_path)
    assert found.manifest["video_id"].tolist() == ["real/a", "fake/swap/b"]
    assert found.manifest["bytes"].tolist() == [3 * len(frames[0]), 3 * len(frames[3])]
    assert found.left_out.empty
    parts = found.parts.set_index("part")
    # real: its own two, three in a, and the landmarks; fake: notes and two folders.
    assert parts["ignored"].to_dict() == {"real": 6, "fake": 3}
    assert parts["left_out"].sum() == 0
    assert found.unknown_folders == ()


def test_a_video_among_images_makes_no_folder_of_frames(tmp_path):
    touch(tmp_path, "real/a/0.png", "real/a/film.mp4", "real/b/1.png", "real/b/more/2.png")
    assert set(scan(tmp_path).manifest["video_id"]) == {
        *("real/a/0", "real/a/film", "real/b/1", "real/b/more"),
    }


def test_images_in_the_parts_own_folder_are_a_video_each(tmp_path):
    touch(tmp_path, "real/1.png", "real/2.png", "fake/app/3.png", "fake/app/4.png")
    assert set(scan(tmp_path).manifest["video_id"]) == {"real/1", "real/2", "fake/app"}


def test_notes_in_a_folder_below_the_frames_do_not_take_them_apart(tmp_path):
    touch(
        tmp_path, "real/a/0.png", "real/a/1.png", "real/a/points/0.npy", "real/a/points/more/1.npy"
    )
    found = scan(tmp_path)
    assert found.manifest["video_id"].tolist() == ["real/a"]
    assert found.parts.set_index("part").loc["real", ["left_out", "ignored"]].tolist() == [0, 2]


def test_empty_folders_are_named(tmp_path):
    touch(tmp_path, "real/a.mp4", "fake/litter/.DS_Store", "fake/app/notes.md")
    (tmp_path / "real/empty").mkdir()
    found = scan(tmp_path)
    assert reasons(found) == {
        "real/empty": "an empty folder",
        "fake/litter": "an empty folder",
        "fake/app/notes.md": "neither a video nor an image",
    }
    assert found.missing_classes == ("fake",)
    assert found.warnings() == ["there is no fake video"]


def test_names_that_are_not_utf8_are_left_out_and_escaped(tmp_path):
    touch(tmp_path, "real/a.mp4", "fake/b.mp4")
    for folder in (b"/real/caf\xe9", b"/caf\xe9"):
        os.mkdir(os.fsencode(tmp_path) + folder)
    for name in (b"/real/\xe9t\xe9.mp4", b"/real/caf\xe9/c.mp4"):
        with open(os.fsencode(tmp_path) + name, "wb") as file:
            file.write(b"x")
    found = scan(tmp_path)
    assert set(found.manifest["video_id"]) == {"real/a", "fake/b"}
    assert reasons(found) == {
        "real/\\xe9t\\xe9.mp4": "its name is not UTF-8",
        "real/caf\\xe9": "its name is not UTF-8",
        "caf\\xe9": "a folder that belongs to no part of mine",
    }
    found.left_out.to_csv(tmp_path / "out.csv", index=False)
    found.left_out.to_parquet(tmp_path / "out.parquet")
    assert found.unknown_folders == ("caf\\xe9",)


def test_a_folder_that_may_not_be_read_is_one_row(tmp_path, monkeypatch):
    touch(tmp_path, "real/a.mp4", "real/shut/b.mp4", "fake/c.mp4")
    opened = os.scandir

    def refusing(path="."):
        if os.path.basename(path) == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = scan(tmp_path)
    assert set(found.manifest["video_id"]) == {"real/a", "fake/c"}
    assert reasons(found) == {"real/shut": "cannot be read: Permission denied"}

    def always(path="."):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", always)
    with pytest.raises(FileNotFoundError, match=r"hold no video.*cannot be read: Permission"):
        scan(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none of its parts.*cannot be read: Permission"):
        scan(tmp_path, "KoDF")


def test_a_file_that_may_not_be_read_is_one_row(tmp_path, monkeypatch):
    touch(tmp_path, "real/a.mp4", "real/b.mp4", "fake/c.mp4")
    real_open = open

    def refusing(path, *args, **options):
        if os.path.basename(path) == "b.mp4":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, *args, **options)

    monkeypatch.setattr("builtins.open", refusing)
    found = scan(tmp_path)
    assert reasons(found) == {"real/b.mp4": "cannot be read: Permission denied"}
    parts = found.parts.set_index("part")
    assert parts.loc["real", ["found", "left_out"]].tolist() == [1, 1]


def test_pipes_sockets_and_devices_are_never_opened(tmp_path, monkeypatch):
    touch(tmp_path, "real/a.mp4", "fake/c.mp4")
    os.mkfifo(tmp_path / "real/pipe.mp4")
    os.mkfifo(tmp_path / "fake/pipe.png")
    os.mkfifo(tmp_path / "fake/pipe")
    (tmp_path / "real/zero.mp4").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("real/socket.mp4")
        found = scan(tmp_path, follow_links=True)
    assert set(found.manifest["video_id"]) == {"real/a", "fake/c"}
    assert reasons(found) == {
        "real/pipe.mp4": "a named pipe, not a file",
        "real/socket.mp4": "a socket, not a file",
        "real/zero.mp4": "a device, not a file",
        "fake/pipe": "a named pipe, not a file",
        "fake/pipe.png": "a named pipe, not a file",
    }


def test_what_a_file_is_does_not_hang_on_its_suffix(tmp_path, monkeypatch):
    touch(
        tmp_path, "Celeb-real/id0_0001.m2ts", "Celeb-real/id1_0001.mp4", "Celeb-real/id2_0001.xyz"
    )
    known = kinds.kind
    monkeypatch.setattr(kinds, "kind", lambda p: "video" if p.suffix == ".m2ts" else known(p))
    found = scan(tmp_path, "Celeb-DF-v2")
    assert found.manifest["video_id"].tolist() == ["Celeb-real/id0_0001", "Celeb-real/id1_0001"]
    assert found.manifest["target_id"].tolist() == ["id0", "id1"]
    assert reasons(found) == {"Celeb-real/id2_0001.xyz": "not a video"}


def test_misspelt_folders_are_named_beside_what_is_missing(tmp_path):
    person = "African/men/id00076/00109.mp4"
    base = "FakeAVCeleb_v1.2"
    touch(
        tmp_path,
        *(f"{base}/{part}/{person}" for part in ("RealVideo-RealAudio", "FakeVideo-FakeAudio")),
        *(f"{base}/FakeVideo-RealAudioo/{person}", f"{base}/RealVideo-FakeAudio/{person}"),
        f"{base}/meta_data.csv",
    )
    found = scan(tmp_path, "FakeAVCeleb")
    assert found.missing_parts == ("FakeVideo-RealAudio",)
    assert found.unknown_folders == (f"{base}/FakeVideo-RealAudioo",)
    assert reasons(found) == {
        f"{base}/FakeVideo-RealAudioo": "a folder that belongs to no part of FakeAVCeleb; "
        "missing: FakeVideo-RealAudio"
    }
    assert found.warnings() == [
        f"folders that belong to no part: {base}/FakeVideo-RealAudioo; missing: FakeVideo-RealAudio"
    ]


def test_deep_misspellings_are_named_and_known_neighbours_are_not(tmp_path):
    touch(
        tmp_path,
        "original_sequences/youtube/c23/videos/000.mp4",
        "original_sequences/youtube/c40/videos/000.mp4",
        "original_sequences/actors/raw/videos/01__exit.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
        "manipulated_sequences/face2face/c23/videos/000_003.mp4",
        "manipulated_sequences/FaceSwap/c23/video/000_003.mp4",
        "manipulated_sequences/loose.mp4",
        "Celeb-real/id0_0000.mp4",
    )
    for dataset in ("FaceForensics++", "FaceShifter"):
        assert scan(tmp_path, dataset).unknown_folders == (
            "Celeb-real",
            "manipulated_sequences/face2face",
            "manipulated_sequences/FaceSwap/c23/video",
        )
    assert reasons(scan(tmp_path, "FaceForensics++"))["manipulated_sequences/loose.mp4"] == (
        "lies in no part's folder"
    )


def test_one_class_makes_a_manifest_and_is_named(tmp_path):
    touch(tmp_path, "Celeb-synthesis/id51_id0_0000.mp4")
    found = scan(tmp_path, "Celeb-DF-v2")
    assert found.manifest["split"].tolist() == ["test"]
    assert found.missing_classes == ("real",)
    assert found.manifest["source"].tolist() == ["Celeb-real/id51_0000"]


def test_sources_as_the_names_tell(tmp_path):
    actors = "manipulated_sequences/DeepFakeDetection/c23/videos"
    touch(
        tmp_path / "ff",
        "manipulated_sequences/Face2Face/c23/videos/071_054.mp4",
        f"{actors}/01_27__walking_down__YVGY8LOK.mp4",
    )
    ff = scan(tmp_path / "ff", "FaceForensics++").manifest.set_index("manipulation")["source"]
    assert ff.to_dict() == {
        "F2F": "original_sequences/youtube/c23/videos/071",
        "DeepFakeDetection": "original_sequences/actors/c23/videos/01__walking_down",
    }
    person = "African/men/id00076"
    touch(
        tmp_path / "av",
        f"RealVideo-RealAudio/{person}/00109.mp4",
        f"RealVideo-FakeAudio/{person}/00109_fake.mp4",
        f"FakeVideo-RealAudio/{person}/00109_10_id01166_wavtolip.mp4",
    )
    av = scan(tmp_path / "av", "FakeAVCeleb").manifest.set_index("video_id")["source"]
    original = f"RealVideo-RealAudio/{person}/00109"
    assert av.loc[original] == ""
    assert (av.drop(original) == original).all()


def test_content_is_equal_for_copies_alone(tmp_path):
    half = bytes(range(256)) * 1024
    big = half + half
    (tmp_path / "real").mkdir()
    for name, content in (
        *(("a.mp4", big), ("copy of a.avi", big), ("b.mp4", big[:-1] + b"x")),
        *(("c.mp4", b"x" + big[1:]), ("d.mp4", b""), ("e.mp4", b"")),
        ("longer.mp4", big + big[-65536:]),
    ):
        (tmp_path / "real" / name).write_bytes(content)
    for folder, last in (("f", b"3"), ("g", b"3"), ("h", b"4")):
        for name, content in (("1.png", b"1"), ("2.png", b"2"), ("3.png", last)):
            touch(tmp_path, f"real/{folder}/{name}")
            (tmp_path / "real" / folder / name).write_bytes(content)
    content = scan(tmp_path).manifest.set_index("video_id")["content"]
    assert content["real/a"] == content["real/copy of a"]
    assert content["real/f"] == content["real/g"]
    assert content["real/d"] == content["real/e"] == ""  # nothing to compare
    others = ["a", "b", "c", "longer", "f", "h"]
    assert content[[f"real/{name}" for name in others]].nunique() == 6
    # First, middle and last 64 KiB of half a mebibyte, after its size.
    k = 65536
    expected = f"{8 * k}\n".encode() + big[:k] + big[7 * k // 2 : 9 * k // 2] + big[7 * k :]
    assert content["real/a"] == hashlib.sha256(expected).hexdigest()
    small = tmp_path / "real/f/1.png"
    assert fingerprint(Item(small, 1)) == hashlib.sha256(b"1\n1").hexdigest()


def test_rendered_trees_say_so_themselves(tmp_path):
    touch(tmp_path, "videos/KoDF/original_videos/a/a_1.mp4", "videos/mine/real/b.mp4")
    root = tmp_path / "videos"
    assert not scan(root / "KoDF", "KoDF").manifest["synthetic"].any()
    (root / "demo.json").write_text("{}")  # somebody else's file of that name
    assert not scan(root / "KoDF", "KoDF").manifest["synthetic"].any()
    (root / "demo.json").write_text('{"version": 1, "complete": true, "spec": {"seed": 0}}')
    assert scan(root / "KoDF", "KoDF").manifest["synthetic"].all()
    (tmp_path / "elsewhere").symlink_to(root / "mine")
    assert scan(tmp_path / "elsewhere").manifest["synthetic"].all()


def test_ids_keep_the_suffix_only_where_it_tells_two_apart(tmp_path):
    touch(tmp_path, "real/a.mp4", "real/a.avi", "real/b.mp4.avi", "real/b.mp4", "real/b.mkv")
    assert sorted(scan(tmp_path).manifest["video_id"]) == [
        *("real/a.avi", "real/a.mp4", "real/b.mkv", "real/b.mp4", "real/b.mp4.avi")
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"video_id": "a"}, "names a more than once"),
        ({"split": "later"}, "split 'later'"),
        ({"manipulation": "real"}, "b is labelled fake and its manipulation is 'real'"),
    ],
)
def test_manifests_are_checked(change, named):
    rows = [
        {"video_id": "a", "is_fake": False, "manipulation": "real", "split": "test"},
        {"video_id": "b", "is_fake": True, "manipulation": "DF", "split": ""},
    ]
    text = dict.fromkeys(("path", "target_id", "donor_id", "content", "source"), "")
    same = {"dataset": "d", "bytes": 1, "synthetic": False} | text
    good = pd.DataFrame(rows).assign(**same)
    assert list(checked(good)) == list(datasets.COLUMNS)
    with pytest.raises(ValueError, match="lacks the column content"):
        checked(good.drop(columns="content"))
    with pytest.raises(ValueError, match=named):
        checked(pd.DataFrame([rows[0], rows[1] | change]).assign(**same))
