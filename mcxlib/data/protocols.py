"""Which videos belong to which part of an experiment: splits by name, and the check for leaks.

A protocol fills a manifest's column ``split``: train, val, test, or nothing for videos it does
not use. What it chose can be written as a list, published, and read back (:func:`write_list`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from mcxlib.config import RunConfig
from mcxlib.data.layouts import LAYOUTS, MANIPULATIONS
from mcxlib.files import write_text

SPLITS = ("train", "val", "test")

CELEBDF_LIST = "List_of_testing_videos.txt"
"""Celeb-DF's own list of 518 test videos, in the root of the data set: a line is a label (1 real,
0 fake) and a path."""

_LISTED = ["video_id", "is_fake", "split"]


@cache
def official_pairs() -> pd.DataFrame:
    """FaceForensics++'s published split: 500 pairs of videos, columns split, first, second.

    Each pair was manipulated both ways, so that a fake's target and donor are always in one part:
    720 videos for training, 140 for validation, 140 for testing.
    """
    text = files("mcxlib.data").joinpath("splits/faceforensics_official.csv").read_text("utf-8")
    return pd.read_csv(io.StringIO(text), dtype=str)


def _used_in_paper(manifest: pd.DataFrame) -> pd.Series:
    return manifest["manipulation"].isin(["real", *MANIPULATIONS]) & ~_actors(manifest)


def _actors(manifest: pd.DataFrame) -> pd.Series:
    return manifest["target_id"].str.startswith("actor")


def _by_target_number(manifest: pd.DataFrame) -> pd.Series:
    number = pd.to_numeric(manifest["target_id"], errors="coerce")
    return pd.Series(
        np.select([number < 600, number < 800, number >= 800], SPLITS, ""), manifest.index
    )


def _paper(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return _by_target_number(manifest).where(_used_in_paper(manifest), "")


def _by_official_list(manifest: pd.DataFrame) -> pd.Series:
    part = official_pairs().melt("split", ["first", "second"]).set_index("value")["split"]
    return manifest["target_id"].map(part).fillna("")


def _official(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return _by_official_list(manifest).where(_used_in_paper(manifest), "")


def _test_of(rule: Callable[[pd.DataFrame], pd.Series]) -> Callable:
    """The test part of a split of FaceForensics++: its other parts were trained on."""

    def split(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        chosen = rule(manifest)
        return chosen.where(chosen == "test", "")

    return split


def _celebdf_paper(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    number = pd.to_numeric(manifest["target_id"].str.removeprefix("id"), errors="coerce")
    youtube = manifest["video_id"].str.startswith("YouTube-real/")
    chosen = np.where(youtube, number.between(240, 299), number.between(51, 61))
    return pd.Series(np.where(chosen, "test", ""), manifest.index)


def _celebdf_official(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    file = Path(root) / CELEBDF_LIST
    if not file.is_file():
        raise FileNotFoundError(
            f"celebdf_official needs {file}: it comes with the data set; without it, use "
            "celebdf_paper"
        )
    listed: dict[str, bool] = {}
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            label, path = line.strip().split(maxsplit=1)
            listed[str(Path(path).with_suffix("").as_posix())] = label == "0"
    # The published list says 1 for real; a list that contradicts the folders is another file.
    on_disk = manifest[manifest["video_id"].isin(listed)]
    wrong = on_disk[on_disk["video_id"].map(listed) != on_disk["is_fake"]]
    if len(wrong):
        raise ValueError(
            f"{file} labels {len(wrong)} videos otherwise than the folders they lie in, "
            f"{wrong['video_id'].iloc[0]} among them"
        )
    out = pd.Series(np.where(manifest["video_id"].isin(listed), "test", ""), manifest.index)
    out.attrs["absent"] = sorted(set(listed) - set(manifest["video_id"]))
    return out


def _draw(*groups: tuple[str, int]) -> Callable:
    """A seeded draw of so many ``real``, ``fake`` or ``all`` videos, from the sorted names."""

    def split(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        rng = np.random.default_rng(seed)
        by_name = manifest.sort_values("video_id")
        fake = by_name["is_fake"]
        of_kind = {"real": ~fake, "fake": fake, "all": fake | True}
        out = pd.Series("", manifest.index, dtype=object)
        for kind, wanted in groups:
            candidates = by_name.index[of_kind[kind]].to_numpy(copy=True)
            out.loc[rng.permutation(candidates)[:wanted]] = "test"
        return out

    return split


def _everything(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return pd.Series("test", manifest.index)


@dataclass(frozen=True)
class Protocol:
    """A named way to split one data set."""

    dataset: str
    words: str
    split: Callable[[pd.DataFrame, int, Path], pd.Series]
    """(manifest, seed, root of the data set) -> train, val, test or "" for each row."""
    drawn: bool = False
    """Whether a seed decides it."""


PROTOCOLS = MappingProxyType(
    {
        "paper": Protocol(
            "FaceForensics++",
            "section 4.1 and the released list builder: by the target's number, below 600 / 600 "
            "to 799 / from 800",
            _paper,
        ),
        "official": Protocol(
            "FaceForensics++", "the published split, 720 / 140 / 140 videos by pairs", _official
        ),
        "celebdf_paper": Protocol(
            "Celeb-DF-v2",
            "section 4.1: targets id51 to id61, and YouTube-real 00240 to 00299",
            _celebdf_paper,
        ),
        "celebdf_official": Protocol(
            "Celeb-DF-v2", "the list of 518 test videos that comes with it", _celebdf_official
        ),
        "kodf_draw": Protocol(
            "KoDF",
            "section 4.1: 265 real and 734 fake videos, drawn; which is not published",
            _draw(("real", 265), ("fake", 734)),
            drawn=True,
        ),
        "fakeavceleb_draw": Protocol(
            "FakeAVCeleb",
            "section 4.1: 500 videos, drawn; which is not published",
            _draw(("all", 500)),
            drawn=True,
        ),
        "faceshifter_paper": Protocol(
            "FaceShifter", "the test part of `paper`", _test_of(_by_target_number)
        ),
        "faceshifter_official": Protocol(
            "FaceShifter", "the test part of `official`", _test_of(_by_official_list)
        ),
        "deepfakedetection": Protocol("DeepFakeDetection", "all videos, for testing", _everything),
        "plain": Protocol("", "one's own real/ and fake/: all videos, for testing", _everything),
    }
)


def protocol_of(config: RunConfig, dataset: str) -> str:
    """The name of the protocol that splits ``dataset`` under a configuration."""
    return {
        "FaceForensics++": config.protocol,
        "Celeb-DF-v2": config.celebdf_protocol,
        "KoDF": "kodf_draw",
        "FakeAVCeleb": "fakeavceleb_draw",
        "FaceShifter": f"faceshifter_{config.protocol}",
        "DeepFakeDetection": "deepfakedetection",
    }.get(dataset, "plain")


def find(name: str, dataset: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: unknown, or another data set's; lists those of this data set.
    """
    own = dataset if dataset in LAYOUTS else ""
    valid = [n for n, protocol in PROTOCOLS.items() if protocol.dataset == own]
    if name not in valid:
        raise ValueError(f"{dataset} has no protocol {name!r}; valid: {', '.join(valid)}")
    return PROTOCOLS[name]


