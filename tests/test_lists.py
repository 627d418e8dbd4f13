"""Lists of videos: written, brought along from elsewhere, and kept of a draw."""

import hashlib
import json

import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets.lists import read_list
from mcxlib.settings.data import DataConfig

HEADER = "video_id,is_fake,split\n"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


@pytest.fixture
def mine(tmp_path):
    root = tmp_path / "mine"
    touch(root, "real/a.mp4", "real/b.mp4", "fake/app/c.mkv", "fake/same.mp4", "fake/same.avi")
    return root


def scan(root, dataset="mine", *, listed=None, kept=None, **settings):
    return datasets.scan(root, dataset, DataConfig(**settings), listed=listed, kept=kept)


def test_other_ways_to_write_a_name(mine, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(
        "\ufeff" + HEADER + "real\\a,False,train\n./real/b.mp4,false,val\n"
        "fake/app/c.avi,True,train\nfake//same.avi,1,test\nreal/gone.mp4,0,test\n",
        encoding="utf-8",
    )
    found = scan(mine, listed=file)
    assert found.manifest.set_index("video_id")["split"].to_dict() == {
        "real/a": "train",
        "real/b": "val",
        "fake/app/c": "train",
        "fake/same.avi": "test",
        "fake/same.mp4": "",
    }
    assert found.left_out.to_dict("records") == [
        {"path": "real/gone.mp4", "reason": "in the list of the split, not on disk"}
    ]
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.protocol == f"list-{sha[:6]}"
    assert found.list_name == f"mine_list-{sha[:6]}"
    assert not found.drawn


def test_a_suffix_is_no_part_of_a_name_by_chance(tmp_path):
    """clip.1 is another video than clip, and missing."""
    touch(tmp_path / "m", "real/clip.mp4", "real/b.mp4")
    (tmp_path / "l.csv").write_text(HEADER + "real/clip.1,0,test\nreal/b,0,test\n")
    found = scan(tmp_path / "m", listed=tmp_path / "l.csv")
    assert found.manifest.set_index("video_id")["split"].to_dict() == {
        "real/clip": "",
        "real/b": "test",
    }


def test_a_list_that_matches_nothing_shows_one_of_each(mine, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(HEADER + "Celeb-real/id0_0000,False,test\n")
    with pytest.raises(ValueError, match="names no video of mine: it has 'Celeb-real/id0_0000'"):
        scan(mine, listed=file)
    with pytest.raises(ValueError, match="the data set 'real/a'"):
        scan(mine, listed=file)


def test_the_same_video_in_two_spellings_is_twice(mine, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(HEADER + "real/a,0,train\nreal/a.mp4,0,test\n")
    with pytest.raises(ValueError, match="names real/a more than once"):
        scan(mine, listed=file)


BAD = {
    "zero bytes": (b"", r"is empty \(0 bytes\)"),
    "blank": (b"\n \n", r"is empty \(3 bytes\)"),
    "UTF-16": ((HEADER + "real/a,0,test\n").encode("utf-16"), r"UTF-16.*save it as UTF-8"),
    "UTF-16 without mark": ((HEADER + "a,0,test\n").encode("utf-16-le"), "UTF-16"),
    "Latin-1": ((HEADER + "real/café,0,test\n").encode("latin-1"), r"not UTF-8 \(byte 31\)"),
    "header only": (HEADER.encode(), "a header and no rows"),
    "no table": (b"<html>\n<body>nothing</body>\n", "lacks the column video_id, is_fake, split"),
    "ragged": ((HEADER + "a,0,test,more\n").encode(), "line 2 has 4 fields, the first line 3"),
    "a column": (b"video_id,split\na,test\n", "lacks the column is_fake"),
    "a column twice": (b"video_id,is_fake,split,split\na,0,test,\n", "names a column twice"),
    "a label": ((HEADER + "real/a,maybe,test\n").encode(), "unknown label 'maybe'"),
    "a split": ((HEADER + "real/a,0,dev\n").encode(), r"'dev'.*valid: train, val, test"),
    "twice": ((HEADER + "real/a,0,test\n" * 2).encode(), "names real/a more than once"),
    "half a Parquet file": (b"PAR1" + b"x" * 50, "not a readable Parquet file"),
}


@pytest.mark.parametrize(("content", "named"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_a_list_is_one_line_with_its_name(mine, tmp_path, content, named):
    file = tmp_path / "their list.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=named) as error:
        scan(mine, listed=file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_list_at_all_is_named(mine, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.csv"):
        read_list(tmp_path / "nothing.csv", scan(mine).manifest)


def test_lists_may_come_from_spreadsheets(mine, tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes(b"video_id;is_fake;split;;\r\nreal/a;FALSE;test;;\r\n;;;;\r\n")
    split = scan(mine, listed=file).manifest.set_index("video_id")["split"]
    assert split[split != ""].to_dict() == {"real/a": "test"}


def test_one_class_is_refused_where_it_would_be_trained_on(mine, tmp_path):
    file = tmp_path / "fakes.csv"
    file.write_text(HEADER + "fake/app/c,1,train\nreal/a,0,val\nfake/same.mp4,1,val\n")
    assert set(scan(mine, listed=file).manifest["split"]) == {"train", "val", ""}
    with pytest.raises(ValueError, match=r"fakes\.csv: mine is trained on, .*train has no real"):
        scan(mine, listed=file, train_on="mine")
    file.write_text(HEADER + "fake/app/c,1,train\nreal/a,0,train\nreal/b,0,val\n")
    with pytest.raises(ValueError, match="the part val has no fake video"):
        scan(mine, listed=file, train_on="mine")
    file.write_text(HEADER + "fake/app/c,1,test\n")
    assert scan(mine, listed=file, train_on="mine").manifest["split"].tolist().count("test") == 1


def test_a_kept_draw_says_what_has_changed(tmp_path):
    root, kept = tmp_path / "KoDF", tmp_path / "lists/KoDF_kodf_draw_seed0.csv"
    touch(root, *(f"original_videos/A/A_{i}.mp4" for i in range(4)))
    touch(root, *(f"synthesized_videos/dfl/A_B_{i}.mp4" for i in range(3)))
    assert datasets.list_name("KoDF", DataConfig()) == kept.stem
    first = scan(root, "KoDF", kept=kept)
    assert (first.list_name, first.drawn, first.draw) == (kept.stem, True, None)
    datasets.keep(kept, first)
    written = kept.read_bytes()

    same = scan(root, "KoDF", kept=kept)
    assert same.manifest.equals(first.manifest)
    assert same.protocol == "kodf_draw"
    assert same.draw.words() == ""
    assert same.warnings() == []

    (root / "original_videos/A/A_2.mp4").unlink()
    touch(root, *(f"synthesized_videos/fo/C_D_{i}.mp4" for i in range(5)))
    later = scan(root, "KoDF", kept=kept)
    draw = later.draw
    assert (draw.listed, draw.absent) == (7, 1)
    assert (draw.then, draw.now) == ({"real": 4, "fake": 3}, {"real": 3, "fake": 8})
    assert (later.manifest["split"] == "test").sum() == 6
    assert later.warnings() == [
        f"the draw kept in {kept} is used: 1 of its 7 videos are not there; it was drawn from 4 "
        "real and 3 fake videos, there are 3 real and 8 fake videos now. Remove that file to draw "
        "again"
    ]
    # What is away for a while keeps its place in the draw.
    datasets.keep(kept, later)
    assert kept.read_bytes() == written

    # A list that was put there by itself says nothing about what it was drawn from.
    kept.write_bytes(written.replace(b"A_B_0", b"A_B_9"))
    other = scan(root, "KoDF", kept=kept)
    assert other.draw.then is None
    assert other.draw.absent == 2
    note = kept.with_name("KoDF_kodf_draw_seed0.drawn.json")
    assert json.loads(note.read_text())["candidates"] == {"real": 4, "fake": 3}


def test_a_list_that_is_brought_along_comes_before_a_kept_one(tmp_path):
    root = tmp_path / "KoDF"
    touch(root, "original_videos/A/A_1.mp4", "synthesized_videos/dfl/A_B_1.mp4")
    kept, own = tmp_path / "kept.csv", tmp_path / "own.csv"
    datasets.keep(kept, scan(root, "KoDF"))
    own.write_text(HEADER + "original_videos/A/A_1,0,test\n")
    found = scan(root, "KoDF", listed=own, kept=kept)
    assert found.manifest["split"].tolist() == ["test", ""]
    assert found.draw is None
    datasets.keep(tmp_path / f"{found.list_name}.csv", found)
    assert (tmp_path / f"{found.list_name}.csv").is_file()
    assert found.list_name != datasets.list_name("KoDF", DataConfig())


def test_protocols_that_draw_nothing_keep_nothing(mine, tmp_path):
    found = scan(mine, kept=tmp_path / "kept.csv")
    datasets.keep(tmp_path / "kept.csv", found)
    touch(mine, "real/new.mp4")
    assert (scan(mine, kept=tmp_path / "kept.csv").manifest["split"] == "test").all()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is empty"),
        ("fake YouTube-real/1.mp4\n", "line 1 is 'fake YouTube-real/1.mp4'"),
        ("1 a/b.mp4\n\n0\n", "line 3 is '0'"),
        ("1 YouTube-real/1.mp4\n0 ./YouTube-real/1.mp4\n", "labelled both real and fake"),
    ],
)
def test_celebdfs_own_list_is_read_as_carefully(tmp_path, text, named):
    touch(tmp_path, "YouTube-real/00170.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text(text)
    with pytest.raises(ValueError, match=named) as error:
        scan(tmp_path, "Celeb-DF-v2", celebdf_protocol="celebdf_official")
    assert "List_of_testing_videos.txt" in str(error.value)
    assert "\n" not in str(error.value)
