"""The benchmarks measure what they say: ratios and intervals on a clock of the test's own, plain
implementations that compute the same as the project, operations counted by hand. Speed itself is
asserted nowhere."""

import copy
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import nn
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import (
    answer,
    cost,
    crops,
    entries,
    flops,
    machine,
    measure,
    plain,
    report,
    steps,
    storage,
)
from benchmarks import detectors as each_detector
from benchmarks import faces as each_faces
from benchmarks.measure import Result, Samples, Settings
from mcxlib import detectors
from mcxlib.config import load
from mcxlib.data.crops.dataset import CropDataset
from mcxlib.data.faces.choice import Face
from mcxlib.data.video.reader import read_frames
from mcxlib.data.video.seek import timeline
from mcxlib.engine.session import Step
from mcxlib.files import read_json, write_json
from mcxlib.method.pairs import mine_pairs
from mcxlib.weights import build

QUICK = Settings(quick=True)
CPU = torch.device("cpu")


class Clock:
    """Time that passes only when :meth:`work` is called."""

    def __init__(self):
        self.now = 100.0
        self.calls = []

    def __call__(self):
        return self.now

    def work(self, name, *seconds):
        """A callable that takes the next of ``seconds`` (the last one for ever after)."""
        left = list(seconds)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


# -- measuring --------------------------------------------------------------------------------


def test_turns_are_a_b_b_a_after_a_warm_up_that_does_not_count():
    clock = Clock()
    samples = measure.take_turns(
        clock.work("A", 50, 1, 2, 6),
        clock.work("B", 70, 4, 8, 5),
        least=3,
        seconds=0,
        warm_up=1,
        clock=clock,
    )
    assert "".join(clock.calls) == "AB" + "AB" + "BA" + "AB"
    assert samples == Samples((1, 2, 6), (4, 8, 5))
    assert samples.medians == (2, 5)
    assert measure.ratio_of_medians(samples) == pytest.approx(0.4)
    assert measure.ratio_of_medians(samples, scale=0.5) == pytest.approx(0.2)


@pytest.mark.parametrize(("seconds", "rounds"), [(0, 2), (6, 2), (9, 3), (10, 4)])
def test_it_repeats_until_the_time_is_spent_and_the_least_number_reached(seconds, rounds):
    """Each round takes 1 + 2 seconds."""
    clock = Clock()
    samples = measure.take_turns(
        clock.work("A", 1), clock.work("B", 2), least=2, seconds=seconds, clock=clock
    )
    assert len(samples.first) == len(samples.second) == rounds


def test_a_time_includes_what_the_device_has_still_to_do():
    clock = Clock()
    queue = []

    def launch():
        queue.append(3.0)

    def wait():
        clock.now += sum(queue)
        queue.clear()

    queue.append(50.0)  # from before: not to be charged to this call
    assert measure.once(launch, wait, clock) == 3.0


def test_no_repetition_is_an_error():
    with pytest.raises(ValueError, match="least must be at least 1, not 0"):
        measure.take_turns(lambda: None, lambda: None, least=0)


def test_interval_of_two_pairs_by_hand():
    """Ratios of a resample: 1 (a quarter), 1.5 (a half), 2 (a quarter)."""
    assert measure.interval(Samples((1, 2), (1, 1))) == (1, 2)
    assert measure.interval(Samples((1, 2), (1, 1)), scale=3) == (3, 6)


def test_what_slows_down_both_at_once_does_not_widen_the_interval():
    assert measure.interval(Samples((1, 10, 3), (2, 20, 6))) == (0.5, 0.5)


def test_interval_agrees_with_scipy():
    rng = np.random.default_rng(3)
    first, second = rng.gamma(20, 0.1, 40), rng.gamma(20, 0.2, 40)
    reference = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=9999,
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = measure.interval(Samples(tuple(first), tuple(second)), resamples=9999)
    np.testing.assert_allclose(found, (reference.low, reference.high), rtol=0.02)


def test_interval_is_the_same_every_time():
    samples = Samples((1.0, 1.5, 1.2, 1.9), (2.0, 2.2, 1.7, 2.4))
    assert measure.interval(samples, seed=4) == measure.interval(samples, seed=4)


