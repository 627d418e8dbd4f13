"""Labelled tables of one's own: CSV, Parquet, DFDC's metadata.json."""

import json
import os

import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets.table import read
from mcxlib.settings.data import DataConfig


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def scan(table, **settings):
    place = datasets.locate(str(table), table.parent / "videos")
    return datasets.scan(place.root, place.name, DataConfig(**settings))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_videos_anywhere(tmp_path):
    table = write(
        tmp_path / "set/labels.csv",
        "path,label,manipulation,identity,source\n"
        "clips/a.mp4,REAL,,ann,\n"
        f"{tmp_path}/elsewhere/b.mp4,fake,FaceSwap,bob,clips/a.mp4\n"
        "../elsewhere/c.mp4,1,,,./gone/original.mp4\n"
        "clips\\d.mkv,Real,real,,\n"
        "frames/e,0,,,\n"
        "clips/nothing.mp4,1,,,\n",
    )
    touch(tmp_path, "set/clips/a.mp4", "elsewhere/b.mp4", "elsewhere/c.mp4", "set/clips/d.mkv")
    touch(tmp_path, "set/frames/e/1.png", "set/frames/e/2.png", "set/frames/e/boxes.json")
    found = scan(table)
    rows = found.manifest.set_index("video_id")
    outside = f"{tmp_path}/elsewhere".lstrip("/")
    assert rows.index.tolist() == [
        *("clips/a", f"{outside}/b", f"{outside}/c", "clips/d", "frames/e"),
    ]
    assert rows["is_fake"].tolist() == [False, True, True, False, False]
    assert rows["manipulation"].tolist() == ["real", "FaceSwap", "fake", "real", "real"]
    assert rows["target_id"].tolist() == ["ann", "bob", "", "", ""]
    assert rows["source"].tolist() == ["", "clips/a", "gone/original", "", ""]
    assert rows["path"].tolist() == [
        *("clips/a.mp4", f"{tmp_path}/elsewhere/b.mp4", f"{tmp_path}/elsewhere/c.mp4"),
        *("clips/d.mkv", "frames/e"),
    ]
    assert all((tmp_path / "set" / path).exists() for path in rows["path"])
    assert rows["split"].eq("test").all()
    assert (found.protocol, set(found.manifest["dataset"])) == (
        "plain",
        {datasets.locate(str(table), tmp_path).name},
    )
    assert found.left_out.to_dict("records") == [
        {"path": "clips/nothing.mp4", "reason": "in the table, not on disk"}
    ]
    assert found.parts.to_dict("records") == [
        {
            "part": "labels.csv",
            "present": True,
            "expected": 6,
            "found": 5,
            "empty": 0,
            "left_out": 1,
            "optional": False,
            "ignored": 0,
        }
    ]


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "parquet", "txt"])
def test_the_same_table_in_any_form(tmp_path, kind):
    touch(tmp_path, *(f"crops/{i}.png" for i in range(4)))
    rows = pd.DataFrame({"path": [f"crops/{i}.png" for i in range(4)], "label": [0, 1, 1, 0]})
    file = tmp_path / f"crops.{'csv' if kind == 'semicolon' else kind}"
    if kind == "parquet":
        rows.to_parquet(file)
    elif kind == "txt":  # no header
        rows.to_csv(file, index=False, header=False, sep=" ")
    else:
        rows.to_csv(file, index=False, sep={"tsv": "\t", "semicolon": ";"}.get(kind, ","))
    table = scan(file).manifest
    assert table["video_id"].tolist() == [f"crops/{i}" for i in range(4)]
    assert table["is_fake"].tolist() == [False, True, True, False]
    assert table["bytes"].tolist() == [11] * 4


