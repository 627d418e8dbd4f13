"""What the laboratory's measurements say of its hypotheses.

A hypothesis is a sentence with a rule that decides it; rules and sentences stand here, and stay
whichever way the numbers fall. AUCs are means over the strengths, and differences are taken seed
by seed, of which the mean counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mcxlib.experiments.trace_cells import CONTROL, LEARNT
from mcxlib.method import colorspace
from mcxlib.settings.matrix import COLORSPACES

MARGIN = 0.03
"""A difference in mean AUC of this size or less is none: about what other people make it differ."""

SINGLE = tuple(spec for spec in COLORSPACES if "+" not in spec)
STACKS = tuple(spec for spec in COLORSPACES if "+" in spec)

_OF_LUMA = ("luma", "lab-l", "seam", "flicker")
_OF_CHROMA = ("chroma", "lab-a", "lab-b", "chroma-blur")
_OF_ALL = ("resampling", "sharpening", "noise", "compression")


class Case(NamedTuple):
    """One trace (or set) that a hypothesis speaks of."""

    name: str
    holds: bool
    said: str
    """The number it rests on, in words."""
    close: bool = False
    """Decided by a difference within the margin, where the rule has none."""


@dataclass(frozen=True)
class Hypothesis:
    """A sentence, and what decides it."""

    words: str
    rule: str
    """When it counts as holding for one trace."""
    cases: Callable[[pd.DataFrame], list[Case]]


def means(table: pd.DataFrame, variant: str = "own") -> pd.DataFrame:
    """AUC by trace and seed (rows) and set (columns), mean over the strengths.

    Args:
        table: of :func:`mcxlib.experiments.traces.results`.
        variant: which normalisation.
    """
    chosen = table[(table["variant"] == variant) & (table["trace"] != CONTROL)]
    order = list(dict.fromkeys(chosen["trace"]))
    found = chosen.pivot_table(index=["trace", "seed"], columns="colorspace", values="auc")
    return found.reindex(order, level="trace")


def heat(table: pd.DataFrame) -> pd.DataFrame:
    """Mean AUC over strengths and seeds: a row a trace, a column a set, RGB's learnt conversion
    last."""
    found = means(table).groupby("trace", sort=False).mean()
    return found[[*COLORSPACES, LEARNT]]


def lead(table: pd.DataFrame, spec: str, over: str = "rgb", variant: str = "own") -> pd.Series:
    """By how much a set's mean AUC is above another's, mean over the seeds, by trace."""
    found = means(table, variant)
    return (found[spec] - found[over]).groupby("trace", sort=False).mean()


def named(spec: str) -> str:
    """A set of colour spaces as it is written: "rgb+lab" -> "RGB+CIELab"."""
    return LEARNT_LABEL if spec == LEARNT else colorspace.label(spec)


LEARNT_LABEL = "RGB, learnt 3x3"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _leads_over_rgb(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({spec: lead(table, spec) for spec in SINGLE if spec != "rgb"})


def _nobody_beats_rgb(names: Iterable[str]) -> Callable[[pd.DataFrame], list[Case]]:
    def cases(table: pd.DataFrame) -> list[Case]:
        leads = _leads_over_rgb(table)
        found = []
        for name in names:
            best = str(leads.loc[name].idxmax())
            gain = float(leads.loc[name, best])
            found.append(Case(name, gain <= MARGIN, f"{named(best)} {_signed(gain)}"))
        return found

    return cases


def _ycbcr_beats_rgb(table: pd.DataFrame) -> list[Case]:
    gain = lead(table, "ycbcr")
    return [Case(n, gain[n] > MARGIN, f"YCbCr {_signed(gain[n])}") for n in _OF_CHROMA]


def _lab_sees_its_axes(table: pd.DataFrame) -> list[Case]:
    found = heat(table)[list(SINGLE)]
    cases = []
    for name in ("lab-a", "lab-b"):
        others = found.loc[name].drop("lab")
        lab, best = found.loc[name, "lab"], others.idxmax()
        said = f"CIELab {lab:.3f}, the best other {named(str(best))} {others[best]:.3f}"
        cases.append(Case(name, lab > others[best], said, abs(lab - others[best]) <= MARGIN))
    return cases


def _no_stack_beats_its_parts(table: pd.DataFrame) -> list[Case]:
    found = heat(table)
    gains = pd.DataFrame(
        {spec: found[spec] - found[spec.split("+")].max(axis=1) for spec in STACKS}
    )
    best = gains.idxmax(axis=1)
    values = {name: float(gains.loc[name, spec]) for name, spec in best.items()}
    return [
        Case(str(n), value <= MARGIN, f"{named(str(best[n]))} {_signed(value)}")
        for n, value in values.items()
    ]


def _normalisation_is_part_of_it(table: pd.DataFrame) -> list[Case]:
    own, common = (lead(table, "ycbcr", variant=variant) for variant in ("own", "common"))
    return [
        Case(
            n,
            own[n] > common[n],
            f"{_signed(own[n])} with its own, {_signed(common[n])} with one",
            abs(own[n] - common[n]) <= MARGIN,
        )
        for n in _OF_CHROMA
    ]


def _learnt_is_as_good(table: pd.DataFrame) -> list[Case]:
    gain = lead(table, LEARNT, over="ycbcr")
    return [Case(str(n), value >= -MARGIN, _signed(value)) for n, value in gain.items()]


def control(table: pd.DataFrame) -> pd.DataFrame:
    """AUC of the control by set, mean over the seeds: columns label and lot."""
    chosen = table[table["trace"] == CONTROL]
    found = chosen.pivot_table(index="colorspace", columns="variant", values="auc")
    return found.reindex(list(COLORSPACES))


def _only_the_label_is_seen(table: pd.DataFrame) -> list[Case]:
    found = control(table)
    return [
        Case(named(str(spec)), abs(row["lot"] - 0.5) <= 0.05 and row["label"] > 0.6,
             f"{row['lot']:.3f} by lot, {row['label']:.3f} as the label")
        for spec, row in found.iterrows()
    ]  # fmt: skip


def compressed(table: pd.DataFrame) -> pd.DataFrame:
    """How far a trace's classifier takes compressed faces for altered ones: AUC by trace and set,
    mean over strengths and seeds; 0.5 is not at all, below it the other way round."""
    chosen = table[(table["trace"] != CONTROL) & (table["variant"] == "own")]
    order = list(dict.fromkeys(chosen["trace"]))
    found = chosen.pivot_table(index="trace", columns="colorspace", values="compressed_auc")
    return found.loc[order, [*COLORSPACES, LEARNT]]


def _compression_means_nothing_to_them(table: pd.DataFrame) -> list[Case]:
    found = compressed(table)["rgb"]
    return [
        Case(str(n), abs(value - 0.5) <= 0.1, f"{value:.3f}")
        for n, value in found.items()
        if n not in _OF_ALL
    ]


HYPOTHESES = (
    Hypothesis(
        "A change of brightness alone is seen no better in HSV, CIELab or YCbCr than in RGB.",
        f"no single space is more than {MARGIN} above RGB",
        _nobody_beats_rgb(_OF_LUMA),
    ),
    Hypothesis(
        "A change of chroma alone is seen better in YCbCr than in RGB.",
        f"YCbCr is more than {MARGIN} above RGB",
        _ycbcr_beats_rgb,
    ),
    Hypothesis(
        "A shift along a* or b* is seen best in CIELab, among the four single spaces.",
        "CIELab has the highest AUC",
        _lab_sees_its_axes,
    ),
    Hypothesis(
        "What touches all channels alike is seen no better in another single space than in RGB.",
        f"no single space is more than {MARGIN} above RGB",
        _nobody_beats_rgb(_OF_ALL),
    ),
    Hypothesis(
        "A stack of colour spaces sees a single trace no better than the better of its parts.",
        f"no stack is more than {MARGIN} above its best part",
        _no_stack_beats_its_parts,
    ),
    Hypothesis(
        "Part of what YCbCr gains in chroma is that each channel has its own normalisation.",
        "its lead over RGB is larger with own normalisation than with one for all channels",
        _normalisation_is_part_of_it,
    ),
    Hypothesis(
        "A 3 x 3 conversion learnt from RGB is as good as YCbCr.",
        f"its AUC is at most {MARGIN} below YCbCr's",
        _learnt_is_as_good,
    ),
    Hypothesis(
        "Compression is seen where it is the label, and leaves chance where labels are by lot.",
        "AUC above 0.6 as the label, within 0.05 of 0.5 by lot",
        _only_the_label_is_seen,
    ),
    Hypothesis(
        "Who has learnt a trace of colour or form does not take compressed faces for altered ones.",
        "AUC of compressed against untouched faces within 0.1 of 0.5, in RGB",
        _compression_means_nothing_to_them,
    ),
)
"""Put down before the grids were measured; the margin after a trial that set the strengths."""


def outcome(hypothesis: Hypothesis, table: pd.DataFrame) -> str:
    """What came of a hypothesis, in words and with the numbers."""
    cases = hypothesis.cases(table)
    kept, broken = ([c for c in cases if bool(c.holds) is value] for value in (True, False))
    verdict = f"holds for {len(kept)} of {len(cases)}"
    if not broken or not kept:
        verdict = "holds" if kept else "does not hold"
    parts = [f"{verdict} ({hypothesis.rule})"]
    for word, chosen in (("for", kept), ("not for", broken)):
        if chosen:
            parts.append(f"{word} " + ", ".join(f"{c.name} ({c.said})" for c in chosen))
    if close := [c.name for c in cases if c.close]:
        parts.append(
            f"by {MARGIN} or less, which this page elsewhere calls none: {', '.join(close)}"
        )
    return "; ".join(parts)


def seen(table: pd.DataFrame) -> list[str]:
    """What was seen in three sentences, computed: the easiest set by trace, stacks, conversion."""
    found = heat(table)
    gain = _leads_over_rgb(table)
    most = gain.max(axis=1).idxmax()
    space = gain.loc[most].idxmax()
    stacks = found[list(STACKS)].max(axis=1) - found[list(SINGLE)].max(axis=1)
    learnt = found[LEARNT] - found[list(COLORSPACES)].max(axis=1)
    return [
        f"The colour space matters most for {most}: {named(str(space))} has a mean AUC of "
        f"{found.loc[most, space]:.3f}, RGB {found.loc[most, 'rgb']:.3f}; over all traces the best "
        f"single space is {gain.max(axis=1).clip(lower=0).mean():.3f} above RGB.",
        f"The best of five stacks is above the best of four single spaces by more than {MARGIN} "
        f"for {int((stacks > MARGIN).sum())} of {len(stacks)} traces (mean difference "
        f"{_signed(stacks.mean())}).",
        f"RGB behind a learnt 3 x 3 conversion is above all nine sets by more than {MARGIN} for "
        f"{int((learnt > MARGIN).sum())} of {len(learnt)} traces and below the best of them by "
        f"more than that for {int((learnt < -MARGIN).sum())} (mean difference "
        f"{_signed(np.asarray(learnt).mean())}).",
    ]