@pytest.mark.parametrize(("target", "met"), [(4.9, True), (5, True), (5.1, False)])
def test_throughput_ratio_is_the_others_seconds_over_ours(target, met):
    samples = Samples((1.0, 2.0, 3.0), (9.0, 10.0, 12.0))
    found = measure.result(samples, what="", target=target, better="higher")
    assert found.ratio == 5
    assert found.low <= 5 <= found.high
    assert found.met is met
    assert found.details["seconds"] == 2
    assert found.details["seconds_compared_with"] == 10


@pytest.mark.parametrize(("target", "met"), [(0.19, False), (0.2, True), (0.3, True)])
def test_time_ratio_meets_a_target_from_above(target, met):
    found = measure.result(Samples((2.0, 2.0), (10.0, 10.0)), what="", target=target)
    assert (found.ratio, found.met) == (0.2, met)


def test_worse_is_what_is_furthest_beyond_its_own_target():
    def entry(ratio, target):
        return Result(ratio, ratio, ratio, target, "lower", "", "", {})

    assert measure.worse({"a": entry(2.1, 2.2), "b": entry(1.2, 1.1)}).ratio == 1.2


def test_worse_is_the_larger_time_or_the_smaller_throughput():
    def entry(ratio, better):
        return Result(ratio, ratio, ratio, 1.0, better, "", "", {"size": ratio})

    slow = measure.worse({"a": entry(1.1, "lower"), "b": entry(1.3, "lower")})
    assert (slow.ratio, slow.details["taken_from"], slow.details["size"]) == (1.3, "b", 1.3)
    assert measure.worse({"a": entry(4.0, "higher"), "b": entry(6.0, "higher")}).ratio == 4


# -- plain implementations ---------------------------------------------------------------------


def test_plain_mining_finds_the_same_pairs():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 16, generator=generator)
    labels = torch.arange(40) % 4
    expected = mine_pairs(features, labels)
    for loop in (plain.mine_by_loop, plain.mine_by_norm):
        first, second = loop(features, labels)
        assert first.tolist() == expected.first.tolist()
        assert second.tolist() == expected.second.tolist()


def test_plain_step_computes_the_same_losses_and_takes_the_same_step():
    config = steps.paper_config(QUICK)
    images, labels = steps.batch(steps.Size(6, 64, 0), 5)
    torch.manual_seed(1)
    ours = build(config)
    ours.drop.p = 0.0
    theirs = copy.deepcopy(ours)
    before = [p.detach().clone() for p in ours.parameters()]

    whole = Step(copy.deepcopy(ours)).train()(images, labels)
    simple = plain.PlainStep(copy.deepcopy(ours)).train()(images / 255, labels)
    for a, b in zip(whole.values(), simple, strict=True):
        assert float(a.detach()) == pytest.approx(float(b.detach()), rel=1e-5, abs=1e-7)

    steps.project_step(ours, config, images, labels, CPU)()
    steps.plain_step(theirs, config, images, labels, CPU)()
    for old, a, b in zip(before, ours.parameters(), theirs.parameters(), strict=True):
        step = (a - old).norm()
        assert step > 0
        assert (a - b).norm() < 1e-2 * step + 1e-7


def test_a_different_loss_is_not_compared(monkeypatch):
    monkeypatch.setattr(steps, "loss_difference", lambda *_: 0.1)
    with pytest.raises(RuntimeError, match=r"differs from the project's by 0\.1"):
        steps.step_over_plain(QUICK)


def test_project_batch_lies_in_memory_as_a_loader_gives_it():
    images, labels = steps.batch(steps.Size(6, 32, 0), 0)
    assert (images.dtype, images.shape) == (torch.uint8, (6, 3, 32, 32))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_plain_network_keeps_nchw_memory():
    model = plain.nchw(detectors.build("mcx-api", backbone="slim_xception"))
    for weight in (p for p in model.backbone.parameters() if p.ndim == 4):
        assert weight.is_contiguous()
    planes = {}
    model.backbone.register_forward_pre_hook(lambda _, args: planes.update(image=args[0]))
    plain.embed(model, torch.rand(2, 3, 32, 32).to(memory_format=torch.channels_last))
    assert planes["image"].is_contiguous()


