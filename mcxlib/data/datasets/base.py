"""What one data set is: where its parts lie, how files are named, and how it may be split.

A file of this folder that defines ``DATASET`` adds that data set; nothing else has to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mcxlib.data.datasets.grouping import completed, grouped
from mcxlib.data.datasets.places import trained_on

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.settings.data import DataConfig

COMPRESSIONS = ("raw", "c0", "c23", "c40")
"""Folders of FaceForensics++: ``raw`` and, in older copies, ``c0`` hold the uncompressed videos."""


class Entry(NamedTuple):
    """What a data set's own table says of one video."""

    is_fake: bool
    source: str = ""
    """The name of the video it was made from, below the same folder and without a suffix."""


@dataclass(frozen=True)
class Part:
    """One folder of a data set: where it is, how its files are named, what they are."""

    folder: str
    """Below the data set's root. A ``*`` stands for any name: each folder that fits is a part."""
    pattern: str
    """Of the path below the folder without its suffix; the groups target, donor and manipulation
    are all optional, any other may be used by ``source``."""
    manipulation: str
    """"real", or the manipulation's name where the pattern has no such group; "*" is the last
    piece of the folder's name. Where the pattern's group ``real`` finds something, it is real."""
    expected: int = 0
    """Videos in the published data set; 0 where there is no such number."""
    optional: bool = False
    """Not used by the paper: its absence is reported, and nothing is missing."""
    identity: str = ""
    """Prefix of the identities, where two parts of a data set number different people alike."""
    source: str = ""
    """The id of the real video that one of this part was made from, with the pattern's groups in
    braces; "" where the names do not tell."""
    table: str = ""
    """A file in this folder that says what the others are. Where it is missing, they are left
    out: nobody knows what they are."""
    read: Callable[[Path], Mapping[str, Entry]] | None = None
    """Reads that file: entries by the files' names below the folder."""


class Printed(NamedTuple):
    """Where the paper prints numbers of a data set."""

    table: int
    place: int
    """Among the data sets of that table, in print order."""
    columns: tuple[str, ...]
    """As :mod:`mcxlib.paper` names them."""


@dataclass(frozen=True)
class Protocol:
    """A named way to split one data set."""

    words: str
    split: Callable[[pd.DataFrame, int, Path], pd.Series]
    """(manifest, seed, root of the data set) -> train, val, test or "" for each row."""
    drawn: bool = False
    """Whether a seed decides which videos are used at all: such a choice is kept as a list."""


GROUPED = Protocol(
    "to train on: about 70/15/15 by chance, people, sources and copies kept together",
    grouped,
    drawn=True,
)


def official(
    name: str, short: str, rule: Callable[[pd.DataFrame, Path], pd.Series], words: str
) -> dict[str, Any]:
    """The settings of a :class:`Dataset` whose distributor splits it.

    Tested on, it is the test part of that split, or everything where no video of that part is
    there. Trained on, it is the whole split; what it lacks is made (:func:`grouping.completed`).

    Args:
        name: of the data set.
        short: begins the names of its protocols.
        rule: (manifest, root) -> train, val, test or "" for each row.
        words: where the split stands.
    """

    def test(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        chosen = rule(manifest, root).eq("test")
        return chosen.map({True: "test", False: "" if chosen.any() else "test"}).astype(object)

    def split(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        return completed(manifest, rule(manifest, root), seed)

    return {
        "protocols": {
            f"{short}_test": Protocol(
                f"the test part ({words}); all videos where none of it is there", test
            ),
            f"{short}_official": Protocol(
                f"to train on: {words}; a part that it lacks is drawn, by whole groups",
                split,
                drawn=True,
            ),
        },
        "choose": lambda config: (
            f"{short}_official" if trained_on(name, config) else f"{short}_test"
        ),
        "trains": True,
    }


@dataclass(frozen=True)
class Dataset:
    """One data set, or the way one's own data are read."""

    name: str
    parts: Callable[[str], tuple[Part, ...]]
    """Of a compression (one of ``COMPRESSIONS``)."""
    protocols: Mapping[str, Protocol]
    """Name -> rule. Each data set also has "grouped", for whoever trains on it."""
    choose: Callable[[DataConfig], str] | None = None
    """The protocol a configuration asks for; the first where there is nothing to choose."""
    trains: bool = False
    """Whether its own protocols have a training part, so that it is never split by groups."""
    roots: tuple[str, ...] = ("",)
    """Folders below the root in which the parts may lie; the first that has any is taken."""
    home: str = ""
    """The data set whose folder this one shares; "" if it has its own."""
    images: bool = False
    """Whether images, and folders of images, count as videos."""
    paper: Printed | None = None
    outputs: tuple[str, ...] = ()
    """The classes a detector trained on it tells apart, where they are fixed; "real" is first."""
    beside: frozenset[str] = frozenset()
    """Names of folders that come with it, belong to no part, and are not worth a word."""
    own: bool = False
    """One's own data, under any name."""
    mask_of: Callable[[str], str] | None = None
    """A fake's path below the root -> the path of the video that shows which of its pixels were
    altered, whether it is there or not; None for a data set without such videos."""
    unconfirmed: str = ""
    """What of its layout could not be looked up in a copy or in the distributor's words."""

    def protocol(self, name: str) -> Protocol:
        """The protocol of that name.

        Raises:
            ValueError: unknown, or another data set's; lists those of this data set.
        """
        valid = {**self.protocols, "grouped": GROUPED}
        if name not in valid:
            raise ValueError(f"{self.name} has no protocol {name!r}; valid: {', '.join(valid)}")
        return valid[name]

    def protocol_of(self, config: DataConfig) -> str:
        """The name of the protocol that splits this data set under a configuration.

        A data set that is trained on and has no training part of its own is split by groups.
        """
        if not self.trains and trained_on(self.name, config):
            return "grouped"
        return self.choose(config) if self.choose else next(iter(self.protocols))

    def classes(self, manifest: pd.DataFrame) -> tuple[str, ...]:
        """The classes a detector trained on these videos tells apart, "real" first.

        Of the training rows where the manifest has any, else of all rows: the manipulations in
        the order of their names, or just "fake" where there are none.
        """
        if self.outputs:
            return self.outputs
        training = manifest[manifest["split"] == "train"] if "split" in manifest else manifest
        rows = training if len(training) else manifest
        fakes = rows.loc[rows["is_fake"].astype(bool), "manipulation"]
        return ("real", *(sorted(set(fakes)) or ["fake"]))
