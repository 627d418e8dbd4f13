"""What stored scores say to the claims about numbers.

A verdict is a direction, and only where the 95 % intervals leave no doubt: "same way", "other way",
else "undecided". On rendered data none of them confirms or refutes the paper.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcxlib.claims.material import NOT_HERE, OPEN, OTHER, SAME, Material, not_here
from mcxlib.method import colorspace
from mcxlib.paper import CROSS_DATASETS, MANIPULATIONS, row_key
from mcxlib.paper.statements import Finding, Number

_BOTH_WAYS = (("first", "second"), ("second", "first"))
"""FaceForensics++ put each of a pair into the other's video."""


def rank(material: Material, claim: pd.Series) -> Finding:
    """Where the claim's row stands in its column, and whether another place is possible."""
    metric = "auc" if claim["metric"] == "auc" else "bosc"
    column, key = material.column(claim["test_set"]), row_key(claim["label"])
    if key not in column.index:
        return not_here(f"{claim['label']} was not run")
    wanted = int(claim["rank_claimed"])
    best, worst = possible_ranks(column, key, metric)
    place = int((column[f"{metric}_measured"] > column.loc[key, f"{metric}_measured"]).sum()) + 1
    verdict = SAME if best == worst == wanted else OPEN if best <= wanted <= worst else OTHER
    said = f"{interval(column.loc[key], metric)}; rank {place} of {len(column)} measured rows"
    numbers = (
        _number(column.loc[key], metric, claim["test_set"]),
        Number("rank", place, best, worst, "place", key, claim["test_set"]),
    )
    return Finding(verdict, f"{said}, {best} to {worst} by the intervals", numbers)


def possible_ranks(column: pd.DataFrame, key: str, metric: str) -> tuple[int, int]:
    """Best and worst rank of a row, other rows being ahead or behind only where the two 95 %
    intervals do not meet; a row without interval is neither."""
    low, high = column[f"{metric}_low"], column[f"{metric}_high"]
    ahead, behind = (low > high[key]).sum(), (high < low[key]).sum()
    return int(ahead) + 1, len(column) - int(behind)


def interval(cell: pd.Series, metric: str) -> str:
    """A measured cell in words: "BOSC 90.1 % (85.0 to 94.2)"."""
    digits, unit = (3, "") if metric == "auc" else (1, " %")
    value, low, high = (cell[f"{metric}_{end}"] for end in ("measured", "low", "high"))
    text = f"{metric.upper()} {value:.{digits}f}{unit}"
    return text if np.isnan(low) else f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def _number(cell: pd.Series, metric: str, test_set: str) -> Number:
    value, low, high = (float(cell[f"{metric}_{end}"]) for end in ("measured", "low", "high"))
    unit = "share" if metric == "auc" else "percent"
    return Number(metric, value, low, high, unit, cell["label"], test_set)


def _boscs(column: pd.DataFrame, test_set: str = "Average") -> tuple[Number, ...]:
    """The measured BOSCs of a column's rows."""
    return tuple(_number(row, "bosc", test_set) for _, row in column.iterrows())


def number(material: Material, claim: pd.Series) -> Finding:
    """A number of the real data set, beside the one that is measured here for another."""
    column, key = material.column(claim["test_set"]), row_key(claim["label"])
    if key not in column.index:
        return not_here(f"{claim['label']} was not run")
    cell = interval(column.loc[key], claim["metric"])
    number = _number(column.loc[key], claim["metric"], claim["test_set"])
    return not_here(f"A number of the real videos; of rendered ones here {cell}", number)


def unseen_means(material: Material, _: pd.Series) -> Finding:
    """Mean BOSC over the unseen sets: the best MCX-API row, and the best other one."""
    return _best_rows([material.column(name) for name in CROSS_DATASETS], "mean BOSC")


def closed_means(material: Material, _: pd.Series) -> Finding:
    """The same of the closed set."""
    return _best_rows([material.column("Average")], "BOSC on average")


def _best_rows(columns: list[pd.DataFrame], what: str) -> Finding:
    means = pd.concat([c["bosc_measured"] for c in columns], axis=1, join="inner").mean(axis=1)
    own = np.array([str(key).startswith("MCX-API") for key in means.index], bool)
    if not own.any() or own.all():
        return not_here("Rows to compare were not run")
    best, other = means[own].idxmax(), means[~own].idxmax()
    return not_here(
        f"Best {what} of {own.sum()} MCX-API rows {means[best]:.1f} % ({best}), of "
        f"{(~own).sum()} others {means[other]:.1f} % ({other}); but these are the paper's rows "
        "only in name, in short trainings that were tuned for none of them",
        *(Number(what, float(means[key]), unit="percent", of=key) for key in (best, other)),
    )


def three_channels(material: Material, _: pd.Series) -> Finding:
    """RGB against the other networks on one colour space."""
    column = _own(material.column("Average"), 1)
    return _ahead(column, "MCX-API(RGB)", "BOSC on average")


def more_spaces(material: Material, _: pd.Series) -> Finding:
    """Whether RGB alone is surely ahead of all rows with more colour spaces, or behind one."""
    column, key = material.column("Average"), "MCX-API(RGB)"
    more = pd.concat([_own(column, 2), _own(column, 3)])
    if key not in column.index or more.empty:
        return not_here("Rows to compare were not run")
    both = pd.concat([column.loc[[key]], more])
    best, worst = possible_ranks(both, key, "bosc")
    verdict = OTHER if best > 1 else SAME if worst == 1 else OPEN
    groups = ((2, _own(column, 2)), (3, _own(column, 3)))
    each = "; ".join(
        f"with {n}, mean {g['bosc_measured'].mean():.1f} %" for n, g in groups if len(g)
    )
    said = f"RGB alone {interval(column.loc[key], 'bosc')}; {each}; of {len(more)} rows with more "
    said += f"{best - 1} are surely ahead, {len(both) - worst} surely behind"
    return Finding(verdict, said, _boscs(both))