# -- every detector -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", detectors.modules())
def test_every_detector_has_a_bare_network_of_its_own_layers(name):
    config = each_detector.config_of(name)
    model = build(config)
    found = each_detector.bare(model)
    side = getattr(config.model, "side", 0) or config.train.input_size
    features = found.network(torch.rand(2, found.channels, side, side))
    assert features.ndim == 2
    assert len(features) == 2
    # Of a detector with one pass and a linear layer, all but that layer.
    own = {id(p) for p in model.parameters()}
    shared = [p.numel() for p in found.network.parameters() if id(p) in own]
    assert shared
    whole = sum(p.numel() for p in model.parameters())
    if name in ("xception", "efficientnet-b4", "seferbekov", "mesonet", "cozzolino"):
        head = features.shape[1] * len(model.classes) + len(model.classes)
        assert whole - sum(shared) <= head


def test_a_bare_network_gives_the_detectors_own_features():
    """MesoNet's layers one after the other; DCL's backbone as timm calls it."""
    for name in ("mesonet", "dcl", "xception"):
        model = build(each_detector.config_of(name)).eval()
        found = each_detector.bare(model)
        seen = []
        first = next(m for m in found.network.modules() if isinstance(m, nn.Conv2d))
        first.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        with torch.no_grad():
            features = model.features(torch.rand(2, 3, 64, 64))
            again = found.network(seen[0])
        np.testing.assert_allclose(features, again, rtol=1e-4, atol=1e-5)


def test_a_detector_without_known_layers_is_refused():
    model = build(each_detector.config_of("mesonet"))
    model.__class__ = type("New", (type(model),), {"name": "new"})
    with pytest.raises(ValueError, match="does not know the bare network of new"):
        each_detector.bare(model)


def test_peak_memory_counts_what_is_held_at_once():
    """float32: 4 bytes. Two of 4 MB at once, the third only after the first has gone."""

    def work():
        first = torch.zeros(1000, 1000)
        second = first + 1
        del first
        return second + 1

    assert each_detector.peak_bytes(work, CPU) == pytest.approx(8e6, rel=0.01)
    kept = torch.zeros(1000, 1000)  # from before: not counted
    assert each_detector.peak_bytes(lambda: kept[:10] + 1, CPU) == pytest.approx(40_000, rel=0.1)


def test_both_sides_of_a_detectors_step_change_weights_and_have_batches_alike():
    pair = each_detector.training("dcl", QUICK)
    # A second encoder goes forward only: its operations come on top of the step's.
    counted = flops.count(pair.ours) / flops.count(pair.plain)
    assert 1.3 < counted < 1.6
    losses = [float(pair.plain()) for _ in range(12)]
    assert losses[-1] < losses[0]  # one batch again and again is learned


def test_every_detector_that_is_measured_is_on_the_page(monkeypatch):
    two = {name: detectors.modules()[name] for name in ("mesonet", "supcon")}
    monkeypatch.setattr(detectors, "modules", lambda: two)
    found = each_detector.run(QUICK)
    kinds = [f"detectors_{kind}_{n}" for n in ("mesonet", "supcon") for kind in ("step", "score")]
    assert list(found) == [*kinds, "detectors"]
    assert found["detectors_step_mesonet"].target == pytest.approx(1.1)
    step = found["detectors_step_supcon"]
    assert step.target == pytest.approx(1.1 * step.details["operations"])
    assert step.details["operations"] == pytest.approx(2, rel=0.02)  # two views
    assert found["detectors_score_supcon"].target == pytest.approx(1.1, rel=0.01)
    for entry in found.values():
        assert entry.details["peak_bytes"] > 0
        assert entry.details["peak_bytes_compared_with"] > 0
    results = {name: json.loads(json.dumps(entry.row())) for name, entry in found.items()}
    rates = {"matrix_product": {"fp32": {"flops": 60e9, "size": 2048}}}
    page = report.text(results | {"quick": True, "machine": machine.description(CPU) | rates})
    rows = [line for line in page.splitlines() if line.startswith(("| mesonet", "| supcon"))]
    assert len(rows) == 4
    assert "| supcon | training step | mini_xception, 48 px |" in page
    assert "- \\* `supcon`: two views of each image" in page
    assert page.count("`detectors_step_mesonet`") == 1  # its seconds; the ratio has its own table
    assert "| `detectors` |" in page


