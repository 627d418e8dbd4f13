"""Splits to train on: nothing that belongs together in two parts; and what leaks if it is."""

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets.grouping import completed, grouped, groups


def manifest(rows):
    """(video, is_fake, target, donor, source, content) -> the columns a split reads."""
    names = ["video_id", "is_fake", "target_id", "donor_id", "source", "content"]
    return pd.DataFrame(rows, columns=names).assign(dataset="mine")


def singles(real, fake):
    return manifest(
        [(f"r{i}", False, "", "", "", "") for i in range(real)]
        + [(f"f{i}", True, "", "", "", "") for i in range(fake)]
    )


def test_groups_by_hand():
    table = manifest(
        [
            ("a", False, "ann", "", "", "1"),
            ("b", True, "bob", "ann", "", "2"),  # ann gave her face
            ("c", True, "", "", "d", "3"),
            ("d", False, "", "", "", "4"),  # c was made from it
            ("e", True, "", "", "d", "5"),
            ("f", False, "cid", "", "", "6"),
            ("g", False, "", "", "", "6"),  # a copy
            ("h", True, "", "", "", ""),
            ("i", True, "", "", "", ""),
        ]
    )
    number = groups(table)
    together = {frozenset(table["video_id"][number == n]) for n in set(number)}
    assert together == {frozenset(g) for g in ("ab", "cde", "fg", "h", "i")}


def test_shares_of_single_videos():
    table = singles(200, 100)
    split = grouped(table, 0, Path())
    counts = pd.crosstab(split, table["is_fake"])
    for kind, number in ((False, 200), (True, 100)):
        for part, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            spread = (number * share * (1 - share)) ** 0.5  # of a binomial distribution
            assert abs(counts.loc[part, kind] - number * share) < 4 * spread


def test_a_video_is_drawn_by_its_own_name_alone():
    """The SHA-256 of the seed and what a group is called, worked out again."""
    table = singles(30, 30)
    split = grouped(table, 7, Path())
    for row, part in zip(table.itertuples(), split, strict=True):
        digest = hashlib.sha256(f"7 video_id {row.video_id}".encode()).hexdigest()
        drawn = int(digest[:14], 16) / 16**14
        assert part == ("train" if drawn < 0.7 else "val" if drawn < 0.85 else "test")


def test_what_is_added_later_moves_nothing_that_was_there():
    table = manifest(
        [(f"r{i}", False, f"p{i}", "", "", f"c{i}") for i in range(200)]
        + [(f"f{i}", True, "", "", f"r{i}", f"d{i}") for i in range(100)]
        + [(f"x{i}", True, "", "", "", f"e{i}") for i in range(50)]
    )
    before = grouped(table, 0, Path())
    more = manifest(
        [(f"a{i}", True, f"p{i}", "", "", f"n{i}") for i in range(60)]  # more of the same people,
        + [(f"b{i}", True, "", "", f"r{i}", f"m{i}") for i in range(60, 90)]  # of the same sources,
        + [(f"0{i}", True, "", "", "", f"e{i}") for i in range(20)]  # copies under earlier names,
        + [(f"new{i}", bool(i % 2), "", "", "", "") for i in range(40)]  # and strangers
    )
    both = pd.concat([table, more], ignore_index=True)
    after = grouped(both, 0, Path())
    assert after[: len(table)].tolist() == before.tolist()
    assert set(after[len(table) :]) == {"train", "val", "test"}


def test_a_person_of_many_videos_is_trained_on_and_no_part_is_left_thin():
    rows = [(f"m{i}", i % 2 == 1, "ann", "", "", "") for i in range(60)]
    rows += [(f"s{i}", i % 2 == 1, f"p{i}", "", "", "") for i in range(20)]
    for seed in range(8):
        table = manifest(rows).assign(split=grouped(manifest(rows), seed, Path()))
        assert set(table.loc[table["target_id"] == "ann", "split"]) == {"train"}
        counts = pd.crosstab(table["split"], table["is_fake"])
        assert (counts.loc[["val", "test"]] >= 3).all(axis=None)  # half of 15 % of 40


def test_a_published_split_is_completed_and_else_kept():
    table = singles(60, 60)
    train_test = pd.Series((["train"] * 50 + ["test"] * 10) * 2)
    full = completed(table, train_test, 0)
    assert (full[train_test == "test"] == "test").all()
    assert set(full[train_test == "train"]) == {"train", "val"}
    assert 5 < full.eq("val").sum() < 35
    train_val = train_test.replace("test", "val")
    assert completed(table, train_val, 0).tolist() == full.tolist()
    assert completed(table, pd.Series("train", table.index), 0).equals(grouped(table, 0, Path()))
    whole = pd.Series((["train"] * 40 + ["val"] * 10 + ["test"] * 10) * 2)
    assert completed(table, whole, 0).tolist() == whole.tolist()


