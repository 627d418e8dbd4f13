"""RESULTS.md, made from the JSON files alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks import entries
from benchmarks.cost import UTILISATIONS
from benchmarks.entries import MACHINE, RESULTS
from mcxlib.files import read_json, write_text

REPORT = "RESULTS.md"
STORAGE = "storage.json"
COST = "cost.json"
PUBLISHED = "published.json"
NOT_MEASURED = "not measured"


def table(header: list[str], rows: list[list[str]], right: str = "") -> str:
    """A Markdown table; ``right`` has an "r" for each column that is set flush right."""
    marks = ["---:" if mark == "r" else "---" for mark in right.ljust(len(header), "l")]
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, never with an exponent: 0.0123, 1.30, 123, 12,300."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{places}f}"


def _rate(value: float) -> str:
    for unit, size in (("TFLOP/s", 1e12), ("GFLOP/s", 1e9)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{number(value / 1e6)} MFLOP/s"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{value:.0f} B"


def _entries(results: dict[str, Any], suffix: str) -> dict[str, dict[str, Any]]:
    """The measured entries of one device, without the suffix, those with a target list first."""
    found = {
        key.removesuffix("_cuda"): value
        for key, value in results.items()
        if isinstance(value, dict) and "ratio" in value and key.endswith("_cuda") == bool(suffix)
    }
    order = list(entries.ENTRIES)
    # step_over_floor_448 stands after step_over_floor.
    return dict(
        sorted(
            found.items(),
            key=lambda item: (
                next((i for i, name in enumerate(order) if item[0].startswith(name)), len(order)),
                item[0],
            ),
        )
    )


def _ratios(found: dict[str, dict[str, Any]], expected: bool) -> str:
    rows = []
    for name, entry in found.items():
        sign = "≤" if entry["better"] == "lower" else "≥"
        rows.append(
            [
                f"`{name}`",
                number(entry["ratio"]),
                f"{number(entry['low'])} to {number(entry['high'])}",
                f"{sign} {number(entry['target'])}",
                "yes" if entry["met"] else "**no**",
                entry["what"],
            ]
        )
    if expected:
        missing = [name for name in entries.ENTRIES if name not in found]
        rows += [[f"`{name}`", NOT_MEASURED, "", "", "", ""] for name in missing]
    header = ["entry", "ratio", "95 % interval", "target", "met", "what over what"]
    return table(header, rows, "lrrrll")


def _detectors(found: dict[str, dict[str, Any]], heading: str, about: str) -> list[str]:
    """Each detector over its bare network: one row a detector and kind of work."""
    rows, whys = [], {}
    for entry in found.values():
        details = entry["details"]
        more = bool(details["why_more"])
        rows.append(
            [
                details["detector"],
                {"step": "training step", "score": "one score"}[details["kind"]]
                + (f" of {entry['batch']}" if "batch" in entry else ""),
                details["base"],
                number(entry["ratio"]),
                f"{number(entry['low'])} to {number(entry['high'])}",
                f"≤ {number(entry['target'])}",
                "yes" if entry["met"] else "**no**",
                f"{number(details['operations'])}{' *' if more else ''}",
                _bytes(details["peak_bytes"]),
                _bytes(details["peak_bytes_compared_with"]),
            ]
        )
        if more:
            whys[details["detector"]] = details["why_more"]
    if not rows:
        return []
    header = ["detector", "work", "its bare network", "ratio", "95 % interval", "goal", "met"]
    header += ["operations", "peak memory", "the bare network's"]
    notes = [f"- \\* `{name}`: {why}." for name, why in whys.items()]
    return [
        heading,
        "",
        f"{about} *Operations*: counted, a detector's over its bare network's. The goal is 1.10 "
        "times as long, and where a detector computes more by its own definition (\\*), 1.10 times "
        "that many operations' share. Peak memory: the most that the work holds at once beyond "
        "weights and batch.",
        "",
        table(header, rows, "lllrrrlrrr"),
        "",
        *notes,
        "",
    ]


def _seconds(found: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, entry in found.items():
        details = entry["details"]
        if "worse_of" in details:
            continue
        rows.append(
            [
                f"`{name}`",
                number(details["seconds"]),
                number(details["seconds_compared_with"]),
                str(details["repetitions"]),
                str(details["threads"]),
            ]
        )
    header = ["entry", "ours, s", "the other, s", "repetitions", "threads"]
    return table(header, rows, "lrrrr")


def _limit(machine: dict[str, Any], found: dict[str, dict[str, Any]]) -> str:
    rates = machine["matrix_product"]
    lines = [
        "Matrix products of this machine, the largest rate of a few sizes: "
        + ", ".join(
            f"{kind} {_rate(rate['flops'])} (size {rate['size']:,})" for kind, rate in rates.items()
        )
        + ".",
        "",
    ]
    rows = []
    for name, entry in found.items():
        details = entry["details"]
        if "flops" not in details or "worse_of" in details:
            continue
        kind = "tf32" if details.get("cudnn_tf32") else "fp32"
        share = details["flops"] / rates[kind]["flops"]
        rows.append(
            [
                f"`{name}`",
                f"{number(details['flop'] / 1e9)}",
                number(details["seconds"]),
                _rate(details["flops"]),
                f"{100 * share:.0f} %",
            ]
        )
    header = ["entry", "GFLOP, counted", "seconds", "achieved", "of the matrix-product rate"]
    return "\n".join([*lines, table(header, rows, "lrrrr")])


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; device "
        f"{machine['device']}; torch {machine['torch']} with {machine['threads']} threads, Python "
        f"{machine['python']}; {machine['date']}."
    )


def _details(found: dict[str, dict[str, Any]]) -> list[str]:
    """Sentences on what the tables have no column for."""
    notes = []
    for name, entry in found.items():
        details = entry["details"]
        if "floor_layout" in details and "worse_of" not in details:
            layouts = ", ".join(
                f"{layout} {number(s)} s" for layout, s in details["layout_seconds"].items()
            )
            notes.append(f"`{name}`: the bare backbone in {layouts}; {details['colorspace']}.")
        if "ratio_to_loop_with_linalg_norm" in details:
            other = number(details["ratio_to_loop_with_linalg_norm"])
            notes.append(
                f"`{name}`: {other} where the loop takes its distances from `numpy.linalg.norm` "
                "rather than from summed squares."
            )
        if "bf16" in details:
            half = details["bf16"]
            notes.append(
                f"`{name}` in bf16: {number(half['ratio'])} ({number(half['low'])} to "
                f"{number(half['high'])}) of the same comparison."
            )
        if details.get("step_time_multiplied_by", 1) != 1:
            notes.append(
                f"`{name}`: the step was measured with {details['step_measured_with_images']} "
                f"images and its time multiplied by {number(details['step_time_multiplied_by'])}."
            )
        if "same_box" in details and "worse_of" not in details:
            notes.append(_boxes(name, details))
        if "frames_asked" in details:
            notes.append(
                f"`{name}`: the command's first line after "
                f"{number(details['seconds_until_first_line'])} s (goal "
                f"{number(details['goal_seconds'])} s); {number(details['peak_megabytes'])} MB of "
                f"memory at its peak, all its processes together (goal "
                f"{number(details['goal_megabytes'])} MB)."
            )
        if "images_per_second" in details:
            notes.append(
                f"`{name}`: {number(details['images_per_second'])} images a second and core, "
                f"against {number(details['images_per_second_compared_with'])}."
            )
    return [f"- {note}" for note in notes]


def _boxes(name: str, details: dict[str, Any]) -> str:
    """How well a detection's boxes agree with the plain call's."""
    text = (
        f"`{name}`: the same box (overlap of 0.9 or more) in "
        f"{100 * details['same_box']:.1f} % of {details['frames']} frames"
    )
    if "same_box_before" in details:  # results of older code have none
        text += (
            f", {number(details['mean_overlap'])} of overlap on average; the plain call gives "
            f"the box of the frame before in {100 * details['same_box_before']:.1f} %"
        )
    return f"{text}."


def _device(results: dict[str, Any], suffix: str) -> list[str]:
    machine, every = results[MACHINE + suffix], _entries(results, suffix)
    each = {name: entry for name, entry in every.items() if name.startswith("detectors_")}
    found = {name: entry for name, entry in every.items() if name not in each}
    return [
        _machine(machine),
        "",
        _ratios(found, expected=not suffix),
        "",
        *_details(found),
        "",
        *_detectors(
            each,
            "### Detectors over their own bare network",
            "Settings of the demonstration: tiny networks, of which one score takes a few "
            "milliseconds, so that what is fixed weighs most.",
        ),
        "### Times behind the ratios",
        "",
        "Medians of repetitions that took turns.",
        "",
        _seconds(every),
        "",
        "### Against the physical limit",
        "",
        _limit(machine, found),
        "",
    ]


def _published(found: dict[str, Any]) -> list[str]:
    """Detectors at their publications' settings, by device."""
    lines = []
    for device, part in found.items():
        about = "Settings of each publication (preset `paper`), with smaller batches."
        if len(left := part["without"]):
            about += f" {NOT_MEASURED.capitalize()}: {', '.join(left)}."
        name = {"cpu": "", "cuda": " on a GPU"}[device]
        heading = f"## Detectors at their publications' size{name}"
        lines += [*_detectors(part["entries"], heading, about), _machine(part["machine"]), ""]
    return lines