def test_what_a_stopped_run_measured_at_published_sizes_stays(tmp_path, monkeypatch):
    two = {name: detectors.modules()[name] for name in ("mesonet", "supcon")}
    monkeypatch.setattr(detectors, "modules", lambda: two)
    path, begun = tmp_path / report.PUBLISHED, []

    def stops_at_the_third(name):
        begun.append(name)
        if len(begun) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each_detector.published(path, QUICK, stops_at_the_third)
    part = read_json(path)["cpu"]
    assert (set(part["entries"]), part["without"]) == (set(begun[:2]), ["supcon"])
    page = report.text({}, published=read_json(path))
    assert "hardly a repetition" in page
    assert "Not measured: supcon." in page
    kept = part["entries"]
    each_detector.published(path, QUICK, begun.append)
    assert begun[2:] == ["detectors_step_supcon"] * 2 + ["detectors_score_supcon"]
    part = read_json(path)["cpu"]
    assert part["entries"].items() >= kept.items()
    assert part["without"] == []
    page = report.text({}, published={"cpu": part})
    assert "## Detectors at their publications' size\n" in page
    assert "| mesonet | training step of 6 images | its own layers, 64 px |" in page
    assert "Not measured:" not in page


def test_a_step_at_a_published_size_is_small_and_of_its_preset():
    config = each_detector.config_of("seferbekov", "paper")
    assert (config.train.precision, each_detector._side(config)) == ("32-true", 380)
    # What their publications cut out of faces that are scaled first.
    assert each_detector._side(each_detector.config_of("bayar", "paper")) == 128
    assert each_detector._side(each_detector.config_of("lipforensics", "paper")) == 88
    real = Settings()
    assert each_detector._count(config, real) == 6
    assert each_detector._count(each_detector.config_of("ftcn", "paper"), real) == 3
    demo = each_detector.config_of("mesonet")
    assert each_detector._count(demo, real) == demo.train.categories * demo.train.per_category


# -- crops --------------------------------------------------------------------------------------


def test_crops_are_the_same_in_the_projects_storage_and_as_png(tmp_path):
    rows = crops.store(tmp_path / "npy", 32, 48, people=1)
    files = crops.as_png(rows, tmp_path / "npy", tmp_path / "png")
    assert rows.groupby("file").size().tolist() == [30, 2]
    images, labels = CropDataset(rows, tmp_path / "npy", 48).__getitems__(list(range(32)))
    assert labels.tolist() == [0] * 30 + [1] * 2
    for image, file in zip(images, files, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0), np.asarray(Image.open(file)))
    # Neither flat nor noise alone: PNG saves something, but not nearly everything.
    share = sum(f.stat().st_size for f in files) / images.numel()
    assert 0.3 < share < 0.9