def test_chance_decides_and_the_order_of_rows_does_not():
    table = singles(40, 40)
    first, other = (grouped(table, seed, Path()) for seed in (0, 1))
    assert not first.equals(other)
    shuffled = table.sample(frac=1, random_state=3)
    assert grouped(shuffled, 0, Path()).sort_index().equals(first)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_in_two_parts(seed):
    """Random people, sources and copies; each tie is looked up again in the outcome."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(400):
        fake = bool(i % 2)
        person, other = (f"p{n}" for n in rng.integers(0, 100, 2))
        source = f"v{rng.integers(0, 200) * 2:03d}" if fake and rng.random() < 0.2 else ""
        content = f"c{rng.integers(0, 3000)}"
        who = ("", "") if rng.random() < 0.7 else (person, other if fake and i % 16 == 1 else "")
        rows.append((f"v{i:03d}", fake, *who, source, content))
    table = manifest(rows)
    assert 5 < pd.Series(groups(table)).value_counts().max() < 200
    table["split"] = grouped(table, seed, Path())
    for (_, a), (_, b) in combinations(table.groupby("split"), 2):
        people_a, people_b = ({*x["target_id"], *x["donor_id"]} - {""} for x in (a, b))
        assert not people_a & people_b
        assert not set(a["content"]) & set(b["content"])
        assert not (set(a["source"]) - {""}) & ({*b["source"]} | {*b["video_id"]})
        assert not (set(b["source"]) - {""}) & {*a["video_id"]}
    leaking = datasets.leaks(table)
    assert len(leaking) == 3
    assert (leaking[["shared", "shared_sources", "copies"]] == 0).all(axis=None)
    share = table["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize(("real", "fake"), [(3, 3), (3, 50), (4, 3), (50, 3)])
def test_both_classes_in_each_part_however_few(real, fake):
    table = singles(real, fake)
    for seed in range(5):
        parts = table.assign(split=grouped(table, seed, Path())).groupby("split")["is_fake"]
        assert parts.nunique().to_dict() == {"train": 2, "val": 2, "test": 2}


def test_mixed_groups_serve_both_classes():
    rows = [(f"{kind}{i}", kind == "f", f"p{i}", "", "", "") for i in range(3) for kind in "rf"]
    table = manifest(rows)
    split = table.assign(split=grouped(table, 0, Path()))
    assert split.groupby("split")["target_id"].nunique().to_dict() == dict.fromkeys(
        ("train", "val", "test"), 1
    )
    # One mixed group, and two of each class alone: just enough; one less is not.
    table = manifest(rows[:2] + [(f"x{i}", i % 2 == 1, "", "", "", "") for i in range(4)])
    assert grouped(table, 0, Path()).nunique() == 3
    with pytest.raises(ValueError, match=r"1 with real videos only, 2 with fake ones only, 1 with"):
        grouped(table[table["video_id"] != "x0"], 0, Path())


def test_what_cannot_be_split_is_one_line():
    celebrities = [(f"f{i}", True, f"id{i}", f"id{i + 1}", "", "") for i in range(20)]
    youtube = [(f"y{i}", False, "", "", "", "") for i in range(10)]
    with pytest.raises(
        ValueError, match=r"mine cannot be split.*10 with real.*1 with fake"
    ) as error:
        grouped(manifest(celebrities + youtube), 0, Path())
    assert "--list" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="0 with fake ones only"):
        grouped(singles(9, 0), 0, Path())


def test_copies_across_parts_are_counted_and_named():
    table = manifest(
        [
            ("a", False, "", "", "", "1"),
            ("b", False, "", "", "", "2"),
            ("c", True, "", "", "a", "3"),
            ("d", True, "", "", "", "1"),
            ("e", True, "", "", "", "1"),
            ("f", True, "", "", "b", "4"),
            ("g", True, "", "", "", ""),
            ("h", True, "", "", "", ""),
        ]
    ).assign(split=["train", "train", "test", "test", "test", "test", "train", "test"])
    (row,) = datasets.leaks(table).to_dict("records")
    assert (row["copies"], row["contents"]) == (2, 4)
    assert (row["shared_sources"], row["sources"]) == (2, 2)
    assert (row["identities"], row["shared"]) == (0, 0)  # nobody is known
    assert datasets.copies(table).to_numpy().tolist() == [
        ["train / test", "a", "d"],
        ["train / test", "a", "e"],
    ]
    assert datasets.copies(table.assign(split="test")).empty
