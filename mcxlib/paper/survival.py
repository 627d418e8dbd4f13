"""Which of the paper's best cells survive test sets of its size.

The paper prints the best cell of a column in bold. What it rests on are a few hundred videos; how
far a BOSC moves with them is known from their number alone, and how far an AUC does nearly so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mcxlib.evaluate import chance
from mcxlib.paper import tables

LEVEL = 0.05


class Size(NamedTuple):
    """How many independent videos of each class a printed number rests on."""

    n_real: int
    n_fake: int
    where: str
    """Where the numbers come from, or what was assumed."""


_IDS = "ids from 800 on: 200 videos of each kind; frames of one video are not independent"

SIZES = {
    **{(1, name): Size(200, 200, _IDS) for name in tables.MANIPULATIONS},
    (1, "Average"): Size(200, 800, f"{_IDS}; the same real ones for all four"),
    (3, "FakeAV"): Size(250, 250, "500 videos, here taken to be half real: not printed"),
    (3, "KoDF"): Size(265, 734, "section 4.1"),
    (3, "Celeb-DF"): Size(
        170, 1051,
        "id51 to id61 of 59 celebrities with 590 and 5,639 videos, if each has as many, and "
        "YouTube's 240 to 299: an estimate",
    ),
}  # fmt: skip
"""(table, column) -> its test set. Table 2 repeats the average of Table 1."""

KODF_TEST = {"n_real": SIZES[3, "KoDF"].n_real, "n_fake": SIZES[3, "KoDF"].n_fake}

TOGETHER = 0.9
"""Correlation of the AUCs of two detectors that mostly fail on the same videos: an assumption."""

SURVIVES = "survives"
NESTED = "only if errors are nested"
PAIRED = f"only if the two AUCs correlate by {TOGETHER}"
LOST = "does not survive"
TIE = "a tie"


def leads() -> pd.DataFrame:
    """The best BOSC of each column against its runner-up and against the best of the others.

    ``against`` "second" is the next row, "others" the best row that is not the paper's own (only
    where the best row is), and "both" where these two are one. Three questions of each lead, none
    of which needs more than the printed digits and the number of test videos:

    - ``p_equal``: how often two equal detectors (both at the mean of the two numbers), each tested
      on videos of its own, are at least this far apart.
    - ``p_nested``: the same at best for the lead, if on the same videos the better detector is
      right wherever the other one is: the lead then is k videos more, and all k fall on its side
      by chance in 2 ** (1 - k) of all cases. What the paper knew and did not print lies between.
    - ``turned``: how often other test videos of the same number would put the runner-up level or
      ahead, if both numbers were the truth.

    ``verdict``: "survives" if ``p_equal`` is below 0.05, "only if errors are nested" if just
    ``p_nested`` is, "a tie" if there is no lead, else "does not survive".

    Columns: table, test_set, against, best, bosc, other, bosc_other, lead (points), n_real,
    n_fake, p_equal, p_nested, turned, verdict.
    """
    return _all_leads("bosc", _lead)


def _all_leads(
    metric: str, lead: Callable[[pd.Series, pd.Series, Size], dict[str, Any]]
) -> pd.DataFrame:
    rows = []
    for (number, test_set), size in SIZES.items():
        source = tables.table1() if number == 1 else tables.table3()
        column = source[source["test_set"] == test_set].dropna(subset=[metric])
        column = column.sort_values(metric, ascending=False, kind="stable")
        best, rest = column.iloc[0], column.iloc[1:]
        for against, other in _rivals(best, rest).items():
            row = {"table": number, "test_set": test_set, "against": against}
            rows.append(row | lead(best, other, size))
    return pd.DataFrame(rows)


def _rivals(best: pd.Series, rest: pd.DataFrame) -> dict[str, pd.Series]:
    second = rest.iloc[0]
    if best["origin"] != "proposed":
        return {"second": second}
    if second["origin"] != "proposed":
        return {"both": second}
    return {"second": second, "others": rest[rest["origin"] != "proposed"].iloc[0]}


def _lead(best: pd.Series, other: pd.Series, size: Size) -> dict:
    first, second = best["bosc"] / 100, other["bosc"] / 100
    lead = first - second
    counts = {"n_real": size.n_real, "n_fake": size.n_fake}
    equal = chance.chance_of_lead(lead, 2, (first + second) / 2, **counts)
    # Of one class alone, the larger: then the lead is the most videos, which is best for it.
    more = round(2 * lead * max(counts.values()))
    nested = min(1.0, 2.0 ** (1 - more))
    verdict = SURVIVES if equal < LEVEL else NESTED if nested < LEVEL else LOST if lead else TIE
    return {
        "best": best["label"],
        "bosc": best["bosc"],
        "other": other["label"],
        "bosc_other": other["bosc"],
        "lead": 100 * lead,
        **counts,
        "p_equal": equal,
        "p_nested": nested,
        "turned": chance.chance_of_turning(first, second, **counts),
        "verdict": verdict,
    }


def auc_leads() -> pd.DataFrame:
    """The best AUC of each column against the same rivals as :func:`leads`, in which the rest of
    the columns are explained.

    The spread of an AUC is that of Hanley and McNeil (The meaning and use of the area under a
    receiver operating characteristic curve, Radiology 143, 1982, 29-36): it follows from the AUC
    and the numbers of real and fake videos alone, if scores are taken to be exponentially
    distributed; of other distributions it is a little smaller. The difference of two AUCs is taken
    to be normal, and a video to have one score: thirty frames of one say little more than one does.

    - ``p_equal``: how often two equal detectors, each tested on videos of its own, are at least
      this far apart (the correlation of their AUCs is 0).
    - ``p_paired``: the same on the same videos, if their AUCs correlate by :data:`TOGETHER`.
    - ``needed``: the least correlation with which the lead would be sure at 0.05; 0 where it is so
      anyway.

    Printed digits are taken as they are: where a column has two or three of them, a lead may be
    less by one of the last.

    Columns: table, test_set, against, best, auc, other, auc_other, lead, n_real, n_fake, p_equal,
    p_paired, needed, verdict.
    """
    return _all_leads("auc", _auc_lead)


def _auc_lead(best: pd.Series, other: pd.Series, size: Size) -> dict[str, Any]:
    from scipy.special import ndtr, ndtri

    first, second = float(best["auc"]), float(other["auc"])
    lead = round(first - second, 6)
    spread = np.sqrt(2) * auc_deviation((first + second) / 2, size.n_real, size.n_fake)
    equal, paired = (2 * ndtr(-lead / (spread * np.sqrt(1 - r))) for r in (0, TOGETHER))
    reached = lead / (-ndtri(LEVEL / 2) * spread)
    verdict = SURVIVES if equal < LEVEL else PAIRED if paired < LEVEL else LOST if lead else TIE
    return {
        "best": best["label"],
        "auc": first,
        "other": other["label"],
        "auc_other": second,
        "lead": lead,
        "n_real": size.n_real,
        "n_fake": size.n_fake,
        "p_equal": float(equal),
        "p_paired": float(paired),
        "needed": float(max(0.0, 1 - reached**2)),
        "verdict": verdict,
    }


def auc_deviation(auc: float, n_real: int, n_fake: int) -> float:
    """Standard deviation of an AUC over test sets, after Hanley and McNeil (1982).

    Raises:
        ValueError: an AUC outside (0, 1), of which nothing follows; or no video of a class.
    """
    if not 0 < auc < 1 or min(n_real, n_fake) < 1:
        raise ValueError(
            f"needed are an AUC between 0 and 1 and a video of each class, not {auc}, {n_real} "
            f"real and {n_fake} fake"
        )
    # Chances that two fakes lie above one real video, and one fake above two real ones.
    two_fakes, two_real = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc)
    spread += (n_fake - 1) * (two_fakes - auc**2) + (n_real - 1) * (two_real - auc**2)
    return float(np.sqrt(spread / (n_real * n_fake)))


def best_of_eight() -> pd.DataFrame:
    """What Table 3's eight proposed rows would show if all of them were equal.

    Columns: test_set, rows, mean (of their printed BOSCs, percent), best and lead (printed, of the
    best of them over the second), gain, gain_low, gain_high (points by which the best of so many
    equal detectors stands above the mean by chance, and the middle 95 %), p_lead (how often it
    leads the second by the printed lead or more).
    """
    found = []
    table = tables.table3().query("origin == 'proposed'")
    for test_set, part in table.groupby("test_set", sort=False):
        size = SIZES[(3, str(test_set))]
        printed = part["bosc"].sort_values(ascending=False).to_numpy() / 100
        counts = {"n_real": size.n_real, "n_fake": size.n_fake}
        mean, lead = float(printed.mean()), printed[0] - printed[1]
        gain = chance.best_of(len(part), mean, **counts)
        found.append(
            {
                "test_set": test_set,
                "rows": len(part),
                "mean": 100 * mean,
                "best": 100 * printed[0],
                "lead": 100 * lead,
                "gain": 100 * gain.mean,
                "gain_low": 100 * gain.low,
                "gain_high": 100 * gain.high,
                "p_lead": chance.chance_of_lead(lead, len(part), mean, **counts),
            }
        )
    return pd.DataFrame(found)


def words(table: pd.DataFrame) -> list[str]:
    """What :func:`leads` says, a sentence a verdict."""
    said = _by_verdict(
        table,
        (SURVIVES, NESTED, LOST, TIE),
        lambda row: f"{row.lead:.2f} points (equal detectors: {_percent(row.p_equal)})",
    )
    return [sentence[0].upper() + sentence[1:] for sentence in said]


def auc_words(table: pd.DataFrame) -> list[str]:
    """What :func:`auc_leads` says, a sentence a verdict."""
    said = _by_verdict(
        table,
        (SURVIVES, PAIRED, LOST, TIE),
        lambda row: (
            f"{row.lead:.4g} (equal detectors: {_percent(row.p_equal)}, correlating by "
            f"{TOGETHER}: {_percent(row.p_paired)})"
        ),
    )
    return [f"AUC {sentence}" for sentence in said]


def _by_verdict(
    table: pd.DataFrame, verdicts: Sequence[str], lead: Callable[[Any], str]
) -> list[str]:
    """A sentence for each verdict that a lead has; ``lead`` puts one into words."""
    said = []
    for verdict in verdicts:
        part = table[table["verdict"] == verdict]
        cells = "; ".join(
            f"{tables.shown(row.test_set)}, {row.best} over {row.other} by {lead(row)}"
            for row in part.itertuples()
        )
        if len(part):
            said.append(f"{verdict} ({len(part)} of {len(table)}): {cells}.")
    return said


def auc_chance(number: int, test_set: str, label: str) -> str:
    """How sure the lead of a row is that has a column's best AUC, in words; "" for other rows."""
    table = auc_leads()
    table = table[(table["table"] == number) & (table["test_set"] == test_set)]
    level = table[table["lead"] == 0]
    said = [
        f"level with {row.other if row.best == label else row.best}"
        for row in level.itertuples()
        if label in (row.best, row.other)
    ]
    said += [
        f"{row.lead:.4g} above {row.other} (equal detectors: in {_percent(row.p_equal)} of test "
        f"sets of this size; if their AUCs correlate by {TOGETHER}, {_percent(row.p_paired)})"
        for row in table[(table["best"] == label) & (table["lead"] > 0)].itertuples()
    ]
    return "; ".join(said)


def best_of_eight_words(table: pd.DataFrame) -> list[str]:
    """What :func:`best_of_eight` says, a sentence a test set."""
    return [
        f"{tables.shown(row.test_set)}: the best of {row.rows} equal detectors at {row.mean:.1f} % "
        f"would stand {row.gain:.1f} points above that by chance ({row.gain_low:.1f} to "
        f"{row.gain_high:.1f}); the printed best stands {row.best - row.mean:.1f} above the "
        f"mean of all, and leads the second by {row.lead:.2f} points, as the best of "
        f"equal ones would in {_percent(row.p_lead)} of cases."
        for row in table.itertuples()
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 1e-3 else "fewer than 0.1 %"