def test_plain_loading_gives_normalised_parts(tmp_path):
    image = np.full((40, 40, 3), (255, 0, 128), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    batch = plain.load_files([tmp_path / "a.png"] * 2, 40, 32)
    assert batch.shape == (2, 3, 32, 32)
    # (1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128/255 - 0.406) / 0.225
    np.testing.assert_allclose(batch[0, :, 5, 5], (2.24891, -2.03571, 0.42649), atol=1e-4)


# -- storage ------------------------------------------------------------------------------------


def test_every_way_of_storing_is_compared():
    found = storage.measure(QUICK, 40)
    assert [row["name"] for row in found["formats"]] == [f.name for f in storage.formats()]
    by_name = {row["name"]: row for row in found["formats"]}
    raw = by_name["one .npy a video, memory-mapped"]
    assert raw["files"] == 2
    # 64 x 64 x 3 bytes a crop and a header of 128 bytes a file.
    assert raw["bytes_per_crop"] == 64 * 64 * 3 + 2 * 128 / 40
    assert raw["bytes_data_set"] == raw["bytes_per_crop"] * 150_000
    assert by_name["PNG files"]["files"] == 40
    assert [row["exact"] for row in found["formats"]].count(False) == 1
    for row in found["formats"]:
        rates = row["images_per_second"]
        assert set(rates) == {
            f"{state}_{order}" for state in ("warm", "cold") for order in ("sequential", "random")
        }
        assert all(rate is None or rate > 0 for rate in rates.values())
    json.dumps(found)


class Mixed(storage.Own):
    """Gives back the wrong crop."""

    def __init__(self):
        super().__init__()
        self.name = "mixed up"

    def open(self, folder):
        read, close = super().open(folder)
        return (lambda index: read(0)), close


def test_a_way_of_storing_that_changes_pixels_is_found(monkeypatch):
    monkeypatch.setattr(storage, "formats", lambda: [Mixed()])
    with pytest.raises(RuntimeError, match="mixed up: crop 20 is not what was stored"):
        storage.measure(QUICK, 40)


def test_too_little_room_is_said_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    with pytest.raises(ValueError, match=r"needs 2\.42 GiB .* has 1\.00 GiB free; choose fewer"):
        storage.check_space(tmp_path, 1500, 512)


# -- counting -----------------------------------------------------------------------------------


def test_operations_of_a_small_network_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 10 x 10 positions, 8 x 3 x 9 multiply-adds
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # depthwise: 8 x 9
        nn.Conv2d(8, 16, 1, stride=2),  # 5 x 5 positions, 16 x 8
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),  # 16 x 5
    )
    layers = [100 * 8 * 27, 100 * 72, 25 * 128, 80]
    images = torch.randn(2, 3, 10, 10)
    result = net(images)
    assert flops.count(lambda: net(images)) == 2 * 2 * sum(layers)
    # Backward: twice the work, but no gradient is asked for the images.
    assert flops.count(lambda: result.sum().backward()) == 2 * 2 * (2 * sum(layers) - layers[0])


def test_operations_of_a_transposed_convolution_by_hand():
    net = nn.ConvTranspose2d(4, 6, 2, stride=2)
    images = torch.randn(1, 4, 5, 5, requires_grad=True)
    result = net(images)
    once = 2 * 25 * 4 * 6 * 4
    assert flops.count(lambda: net(images)) == once
    assert flops.count(lambda: result.sum().backward()) == 2 * once


def test_operations_of_attention_by_hand():
    """Two products forward; backward their four gradients, and the first of them once more."""
    query, key, value = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (10, 12, 12))
    attention = nn.functional.scaled_dot_product_attention
    result = attention(query, key, value)
    product = 2 * (2 * 3) * 10 * 12 * 8
    assert flops.count(lambda: attention(query, key, value)) == 2 * product
    assert flops.count(lambda: result.sum().backward()) == 5 * product
    with torch.device("meta"):
        planes = [torch.empty(2, 3, n, 8) for n in (10, 12, 12)]
    assert flops.count(lambda: attention(*planes)) == 2 * product


def test_operations_are_proportional_to_images_and_the_same_without_data():
    config = load("test")
    few, many = (flops.training_step(config, n, 64) for n in (6, 27))
    assert many * 6 == few * 27
    step = Step(build(config)).train()
    images, labels = steps.batch(steps.Size(6, 64, 0), 0)
    assert flops.count(lambda: step(images, labels)["total"].backward()) == few


def test_a_frozen_backbone_costs_its_forward_pass_only():
    config = load("test")
    forward = flops.inference(config, 6, 64)
    frozen = flops.training_step(config, 6, 64, frozen=True)
    free = flops.training_step(config, 6, 64)
    head = frozen - forward
    assert 0 < head < 0.2 * forward
    assert 2.5 * forward < free < 3 * forward + head + 1


# -- cost ---------------------------------------------------------------------------------------


def test_operations_of_a_run_by_hand():
    """10 steps an epoch: 8 epochs of 30 and 2 of 10 a step, 10 validations of 7 images, 5 tests."""
    schedule = cost.Schedule(10, 2, 10, train_images=100, val_images=7, test_images=5)
    assert schedule.steps_per_epoch == 10
    assert cost.run_flops(schedule, 30, 10, 1) == 10 * (8 * 30 + 2 * 10) + 10 * 7 + 5


def test_gpu_hours_by_hand():
    """3.6e18 operations at half of 1e15 a second are 7,200 seconds."""
    assert cost.gpu_hours(3.6e18, 1e15, 0.5) == pytest.approx(2)