def test_parquet_numbers_are_names(tmp_path):
    touch(tmp_path, "1.mp4", "2.mp4")
    rows = pd.DataFrame(
        {"path": ["1.mp4", "2.mp4"], "label": [True, None], "identity": [7.0, None]}
    )
    rows["manipulation"] = [None, "real"]
    rows.to_parquet(tmp_path / "t.parquet")
    table = scan(tmp_path / "t.parquet").manifest
    assert table["target_id"].tolist() == ["7", ""]
    assert table["is_fake"].tolist() == [True, False]


def test_dfdcs_metadata(tmp_path):
    about = {
        "real.mp4": {"label": "REAL", "split": "train", "original": None},
        "fake.mp4": {"label": "FAKE", "split": "train", "original": "real.mp4"},
        "other.mp4": {"label": "FAKE", "split": "train", "original": "far.mp4"},
        "gone.mp4": {"label": "FAKE", "split": "train", "original": "real.mp4"},
        "caf\udce9.mp4": {"label": "FAKE", "split": "train", "original": "\ud800.mp4"},
        "n\0.mp4": {"label": "FAKE"},
    }
    file = write(tmp_path / "metadata.json", json.dumps(about))
    touch(tmp_path, "real.mp4", "fake.mp4", "other.mp4", "unlisted.mp4")
    found = scan(file)
    table = found.manifest.set_index("video_id")
    assert table["is_fake"].to_dict() == {"real": False, "fake": True, "other": True}
    assert table["source"].to_dict() == {"real": "", "fake": "real", "other": "far"}
    # Every video of its folders is "train", which divides nothing.
    assert found.protocol == "plain"
    assert table["split"].eq("test").all()
    reasons = dict(found.left_out.itertuples(index=False))
    assert reasons["gone.mp4"] == "in the table, not on disk"
    assert reasons["caf\\xe9.mp4"] == "its name is not UTF-8"
    assert len(reasons) == 3
    found.left_out.to_csv(tmp_path / "out.csv")
    found.manifest.to_parquet(tmp_path / "out.parquet")


def test_files_of_every_kind_in_a_table(tmp_path):
    touch(tmp_path, "a.mp4", "words.txt", "._a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty").mkdir()
    names = ["a.mp4", "words.txt", "._a.mp4", "pipe.mp4", "empty"]
    file = write(tmp_path / "t.csv", "path,label\n" + "".join(f"{n},real\n" for n in names))
    found = scan(file)
    assert found.manifest["video_id"].tolist() == ["a"]
    assert dict(found.left_out.itertuples(index=False)) == {
        "words.txt": "neither a video nor an image",
        "._a.mp4": "litter",
        "pipe.mp4": "a named pipe, not a file",
        "empty": "an empty folder",
    }
    assert found.missing_classes == ("fake",)


def test_a_column_split_is_used(tmp_path):
    rows = [
        ("r1", 0, "Train"), ("f1", 1, "train"), ("r2", 0, "validation"), ("f2", 1, "val"),
        ("r3", 0, "test"), ("f3", 1, ""),
    ]  # fmt: skip
    touch(tmp_path, *(f"{name}.mp4" for name, _, _ in rows))
    text = "path,label,split\n" + "".join(f"{n}.mp4,{f},{s}\n" for n, f, s in rows)
    file = write(tmp_path / "t.csv", text)
    expected = ["train", "train", "val", "val", "test", ""]
    for train_on in ("FaceForensics++", str(file)):
        found = scan(file, train_on=train_on)
        assert found.manifest["split"].tolist() == expected
        assert found.protocol == "listed"
    write(file, text.replace("r2.mp4,0,validation", "r2.mp4,0,test"))
    assert scan(file).protocol == "listed"
    with pytest.raises(ValueError, match="the part val has no real video"):
        scan(file, train_on=str(file))
    write(file, text.replace("f1.mp4,1,train", "f1.mp4,1,later"))
    with pytest.raises(ValueError, match="split 'later'"):
        scan(file)