def write_list(path: Path, manifest: pd.DataFrame) -> None:
    """Write which videos are used for what: CSV with columns video_id, is_fake, split."""
    used = manifest.loc[manifest["split"] != "", _LISTED].sort_values(["split", "video_id"])
    write_text(path, used.to_csv(index=False))


def read_list(path: Path, manifest: pd.DataFrame) -> pd.Series:
    """The column ``split`` of a list written by :func:`write_list`.

    Videos of the list that the manifest lacks are in the result's ``attrs["absent"]``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other columns, a video twice, an unknown split, a label that differs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no list {path}")
    listed = pd.read_csv(path, dtype={"video_id": str, "split": str}, keep_default_na=False)
    if list(listed) != _LISTED:
        raise ValueError(f"{path} has the columns {list(listed)}; a list has {_LISTED}")
    if twice := listed.loc[listed["video_id"].duplicated(), "video_id"].tolist():
        raise ValueError(f"{path} names {twice[0]} and {len(twice) - 1} others more than once")
    if unknown := sorted(set(listed["split"]) - set(SPLITS)):
        raise ValueError(f"{path} has the splits {unknown}; valid: {', '.join(SPLITS)}")
    both = manifest.merge(listed, on="video_id", suffixes=("", "_listed"))
    if len(wrong := both[both["is_fake"].astype(bool) != both["is_fake_listed"].astype(bool)]):
        raise ValueError(
            f"{path} labels {len(wrong)} videos otherwise than the data set, "
            f"{wrong['video_id'].iloc[0]} among them"
        )
    chosen = listed.set_index("video_id")["split"]
    out = manifest["video_id"].map(chosen).fillna("")
    out.attrs["absent"] = sorted(set(chosen.index) - set(manifest["video_id"]))
    return out


def shared_identities(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """Identities (target or donor) that occur in both manifests of one data set, sorted.

    Unknown identities ("") are nobody.
    """

    def people(manifest: pd.DataFrame) -> set[tuple[str, str]]:
        both = pd.concat([manifest["target_id"], manifest["donor_id"]])
        names = pd.concat([manifest["dataset"]] * 2)
        return {(d, p) for d, p in zip(names, both, strict=True) if p}

    return sorted(p for _, p in people(first) & people(second))


def leaks(manifest: pd.DataFrame) -> pd.DataFrame:
    """Identities in more than one part of a split: a row for each two parts.

    Columns: parts, identities (in either), shared (in both), by_target (targets of both),
    fakes (fake videos of the later part), fakes_affected (those whose target or donor the
    earlier part shows). A part without videos is left out.
    """
    rows = []
    used = manifest[manifest["split"] != ""]
    for first, second in combinations([s for s in SPLITS if (used["split"] == s).any()], 2):
        a, b = (used[used["split"] == s] for s in (first, second))
        shared = set(shared_identities(a, b))
        known = pd.concat([a, b])[["target_id", "donor_id"]].stack()
        fakes = b[b["is_fake"]]
        affected = fakes["target_id"].isin(shared) | fakes["donor_id"].isin(shared)
        rows.append(
            {
                "parts": f"{first} / {second}",
                "identities": int(known[known != ""].nunique()),
                "shared": len(shared),
                "by_target": len(set(a["target_id"]) & set(b["target_id"]) - {""}),
                "fakes": len(fakes),
                "fakes_affected": int(affected.sum()),
            }
        )
    columns = ["parts", "identities", "shared", "by_target", "fakes", "fakes_affected"]
    return pd.DataFrame(rows, columns=columns)


def published_faceforensics() -> pd.DataFrame:
    """The manifest columns that matter for a split, of the whole FaceForensics++ as published.

    It follows from the published pairs alone: 1,000 originals, and for each of the four
    manipulations both directions of every pair. No video is needed to check a split for leaks.
    """
    pairs = official_pairs()
    both = [*zip(pairs["first"], pairs["second"], strict=True)]
    both += [(b, a) for a, b in both]
    rows = [("real", target, "") for target, _ in both]
    rows += [(name, target, donor) for name in MANIPULATIONS for target, donor in both]
    table = pd.DataFrame(rows, columns=["manipulation", "target_id", "donor_id"])
    video = table["target_id"] + ("_" + table["donor_id"]).where(table["donor_id"] != "", "")
    return table.assign(
        dataset="FaceForensics++",
        video_id=table["manipulation"] + "/" + video,
        is_fake=table["manipulation"] != "real",
    )


def leak_report() -> pd.DataFrame:
    """:func:`leaks` of both protocols of FaceForensics++ as published; first column: protocol."""
    tables = {}
    for name in ("paper", "official"):
        manifest = published_faceforensics()
        manifest["split"] = PROTOCOLS[name].split(manifest, 0, Path())
        tables[name] = leaks(manifest)
    return pd.concat(tables, names=["protocol"]).reset_index("protocol")