def test_paper_schedule_and_runs():
    """Section 4.1: 600 identities, five classes, 30 frames; Table 1: nine sets and API-Net."""
    assert cost.TRAIN_IMAGES == 90_000
    runs = cost.paper_configs()
    assert len(runs) == 10
    assert runs["API-Net(ResNet101)"].model.backbone == "resnet101"


@pytest.fixture(scope="module")
def estimate():
    return cost.estimate(
        {"MCX-API(RGB)": load("paper"), "API-Net(ResNet101)": load("paper", detector="api-net")}
    )


def test_counted_operations_are_those_of_the_published_networks(estimate):
    """Xception: 8.4 billion multiply-adds at 299 px; ResNet101: 7.8 billion at 224 px."""
    runs = estimate["runs"]
    xception = 2 * 8.4e9 * (448 / 299) ** 2
    resnet = 2 * 7.8e9 * (448 / 224) ** 2
    assert runs["MCX-API(RGB)"]["image_flop"] == pytest.approx(xception, rel=0.05)
    assert runs["API-Net(ResNet101)"]["image_flop"] == pytest.approx(resnet, rel=0.05)


def test_estimate_multiplies_up(estimate):
    runs = estimate["runs"].values()
    for run in runs:
        training = 3333 * (92 * run["step_flop"] + 8 * run["frozen_step_flop"])
        scoring = (100 * 30_000 + cost.TEST_IMAGES) * run["image_flop"]
        assert run["run_flop"] == pytest.approx(training + scoring)
    a100 = next(c for c in estimate["cards"] if (c["name"], c["precision"]) == ("A100", "bf16"))
    total = sum(run["run_flop"] for run in runs)
    assert a100["hours"]["30"]["all_runs"] == pytest.approx(total / 312e12 / 0.3 / 3600)
    assert estimate["estimate"] is True


# -- results.json -------------------------------------------------------------------------------


def fake(ratio):
    def entry(settings):
        samples = Samples((ratio, ratio), (1.0, 1.0))
        return {"x": measure.result(samples, what="One over the other.", target=1.0)}

    return entry


@pytest.fixture
def two_entries(monkeypatch):
    """Entries "one" (0.5) and "two" (2.0), and a way to replace them."""
    functions = {"one": fake(0.5), "two": fake(2.0)}

    def entry(name):
        return lambda settings: {name: functions[name](settings)["x"]}

    monkeypatch.setattr(entries, "names", lambda: list(functions))
    monkeypatch.setattr(entries, "entry", entry)
    return functions


def test_layout_of_results(tmp_path, two_entries):
    path = tmp_path / "results.json"
    assert [list(found) for found in entries.run(path, ["one", "two"], QUICK)] == [["one"], ["two"]]
    stored = read_json(path)
    assert set(stored) == {"one", "two", "machine", "quick"}
    assert stored["quick"] is True
    assert set(stored["one"]) == {
        *("ratio", "low", "high", "target", "better", "unit", "what", "details", "met")
    }
    assert (stored["one"]["ratio"], stored["one"]["met"]) == (0.5, True)
    assert (stored["two"]["ratio"], stored["two"]["met"]) == (2.0, False)
    assert stored["machine"]["cores"] >= 1
    assert stored["machine"]["matrix_product"]["fp32"]["flops"] > 0


def test_a_subset_keeps_the_other_entries(tmp_path, two_entries):
    path = tmp_path / "results.json"
    list(entries.run(path, ["one", "two"], QUICK))
    two_entries["one"], two_entries["two"] = fake(0.7), fake(9.0)
    list(entries.run(path, ["one"], QUICK))
    stored = read_json(path)
    assert (stored["one"]["ratio"], stored["two"]["ratio"]) == (0.7, 2.0)


def test_stopping_keeps_the_finished_entries(tmp_path, two_entries, monkeypatch):
    def stop(settings):
        raise KeyboardInterrupt

    two_entries["two"] = stop
    with pytest.raises(KeyboardInterrupt):
        list(entries.run(tmp_path / "results.json", ["one", "two"], QUICK))
    stored = read_json(tmp_path / "results.json")
    assert "one" in stored
    assert "two" not in stored