def test_trained_on_it_is_split_by_groups(tmp_path):
    names = [f"{kind}{i}" for kind in ("r", "f") for i in range(20)]
    touch(tmp_path, *(f"{name}.mp4" for name in names))
    file = write(
        tmp_path / "t.csv",
        "path,label,source\n"
        + "".join(
            f"{n}.mp4,{int(n[0] == 'f')},{'' if n[0] == 'r' else f'r{n[1:]}.mp4'}\n" for n in names
        ),
    )
    found = scan(file, train_on=str(file))
    assert (found.protocol, found.drawn) == ("grouped", True)
    split = found.manifest.set_index("video_id")["split"]
    assert all(split[f"r{i}"] == split[f"f{i}"] for i in range(20))
    assert {*split} == {"train", "val", "test"}
    assert split.value_counts().min() >= 4  # two pairs: half of 15 % of twenty, rounded up
    assert (datasets.leaks(found.manifest)["shared_sources"] == 0).all()


def test_nothing_to_group_by_is_said_and_copies_stay_together(tmp_path):
    names = [f"{kind}{i}" for kind in ("r", "f") for i in range(40)]
    touch(tmp_path, *(f"{name}.mp4" for name in names))
    (tmp_path / "again.mp4").write_bytes(b"r3.mp4")
    file = write(
        tmp_path / "t.csv",
        "path,label\nagain.mp4,1\n" + "".join(f"{n}.mp4,{int(n[0] == 'f')}\n" for n in names),
    )
    found = scan(file, train_on=str(file))
    split = found.manifest.set_index("video_id")["split"]
    assert split["again"] == split["r3"]
    said = found.warnings()
    assert said[0] == "1 files are labelled real and, as a copy, fake: r3 and again"
    assert said[1].startswith("neither people nor sources of any video are known")
    assert len(said) == 2
    # Not trained on, nothing was split.
    assert scan(file).warnings() == said[:1]
    write(
        file,
        "path,label,identity\n"
        + "".join(f"{n}.mp4,{int(n[0] == 'f')},{'' if n in ('r1', 'f1') else n}\n" for n in names),
    )
    (only,) = scan(file, train_on=str(file)).warnings()
    assert "sources of 2 of 80 videos are known" in only


def test_a_listed_split_with_a_copy_in_two_parts_is_found_and_named(tmp_path):
    rows = [("a", 0, "train"), ("b", 1, "train"), ("c", 0, "test"), ("d", 1, "test")]
    touch(tmp_path, *(f"{name}.mp4" for name, _, _ in rows))
    (tmp_path / "c.mp4").write_bytes(b"a.mp4")
    text = "path,label,split\n" + "".join(f"{n}.mp4,{f},{s}\n" for n, f, s in rows)
    found = scan(write(tmp_path / "t.csv", text))
    assert datasets.copies(found.manifest).to_numpy().tolist() == [["train / test", "a", "c"]]
    (leak,) = datasets.leaks(found.manifest).to_dict("records")
    assert leak["copies"] == 1