def storage_table(found: dict[str, Any]) -> str:
    """The comparison of ways to store crops, as Markdown."""
    rows = []
    for entry in found["formats"]:
        rates = entry["images_per_second"]
        rows.append(
            [
                entry["name"],
                "yes" if entry["exact"] else "**no**",
                number(entry["write_seconds"]),
                _bytes(entry["bytes_per_crop"]),
                _bytes(entry["bytes_data_set"]),
                str(entry["files"]),
                *(
                    "-" if rates[key] is None else number(rates[key])
                    for key in ("warm_sequential", "warm_random", "cold_sequential", "cold_random")
                ),
            ]
        )
    header = [
        "stored as",
        "pixel-exact",
        "write, s",
        "a crop",
        "150,000 crops",
        "files",
        "warm, in order",
        "warm, at random",
        "cold, in order",
        "cold, at random",
    ]
    return table(header, rows, "llrrrrrrrr")


def _storage(found: dict[str, Any]) -> list[str]:
    return [
        "## Storage of crops",
        "",
        f"{found['crops']} crops of {found['crop_pixels']} px; the last four columns are images "
        f"per second, one thread, a part of {found['part_pixels']} px cut out of each. Writing "
        "includes encoding; only the project's own writer (.npy) also waits for the disk. Cold: "
        "after asking the system to forget the files, which is best effort.",
        "",
        _machine(found["machine"]),
        "",
        storage_table(found),
        "",
    ]


