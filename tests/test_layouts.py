"""Data sets beyond the paper's, as distributed: hand-made trees with known answers."""

import json

import pytest
from typer.testing import CliRunner

from mcxlib import cli
from mcxlib.data import datasets
from mcxlib.settings.data import DataConfig


def scan(root, dataset, **settings):
    return datasets.scan(root, dataset, DataConfig(**settings))


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def reasons(found):
    return dict(found.left_out.itertuples(index=False))


def dfdc_part(root, folder, about, missing=()):
    touch(root, *(f"{folder}/{name}" for name in about if name not in missing))
    (root / folder / "metadata.json").write_text(json.dumps(about))


def pairs(prefix, number):
    """So many real videos and a fake of each, as DFDC's metadata names them."""
    about = {}
    for i in range(number):
        about[f"{prefix}r{i}.mp4"] = {"label": "REAL", "split": "train"}
        about[f"{prefix}f{i}.mp4"] = {
            **{"label": "FAKE", "split": "train", "original": f"{prefix}r{i}.mp4"},
        }
    return about


def test_dfdc_labels_and_originals_come_from_its_tables(tmp_path):
    about = {
        "aaa.mp4": {"label": "REAL", "split": "train", "original": None},
        "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
        "gone.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    }
    dfdc_part(tmp_path, "dfdc_train_part_2", about, missing=("gone.mp4",))
    dfdc_part(tmp_path, "dfdc_train_part_10", {"ccc.mp4": {"label": "FAKE"}})
    touch(tmp_path, "dfdc_train_part_2/stray.mp4", "dfdc_train_part_3/ddd.mp4", "boxes/x.mp4")
    touch(tmp_path, "test/eee.mp4", "test/fff.mp4", "dfdc_train_part_4.zip")
    (tmp_path / "test/labels.csv").write_text("filename,label\neee.mp4,0\nfff.mp4,1\n")
    found = scan(tmp_path, "DFDC")
    rows = found.manifest.set_index("video_id")
    assert rows["is_fake"].to_dict() == {
        **{"dfdc_train_part_2/aaa": False, "dfdc_train_part_2/bbb": True},
        **{"dfdc_train_part_10/ccc": True, "test/eee": False, "test/fff": True},
    }
    assert rows["source"].to_dict()["dfdc_train_part_2/bbb"] == "dfdc_train_part_2/aaa"
    assert rows["manipulation"].tolist() == ["real", "fake", "fake", "real", "fake"]
    assert (found.protocol, rows.index[rows["split"] == "test"].tolist()) == (
        *("dfdc_test", ["test/eee", "test/fff"]),
    )
    assert set(rows["split"]) == {"", "test"}
    assert reasons(found) == {
        "dfdc_train_part_2/gone.mp4": "in metadata.json, not on disk",
        "dfdc_train_part_2/stray.mp4": "not in metadata.json, which would say what it is",
        "dfdc_train_part_3/ddd.mp4": "metadata.json, which would say what it is, is missing",
        "boxes": "a folder that belongs to no part of DFDC",
    }
    parts = found.parts.set_index("part")
    assert parts.index.tolist() == [
        *(f"dfdc_train_part_{n}" for n in (2, 3, 10)),
        *("validation", "test"),
    ]
    assert parts["found"].tolist() == [2, 0, 1, 0, 2]
    assert parts["expected"].tolist() == [0, 0, 0, 4000, 5000]
    assert found.unknown_folders == ("boxes",)


def test_dfdc_without_its_test_part_is_tested_on_and_trained_on_as_a_whole(tmp_path):
    dfdc_part(tmp_path, "train/dfdc_train_part_0", pairs("a", 30))
    assert scan(tmp_path, "DFDC").manifest["split"].eq("test").all()
    found = scan(tmp_path, "DFDC", train_on="DFDC")
    assert (found.protocol, found.drawn) == ("dfdc_official", True)
    split = found.manifest.set_index("video_id")["split"]
    assert set(split) == {"train", "val", "test"}
    base = "train/dfdc_train_part_0/a"
    assert all(split[f"{base}r{i}"] == split[f"{base}f{i}"] for i in range(30))


def test_dfdc_trained_on_keeps_its_test_part_and_draws_a_validation_part(tmp_path):
    dfdc_part(tmp_path, "dfdc_train_part_0", pairs("a", 40))
    touch(tmp_path, "test/eee.mp4", "test/fff.mp4")
    (tmp_path / "test/labels.csv").write_text("filename,label\neee.mp4,0\nfff.mp4,1\n")
    found = scan(tmp_path, "DFDC", train_on="DFDC")
    split = found.manifest.set_index("video_id")["split"]
    assert set(split.index[split == "test"]) == {"test/eee", "test/fff"}
    assert 6 <= split.eq("val").sum() <= 30
    assert datasets.leaks(found.manifest)["shared_sources"].eq(0).all()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not valid JSON"),
        ('{"a.mp4": {"label": "MAYBE"}}', "unknown label 'MAYBE'"),
        ('{"a.mp4": {}}', r"lacks the label of a\.mp4"),
    ],
)
def test_what_is_wrong_with_dfdcs_metadata_is_one_line(tmp_path, content, named):
    touch(tmp_path, "dfdc_train_part_0/a.mp4")
    (tmp_path / "dfdc_train_part_0/metadata.json").write_text(content)
    with pytest.raises(ValueError, match=named) as error:
        scan(tmp_path, "DFDC")
    assert "dfdc_train_part_0/metadata.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_dfdcs_folders_that_are_all_missing_are_named(tmp_path):
    touch(tmp_path, "dfdc_train_part_00.zip")
    with pytest.raises(
        FileNotFoundError, match=r"dfdc_train_part_\*.*It holds: dfdc_train_part_00"
    ):
        scan(tmp_path, "DFDC")


