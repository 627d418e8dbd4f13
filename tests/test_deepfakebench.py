"""DeepfakeBench's JSON files and frame folders, as its preprocessing writes them."""

import json

import pytest

from mcxlib.data.deepfakebench import read_deepfakebench


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
    found = read_deepfakebench(*bench)
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
    # In all three parts: used as a test video only, and counted.
    nt = table.loc["manipulated_sequences/NeuralTextures/c23/frames/974_953"]
    assert nt["split"] == "test"
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
    table = read_deepfakebench(file, root, "Celeb-DF-v2").manifest
    assert table[["is_fake", "target_id", "donor_id", "split"]].values.tolist() == [
        [False, "id0", "", ""],
        [True, "id0", "id1", "test"],
    ]


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("{", ValueError, "not of DeepfakeBench's form"),
        ("[]", ValueError, "not of DeepfakeBench's form"),
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
        read_deepfakebench(file, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        read_deepfakebench(tmp_path / "nothing.json", tmp_path)
