"""The paper's three tables, each number beside the one measured from stored scores.

One row a cell, in print order; then the measured rows that the paper's table does not have. The
paper's number, the measured one, the data it was measured on and whether it was measured at all
are columns of their own, so that nothing is ever mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import CLASSES, paper
from mcxlib.evaluate import metrics
from mcxlib.evaluate.intervals import LEAST_VIDEOS, Sample, video_interval
from mcxlib.evaluate.videos import video_scores
from mcxlib.settings.matrix import COLORSPACES
from mcxlib.tables.stored import (
    DATASETS,
    FACEFORENSICS,
    Run,
    find_runs,
    held_out,
    lacking,
    read_scores,
)

MEASURED = "measured"
NOT_RUN = "not run"
NOT_IN_PAPER = "not in the paper's table"

RATES = ("sensitivity", "specificity")
"""The two halves of BOSC."""

# What one run gives on the data of one table: test_set, n_real, n_fake, source, the metrics, and
# the scores behind them as a list of Sample.
Measure = Callable[[Run], pd.DataFrame]


def closed_set(
    runs_dir: Path | str,
    dataset: str = FACEFORENSICS,
    draws: int = 2000,
    seed: int | None = None,
) -> pd.DataFrame:
    """Table 1: real against each manipulation on FaceForensics++'s test part, frame by frame.

    Of another ``dataset``, by its name in the scores: the same without the paper's rows.

    Columns: table, label, method, colorspace, variant, test_set (DF, F2F, FS, NT, Average), origin
    and printed (the paper's), bosc_paper, auc_paper, bosc_measured, auc_measured,
    sensitivity_measured, specificity_measured (mean over seeds), bosc_sd, auc_sd (over seeds; NaN
    for one), bosc_low, bosc_high, auc_low, auc_high, seeds (their number), backbone, n_real,
    n_fake (frames, of one seed), videos_real, videos_fake (behind them), left_out (videos that
    could not be judged, of one seed), source (the data measured on), status, standing (what is to
    be known of older runs), note (why a cell of a run is empty), video_rule ("" here, where frames
    are measured). All but AUC in percent.

    ``bosc_low`` to ``auc_high`` are the 95 % interval of the measured number, the mean over seeds
    and, for an average, over manipulations: how far it would move with other test videos of the
    same kind, not how far with another training
    (:func:`mcxlib.evaluate.video_interval`, ``draws`` resamples; 0 for none). A cell with fewer
    than two videos of a class has none.

    ``status`` is "measured", "not run" or "not in the paper's table" (measured too). Runs with
    settings other than their preset's have rows of their own, named by their digest. ``seed``
    takes the runs of one seed only.

    Raises:
        ValueError: no runs folder, or unreadable scores; says which.
    """
    measure = partial(_closed, dataset=dataset)
    printed = _printed(paper.table1(), dataset)
    return _compare("Table 1", printed, _of(runs_dir, seed), measure, ("bosc", "auc"), draws)


def _of(runs_dir: Path | str, seed: int | None) -> list[Run]:
    """Runs of one seed, or of all."""
    return [run for run in find_runs(runs_dir) if seed is None or run.seed == seed]


def _printed(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """A table of the paper, of which nothing is about another data set."""
    return table if dataset == FACEFORENSICS else table.iloc[:0]


def overall(runs_dir: Path | str, dataset: str = FACEFORENSICS, draws: int = 2000) -> pd.DataFrame:
    """Table 2: the closed set in one number.

    The paper's accuracy column mixes two measures, so both are measured: ``bosc_measured`` (mean
    over the manipulations, as in Table 1, which is what the paper's own rows print) and
    ``acc_measured`` (share of right decisions over all test frames, which is what its quoted rows
    print); ``paper_measure`` says which of the two ``acc_paper`` is. Sensitivity and specificity
    are BOSC's: means over the manipulations. Other columns and errors as in :func:`closed_set`;
    ``test_set`` is "overall".
    """
    printed = _printed(paper.table2(), dataset).assign(test_set="overall", origin="")
    names, measure = ("acc", "auc", "bosc"), partial(_overall, dataset=dataset)
    table = _compare("Table 2", printed, find_runs(runs_dir), measure, names, draws)
    own = table["method"].isin(["mcx-api", "api-net"])
    kind = np.where(table["acc_paper"].isna(), "", np.where(own, "BOSC", "accuracy"))
    table = table.drop(columns="bosc_paper")
    table.insert(table.columns.get_loc("acc_paper") + 1, "paper_measure", kind)
    return table


def cross_dataset(
    runs_dir: Path | str,
    video: str | None = None,
    draws: int = 2000,
    seed: int | None = None,
) -> pd.DataFrame:
    """Table 3: three further data sets, video by video.

    ``video``: how a video's score comes from its frames'
    (:func:`mcxlib.evaluate.videos.video_scores`): mean, median, top_k, confident or logits; None:
    as each row's own publication does it, which for all but Seferbekov's detector and
    LipForensics is the mean.
    Columns and errors as in :func:`closed_set`; n_real and n_fake count videos, and ``video_rule``
    says what was taken.
    """
    measure, names = partial(_cross, video=video), ("bosc", "auc")
    return _compare("Table 3", paper.table3(), _of(runs_dir, seed), measure, names, draws)


def further(runs_dir: Path | str, video: str | None = None) -> pd.DataFrame:
    """Every other data set that a run was scored on, one's own among them, video by video.

    Columns: run_id, label, dataset, n_real, n_fake, left_out (videos), bosc (percent), auc,
    sensitivity, specificity (percent), source, note, video_rule. Of one class alone there is only
    one of sensitivity and specificity, and ``note`` says what is missing. ``video`` as in
    :func:`cross_dataset`.
    """
    rows = []
    for run in find_runs(runs_dir):
        scores = read_scores(run)
        for dataset in scores["dataset"].unique():
            if dataset in (FACEFORENSICS, *DATASETS.values()):
                continue
            test = held_out(run, dataset, scores)
            row = _video_row(run, dataset, test, video)
            rows.append({"run_id": run.run_id, "label": run.label, "dataset": dataset} | row)
    columns = ["run_id", "label", "dataset", "n_real", "n_fake", "left_out", "bosc", "auc"]
    columns += ["sensitivity", "specificity", "source", "note", "video_rule"]
    return pd.DataFrame(rows, columns=columns)


def _closed(run: Run, dataset: str) -> pd.DataFrame:
    return _by_manipulation(run, dataset, held_out(run, dataset))


def _by_manipulation(run: Run, dataset: str, test: pd.DataFrame) -> pd.DataFrame:
    if test.empty:
        return test
    missing = lacking(dataset, test)
    about = {
        "source": run.source(dataset, test),
        "left_out": int(test["videos_left_out"].iloc[0]),
        "note": f"no scores of {', '.join(missing)}" if missing else "",
    }
    if test["is_fake"].astype(bool).nunique() < 2:
        counts = {"n_real": int((~test["is_fake"].astype(bool)).sum())}
        counts["n_fake"] = len(test) - counts["n_real"]
        empty = dict.fromkeys(("bosc", "auc", *RATES), np.nan)
        row = {"test_set": "Average", "samples": []} | empty | counts | about
        return pd.DataFrame([row])
    table = metrics.per_manipulation(test["is_fake"], test["fake_score"], test["manipulation"])
    table = table.rename(columns={"manipulation": "test_set"})
    each = [
        [_sample(test[test["manipulation"].isin(["real", name])])]
        for name in table["test_set"].iloc[:-1]
    ]
    table["samples"] = [*each, list(chain(*each))]
    table[["bosc", *RATES]] *= 100
    if missing:  # an average over fewer cells is another number
        table.loc[table["test_set"] == "Average", ["bosc", "auc", *RATES]] = np.nan
    return table.assign(**about)


def _sample(scored: pd.DataFrame) -> Sample:
    """Videos of different seeds or manipulations are the same if they have the same name."""
    videos = scored["manipulation"].astype(str) + "/" + scored["video_id"].astype(str)
    return Sample(scored["is_fake"], scored["fake_score"], videos)


def _overall(run: Run, dataset: str) -> pd.DataFrame:
    test = held_out(run, dataset)
    if test.empty:
        return test
    right = (test["fake_score"] > 0.5) == test["is_fake"].astype(bool)
    last = _by_manipulation(run, dataset, test).tail(1)
    complete = last["bosc"].notna()
    return last.assign(test_set="overall", acc=np.where(complete, 100 * right.mean(), np.nan))


def _cross(run: Run, video: str | None = None) -> pd.DataFrame:
    scores = read_scores(run)
    rows = []
    for column, dataset in DATASETS.items():
        test = held_out(run, dataset, scores)
        if not test.empty:
            row = _video_row(run, dataset, test, video)
            rows.append({"test_set": column} | row)
    return pd.DataFrame(rows)


def _video_row(run: Run, dataset: str, test: pd.DataFrame, video: str | None) -> dict[str, Any]:
    """Numbers of one run on one data set, video by video."""
    rule = video or str(test["video_rule"].iloc[0])
    videos = video_scores(test, rule)
    fake, score = videos["is_fake"].to_numpy(bool), videos["fake_score"].to_numpy(np.float64)
    missing = lacking(dataset, test)
    both = not {"real", "fake"} & set(missing) and 0 < fake.sum() < len(fake)
    called = score > 0.5
    return {
        "n_real": int((~fake).sum()),
        "n_fake": int(fake.sum()),
        "left_out": int(test["videos_left_out"].iloc[0]),
        "bosc": 100 * metrics.bosc(fake, score) if both else np.nan,
        "auc": metrics.auc(fake, score) if both else np.nan,
        "sensitivity": 100 * called[fake].mean() if fake.any() else np.nan,
        "specificity": 100 * (~called[~fake]).mean() if not fake.all() else np.nan,
        "samples": [_sample(videos)],
        "source": run.source(dataset, test),
        "note": "" if both else f"no {' or '.join(missing)} videos were scored",
        "video_rule": rule,
    }


COUNTS = ["n_real", "n_fake", "videos_real", "videos_fake", "left_out"]
ENDS = ["bosc_low", "bosc_high", "auc_low", "auc_high"]
_TEXTS = (
    *("source", "backbone", "standing", "note", "video_rule"),
    *("method", "colorspace", "label_run"),
)


def _compare(
    name: str,
    printed: pd.DataFrame,
    found: list[Run],
    measure: Measure,
    names: tuple[str, ...],
    draws: int,
) -> pd.DataFrame:
    key = ["key", "variant", "test_set"]
    printed = printed.rename(columns={m: f"{m}_paper" for m in names if m in printed})
    printed = printed.assign(variant="", order=range(len(printed)))
    measured = _measured(found, measure, names, key, draws)
    table = printed.merge(measured, on=key, how="outer", suffixes=("", "_run"))

    extra = table["order"].isna()
    table.loc[extra, "label"] = [
        row.label_run + (f", other settings {row.variant}" if row.variant else "")
        for row in table[extra].itertuples()
    ]
    ran = table["method_run"].fillna("") != ""
    for column in ("method", "colorspace"):
        table[column] = np.where(ran, table[f"{column}_run"], table[column])
    texts = ["origin", "printed", "source", "backbone", "standing", "note", "video_rule"]
    texts += ["colorspace"]
    table[texts] = table[texts].fillna("")
    table["seeds"] = table["seeds"].fillna(0).astype(int)
    table["status"] = np.where(extra, NOT_IN_PAPER, np.where(table["seeds"] > 0, MEASURED, NOT_RUN))
    for m in names:
        if f"{m}_paper" not in table:
            table[f"{m}_paper"] = np.nan
    table = table.assign(table=name, rank=table.apply(_rank, axis=1))
    table = table.sort_values(["order", "rank"], na_position="last", kind="stable")
    columns = ["table", "label", "method", "colorspace", "variant", "test_set", "origin", "printed"]
    columns += [f"{m}_paper" for m in names] + [f"{m}_measured" for m in (*names, *RATES)]
    columns += [f"{m}_sd" for m in names] + ENDS
    columns += ["seeds", "backbone", *COUNTS, "source", "status", "standing", "note", "video_rule"]
    table[COUNTS] = table[COUNTS].astype("Int64")
    return table[columns].reset_index(drop=True)


def _measured(
    found: list[Run], measure: Measure, names: tuple[str, ...], key: list[str], draws: int
) -> pd.DataFrame:
    """Mean and spread over the seeds of runs that are otherwise the same."""
    parts = []
    for run in found:
        part = measure(run)
        if not part.empty:
            part = part.assign(video_rule=part.get("video_rule", ""))
            about = ("key", "variant", "method", "colorspace", "backbone", "label", "standing")
            parts.append(part.assign(**{name: getattr(run, name) for name in about}))
    once = ["method", "colorspace", "label", "backbone", "n_real", "n_fake", "left_out"]
    once += ["source", "note"]
    columns = [*once, "standing", "video_rule", "seeds", "videos_real", "videos_fake", *ENDS]
    columns += [f"{m}_measured" for m in (*names, *RATES)] + [f"{m}_sd" for m in names]
    if not parts:
        # Typed, so that the merge meets no mixed columns.
        kinds = {c: "str" for c in (*key, *_TEXTS, "label")}
        empty = {c: pd.Series(dtype=kinds.get(c, "float")) for c in (*key, *columns)}
        return pd.DataFrame(empty)
    groups = pd.concat(parts, ignore_index=True).groupby(key, sort=False)
    table = groups[once].first()
    for name, between in (("standing", "; "), ("video_rule", ", ")):
        table[name] = groups[name].agg(
            lambda s, by=between: by.join(dict.fromkeys(filter(None, s)))
        )
    table["seeds"] = groups.size()
    for m in (*names, *RATES):
        table[f"{m}_measured"] = groups[m].mean()
    for m in names:
        table[f"{m}_sd"] = groups[m].std(ddof=1)
    support = groups[["bosc", "samples"]].apply(lambda part: _support(part, draws))
    return table.join(support).reset_index()


def _support(seeds: pd.DataFrame, draws: int) -> pd.Series:
    """How many videos a cell rests on, of its first seed, and the intervals of its numbers."""
    real, fake = (set().union(*found) for found in _videos(seeds["samples"].iloc[0]))
    row = {"videos_real": len(real), "videos_fake": len(fake)} | dict.fromkeys(ENDS, np.nan)
    # A seed without the number is in no mean, and so in no interval.
    samples = list(chain(*seeds.loc[seeds["bosc"].notna(), "samples"]))
    enough = all(len(found) >= LEAST_VIDEOS for kind in _videos(samples) for found in kind)
    if draws and samples and enough:
        for name, scale in (("bosc", 100), ("auc", 1)):
            found = video_interval(samples, name, draws=draws)
            row |= {f"{name}_low": scale * found.low, f"{name}_high": scale * found.high}
    return pd.Series(row)


def _videos(samples: list[Sample]) -> tuple[list[set], list[set]]:
    """Names of the real and of the fake videos of each."""
    real, fake = (
        [set(np.asarray(one.video)[np.asarray(one.is_fake, bool) == kind]) for one in samples]
        for kind in (False, True)
    )
    return real, fake


def _rank(row: pd.Series) -> tuple[bool, int, str, int]:
    """Order of the rows the paper does not have: its nine colour spaces first, then by name."""
    spaces = (*COLORSPACES, row.colorspace)
    # Manipulations of other data stand where the paper's do.
    sets = (*CLASSES[1:], "", "Average", "overall", *paper.CROSS_DATASETS)
    place = sets.index(row.test_set if row.test_set in sets else "")
    return (bool(row.variant), spaces.index(row.colorspace), row.label, place)