def test_quick_and_full_numbers_are_not_mixed(tmp_path, two_entries):
    path = tmp_path / "results.json"
    write_json(path, {"quick": False, "two": {"ratio": 1}})
    with pytest.raises(ValueError, match="holds full measurements; choose another folder"):
        list(entries.run(path, ["one"], QUICK))
    assert read_json(path) == {"quick": False, "two": {"ratio": 1}}


def test_machines_are_not_mixed(tmp_path, two_entries):
    path = tmp_path / "results.json"
    elsewhere = machine.description(CPU) | {"processor": "abacus"}
    kept = {"machine_cuda": {}, "two_cuda": {"ratio": 3}}
    write_json(path, {"quick": True, "machine": elsewhere, "old": {"ratio": 1}} | kept)
    with pytest.raises(ValueError, match=r"measured on another machine .*abacus"):
        list(entries.run(path, ["one"], QUICK))
    list(entries.run(path, ["one", "two"], QUICK))
    stored = read_json(path)
    assert "old" not in stored
    assert stored["two_cuda"] == {"ratio": 3}


def test_a_gpus_entries_have_names_of_their_own():
    assert entries.key("mining", Settings(torch.device("cuda"))) == "mining_cuda"
    assert entries.key("mining", QUICK) == "mining"


def test_unknown_entry_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown entry 'minning'; valid: step_over_floor, "):
        entries.entry("minning")


# -- the command and the page -------------------------------------------------------------------

OWN = ["step_over_floor", "step_over_plain", "mining", "scoring", "colour", "loading"]


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """One quick run of all entries but ``faces`` (processes and videos, tested by itself)."""
    folder = tmp_path_factory.mktemp("benchmarks")
    command.main([*OWN, "storage"], quick=True, output=folder, crops=40)
    return folder


def test_quick_run_of_every_entry(quick_run):
    stored = read_json(quick_run / "results.json")
    for name in (
        *OWN,
        *(
            "step_over_floor_448",
            "step_over_floor_128",
            "step_over_plain_448",
            "step_over_plain_128",
        ),
    ):
        entry = stored[name]
        assert 0 < entry["low"] <= entry["ratio"] <= entry["high"], name
        assert entry["what"].endswith("."), name
        assert entry["details"]["repetitions"] == 2, name
    targets = {name: stored[name]["target"] for name in OWN}
    assert targets == {
        "step_over_floor": 1.05,
        "step_over_plain": 0.75,
        "mining": 0.05,
        "scoring": 0.7,
        "colour": 0.02,
        "loading": 5,
    }
    assert stored["loading"]["better"] == "higher"
    assert stored["loading"]["details"]["threads"] == 1
    assert stored["scoring"]["details"]["bf16"]["ratio"] > 0
    worse = stored["step_over_floor"]
    assert worse["ratio"] == max(stored[f"step_over_floor_{s}"]["ratio"] for s in (448, 128))


def test_page_mentions_every_entry_and_marks_estimates(quick_run):
    page = (quick_run / "RESULTS.md").read_text()
    for name in entries.ENTRIES:
        assert f"`{name}`" in page
    assert "| `faces` | not measured |" in page
    assert "numbers mean nothing" in page
    for format in storage.formats():
        assert f"| {format.name} |" in page
    _, estimates = page.split("## Cost of the paper's training: an estimate")
    tables = [line for line in estimates.splitlines() if line.startswith("| GPU ")]
    assert len(tables) == 1
    assert tables[0].count("(estimate)") == 4
    for card in cost.CARDS:
        assert f"| {card.name} | {card.precision} |" in estimates


def test_page_from_full_results_shows_ratio_interval_and_target():
    entry = Result(
        1.234,
        1.1,
        1.3,
        1.05,
        "lower",
        "s",
        "This over that.",
        {
            "seconds": 2.0,
            "seconds_compared_with": 1.6,
            "repetitions": 9,
            "threads": 2,
            "flop": 30_000_000_000,
            "flops": 15e9,
        },
    ).row()
    results = {
        "quick": False,
        "step_over_floor_448": entry,
        "machine": machine.description(CPU)
        | {"matrix_product": {"fp32": {"flops": 60e9, "size": 2048}}},
    }
    page = report.text(results)
    assert (
        "| `step_over_floor_448` | 1.23 | 1.10 to 1.30 | ≤ 1.05 | **no** | This over that. |"
        in page
    )
    # 15 of 60 GFLOP/s.
    assert "| `step_over_floor_448` | 30.0 | 2.00 | 15.0 GFLOP/s | 25 % |" in page
    assert "mean nothing" not in page
    assert page.count("## ") == page.count("\n## ") + page.count("\n### ")


