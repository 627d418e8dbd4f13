"""DeepfakeBench's JSON files and frame folders, as its preprocessing writes them."""

import json

import pytest

from mcxlib.data.datasets.deepfakebench import read_deepfakebench
from mcxlib.settings.data import DataConfig


def frames(root, folder, n=2):
    path = root / folder
    path.mkdir(parents=True)
    for i in range(n):
        (path / f"{i:03d}.png").write_bytes(b"12345")


def entry(label, *paths):
    return {"label": label, "frames": list(paths)}


@pytest.fixture
def bench(tmp_path):
    """A root with FaceForensics++ frames, and a JSON file written on another machine."""
    root = tmp_path / "FaceForensics++"
    real, fake = "original_sequences/youtube/c23/frames", "manipulated_sequences/{}/c23/frames"
    frames(root, f"{real}/953", 3)
    frames(root, f"{fake.format('Deepfakes')}/071_054")
    frames(root, f"{fake.format('NeuralTextures')}/974_953")
    content = {
        "FaceForensics++": {
            "FF-real": {
                "train": {"c23": {}},
                "val": {"c23": {}},
                "test": {
                    "c23": {
                        "953": entry("FF-real", f"/data/rgb/FaceForensics++/{real}/953/000.png")
                    },
                    "c40": {"953": entry("FF-real", "/data/nowhere/c40/953/000.png")},
                },
            },
            "FF-DF": {
                "train": {
                    "c23": {
                        "071_054": entry(
                            "FF-DF",
                            f"FaceForensics++/{fake.format('Deepfakes')}/071_054/0.png".replace(
                                "/", "\\\\"
                            ),
                        )
                    }
                },
                "test": {"c23": {"003_000": entry("FF-DF", "gone/003_000/0.png")}},
            },
            "FF-NT": {
                part: {
                    "c23": {
                        "974_953": entry(
                            "FF-NT", f"x/{fake.format('NeuralTextures')}/974_953/000.png"
                        )
                    }
                }
                for part in ("train", "val", "test")
            },
        }
    }
    file = tmp_path / "FaceForensics++.json"
    file.write_text(json.dumps(content))
    return file, root


def test_manifest_of_faceforensics(bench):
    found = read_deepfakebench(*bench, "FaceForensics++", DataConfig())
    table = found.manifest.set_index("video_id")
    real = table.loc["original_sequences/youtube/c23/frames/953"]
    assert (real["manipulation"], real["target_id"], real["split"], real["bytes"]) == (
        *("real", "953", "test"),
        15,
    )
    df = table.loc["manipulated_sequences/Deepfakes/c23/frames/071_054"]
    assert (df["manipulation"], df["target_id"], df["donor_id"], df["split"]) == (
        *("DF", "071", "054"),
        "train",
    )
    # Neither original of the two fakes is among the frames but one.
    assert df["source"] == ""
    # In all three parts: used as a test video only, and counted.
    nt = table.loc["manipulated_sequences/NeuralTextures/c23/frames/974_953"]
    assert nt["split"] == "test"
    assert not table["synthetic"].any()
    parts = found.parts.set_index("part")
    assert parts.loc["FF-NT", "in_several_parts"] == 1
    assert parts.loc["FF-DF", ["expected", "found"]].tolist() == [2, 1]
    assert found.left_out["path"].tolist() == ["FF-DF/003_000"]


def test_other_data_sets_have_no_compressions_and_are_for_testing(tmp_path):
    root = tmp_path / "Celeb-DF-v2"
    frames(root, "Celeb-real/frames/id0_0001")
    frames(root, "Celeb-synthesis/frames/id0_id1_0002")
    video = entry("CelebDFv2_real", "Celeb-DF-v2/Celeb-real/frames/id0_0001/0.png")
    fake = entry("CelebDFv2_fake", "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0002/0.png")
    content = {
        "Celeb-DF-v2": {
            "CelebDFv2_real": {"train": {"id0_0001": video}, "val": {}, "test": {}},
            "CelebDFv2_fake": {
                "train": {"id0_id1_0002": fake},
                "val": {"id0_id1_0002": fake},
                "test": {"id0_id1_0002": fake},
            },
        }
    }
    file = tmp_path / "c.json"
    file.write_text(json.dumps(content))
    table = read_deepfakebench(file, root, "Celeb-DF-v2", DataConfig()).manifest
    assert table[["is_fake", "target_id", "donor_id", "split"]].values.tolist() == [
        [False, "id0", "", ""],
        [True, "id0", "id1", "test"],
    ]


def test_litter_among_frames_is_no_frame_and_sources_are_found(tmp_path):
    root = tmp_path / "KoDF"
    real = root / "original_sequences/youtube/c23/frames/071"
    fake = root / "manipulated_sequences/Deepfakes/c23/frames/071_054"
    for folder in (real, fake):
        frames(root, folder.relative_to(root))
        (folder / "._000.png").write_bytes(b"x" * 99)
        (folder / "landmarks.npy").write_bytes(b"x" * 99)
    parts = [folder.relative_to(root).as_posix() for folder in (real, fake)]
    content = {
        "FF-real": {"test": {"071": entry("FF-real", f"{parts[0]}/000.png")}},
        "FF-DF": {
            "test": {
                "071_054": entry("FF-DF", f"{parts[1]}/000.png"),
                "054_071": entry("FF-DF", f"{parts[1]}/000.png"),
            }
        },
    }
    file = tmp_path / "f.json"
    file.write_text(json.dumps({"FaceForensics++": content}))
    found = read_deepfakebench(file, root, "FaceForensics++", DataConfig())
    table = found.manifest
    assert table["bytes"].tolist() == [10, 10]
    assert table["source"].tolist() == ["", parts[0]]
    assert table["content"].nunique() == 1  # the same frames under the same names
    assert found.left_out.to_dict("records") == [
        {"path": "FF-DF/054_071", "reason": "its folder is another video's already"}
    ]
    assert (found.protocol, found.missing_classes) == ("deepfakebench", ())
    del content["FF-real"]
    file.write_text(json.dumps({"FaceForensics++": content}))
    found = read_deepfakebench(file, root, "FaceForensics++", DataConfig())
    assert found.missing_classes == ("real",)


def test_what_is_not_trained_on_is_tested_on(bench):
    file, root = bench
    config = DataConfig(train_on="KoDF")
    split = read_deepfakebench(file, root, "FaceForensics++", config).manifest["split"]
    assert set(split) == {"", "test"}


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("{", ValueError, "not valid JSON.*DeepfakeBench's form"),
        ("[]", ValueError, "not of DeepfakeBench's form"),
        ("", ValueError, r"x\.json is empty"),
        ("path,label\na,0\n", ValueError, "not valid JSON"),
        ('{"a": {}, "b": {}}', ValueError, r"headed by a, b, not by FaceForensics\+\+"),
        ('{"FaceForensics++": {"FF-real": {"dev": {}}}}', ValueError, "'dev'"),
        (
            '{"FaceForensics++": {"FF-real": {"test": {"c23": {"1": {"frames": ["a/b.png"]}}}}}}',
            FileNotFoundError,
            "none of the 1 videos",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, error, named):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(error, match=named):
        read_deepfakebench(file, tmp_path, "FaceForensics++", DataConfig())
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        read_deepfakebench(tmp_path / "nothing.json", tmp_path, "KoDF", DataConfig())
