"""Splits by name and the check for leaks: published lists, hand-made manifests."""

from pathlib import Path

import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets.faceforensics import official_pairs, published_faceforensics
from mcxlib.data.datasets.lists import read_list, write_list
from mcxlib.data.datasets.rules import draw
from mcxlib.settings.data import DataConfig


def manifest(*rows):
    """(video, is_fake, target, donor, split) -> the columns that protocols read."""
    table = pd.DataFrame(rows, columns=["video_id", "is_fake", "target_id", "donor_id", "split"])
    return table.assign(dataset="d")


def test_the_published_split_is_complete():
    """FaceForensics++'s own counts: 720, 140 and 140 of the 1,000 videos, each exactly once."""
    pairs = official_pairs()
    videos = pairs.melt("split", ["first", "second"])
    assert sorted(videos["value"]) == [f"{i:03d}" for i in range(1000)]
    assert videos["split"].value_counts().to_dict() == {"train": 720, "val": 140, "test": 140}
    # Three pairs that are often quoted: the first of each published list.
    assert pairs.groupby("split", sort=False).first().to_numpy().tolist() == [
        ["071", "054"],
        ["720", "672"],
        ["953", "974"],
    ]


def test_published_faceforensics_has_all_videos():
    table = published_faceforensics()
    assert table.groupby("manipulation").size().to_dict() == dict.fromkeys(
        ("real", "DF", "F2F", "FS", "NT"), 1000
    )
    assert table["video_id"].is_unique
    assert {"DF/071_054", "DF/054_071"} <= set(table["video_id"])


def test_paper_leaks_through_donors_and_official_does_not():
    """Counted again here from the pairs alone: a pair leaks where its numbers lie in two parts."""
    report = datasets.leak_report().set_index(["protocol", "parts"])
    assert (report.loc["official", "shared"] == 0).all()
    assert (report.loc["official", "fakes_affected"] == 0).all()

    def part(number):
        return "train" if int(number) < 600 else "val" if int(number) < 800 else "test"

    across = {"train / val": set(), "train / test": set(), "val / test": set()}
    for _, a, b in official_pairs().itertuples(index=False):
        parts = [p for p in ("train", "val", "test") if p in (part(a), part(b))]
        if len(parts) == 2:
            across[" / ".join(parts)] |= {a, b}
    for parts, people in across.items():
        row = report.loc[("paper", parts)]
        assert row["shared"] == len(people) > 0
        assert row["by_target"] == 0
        # Half of the people of such pairs are targets in the later part, under 4 manipulations.
        assert row["fakes_affected"] == len(people) // 2 * 4


def test_leaks_by_hand():
    table = manifest(
        ("a", False, "1", "", "train"),
        ("b", True, "1", "2", "train"),
        ("c", False, "2", "", "test"),
        ("d", True, "2", "3", "test"),
        ("e", True, "4", "1", "test"),
        ("f", True, "5", "6", "test"),
        ("g", True, "1", "2", ""),
        ("h", False, "", "", "test"),
        ("i", False, "", "", "train"),
    )
    (row,) = datasets.leaks(table).to_dict("records")
    assert row == {
        "parts": "train / test",
        "identities": 6,
        "shared": 2,
        "by_target": 0,
        "fakes": 3,
        "fakes_affected": 2,
        **dict.fromkeys(("sources", "shared_sources", "contents", "copies"), 0),
    }


def test_a_list_comes_back_and_what_is_gone_is_named(tmp_path):
    table = manifest(
        ("a", False, "", "", "test"), ("b", True, "", "", "test"), ("c", True, "", "", "")
    )
    file = tmp_path / "list.csv"
    write_list(file, table)
    assert file.read_text() == "video_id,is_fake,split\na,False,test\nb,True,test\n"
    assert read_list(file, table).tolist() == ["test", "test", ""]
    fewer = table[table["video_id"] != "b"]
    split = read_list(file, fewer)
    assert split.tolist() == ["test", ""]
    assert split.attrs["absent"] == ["b"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("video,split\na,test\n", "lacks the column video_id, is_fake"),
        ("video_id,is_fake,split\na,False,test\na,False,test\n", "names a more than once"),
        ("video_id,is_fake,split\na,False,later\n", "'later'.*valid: train, val, test"),
        ("video_id,is_fake,split\na,True,test\n", "labels 1 videos otherwise.*a among"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, text, named):
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=named):
        read_list(file, manifest(("a", False, "", "", "")))


def test_protocols_of_a_configuration():
    config = DataConfig(protocol="official", celebdf_protocol="celebdf_official")
    known = ("FaceForensics++", "Celeb-DF-v2", "KoDF", "FakeAVCeleb", "FaceShifter", "mine")
    names = [datasets.find(d).protocol_of(config) for d in known]
    assert names == [
        *("official", "celebdf_official", "kodf_draw", "fakeavceleb_draw"),
        *("faceshifter_official", "plain"),
    ]
    for name, dataset in zip(names, known, strict=True):
        found = datasets.find(dataset)
        assert found.protocol(name) is found.protocols[name]
    drawn = [datasets.find(d).protocol(n).drawn for n, d in zip(names, known, strict=True)]
    assert drawn == [False, False, True, True, False, False]
    with pytest.raises(ValueError, match="KoDF has no protocol 'official'; valid: kodf_draw"):
        datasets.find("KoDF").protocol("official")


# Drawn before the data sets had a file each; lists that were published rest on it.
FIRST_DRAW = ["v00", "v06", "v12", "v17", "v26", "v30", "v31", "v35", "v39", "v46", "v49", "v50"]


def test_draws_do_not_depend_on_the_order_of_rows():
    rows = [(f"v{i:02d}", i % 3 == 0, "", "", "") for i in range(60)]
    table = manifest(*rows)
    rule = draw(("real", 7), ("fake", 5))
    first = table.loc[rule(table, 3, Path()) == "test", "video_id"]
    shuffled = table.sample(frac=1, random_state=1)
    again = shuffled.loc[rule(shuffled, 3, Path()) == "test", "video_id"]
    assert len(first) == 12
    assert set(first) == set(again)
    assert sorted(first) == FIRST_DRAW


def test_the_books_figures_are_the_reports():
    page = (Path(__file__).parents[1] / "book/real_data.md").read_text(encoding="utf-8")
    row = datasets.leak_report().set_index(["protocol", "parts"]).loc[("paper", "train / test")]
    said = (
        f"{row['shared']} people are both in its training\nand its test part, and "
        f"{row['fakes_affected']} of the {row['fakes']} test fakes show one of them"
    )
    assert said in page
    assert f"about {150_000 * 512 * 512 * 3 / 1e9:.0f} GB for the paper's 150,000" in page
