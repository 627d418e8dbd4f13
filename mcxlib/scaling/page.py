"""The numbers of the book's page on scaling, as tables in Markdown and CSV, made from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib.files import write_text
from mcxlib.scaling import measured
from mcxlib.scaling.model import Cost, Machine, cost
from mcxlib.scaling.work import PAPER, Amount, amount, operations
from mcxlib.settings import matrix

if TYPE_CHECKING:
    import pandas as pd

FILES = ("rates", "checked", "assumed", "sizes", "stores", "demo")
MILLION = 1_000_000
SLOW_DISK = 1e8
"""Bytes a second of a store that many share; an assumption."""
SEEDS = 3

ASSUMED = {
    "A100, fp32": 0.3 * 19.5e12,
    "H100, bf16": 0.3 * 989e12,
}
"""Card -> floating-point operations a second: 30 % of what its data sheet gives. Assumptions."""

CLUSTER = Machine(
    cores=64,
    gpus=4,
    flop_per_second=ASSUMED["A100, fp32"],
    readers=4,
    disk_bytes=1e9,
    memory_bytes=256e9,
    assumed=("cores", "gpus", "flop_per_second", "readers", "disk_bytes", "memory_bytes"),
)
"""What the larger sizes are computed for; nothing of it was measured, or is at hand here."""

Table = list[list[str]]


def write(folder: Path, demo: pd.DataFrame) -> list[Path]:
    """Write every table of :data:`FILES` into ``folder``, as NAME.md and NAME.csv.

    Args:
        folder: where to.
        demo: cost of the demonstration's runs, of :func:`mcxlib.tables.cost.cost`.
    """
    made = []
    for name, table in (
        ("rates", rates_table()),
        ("checked", checked_table()),
        ("assumed", assumed_table()),
        ("sizes", sizes_table()),
        ("stores", stores_table()),
        ("demo", demo_table(demo)),
    ):
        for suffix, text in ((".md", _markdown(table)), (".csv", _csv(table))):
            write_text(folder / f"{name}{suffix}", text)
            made.append(folder / f"{name}{suffix}")
    return made


def rates_table(record: dict[str, Any] | None = None) -> Table:
    """What was measured, and where."""
    record = record or measured.stored()
    rate = record["rates"]
    where = f"{record['processor']}, {record['measured']}, load {record['load']:g}"
    return [
        ["what", "measured", "unit", "where"],
        ["extraction", _number(1 / rate["crop"]), "frames a second and core", where],
        ["loading, augmented", _number(1 / rate["load"]), "crops a second and core", where],
        ["training", _number(rate["train"] / 1e9), "GFLOP a second and core", where],
        ["scoring", _number(rate["score"] / 1e9), "GFLOP a second and core", where],
        ["reading, from the disk", _number(rate["cold"]), "crops of 512 px a second", STORAGE],
        ["reading, from memory", _number(rate["warm"]), "crops of 512 px a second", STORAGE],
    ]


STORAGE = "storage of crops, [](benchmarks.md)"


def checked_table(record: dict[str, Any] | None = None) -> Table:
    """The model against three sizes of the demonstration; the smaller two gave the rate."""
    record = record or measured.stored()
    head = ["step", "size", "measured, s", "by the model, s", "model / measured"]
    return [
        head,
        *(
            [
                row["step"],
                f"{row['size']:,} {row['unit']}",
                _number(row["measured"]),
                _number(row["model"]),
                f"{row['model'] / row['measured']:.2f}",
            ]
            for row in record["checked"]
        ),
    ]


def assumed_table() -> Table:
    """What the larger sizes are computed with, and nobody measured."""
    at = CLUSTER
    cards = [
        [f"operations a second of an {name}", f"{rate / 1e12:.3g} TFLOP"]
        for name, rate in ASSUMED.items()
    ]
    return [
        ["assumed", "value"],
        ["GPUs, each with a run of its own", str(at.gpus)],
        *cards,
        ["reading processes of a run", str(at.readers)],
        ["cores that cut faces", str(at.cores)],
        ["the store gives, to all together", f"{at.disk_bytes / 1e9:g} GB/s"],
        ["the same of a slow one", f"{SLOW_DISK / 1e9:g} GB/s"],
        ["memory for crops that were read", f"{at.memory_bytes / 1e9:g} GB"],
        ["seeds of each row", str(SEEDS)],
    ]


def _sizes() -> list[tuple[str, Amount]]:
    paper = amount("paper")
    million = replace(paper, videos=PAPER.scaled(MILLION))
    return [("the paper", paper), ("a million videos", million)]


def _cost(much: Amount, machine: Machine, compressed: bool = False) -> Cost:
    """Of all rows of the tables, with :data:`SEEDS` seeds."""
    rows = [operations(row) for row in matrix.rows("paper")]
    return cost(rows, SEEDS, much, machine, measured.rates(), compressed)


def sizes() -> list[tuple[str, str, Cost]]:
    """Size, card, and what that costs."""
    return [
        (name, card, _cost(much, replace(CLUSTER, flop_per_second=rate)))
        for name, much in _sizes()
        for card, rate in ASSUMED.items()
    ]


def sizes_table() -> Table:
    """The paper's size and a million videos, extrapolated; the bottleneck of each."""
    head = ["size", "GPU (assumed)", "runs", "crops, TB", "read in all, TB"]
    head += ["extraction, h", "reading, h", "training, h", "scoring, h", "GPU-hours", "bottleneck"]
    return [head, *([name, card, *_numbers(found)] for name, card, found in sizes())]


