"""Data sets by name and by place: one file each, found by looking at the folder."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mcxlib import CLASSES, paper
from mcxlib.data import datasets
from mcxlib.settings.data import DataConfig

OTHERS = (
    *("Celeb-DF++", "DF40", "DFDC", "DFDCP", "DeepFakeDetection", "DeeperForensics-1.0"),
    *("FFIW10K", "FaceShifter", "UADFV", "WildDeepfake"),
)

TOY = '''
"""A toy."""
from mcxlib.data.datasets.base import Dataset, Part, Printed, Protocol
from mcxlib.data.datasets.rules import draw, everything

DATASET = Dataset(
    name="Toy",
    parts=lambda _: (
        Part("good", r"(?P<target>[a-z]+)", "real", 2),
        Part("bad", r"(?P<target>[a-z]+)-(?P<donor>[a-z]+)", "swap", 2, source="good/{target}"),
    ),
    protocols={
        "all": Protocol("all of it", everything),
        "few": Protocol("one fake", draw(("fake", 1)), drawn=True),
    },
)
'''


def test_the_papers_data_sets_in_print_order():
    assert datasets.paper_order() == ("FaceForensics++", "FakeAVCeleb", "KoDF", "Celeb-DF-v2")
    printed = [datasets.find(name).paper for name in datasets.paper_order()]
    assert printed[0].columns == paper.MANIPULATIONS
    assert tuple(p.columns[0] for p in printed[1:]) == paper.CROSS_DATASETS
    assert datasets.names()[:4] == datasets.paper_order()
    assert datasets.names()[4:] == OTHERS


def test_a_file_in_the_folder_is_a_data_set(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "toy_of_a_test.py").write_text(TOY)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(package)])
    assert datasets.names() == (*datasets.paper_order(), *sorted((*OTHERS, "Toy")))
    root = tmp_path / "videos/Toy"
    for name in ("good/ann", "good/bob", "bad/ann-bob", "bad/bob-ann", "bad/odd"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.mp4").write_bytes(name.encode())
    place = datasets.locate("Toy", tmp_path / "videos")
    assert place == ("Toy", root)
    found = datasets.scan(place.root, place.name, DataConfig())
    assert found.protocol == "all"
    rows = found.manifest.set_index("video_id")
    assert rows.loc[
        "bad/ann-bob", ["manipulation", "target_id", "donor_id", "source"]
    ].tolist() == [*("swap", "ann", "bob", "good/ann")]
    assert found.left_out.to_dict("records") == [
        {"path": "bad/odd.mp4", "reason": "not named as this part's videos are"}
    ]
    assert datasets.find("Toy").classes(found.manifest) == ("real", "swap")
    assert datasets.find("Toy").protocol_of(DataConfig(train_on="Toy")) == "grouped"


def test_reading_data_sets_loads_no_network_library():
    code = (
        "import sys, mcxlib.data.datasets as d; d.paper_order(); d.find('mine'); "
        "print(sorted({'torch', 'cv2', 'av', 'scipy', 'sklearn', 'PIL'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_plain_name_is_a_folder_of_the_videos(tmp_path):
    (tmp_path / "mine").mkdir()
    assert datasets.locate("mine", tmp_path) == ("mine", tmp_path / "mine")
    # These share a folder; nobody has to have it to ask where it should be.
    assert datasets.locate("FaceShifter", tmp_path) == ("FaceShifter", tmp_path / "FaceForensics++")
    with pytest.raises(FileNotFoundError, match=r"no data set yours.*MCX_VIDEOS") as error:
        datasets.locate("yours", tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no data set is named"):
        datasets.locate(" ", tmp_path)


def test_a_path_is_ones_own_place_under_a_name_of_its_own(tmp_path, monkeypatch):
    for folder in ("one/two", "three/two", "zwei Köpfe"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one")
    sha = hashlib.sha256(os.fsencode((tmp_path / "one/two").resolve())).hexdigest()
    expected = (f"two-{sha[:6]}", tmp_path / "one/two")
    assert datasets.locate("two/", tmp_path) == expected
    assert datasets.locate("./two", tmp_path) == expected
    assert datasets.locate(str(tmp_path / "one/two"), tmp_path) == expected
    assert datasets.locate("../three/two", tmp_path).name != expected[0]
    (tmp_path / "alias").symlink_to(tmp_path / "one/two")
    assert datasets.locate(str(tmp_path / "alias"), tmp_path).name == expected[0]
    assert datasets.locate("../zwei Köpfe", tmp_path).name.startswith("zwei_Köpfe-")
    here = datasets.locate(".", tmp_path)
    assert here.root == tmp_path / "one"
    assert here.name.startswith("one-")
    with pytest.raises(FileNotFoundError, match=r"nowhere.*MCX_VIDEOS"):
        datasets.locate("./nowhere", tmp_path)
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9" + b"x" * 240))
    strange.mkdir()
    name = datasets.locate(str(strange), tmp_path).name
    assert len(name.encode("utf-8")) < 120


def test_a_table_lies_anywhere(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/labels.v2.csv").write_text("path,label\n")
    place = datasets.locate(str(tmp_path / "set/labels.v2.csv"), tmp_path)
    assert place.root == tmp_path / "set"
    assert place.name.startswith("labels.v2-")
    monkeypatch.chdir(tmp_path / "set")
    assert datasets.locate("labels.v2.csv", tmp_path) == place
    (tmp_path / "set/film.mp4").write_text("x")
    with pytest.raises(ValueError, match=r"film\.mp4 is neither a folder nor a labelled table"):
        datasets.locate("./film.mp4", tmp_path)


def test_what_is_trained_on_may_be_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    name = datasets.locate("mine/", tmp_path).name
    own = datasets.find(name)
    assert own.protocol_of(DataConfig()) == "plain"
    assert own.protocol_of(DataConfig(train_on=name)) == "grouped"
    assert own.protocol_of(DataConfig(train_on=str(tmp_path / "mine"))) == "grouped"
    assert own.protocol_of(DataConfig(train_on="mine")) == "plain"
    # FaceForensics++ brings a training part of its own; the others are tested on.
    assert datasets.find("FaceForensics++").protocol_of(DataConfig()) == "paper"
    assert datasets.find("Celeb-DF-v2").protocol_of(DataConfig(train_on="Celeb-DF-v2")) == "grouped"


def test_classes_begin_with_real():
    def rows(*manipulations, split="test"):
        table = pd.DataFrame({"manipulation": manipulations, "split": split})
        return table.assign(is_fake=table["manipulation"] != "real")

    assert datasets.find("FaceForensics++").classes(rows("real")) == CLASSES
    own = datasets.find("mine")
    assert own.classes(rows("b", "real", "a", "b")) == ("real", "a", "b")
    assert own.classes(rows("real", "fake")) == ("real", "fake")
    assert own.classes(rows("real")) == ("real", "fake")
    # What is only tested on is no class that a detector could learn.
    both = pd.concat([rows("real", "b", split="train"), rows("a", split="test")])
    assert own.classes(both) == ("real", "b")