def test_page_says_how_boxes_agree_and_what_the_command_takes():
    boxes = {"same_box": 0.875, "frames": 240}
    more = {"mean_overlap": 0.9412, "same_box_before": 0.75}
    command = {"frames_asked": 32, "seconds_until_first_line": 0.5, "goal_seconds": 3.0}
    command |= {"peak_megabytes": 1234.0, "goal_megabytes": 1536}
    rest = {"seconds": 1.0, "seconds_compared_with": 2.0, "repetitions": 5, "threads": 2}

    def entry(details):
        return Result(0.5, 0.4, 0.6, 1, "lower", "s", "This over that.", rest | details).row()

    results = {
        "machine": machine.description(CPU) | {"matrix_product": {}},
        "faces_480": entry(boxes),
        "faces_tracked_480": entry(boxes | more),
        "detect": entry(command),
    }
    page = report.text(results)
    same = "the same box (overlap of 0.9 or more) in 87.5 % of 240 frames"
    assert f"- `faces_480`: {same}.\n" in page
    assert (
        f"- `faces_tracked_480`: {same}, 0.941 of overlap on average; the plain call gives the box "
        "of the frame before in 75.0 %.\n"
    ) in page
    assert (
        "- `detect`: the command's first line after 0.500 s (goal 3.00 s); 1,230 MB of memory at "
        "its peak, all its processes together (goal 1,540 MB).\n"
    ) in page


def test_overlaps_that_boxes_are_compared_by():
    # 10 x 10 boxes shifted by 5: 50 of 150 shared.
    faces = [[Face((x, 0.0, x + 10.0, 10.0), 1.0)] for x in (0.0, 5.0, 20.0)]
    shared = [each_faces._shared(faces[0], other) for other in (*faces, [])]
    assert shared == pytest.approx([1, 1 / 3, 0, 0])
    assert each_faces._shared([], []) == 1


def test_a_clip_is_repeated_whole(tmp_path):
    assert answer._clip(tmp_path / "clip.mp4", 30, 3, 5) == 90
    frames = [frame.image for frame in read_frames(tmp_path / "clip.mp4", list(range(90)))]
    assert all(frame is not None for frame in frames)
    for number in (0, 7, 29):
        np.testing.assert_array_equal(frames[number], frames[number + 60])
    assert timeline(tmp_path / "clip.mp4").keys == [0, 30, 60]
    # Forwards to frame 24, and back.
    assert np.abs(frames[24].astype(int) - frames[25]).mean() < 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (0.9996, "1.00"),
        (1.3, "1.30"),
        (123.4, "123"),
        (12345, "12,300"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_the_page_alone_can_be_made_again(quick_run):
    (quick_run / "RESULTS.md").unlink()
    before = read_json(quick_run / "results.json")
    command.main(["report"], quick=True, output=quick_run)
    assert "`mining`" in (quick_run / "RESULTS.md").read_text()
    assert read_json(quick_run / "results.json") == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["colors"], "quick": False}, "unknown name 'colors'; valid: step_over_floor"),
        ({"names": ["mining"], "quick": True}, "say where to with --output"),
        ({"names": ["storage"], "crops": 0}, "--crops must be at least 1"),
    ],
)
def test_what_the_command_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        command.main(**options)


def test_check_ends_with_an_error_only_if_a_target_is_missed(tmp_path, two_entries, monkeypatch):
    monkeypatch.setattr(cost, "estimate", lambda configs: None)
    app = command.typer.Typer()
    app.command()(command.main)
    run = CliRunner().invoke
    options = ["--quick", "--output", str(tmp_path)]
    assert run(app, ["one", *options, "--check"]).exit_code == 0
    assert run(app, ["two", *options]).exit_code == 0
    assert run(app, ["two", *options, "--check"]).exit_code == 1