def _cost(found: dict[str, Any]) -> list[str]:
    schedule = found["schedule"]
    runs = [
        [
            name,
            number(run["image_flop"] / 1e9),
            number(run["step_flop"] / 1e12),
            number(run["run_flop"] / 1e18),
        ]
        for name, run in found["runs"].items()
    ]
    header = ["GPU", "precision", "peak, TFLOP/s"]
    header += [f"one run, {100 * u:.0f} % (estimate)" for u in UTILISATIONS]
    header += [f"all {len(runs)} runs, {100 * u:.0f} % (estimate)" for u in UTILISATIONS]
    keys = [f"{round(100 * u)}" for u in UTILISATIONS]
    cards = [
        [card["name"], card["precision"], number(card["peak"] / 1e12)]
        + [
            number(card["hours"][key][which])
            for which in ("dearest_run", "all_runs")
            for key in keys
        ]
        for card in found["cards"]
    ]
    return [
        "## Cost of the paper's training: an estimate",
        "",
        "**Nothing in this section is measured.** Operations are counted; the hours are these "
        "operations over the data sheet's peak rate times an assumed utilisation of "
        f"{' or '.join(f'{100 * u:.0f} %' for u in UTILISATIONS)}. Assumed for each run: "
        f"{schedule['epochs']} epochs of {schedule['steps_per_epoch']:,} steps of "
        f"{schedule['batch']} images, the backbone frozen in the first "
        f"{schedule['frozen_epochs']}; {schedule['val_images']:,} validation images after each "
        f"epoch; {schedule['test_images']:,} test images once.",
        "",
        table(
            [
                "run",
                "GFLOP a scored image (counted)",
                "TFLOP a step (counted)",
                "EFLOP a run (estimate)",
            ],
            runs,
            "lrrr",
        ),
        "",
        "GPU-hours, all of them estimates; *one run* is the dearest of the table above:",
        "",
        table(header, cards, "llrrrrr"),
        "",
    ]


def _memory(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            row["run"],
            {"32-true": "fp32", "bf16-mixed": "bf16 (the same in fp16)"}[row["precision"]],
            "yes" if row["checkpoint_backbone"] else "no",
            number(sum(row[k] for k in ("parameters", "activations", "gradients")) / 2**30),
            number(row["activations"] / 2**30),
        ]
        for row in found
    ]
    return [
        "## Memory of a training step: computed",
        "",
        "27 crops of 448 px. Counted on tensors without data, two images scaled to 27; not "
        "measured on a device. A library's workspaces and the driver, about 1 GiB on a GPU, come "
        "on top, so a card of 16 GB holds what stays below about 14.",
        "",
        table(
            ["run", "precision", "`checkpoint_backbone`", "total, GiB", "activations, GiB"],
            rows,
            "lllrr",
        ),
        "",
    ]


def text(
    results: dict[str, Any],
    storage: dict[str, Any] | None = None,
    cost: dict[str, Any] | None = None,
    published: dict[str, Any] | None = None,
) -> str:
    """The whole page."""
    lines = ["# Measured", ""]
    others = [storage or {}, *(published or {}).values()]
    if results.get("quick") or any(part.get("quick") for part in others):
        lines += [
            "**From a `--quick` run, with tiny sizes and hardly a repetition: the numbers mean "
            "nothing.**",
            "",
        ]
    if MACHINE in results:
        lines += ["## Ratios", "", *_device(results, "")]
    else:
        lines += ["## Ratios", "", f"On the CPU: {NOT_MEASURED}.", ""]
    if f"{MACHINE}_cuda" in results:
        lines += ["## Ratios on a GPU", "", *_device(results, "_cuda")]
    lines += _published(published or {})
    lines += _storage(storage) if storage else ["## Storage of crops", "", f"{NOT_MEASURED}.", ""]
    if cost:
        lines += [*_cost(cost), *_memory(cost["memory"])]
    return "\n".join(lines).rstrip() + "\n"


def write(folder: Path) -> Path:
    """Make RESULTS.md in ``folder`` from the JSON files that are there."""
    read = {name: folder / name for name in (RESULTS, STORAGE, COST, PUBLISHED)}
    found = {name: read_json(path) if path.is_file() else None for name, path in read.items()}
    write_text(folder / REPORT, text(found.pop(RESULTS) or {}, *found.values()))
    return folder / REPORT