def preview(root):
    base = root / "dfdc_preview_set"
    real = ["643049/643049_A_001.mp4", "1224068/1224068_C_000.mp4", "55/oddly-named.mp4"]
    swapped = "method_A/643049/643049_A/1224068_643049_A_001.mp4"
    touch(base, *(f"original_videos/{name}" for name in real), swapped)
    about = {f"original_videos/{real[0]}": "test", f"original_videos/{real[1]}": "train"}
    table = {name: {"label": "real", "set": part} for name, part in about.items()}
    table[swapped] = {"label": "fake", "set": "test", "target_id": "643049"}
    (base / "dataset.json").write_text(json.dumps(table))
    return base


def test_dfdcs_preview(tmp_path):
    base = preview(tmp_path)
    found = scan(tmp_path, "DFDCP")
    rows = found.manifest.set_index("video_id")
    fake = rows.loc["method_A/643049/643049_A/1224068_643049_A_001"]
    assert fake[["manipulation", "target_id", "donor_id", "source", "split"]].tolist() == [
        *("method_A", "643049", "1224068", "original_videos/643049/643049_A_001", "test"),
    ]
    assert fake["source"] in rows.index
    assert rows["split"].to_dict() == {
        "original_videos/643049/643049_A_001": "test",
        "original_videos/1224068/1224068_C_000": "",
        "original_videos/55/oddly-named": "",
        "method_A/643049/643049_A/1224068_643049_A_001": "test",
    }
    assert rows.loc["original_videos/55/oddly-named", "target_id"] == ""
    assert found.missing_parts == ("method_B",)
    (base / "dataset.json").write_text('{"original_videos/a.mp4": {"set": "later"}}')
    with pytest.raises(ValueError, match=r"original_videos/a\.mp4 into the set 'later'"):
        scan(tmp_path, "DFDCP")
    (base / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs .*dataset\.json.*--list"):
        scan(tmp_path, "DFDCP")


def test_wilddeepfake_is_folders_of_frames(tmp_path):
    root = tmp_path / "deepfake_in_the_wild"
    touch(root, *(f"real_train/6/real/54/{i}.png" for i in range(3)))
    touch(root, *(f"fake_test/6/fake/54/{i}.png" for i in range(2)), "real_test/1/real/7/0.png")
    touch(root, "fake_train/12.tar.gz")
    found = scan(tmp_path, "WildDeepfake")
    rows = found.manifest.set_index("video_id")
    assert rows[["is_fake", "split"]].to_dict("index") == {
        "real_train/6/real/54": {"is_fake": False, "split": ""},
        "fake_test/6/fake/54": {"is_fake": True, "split": "test"},
        "real_test/1/real/7": {"is_fake": False, "split": "test"},
    }
    assert reasons(found) == {
        "deepfake_in_the_wild/fake_train/12.tar.gz": "an archive that is not unpacked"
    }


def test_celebdfpp(tmp_path):
    touch(tmp_path, "Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "YouTube-real/00011.mp4")
    fakes = {
        "FaceSwap/Celeb-DF-v2/id0_id1_0000": ("Celeb-DF-v2", "id0", "id1"),
        "FaceReenact/LIA/id1_id0_0000": ("LIA", "id1", "id0"),
        "TalkingFace/FLOAT/id1_0000_test_id4_0003": ("FLOAT", "id1", ""),
    }
    touch(tmp_path, *(f"Celeb-synthesis/{name}.mp4" for name in fakes))
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 Celeb-real/id1_0000.mp4\n0 Celeb-synthesis/FaceReenact/LIA/id1_id0_0000.mp4\n"
        "0 Celeb-synthesis/FaceSwap/GHOST/id1_id0_0000.mp4\n"
    )
    found = scan(tmp_path, "Celeb-DF++")
    rows = found.manifest.set_index("video_id")
    for name, (manipulation, target, donor) in fakes.items():
        row = rows.loc[f"Celeb-synthesis/{name}"]
        assert row[["manipulation", "target_id", "donor_id", "source"]].tolist() == [
            *(manipulation, target, donor, f"Celeb-real/{target}_0000"),
        ]
    assert rows.index[rows["split"] == "test"].tolist() == [
        *("Celeb-real/id1_0000", "Celeb-synthesis/FaceReenact/LIA/id1_id0_0000"),
    ]
    assert reasons(found)["Celeb-synthesis/FaceSwap/GHOST/id1_id0_0000"] == (
        "in the list of the split, not on disk"
    )
    # 22 methods are published, three are here; "Celeb-DF*" is the folder that was found.
    assert len(found.missing_parts) == 19
    assert "Celeb-synthesis/FaceSwap/GHOST" in found.missing_parts
    assert len(found.parts) == 24


def test_df40(tmp_path):
    touch(
        tmp_path,
        *("test/simswap/ff/frames/000_003/000.png", "test/simswap/cdf/frames/id0_id1_0000/0.png"),
        *("test/MidJourney/fake/a.png", "test/MidJourney/real/b.png"),
        *("train/simswap/frames/800_802/000.png",),
        *(
            f"FaceForensics++/original_sequences/youtube/c23/frames/{n}/000.png"
            for n in ("000", "003", "800")
        ),
        "Celeb-DF-v2/Celeb-real/frames/id0_0000/000.png",
        *("test/simswap/ff/landmarks/000_003/000.npy", "test/simswap/ff/masks/000_003/000.png"),
    )
    found = scan(tmp_path, "DF40")
    rows = found.manifest.set_index("video_id")
    named = ["manipulation", "is_fake", "target_id", "donor_id", "split"]
    table = {key: tuple(row) for key, row in rows[named].iterrows()}
    youtube = "FaceForensics++/original_sequences/youtube/c23/frames"
    assert table == {
        "test/simswap/ff/frames/000_003": ("simswap", True, "000", "003", "test"),
        "test/simswap/cdf/frames/id0_id1_0000": ("simswap", True, "id0", "id1", "test"),
        "test/MidJourney/fake": ("MidJourney", True, "", "", "test"),
        "test/MidJourney/real": ("real", False, "", "", "test"),
        "train/simswap/frames/800_802": ("simswap", True, "800", "802", ""),
        f"{youtube}/000": ("real", False, "000", "", "test"),
        f"{youtube}/003": ("real", False, "003", "", "test"),
        f"{youtube}/800": ("real", False, "800", "", ""),
        "Celeb-DF-v2/Celeb-real/frames/id0_0000": ("real", False, "id0", "", "test"),
    }
    assert found.missing_parts == ("Celeb-DF-v2/YouTube-real/frames",)
    assert len(found.left_out) == 0
    assert found.parts.set_index("part").loc["test/simswap", "ignored"] == 2


def test_ffiw(tmp_path):
    for folder in ("source", "target"):
        touch(tmp_path, *(f"{folder}/train/videos/train_{i:08}.mp4" for i in range(40)))
        touch(tmp_path, *(f"{folder}/val/videos/val_{i:08}.mp4" for i in range(3)))
    touch(tmp_path, "target_mask/val/val_00000000.mp4")
    # The same bytes would be copies of each other.
    assert scan(tmp_path, "FFIW10K").manifest["content"].is_unique
    found = scan(tmp_path, "FFIW10K")
    assert found.manifest["split"].eq("test").all()
    assert len(found.left_out) == 0
    found = scan(tmp_path, "FFIW10K", train_on="FFIW10K")
    by_folder = found.manifest.assign(folder=found.manifest["video_id"].str.split("/").str[1])
    assert set(by_folder.loc[by_folder["folder"] == "val", "split"]) == {"test"}
    assert set(by_folder.loc[by_folder["folder"] == "train", "split"]) == {"train", "val"}
    touch(tmp_path, "source/test/test_00000001.mp4", "target/test/test_00000001.mp4")
    found = scan(tmp_path, "FFIW10K", train_on="FFIW10K")
    folder = found.manifest["video_id"].str.split("/").str[1]
    assert found.manifest["split"].equals(folder.rename("split").astype(str))


def test_deeperforensics_takes_faceforensics_as_its_real_part(tmp_path):
    real = "original_sequences/youtube/c23/videos"
    touch(tmp_path, *(f"{real}/{n}.mp4" for n in ("000", "001", "002")))
    touch(tmp_path, *(f"manipulated_videos/end_to_end/{n}.mp4" for n in ("000_M101", "001_W004")))
    touch(tmp_path, "manipulated_videos/end_to_end_level_1/001_W004.mp4")
    touch(tmp_path, "source_videos/M101/BlendShape/camera_front/M101_BlendShape_camera_front.mp4")
    with pytest.raises(FileNotFoundError, match=r"needs .*lists/splits/train\.txt"):
        scan(tmp_path, "DeeperForensics-1.0")
    lists = {"train": "000_M101.mp4\n", "val": "", "test": "end_to_end/001_W004.mp4\n"}
    (tmp_path / "lists/splits").mkdir(parents=True)
    for name, text in lists.items():
        (tmp_path / f"lists/splits/{name}.txt").write_text(text or "999_M101.mp4\n")
    found = scan(tmp_path, "DeeperForensics-1.0")
    rows = found.manifest.set_index("video_id")
    fake = rows.loc["manipulated_videos/end_to_end_level_1/001_W004"]
    assert fake[["manipulation", "target_id", "donor_id", "source", "split"]].tolist() == [
        *("end_to_end_level_1", "001", "W004", f"{real}/001", "test"),
    ]
    assert rows.index[rows["split"] == "test"].tolist() == [
        *(f"{real}/001", "manipulated_videos/end_to_end/001_W004"),
        "manipulated_videos/end_to_end_level_1/001_W004",
    ]
    assert len(found.left_out) == 0
    assert found.missing_parts == ()
    (tmp_path / "lists/splits/val.txt").write_text("000_M101.mp4\n")
    with pytest.raises(ValueError, match=r"val\.txt has target 000, which is in train already"):
        scan(tmp_path, "DeeperForensics-1.0")


def test_uadfv(tmp_path):
    touch(tmp_path, "real/0001.mp4", "fake/0001_fake.mp4", "fake/0002.mp4")
    found = scan(tmp_path, "UADFV")
    rows = found.manifest.set_index("video_id")
    assert rows["source"].to_dict() == {"real/0001": "", "fake/0001_fake": "real/0001"}
    assert rows["split"].eq("test").all()
    assert reasons(found) == {"fake/0002.mp4": "not named as this part's videos are"}
    assert found.parts["expected"].tolist() == [49, 49]


NEW = ("DFDC", "DFDCP", "WildDeepfake", "Celeb-DF++", "DF40", "FFIW10K", "DeeperForensics-1.0")


@pytest.mark.parametrize("name", [*NEW, "UADFV"])
def test_every_new_data_set_says_what_was_not_confirmed(name):
    dataset = datasets.find(name)
    assert not dataset.own
    assert len(dataset.unconfirmed) > 20
    assert dataset.protocol_of(DataConfig()) in dataset.protocols
    trained = dataset.protocol_of(DataConfig(train_on=name))
    assert trained == "grouped" or dataset.protocol(trained).drawn


def test_the_command_lists_them_with_what_was_not_confirmed():
    shown = CliRunner().invoke(cli.app, ["datasets"]).stdout
    for name in datasets.names():
        assert f"\n{name}" in f"\n{shown}"
        if words := datasets.find(name).unconfirmed:
            assert f"not confirmed: {words}" in shown
    entries = json.loads(CliRunner().invoke(cli.app, ["datasets", "--json"]).stdout)
    assert [entry["name"] for entry in entries] == list(datasets.names())
    (uadfv,) = [entry for entry in entries if entry["name"] == "UADFV"]
    assert uadfv["parts"] == [
        {"folder": "real", "what": "real", "videos": 49, "optional": False},
        {"folder": "fake", "what": "fake", "videos": 49, "optional": False},
    ]


def test_a_folder_of_no_layout_is_refused_with_what_is_looked_for(tmp_path):
    touch(tmp_path, "videos/a.mp4")
    for name in (*NEW, "UADFV"):
        with pytest.raises(FileNotFoundError, match="none of its parts lies in") as error:
            scan(tmp_path, name)
        assert datasets.find(name).parts("c23")[0].folder in str(error.value)