def best_differs(material: Material, _: pd.Series) -> Finding:
    """Whether each MCX-API row is surely behind another one on some unseen set."""
    behind: dict[str, bool] = {}
    best: list[str] = []
    numbers: list[Number] = []
    for name in CROSS_DATASETS:
        column = material.column(name)
        column = column[column["method"] == "mcx-api"]
        if len(column) < 2:
            return not_here("Rows to compare were not run")
        best.append(f"{column['bosc_measured'].idxmax()} on {name}")
        numbers += _boscs(column, name)
        for key in column.index:
            behind[key] = behind.get(key, False) or possible_ranks(column, key, "bosc")[0] > 1
    left = [key for key, surely in behind.items() if not surely]
    said = f"Highest BOSC: {', '.join(best)}; {len(left)} of {len(behind)} rows are surely behind "
    return Finding(OPEN if left else SAME, said + "on no set", tuple(numbers))


def pairs_against_none(material: Material, _: pd.Series) -> Finding:
    """The study: the method against the same network without pairs, seed by seed."""
    if not material.seeds:
        return not_here("The study of pairing was not run")
    from mcxlib.experiments import ablation

    table = ablation.results(material.config.preset, material.seeds)
    row = ablation.compared(table).set_index(["variation", "metric"]).loc[("no pairs", "auc")]
    # Of "no pairs" less the method: turned round.
    low, high = -row["highest"], -row["lowest"]
    verdict = OPEN if len(material.seeds) < 2 or low <= 0 <= high else SAME if low > 0 else OTHER
    return Finding(
        verdict,
        f"Closed-set AUC with pairs less without, {len(material.seeds)} seeds: mean "
        f"{-row['mean']:.3f} ({low:.3f} to {high:.3f})",
        (Number("auc with pairs less without", -row["mean"], low, high, on="Average"),),
    )


def shared_people(_: Material, __: pd.Series) -> Finding:
    """People of the training part who are in the test part too, by the published pairs of
    FaceForensics++ and the rule of the released code."""
    from mcxlib.data import datasets
    from mcxlib.data.datasets.faceforensics import by_target_number, official_pairs

    pairs = official_pairs()
    ways = [pairs[[a, b]].set_axis(["target_id", "donor_id"], axis=1) for a, b in _BOTH_WAYS]
    swapped = pd.concat(ways, ignore_index=True)
    real = swapped[["target_id"]].assign(donor_id="", manipulation="real")
    videos = pd.concat([real, *(swapped.assign(manipulation=m) for m in MANIPULATIONS)])
    videos = videos.reset_index(drop=True).assign(dataset="FaceForensics++")
    videos["video_id"] = videos.index.astype(str)
    videos["is_fake"] = videos["manipulation"] != "real"
    videos["split"] = by_target_number(videos)
    row = datasets.leaks(videos).set_index("parts").loc["train / test"]
    said = "By the target's number, as the released code splits, and by the published pairs: "
    said += f"{row['shared']} people are in both parts, and {row['fakes_affected']} of "
    return Finding(
        OTHER if row["shared"] else SAME,
        f"{said}{row['fakes']} test fakes show one of them",
        (
            Number("people in both parts", float(row["shared"]), unit="people"),
            Number("test fakes that show one", float(row["fakes_affected"]), unit="videos"),
        ),
    )


def redundancy(_: Material, __: pd.Series) -> Finding:
    """How much of each added channel a linear map of R, G and B gives, over uniform colours."""
    import torch

    rgb = torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    design = np.column_stack([rgb[0].reshape(3, -1).T.double().numpy(), np.ones(10_000)])
    parts = {}
    for name in ("ycbcr", "lab", "hsv"):
        added = colorspace.stack(rgb, name)[0].reshape(3, -1).T.double().numpy()
        left = added - design @ np.linalg.lstsq(design, added, rcond=None)[0]
        share = 1 - (left**2).sum(0) / ((added - added.mean(0)) ** 2).sum(0)
        parts[colorspace.label(name)] = share
    each = "; ".join(f"{k} {', '.join(f'{s:.3f}' for s in v)}" for k, v in parts.items())
    linear = [name for name, shares in parts.items() if min(shares) > 0.95]
    return Finding(
        SAME if len(linear) == len(parts) else OPEN,
        f"Share of each channel that is linear in R, G and B, of uniform colours: {each}. What "
        f"is linear ({' and '.join(linear)}), a first convolution can compute by itself",
        tuple(
            Number(f"linear in RGB, channel {n}", float(share), of=name)
            for name, shares in parts.items()
            for n, share in enumerate(shares, 1)
        ),
    )


def _own(column: pd.DataFrame, spaces: int) -> pd.DataFrame:
    """The MCX-API rows on so many colour spaces."""
    own = column[column["method"] == "mcx-api"]
    return own[[len(colorspace.parse(spec)) == spaces for spec in own["colorspace"]]]


def _ahead(column: pd.DataFrame, key: str, what: str) -> Finding:
    """Whether a row is the first of those in ``column``, by BOSC."""
    if key not in column.index or len(column) < 2:
        return not_here("Rows to compare were not run")
    best, worst = possible_ranks(column, key, "bosc")
    verdict = SAME if best == worst == 1 else OPEN if best == 1 else OTHER
    each = ", ".join(f"{name} {value:.1f} %" for name, value in column["bosc_measured"].items())
    said = f"{what}: {each}; {key} is rank {best} to {worst} by the intervals"
    return Finding(verdict, said, _boscs(column))


__all__ = ["NOT_HERE", "number", "rank"]