def stores_table() -> Table:
    """Reading from crops as they are stored, and from losslessly compressed ones."""
    head = ["size", "store gives (assumed)", "uncompressed, TB", "compressed, TB"]
    head += ["reading uncompressed, h", "reading compressed, h", "faster"]
    table = [head]
    for name, much in _sizes():
        for disk in (CLUSTER.disk_bytes, SLOW_DISK):
            machine = replace(CLUSTER, disk_bytes=disk)
            raw, packed = (_cost(much, machine, compressed) for compressed in (False, True))
            table.append(
                [
                    name,
                    f"{disk / 1e9:g} GB/s",
                    *(_number(one.store_bytes / 1e12) for one in (raw, packed)),
                    *(_number(one.reading) for one in (raw, packed)),
                    "uncompressed" if raw.reading <= packed.reading else "compressed",
                ]
            )
    return table


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _numbers(found: Cost) -> list[str]:
    hours = (found.cutting, found.reading, found.training, found.scoring, found.gpu_hours)
    room = (found.store_bytes / 1e12, found.read_bytes / 1e12)
    numbers = [_number(n) for n in (*room, *hours)]
    return [str(found.runs), *numbers, found.bottleneck]


def demo_table(runs: pd.DataFrame) -> Table:
    """What the demonstration's own runs took, by their records; seeds and variations of a row are
    added up."""
    head = ["run", "runs", "steps of each", "training, s", "TFLOP", "GFLOP a second"]
    told = runs.dropna(subset=["seconds"])
    row = told["run"].str.replace("_seed.*", "", regex=True)
    study = told["study"].where(told["study"] == "", ", study: " + told["study"])
    lines = []
    for name, part in told.groupby(row + study, sort=False):
        seconds, done = part["seconds"].sum(), part["training"].sum(skipna=False)
        steps = sorted({int(n) for n in part["steps"]})
        lines.append(
            [
                str(name),
                str(len(part)),
                f"{steps[0]:,}" + (f" to {steps[-1]:,}" if len(steps) > 1 else ""),
                f"{seconds:.0f}",
                "-" if done != done else f"{done:.3g}",
                "-" if done != done else f"{1e3 * done / seconds:.3g}",
            ]
        )
    return [head, *lines]


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *rows = table
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _csv(table: Sequence[Sequence[str]]) -> str:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
