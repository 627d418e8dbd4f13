"""What the work costs: against cases worked by hand, and against what was counted elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from benchmarks import cost as benchmark
from benchmarks import counted, scaling
from mcxlib import cli
from mcxlib.data import datasets
from mcxlib.experiments import ablation
from mcxlib.scaling import jobs, measured, model, page, plan, words, work
from mcxlib.settings import matrix

ROOT = Path(__file__).parents[1]
HAND = work.Operations(images=10, pixels=100, image=1e6, step=30e6, frozen_step=10e6, step_bytes=80)
MUCH = work.Amount(
    work.Videos(train=6, val=2, test=4),
    frames=5,
    epochs=4,
    frozen_epochs=1,
    batch=10,
    pixels=100,
    crop_pixels=100,
)
RATES = measured.Rates(crop=0.5, load=0.0, train=1e6, score=1e6, cold=1e-3, warm=1e-1)
MACHINE = model.Machine(
    cores=2, gpus=1, flop_per_second=1e4, readers=1, disk_bytes=1e9, memory_bytes=0
)


def test_the_work_of_a_run_by_hand():
    # 6 videos of 5 frames are 3 batches of 10; 4 epochs of them, 1 frozen: 9 x 30 + 3 x 10 MFLOP.
    assert MUCH.steps == 12
    assert work.training_flop(HAND, MUCH) == 300e6
    # Validation 4 x 2 x 5 images, tests 4 x 5: 60 MFLOP.
    assert work.scoring_flop(HAND, MUCH) == 60e6
    # Read: 120 images of the steps, 40 of validations, 20 of tests.
    assert MUCH.images_read == 180
    assert MUCH.crop_bytes == 30_000


def test_operations_are_in_proportion_to_images_and_pixels():
    half = work.Amount(MUCH.videos, 5, 4, 1, batch=5, pixels=200, crop_pixels=100)
    # 6 batches of 5 an epoch; a step is half the images at four times the pixels: 60 and 20 MFLOP.
    assert work.training_flop(HAND, half) == 18 * 60e6 + 6 * 20e6
    assert work.scoring_flop(HAND, half) == 4 * 60e6


def test_batches_that_are_not_full_are_left_out_and_all_frozen_is_all_frozen():
    small = work.Amount(work.Videos(1, 0, 0), 19, 2, 9, 10, 100, 100)
    assert small.steps == 2
    assert work.training_flop(HAND, small) == 2 * 10e6


def test_the_cost_of_a_matrix_by_hand():
    found = model.cost([HAND, HAND], 3, MUCH, MACHINE, RATES)
    assert found.runs == 6
    # 12 videos of 5 frames, half a second each.
    assert found.core_hours == pytest.approx(30 / 3600)
    assert found.cutting == pytest.approx(15 / 3600)
    assert found.store_bytes == 60 * 30_000
    assert found.read_bytes == 6 * 180 * 30_000
    # 6 x 300 MFLOP and 6 x 60 MFLOP at 10 kFLOP/s.
    assert found.training == pytest.approx(6 * 300e6 / 1e4 / 3600) == pytest.approx(50)
    assert found.scoring == pytest.approx(10)
    # Nothing stays in memory; a crop a thousand seconds at 512 px, so 786.432 bytes a second.
    assert found.reading == pytest.approx(6 * 180 * 30_000 / 786.432 / 3600)
    assert found.bottleneck == "training"
    assert found.gpu_hours == pytest.approx(60)
    assert found.hours == pytest.approx(found.cutting + 60)


def test_what_fits_in_memory_is_read_from_the_disk_once():
    room = model.Machine(2, 1, 1e4, 1, 1e9, memory_bytes=1.8e6)
    found = model.cost([HAND], 1, MUCH, room, RATES)
    once, again = 60 * 30_000, 120 * 30_000
    assert found.reading == pytest.approx((once / 786.432 + again / 78_643.2) / 3600)


@pytest.mark.parametrize(
    ("changed", "bottleneck"),
    [
        ({"flop_per_second": 1e9}, "reading"),
        ({"flop_per_second": 1e9, "memory_bytes": 1e9, "cores": 1}, "reading"),
        ({}, "training"),
    ],
)
def test_the_bottleneck_is_what_takes_longest(changed, bottleneck):
    machine = model.Machine(
        **({"cores": 2, "gpus": 1, "flop_per_second": 1e4, "readers": 1} | changed)
        | {"disk_bytes": 1e9, "memory_bytes": changed.get("memory_bytes", 0)}
    )
    found = model.cost([HAND], 1, MUCH, machine, RATES)
    assert found.bottleneck == bottleneck
    fast = measured.Rates(0.5, 0, 1e6, 1e6, cold=1e6, warm=1e6)
    assert model.cost([HAND], 1, MUCH, model.Machine(1, 9, 1e12, 9, 1e12, 0), fast).bottleneck == (
        "cutting"
    )


def test_a_compressed_store_is_smaller_and_read_as_fast_as_it_is_decoded():
    packed = measured.Rates(0.5, 0, 1e6, 1e6, 1e-3, 1e-1, 0.5, 5e-4, 5e-4)
    found = model.cost([HAND], 1, MUCH, MACHINE, packed, compressed=True)
    assert found.store_bytes == 60 * 15_000
    # 180 crops of 15 kB; 5e-4 crops of 393,216 bytes a second.
    assert found.reading == pytest.approx(180 * 15_000 / (5e-4 * 393_216) / 3600)
    # Where the disk is what limits, half the bytes take half the time.
    disk = model.Machine(2, 1, 1e4, readers=10**9, disk_bytes=1000, memory_bytes=0)
    raw, half = (model.cost([HAND], 1, MUCH, disk, packed, compressed=c) for c in (False, True))
    assert half.reading == pytest.approx(raw.reading / 2)


def test_runs_share_the_disk_and_no_more_gpus_are_held_than_there_are_runs():
    slow = model.Machine(2, 8, 1e4, readers=1000, disk_bytes=1000, memory_bytes=0)
    found = model.cost([HAND], 2, MUCH, slow, RATES)
    # 2 x 180 crops of 30 kB at 1 kB/s, whoever reads them.
    assert found.reading == pytest.approx(2 * 180 * 30_000 / 1000 / 3600)
    assert found.gpu_hours == pytest.approx(2 * max(found.reading, found.training + found.scoring))


def test_a_million_videos_are_shared_out_as_the_papers():
    million = work.PAPER.scaled(1_000_000)
    assert million.all == 1_000_000
    assert million.train / million.all == pytest.approx(3000 / 7017, rel=1e-5)


def test_the_papers_numbers_are_those_of_the_estimate():
    much = work.amount("paper")
    assert (much.videos.train * much.frames) == benchmark.TRAIN_IMAGES == 90_000
    assert (much.videos.val * much.frames) == benchmark.VAL_IMAGES
    assert (much.videos.test * much.frames) == benchmark.TEST_IMAGES
    stored = json.loads((ROOT / "benchmarks/cost.json").read_text())
    for name, row in (("MCX-API(RGB)", "mcx-api"), ("API-Net(ResNet101)", "api-net")):
        assert work.run_flop(matrix.Row(row, "rgb"), much) == pytest.approx(
            stored["runs"][name]["run_flop"]
        )


def test_every_row_of_the_tables_was_counted_and_cheap_ones_are_as_counted_now():
    rows = {row.run_id(0): row for row in matrix.rows("paper")}
    assert work.counted().keys() <= rows.keys()
    assert work.uncounted(rows.values()) == []
    name = "mesonet_rgb_seed0"
    stored = work.counted()[name]
    numbers = {key: getattr(stored, key) for key in counted.COLUMNS if key != "run"}
    assert counted.row(rows[name]) == {"run": name} | numbers


def test_a_new_row_is_planned_as_the_dearest_one_and_the_plan_says_so(home):
    new = matrix.Row("toy")
    dearest = max(work.counted().values(), key=lambda count: count.step)
    assert work.operations(new) == dearest
    assert work.uncounted([new, matrix.Row("mesonet")]) == ["toy_rgb_seed0"]


def test_sizes_of_the_demonstration_are_those_of_its_videos():
    # DemoSpec: 22 + 5 + 9 people with five videos each, three sets of 10 and 12.
    assert work.videos("demo") == work.Videos(110, 25, 45 + 66)
    assert work.amount("demo").frames == 8


CONFIG = {**words.DEFAULTS, "preset": "paper", "seeds": [0, 1, 2], "flop_per_second": 5.85e12}


def test_a_job_asks_for_twice_the_expected_time_and_for_no_more_than_the_limit():
    row = matrix.Row("mcx-api", "rgb")
    # 1.05 EFLOP (benchmarks/cost.json) at 5.85 TFLOP/s.
    expected = json.loads((ROOT / "benchmarks/cost.json").read_text())
    hours = expected["runs"]["MCX-API(RGB)"]["run_flop"] / 5.85e12 / 3600
    assert jobs.run_hours(CONFIG, row) == pytest.approx(hours)
    assert jobs.run_minutes(CONFIG, row) == 1440
    assert jobs.run_minutes(CONFIG | {"max_minutes": 10**6}, row) == pytest.approx(
        10 + 2 * 60 * hours, abs=1
    )
    assert jobs.run_minutes(CONFIG, matrix.Row("mesonet")) < 1440


def test_memory_holds_the_step_on_a_cpu_and_the_readers_on_a_gpu():
    row = matrix.Row("mcx-api", "rgb")
    on_gpu = jobs.run_memory(CONFIG | {"gpus": 1, "loader_workers": 4}, row)
    assert on_gpu == jobs.BASE_MB + 4 * jobs.READER_MB
    stored = json.loads((ROOT / "benchmarks/cost.json").read_text())["memory"][0]
    step = stored["activations"] + stored["gradients"] + stored["parameters"]
    assert jobs.run_memory(CONFIG, row) == jobs.BASE_MB + -(-step // 2**20)


def test_the_study_has_as_many_runs_as_its_jobs_count():
    assert len(ablation.VARIATIONS) == jobs.ABLATION_RUNS


def test_defaults_of_the_plan_are_those_of_the_workflow():
    assert yaml.safe_load((ROOT / "workflow/config.yaml").read_text()) == words.DEFAULTS
    paper = yaml.safe_load((ROOT / "workflow/paper.yaml").read_text())
    assert paper.keys() <= words.DEFAULTS.keys()


@pytest.fixture
def made(home):
    return words.plan_of(CONFIG | {"shards": 16, "threads": 8, "gpus": 1}, 4, 64, 1e9, 256e9)


def test_the_plan_has_every_job_of_the_workflow(made):
    counts: dict[str, int] = {}
    for job in made.jobs:
        name = job.rule.split()[0]
        counts[name] = counts.get(name, 0) + job.count
    assert counts["shard"] == 16 * len(datasets.paper_order())
    assert counts["run"] == 3 * len(matrix.rows("paper")) == made.cost.runs
    assert counts["ablation"] == 3
    assert counts["clips"] == len(matrix.CLIPS) == 2
    assert counts["notebook"] == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    assert made.cost.store_bytes == 7017 * 30 * 3 * 512**2
    rules = re.findall(r"^rule (\w+):", (ROOT / "workflow/Snakefile").read_text(), re.M)
    # The paper's videos are not drawn; "all" and "book" are made where snakemake runs.
    assert set(counts) == set(rules) - {"all", "videos", "book"}


def test_the_plan_names_data_that_are_missing_and_where_they_are_handed_out(made, home):
    assert [line.split(":")[0] for line in made.missing] == list(datasets.paper_order())
    page = (ROOT / "book/real_data.md").read_text()
    for name, ask in plan.TERMS.items():
        assert ask.rpartition(" at ")[2] in page
        assert ask in next(line for line in made.missing if line.startswith(name))
    (home / "videos/Celeb-DF-v2/Celeb-real").mkdir(parents=True)
    (line,) = (m for m in plan.missing("paper") if m.startswith("Celeb-DF"))
    assert "Celeb-synthesis" in line
    assert "Celeb-real" not in line
    assert plan.missing("demo") == []


def test_the_command_says_what_is_assumed(home, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(cli.app, ["plan"])
    assert done.exit_code == 0, done.output
    assert "GPU-hours" in done.output
    assert "assumed, not measured: a training reaches 5.85e+12" in done.output
    assert "data still missing" in done.output
    found = json.loads(CliRunner().invoke(cli.app, ["plan", "--json"]).output)
    assert found["together"]["bottleneck"] in ("cutting", "reading", "training", "scoring")


def test_a_missing_configuration_and_a_foreign_record_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no configuration"):
        words.configuration(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ValueError, match="no mapping"):
        words.configuration(tmp_path / "list.yaml")
    (tmp_path / "measured.json").write_text('{"format": 9}')
    with pytest.raises(ValueError, match="format 9"):
        measured.stored(tmp_path / "measured.json")


def test_the_page_is_made_of_files(tmp_path):
    runs = pd.DataFrame(
        [
            {"run": "a_rgb_seed0", "steps": 40, "seconds": 20.0, "training": 2.0, "scoring": 1.0},
            {"run": "a_rgb_seed1", "steps": 42, "seconds": 30.0, "training": 4.0, "scoring": 1.0},
            {"run": "b_rgb_seed0", "steps": 40, "seconds": 10.0, "training": float("nan")},
            {"run": "a_rgb_seed0_0abc", "steps": 1200, "seconds": 10.0, "training": 1.0},
        ]
    ).assign(study=["", "", "", "ablation"])
    made = page.write(tmp_path, runs)
    assert {p.name for p in made} == {f"{n}.{k}" for n in page.FILES for k in ("md", "csv")}
    shown = (ROOT / "book/scaling.md").read_text()
    assert {f"generated/scaling/{name}.md" for name in page.FILES} <= set(
        re.findall(r"include\} (\S+)", shown)
    )
    demo = pd.read_csv(tmp_path / "demo.csv").set_index("run")
    # 6 TFLOP in 50 s are 120 GFLOP/s.
    assert demo.loc["a_rgb", ["runs", "training, s", "TFLOP"]].tolist() == [2, 50, "6"]
    assert float(demo.loc["a_rgb", "GFLOP a second"]) == 120
    assert demo.loc["a_rgb", "steps of each"] == "40 to 42"
    assert demo.loc["b_rgb", "TFLOP"] == "-"
    assert demo.loc["a_rgb, study: ablation", "steps of each"] == "1,200"
    markdown = (tmp_path / "sizes.md").read_text().splitlines()
    assert len(markdown) == 2 + len(page.sizes())
    assert len({line.count("|") for line in markdown}) == 1


def test_runs_that_recorded_no_time_leave_a_head_alone():
    nothing = pd.DataFrame(columns=["study", "run", "steps", "seconds", "training", "scoring"])
    one = {"study": "", "run": "a_rgb_seed0", "steps": None, "seconds": None}
    for runs in (nothing, pd.DataFrame([one], columns=nothing.columns)):
        (head,) = page.demo_table(runs)
        assert head[0] == "run"


def test_the_page_says_of_memory_and_stores_what_its_tables_say():
    (_, paper), (_, million) = page._sizes()
    fits, not_so = page._cost(paper, page.CLUSTER), page._cost(million, page.CLUSTER)
    assert fits.store_bytes < page.CLUSTER.memory_bytes < not_so.store_bytes
    assert fits.store_bytes == pytest.approx(165.6e9, rel=1e-3)
    # A store as large as the paper's training data alone is the 118 GB of the storage table.
    stored = json.loads((ROOT / "benchmarks/storage.json").read_text())["formats"][0]
    assert stored["bytes_data_set"] / 150_000 == pytest.approx(paper.crop_bytes, rel=1e-3)


def test_the_model_was_checked_at_three_sizes():
    """What it says of the largest is of its order: a wrong count would be off by far more."""
    checked = measured.stored()["checked"]
    steps: dict[str, list[float]] = {}
    for row in checked:
        steps.setdefault(row["step"], []).append(row["model"] / row["measured"])
    assert {step: len(ratios) for step, ratios in steps.items()} == dict.fromkeys(
        ("extraction", "loading", "scoring", "training"), 3
    )
    for ratios in steps.values():
        assert ratios[:2] == pytest.approx([1, 1])
        assert 0.5 < ratios[2] < 2


def test_the_rate_is_the_slope_between_the_smaller_sizes():
    tried = [
        scaling.Tried(n, "crops", work, s) for n, work, s in ((1, 10, 3), (2, 20, 5), (4, 40, 8))
    ]
    # 2 s for 10 more: 0.2 each, and 1 s before any.
    assert scaling.fitted(tried) == pytest.approx((1, 0.2))
    assert [row["model"] for row in scaling.checked("x", tried)] == pytest.approx([3, 5, 9])
