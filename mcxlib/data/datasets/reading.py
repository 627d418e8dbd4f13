"""A data set's folder or table -> a manifest with its split.

What is missing, half-downloaded, oddly named or out of bounds is reported part by part and listed
file by file, never guessed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from mcxlib.data.datasets import layout, lists, table
from mcxlib.data.datasets.base import Dataset
from mcxlib.data.datasets.given import escaped
from mcxlib.data.datasets.manifest import (
    Gathered,
    Scan,
    build,
    checked,
    left_out,
    missing_classes,
    unknown_folders,
)
from mcxlib.data.datasets.places import table_named, trained_on
from mcxlib.data.datasets.registry import find

if TYPE_CHECKING:
    from mcxlib.settings.data import DataConfig


class _Split(NamedTuple):
    column: pd.Series
    protocol: str
    drawn: bool = False
    draw: lists.Draw | None = None


def list_name(dataset: str, config: DataConfig) -> str:
    """The name under which a data set's list of used videos is stored, from its configuration."""
    known = find(dataset)
    protocol = known.protocol_of(config)
    return _list_name(dataset, protocol, known.protocol(protocol).drawn, config)


def _list_name(dataset: str, protocol: str, drawn: bool, config: DataConfig) -> str:
    return f"{dataset}_{protocol}" + (f"_seed{config.draw_seed}" if drawn else "")


def scan(
    root: Path,
    dataset: str,
    config: DataConfig,
    *,
    listed: Path | None = None,
    kept: Path | None = None,
    follow_links: bool = False,
) -> Scan:
    """Read the folder ``root`` of ``dataset`` as its distributor lays it out.

    Args:
        root: the data set's folder; of a labelled table, the folder that holds it.
        dataset: a name in :func:`registry.names`, or the one :func:`registry.locate` gave; any
            other name is one's own data, ``real/`` and ``fake/``.
        config: says which compression, which protocol, which seed, and what is trained on.
        listed: take the split from this list instead (:func:`lists.write_list`).
        kept: where the list of an earlier draw lies, if there is one. A protocol that draws keeps
            to it, whatever came or went since; ``Scan.draw`` says what did.
        follow_links: also read what symbolic links outside ``root`` point to.

    Raises:
        ValueError: a table or list that does not fit; groups that cannot be split to train on.
        FileNotFoundError: the folder, every part of it, or a file the protocol needs is missing;
            names what was looked for.
    """
    root = Path(root).absolute()
    known = find(dataset)
    own_table = table_named(root, dataset) if known.own else None
    if own_table is not None:
        known = replace(table.DATASET, name=dataset)
        gathered = table.gather(own_table, root)
    else:
        gathered = layout.gather(root, known, config.compression, follow_links)
    manifest = build(gathered, dataset, root)
    split = _split(manifest, gathered, known, config, root, listed, kept)
    gone = pd.DataFrame(
        [(name, "in the list of the split, not on disk") for name in split.column.attrs["absent"]],
        columns=["path", "reason"],
        dtype=str,
    )
    parts = pd.DataFrame(gathered.parts)
    missing = parts[~parts["present"] & ~parts["optional"]]
    return Scan(
        checked(manifest.assign(split=split.column.astype(str))),
        parts,
        pd.concat([left_out(gathered.left_out, root), gone], ignore_index=True),
        split.protocol,
        _list_name(dataset, split.protocol, split.drawn, config),
        unknown_folders(gathered.left_out, root),
        tuple(missing["part"]),
        missing_classes(manifest),
        split.draw,
        split.drawn,
    )


def _split(
    manifest: pd.DataFrame,
    gathered: Gathered,
    known: Dataset,
    config: DataConfig,
    root: Path,
    listed: Path | None,
    kept: Path | None,
) -> _Split:
    """The column ``split`` and what decided it; its ``attrs["absent"]`` are always there."""
    training = trained_on(known.name, config)
    if listed is not None:
        column = lists.read_list(listed, manifest)
        if training:
            lists.refuse_one_class(column, manifest, escaped(listed))
        return _Split(column, lists.list_protocol(listed))
    if gathered.split is not None:
        column = pd.Series(gathered.split, manifest.index, dtype=object)
        column.attrs["absent"] = []
        if training:
            lists.refuse_one_class(column, manifest, "its column split", whole=True)
        return _Split(column, "listed")
    name = known.protocol_of(config)
    protocol = known.protocol(name)
    if protocol.drawn and kept is not None and Path(kept).is_file():
        column, draw = lists.kept_draw(Path(kept), manifest)
        if training:
            lists.refuse_one_class(column, manifest, escaped(kept))
        return _Split(column, name, True, draw)
    column = protocol.split(manifest, config.draw_seed, root)
    column.attrs.setdefault("absent", [])
    return _Split(column, name, protocol.drawn)


def keep(path: Path, found: Scan) -> None:
    """Store which videos are used: ``path`` is where lists of ``found.list_name`` lie.

    A draw is written once: what is read from its list later leaves that list as it is, so that
    videos which are away for a while come back into it.
    """
    if found.draw is not None:
        return
    if found.drawn:
        lists.keep_draw(path, found.manifest)
    else:
        lists.write_list(path, found.manifest)
