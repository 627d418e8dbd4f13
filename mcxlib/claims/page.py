"""The page of claims: every claim with two verdicts, as a table to print and as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from mcxlib.claims import measured, networks
from mcxlib.claims.material import Material, not_here
from mcxlib.files import replacing, write_json, write_text
from mcxlib.paper import statements
from mcxlib.paper.statements import Finding, Number
from mcxlib.paper.tables import shown_in

FORMAT = 2
"""Of ``claims.json``; 2: each claim with its measured numbers one by one."""

MEASURES: dict[str, Callable[[Material, pd.Series], Finding]] = {
    function.__name__: function
    for function in (
        *(measured.rank, measured.unseen_means, measured.closed_means, measured.three_channels),
        *(
            measured.more_spaces,
            measured.best_differs,
            measured.pairs_against_none,
            measured.shared_people,
        ),
        *(measured.redundancy, networks.separation, networks.mixed_with_real),
        *(networks.mixed_pairs, networks.stray_real),
        *(networks.attention, networks.eyes_and_mouth, networks.more_than_api_net),
    )
}
"""The functions that ``claims.csv`` names in its column ``measured``."""

_DATA = {
    "redundancy": "no videos: uniform colours",
    "shared_people": "no videos: the published pairs of FaceForensics++",
}
"""What is measured on something else than the data of the tables."""


def collect(material: Material) -> pd.DataFrame:
    """Every claim with both verdicts.

    Columns: id, section, claim, printed_verdict and printed (what the paper's tables say),
    measured_verdict and measured (what was measured here), data (on what; "" for nothing), tests
    (what would test the claim), numbers (the measured ones, each a dict of
    :class:`mcxlib.paper.statements.Number`).
    """
    source = ", ".join(dict.fromkeys(filter(None, material.closed["source"])))
    rows = []
    for claim in (row for _, row in statements.claims().iterrows()):
        found = _measure(material, claim)
        name = claim["measured"]
        rows.append(
            {"id": claim["id"], "section": claim["section"], "claim": claim["claim"]}
            | {"printed_verdict": claim["printed"].verdict, "printed": claim["printed"].said}
            | {"measured_verdict": found.verdict, "measured": found.said}
            | {"data": _DATA.get(name, source) if name or claim["label"] else ""}
            | {"tests": claim["tests"]}
            | {"numbers": [_plain(one) for one in found.numbers]}
        )
    return pd.DataFrame(rows)


def _plain(number: Number) -> dict[str, object]:
    """For JSON, which has no NaN."""
    return {key: None if value != value else value for key, value in number._asdict().items()}


def _measure(material: Material, claim: pd.Series) -> Finding:
    name = claim["measured"]
    if not name:
        if claim["label"]:
            return measured.number(material, claim)
        return not_here("It is about one picture, which these data do not have")
    try:
        return MEASURES[name](material, claim)
    except FileNotFoundError as missing:
        return not_here(str(missing))


def laid_out(found: pd.DataFrame) -> pd.DataFrame:
    """:func:`collect` to print: section, claim, both verdicts in bold with their numbers, and test
    sets under one name."""
    table = pd.DataFrame(
        {
            "Section": found["section"],
            "Claim": found["claim"],
            "Printed tables": _said(found, "printed"),
            "Measured here": _said(found, "measured"),
            "What would test it": found["tests"],
        }
    )
    return table.map(shown_in)


def _said(found: pd.DataFrame, what: str) -> list[str]:
    both = zip(found[f"{what}_verdict"], found[what], strict=True)
    return [f"**{verdict}**: {said}." for verdict, said in both]


def summary(found: pd.DataFrame) -> str:
    """How many claims got which verdict, in three sentences of Markdown."""
    aside = found["data"].isin(_DATA.values())
    printed = _counted(found["printed_verdict"])
    here = _counted(found.loc[~aside, "measured_verdict"])
    without = _counted(found.loc[aside, "measured_verdict"])
    return (
        f"Of {len(found)} claims, by the paper's own printed tables: {printed}.\n\n"
        "By what was measured here on synthetic demonstration data, which neither confirm nor "
        f"refute the paper: {here}. By what needs no videos: {without}.\n"
    )


def _counted(verdicts: Sequence[str] | pd.Series) -> str:
    return ", ".join(f"{name} {n}" for name, n in pd.Series(verdicts).value_counts().items())


def write(material: Material, folder: Path | str) -> list[Path]:
    """Write ``claims.csv`` (to print), ``claims.json`` (all there is) and ``claims.md`` (the
    counts); each appears whole or not at all."""
    folder, found = Path(folder), collect(material)
    written = [folder / f"claims.{kind}" for kind in ("csv", "json", "md")]
    with replacing(written[0]) as temporary:
        laid_out(found).to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
    write_json(written[1], {"format": FORMAT, "claims": found.to_dict("records")})
    write_text(written[2], summary(found))
    return written