BAD = {
    "zero bytes": (b"", r"is empty \(0 bytes\)"),
    "UTF-16": ("path,label\na.mp4,0\n".encode("utf-16"), "UTF-16"),
    "header only": (b"path,label\n", "a header and no rows"),
    "no table": (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8"),
    "prose": (b"Dear all,\nplease find\n", "lacks the column path"),
    "no path": (b"file,label\na.mp4,0\n", "lacks the column path; its columns are 'file, label'"),
    "no label": (b"path,kind\na.mp4,0\n", "lacks the column label"),
    "a row without a path": (b"path,label\n,0\n", "a row without a path"),
    "twice": (b"path,label\na.mp4,0\n./a.mp4,1\n", "names a.mp4 more than once"),
    "missing twice": (b"path,label\na.mp4,0\nx.mp4,1\nx.mp4,1\n", "names x.mp4 more than once"),
    "a label": (b"path,label\na.mp4,original\n", "unknown label 'original'"),
    "no label in a row": (b"path,label\na.mp4,0\nb.mp4,\n", "unknown label ''"),
    "2": (b"path,label\na.mp4,2\n", "unknown label '2'"),
    "contradiction": (b"path,label,manipulation\na.mp4,real,DF\n", "calls a.mp4 'real' and its"),
    "contradiction 2": (b"path,label,manipulation\na.mp4,1,real\n", "calls a.mp4 '1' and its"),
    "ragged": (b"path,label\na.mp4,0,0\n", "line 2 has 3 fields"),
}


@pytest.mark.parametrize(("content", "named"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_a_table_is_one_line_with_its_name(tmp_path, content, named):
    touch(tmp_path, "a.mp4")
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=named) as error:
        scan(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is empty"),
        ("{", "not valid JSON"),
        ("[1]", "is no table"),
        ('{"a.mp4": "FAKE"}', "is no table"),
        ("{}", "has no rows"),
        ('{"a.mp4": {"original": null}}', r"lacks the label of a\.mp4"),
        (
            '{"a.mp4": {"label": "FAKE"}, "a.mp4": {"label": "REAL"}}',
            r"names a\.mp4 more than once",
        ),
        ('{"a.mp4": {"label": "MAYBE"}}', "unknown label 'MAYBE'"),
    ],
)
def test_what_is_wrong_with_metadata_is_one_line_with_its_name(tmp_path, text, named):
    touch(tmp_path, "a.mp4")
    file = write(tmp_path / "metadata.json", text)
    with pytest.raises(ValueError, match=named) as error:
        scan(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_of_nothing_that_is_there(tmp_path):
    file = write(tmp_path / "t.csv", "path,label\nclips/a.mp4,0\n")
    with pytest.raises(FileNotFoundError, match=r"none of the 1 files.*clips/a\.mp4: in the table"):
        scan(file)
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.csv"):
        read(tmp_path / "gone.csv")


def test_a_folder_with_a_table_in_place_of_real_and_fake_says_what_to_do(tmp_path):
    touch(tmp_path / "dfdc", "a.mp4", "metadata.json")
    place = datasets.locate(str(tmp_path / "dfdc"), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"named itself: .*dfdc/metadata\.json"):
        datasets.scan(place.root, place.name, DataConfig())


def test_rendered_videos_are_called_so_in_a_table_elsewhere(tmp_path):
    write(tmp_path / "videos/demo.json", '{"version": 1, "spec": {}}')
    touch(tmp_path, "videos/KoDF/original_videos/a.mp4", "other/b.mp4")
    file = write(
        tmp_path / "mix/t.csv",
        "path,label\n../videos/KoDF/original_videos/a.mp4,0\n../other/b.mp4,1\n",
    )
    assert scan(file).manifest["synthetic"].tolist() == [True, False]


def test_ids_in_a_table_keep_the_suffix_only_where_needed(tmp_path):
    touch(tmp_path, "a.mp4", "a.avi", "b.1.mp4", "c.v2/1.png")
    file = write(tmp_path / "t.csv", "path,label\na.mp4,0\na.avi,1\nb.1.mp4,0\nc.v2,1\n")
    assert scan(file).manifest["video_id"].tolist() == ["a.mp4", "a.avi", "b.1", "c.v2"]


def test_a_source_is_named_by_its_id(tmp_path):
    touch(tmp_path, "a.mp4", "a.avi", "sub/o.mp4", "sub/f.mp4", "sub/g.mp4", "sub/h.mp4")
    file = write(
        tmp_path / "t.csv",
        "path,label,source\na.mp4,0,\na.avi,0,\nsub/o.mp4,0,\n"
        f"sub/f.mp4,1,o.mp4\nsub/g.mp4,1,a.avi\nsub/h.mp4,1,{tmp_path}/sub/o.mp4\n",
    )
    sources = scan(file).manifest.set_index("video_id")["source"]
    assert sources[["sub/f", "sub/g", "sub/h"]].tolist() == ["sub/o", "a.avi", "sub/o"]
