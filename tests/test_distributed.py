"""Two processes, started by torchrun and talking over gloo on the CPU, compared with one process
that computes the same global batch by hand.

What is promised: the losses of every step, and the weights at the end, agree within float
tolerance with one process that sees the same 2 x (3 x 4) images a step. In ``process`` mining that
one process accumulates the gradients of two batches (BatchNorm normalises each by itself, as it
does in two processes). In ``gathered`` mining it mines over all 24 images at once; there BatchNorm
uses fixed statistics and dropout is off, since both would tell two halves from a whole.
"""

import itertools
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training import run

from mcxlib.config import load
from mcxlib.data.crops.dataset import CropDataset, to_float
from mcxlib.engine import fit as engine
from mcxlib.engine import processes, progress, schedule
from mcxlib.engine.score import score_rows
from mcxlib.engine.session import Step
from mcxlib.method.sampler import BalancedBatchSampler
from mcxlib.weights import build

SETTINGS = {"crop_size": 40, "input_size": 36, "epochs": 2, "per_category": 4, "optimizer": "sgd"}
SETTINGS |= {"lr": 0.02, "momentum": 0.9, "freeze_epochs": 1}
WORLD = 2
PARTS = ["total", "cross_entropy", "score_ranking"]


def fix_batchnorm_and_dropout(model):
    """The same function of each image, whatever else is in the batch."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, module=module: module
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


SCRIPT = """
    import json, math, os, pickle, signal, sys
    from pathlib import Path
    import torch
    from mcxlib import weights
    from mcxlib.detectors import mcx_api
    from mcxlib.engine import processes, progress, session
    from mcxlib.config import load
    from mcxlib.data.crops.dataset import CropDataset
    from test_distributed import SETTINGS, fix_batchnorm_and_dropout
    from training import run

    torch.set_num_threads(1)
    rows, folder = pickle.load(open(sys.argv[1], "rb"))
    out = Path(sys.argv[2])
    rank = int(os.environ["RANK"])
    shown, messages = [], {}
    plain_items, plain_loss = CropDataset.__getitems__, mcx_api.pair_loss
    plain_build = weights.build

    plain_save = progress.save_state
    def save(folder, step, state):
        torch.save(state["model"], folder.parent.with_suffix(".pt"))
        return plain_save(folder, step, state)
    progress.save_state = save

    def fit(name, **settings):
        options = {"state_seconds": settings.pop("state_seconds", 600.0)}
        config = load("test", **(SETTINGS | settings))
        try:
            return run(config, (rows, folder), out / name, {"accelerator": "cpu"} | options)
        except (session.Diverged, session.Stopped, ValueError) as error:
            messages.setdefault(name, []).append([type(error).__name__, str(error)])

    def items(self, indices):
        if self.augment:
            shown.append([self.epoch, indices])
        return plain_items(self, indices)

    plain_metric = session.metrics.per_manipulation
    def metric(is_fake, fake_score, manipulation):
        messages["scores"] = sorted(fake_score.tolist())
        return plain_metric(is_fake, fake_score, manipulation)

    CropDataset.__getitems__ = items
    session.metrics.per_manipulation = metric
    history = fit("process")
    session.metrics.per_manipulation = plain_metric
    history.to_json(out / f"history-{rank}.json")
    CropDataset.__getitems__ = plain_items
    if rank == 0:
        # With both processes past the end, nothing is trained again.
        before = (out / "process" / "weights.safetensors").stat().st_mtime_ns
    fit("process")
    if rank == 0:
        assert (out / "process" / "weights.safetensors").stat().st_mtime_ns == before

    # Stopped in rank 1 in the last epoch, gone on with by both.
    calls = 0
    def stopping(*a, **k):
        global calls
        calls += 1
        if calls == 6 and rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain_loss(*a, **k)
    mcx_api.pair_loss = stopping
    fit("stopped")
    messages["steps when stopped"] = calls
    mcx_api.pair_loss = plain_loss
    fit("stopped")

    # NaN in rank 1 alone.
    calls = 0
    def poisoned(*a, **k):
        global calls
        calls += 1
        losses = plain_loss(*a, **k)
        return losses._replace(total=losses.total * math.nan) if calls == 6 and rank else losses
    mcx_api.pair_loss = poisoned
    fit("poisoned", state_seconds=0.0)
    mcx_api.pair_loss = plain_loss

    config = load("test", **SETTINGS)
    try:
        options = {"accelerator": "cpu", "sync_batchnorm": True}
        run(config, (rows, folder), out / "sync", options)
    except ValueError as error:
        messages["sync"] = str(error)
    messages["first"] = processes.is_first()

    weights.build = lambda *a: fix_batchnorm_and_dropout(plain_build(*a))
    fit("gathered", mining="gathered", freeze_epochs=0, lr=0.1)
    (out / f"said-{rank}.json").write_text(json.dumps({"shown": shown, "messages": messages}))
"""


@pytest.fixture(scope="module")
def two(crop_tables, tmp_path_factory):
    """Folder with what two processes wrote, and what each of them has to say."""
    out = tmp_path_factory.mktemp("two")
    (out / "tables.pkl").write_bytes(pickle.dumps(crop_tables))
    (out / "script.py").write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={WORLD}", str(out / "script.py"), str(out / "tables.pkl")]
    paths = [str(Path(engine.__file__).parents[2]), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(out)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return out, [json.loads((out / f"said-{rank}.json").read_text()) for rank in range(WORLD)]


def by_hand(crop_tables, out, gathered, **settings):
    """Losses of each step and final weights, by a plain loop in one process."""
    rows, folder = crop_tables
    config = load("test", **(SETTINGS | settings))
    part = rows[rows["split"] == "train"].reset_index(drop=True)
    train = config.train
    data = CropDataset(part, folder, train.input_size, augment=True, seed=config.seed)
    sampler = BalancedBatchSampler(
        data.labels, train.categories, train.per_category, seed=config.seed
    )
    torch.manual_seed(config.seed)
    model = build(config)
    if gathered:
        fix_batchnorm_and_dropout(model)
    module = Step(model)
    optimizer = torch.optim.SGD(
        model.parameters(), train.lr, train.momentum, weight_decay=train.weight_decay
    )
    losses, step = [], 0
    for epoch in range(train.epochs):
        data.epoch = epoch
        model.freeze(epoch < train.freeze_epochs)
        module.train()
        sampler.set_epoch(epoch)
        plan = list(sampler)
        steps = [plan[i : i + WORLD] for i in range(0, len(plan) - WORLD + 1, WORLD)]
        for batch, parts in enumerate(steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate(
                    train, (epoch + batch / len(steps)) / train.epochs
                )
            optimizer.zero_grad()
            totals = []
            before = {k: b.clone() for k, b in model.named_buffers()}
            for rank, indices in enumerate([list(itertools.chain(*parts))] if gathered else parts):
                after = {k: b.clone() for k, b in model.named_buffers()}
                for name, buffer in model.named_buffers():
                    buffer.copy_(before[name])
                images, labels = data.__getitems__(indices)
                schedule.seed_step(config.seed, step, rank)
                loss = module(to_float(images, torch.device("cpu")), labels)
                (loss["total"] / (1 if gathered else WORLD)).backward()
                totals.append([loss[name].item() for name in PARTS])
            if not gathered:  # running statistics are those of rank 0
                for name, buffer in model.named_buffers():
                    buffer.copy_(after[name])
            optimizer.step()
            losses.append(np.mean(totals, axis=0))
            step += 1
    return np.array(losses), {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize(
    ("mining", "settings"),
    [("process", {}), ("gathered", {"mining": "gathered", "freeze_epochs": 0, "lr": 0.1})],
)
def test_losses_and_weights_are_those_of_one_process(crop_tables, two, mining, settings):
    """With ``process`` the first epoch is frozen: DDP must learn of the backbone's return."""
    out, _ = two
    losses, weights = by_hand(crop_tables, out, mining == "gathered", **settings)
    history = pd.read_parquet(out / mining / "history.parquet")
    np.testing.assert_allclose(history[PARTS], losses, rtol=1e-5)
    assert np.ptp(losses[:, 0]) > 1e-2  # it moves, so agreement says something
    stored = torch.load(out / f"{mining}.pt", weights_only=True)
    torch.testing.assert_close(stored, weights, rtol=1e-4, atol=1e-6)


def test_both_processes_know_the_same_history(two):
    out, _ = two
    tables = [pd.read_json(out / f"history-{rank}.json") for rank in range(WORLD)]
    columns = [*PARTS, "val_auc", "val_bosc"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])


def test_validation_is_of_rank_0s_network_whoever_computes_it(crop_tables, two):
    """BatchNorm's running statistics differ between the processes until they are shared."""
    out, said = two
    rows, folder = crop_tables
    config = load("test", **SETTINGS)
    model = build(config)
    model.load_state_dict(torch.load(out / "process.pt", weights_only=True))
    scores = score_rows(model, rows[rows["split"] == "val"], folder, config)
    for one in said:
        np.testing.assert_allclose(
            one["messages"]["scores"], np.sort(scores["fake_score"]), rtol=1e-6
        )


def test_no_image_is_shown_to_two_processes(two):
    _, said = two
    for epoch in range(SETTINGS["epochs"]):
        shares = [[i for e, indices in one["shown"] if e == epoch for i in indices] for one in said]
        assert len(shares[0]) == len(shares[1]) > 0
        assert len(set(shares[0]) | set(shares[1])) == len(shares[0]) + len(shares[1])


def test_a_signal_to_one_process_stops_both_and_they_go_on_exactly(two):
    out, said = two
    for one in said:
        (kind, message), *rest = one["messages"]["stopped"]
        assert not rest
        assert kind == "Stopped"
        assert "after step 6" in message
        assert one["messages"]["steps when stopped"] == 6
    assert "SIGTERM" in said[1]["messages"]["stopped"][0][1]
    a, b = (load_file(out / name / "weights.safetensors") for name in ("process", "stopped"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_nan_in_one_process_stops_both(two):
    out, said = two
    for one in said:
        ((kind, message),) = one["messages"]["poisoned"]
        assert kind == "Diverged"
        assert "loss is nan at step 6" in message
    assert progress.latest_state(out / "poisoned" / "states")["step"] == 5


def test_states_of_two_processes_are_not_gone_on_with_by_one(crop_tables, two, tmp_path):
    out, _ = two
    rows, folder = crop_tables
    config = load("test", **SETTINGS)
    with pytest.raises(ValueError, match=r"'processes': 2.*'processes': 1.*remove the folder"):
        run(config, (rows, folder), out / "poisoned")


def test_provenance_names_the_processes(two):
    record = json.loads((two[0] / "process" / "provenance.json").read_text())
    assert record["processes"] == WORLD
    assert record["device"] == "cpu"


def test_what_needs_gpus_is_named_and_who_is_first_is_known(two):
    for rank, one in enumerate(two[1]):
        assert one["messages"]["sync"] == "sync_batchnorm works on GPUs, not on cpu"
        assert one["messages"]["first"] == (rank == 0)


def test_one_process_in_a_job_of_several_tasks_and_nodes_is_one_process(monkeypatch):
    for name, value in {"JOB_ID": "1", "NTASKS": "4", "NNODES": "2", "PROCID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    fabric = processes.launch("32-true", "cpu")
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


@pytest.mark.parametrize(
    ("environment", "asked", "devices", "nodes"),
    [
        ({}, "auto", 1, 1),  # however many devices there are
        ({}, 3, 3, 1),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, "auto", 4, 2),
    ],
)
def test_processes_are_those_of_torchrun_or_as_many_as_asked_for(
    monkeypatch, environment, asked, devices, nodes
):
    given = {}

    class Recorder:
        def __init__(self, **options):
            given.update(options)

        def launch(self):
            pass

    monkeypatch.setattr(processes, "Fabric", Recorder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    processes.launch("32-true", "cpu", asked)
    assert (given["devices"], given["num_nodes"]) == (devices, nodes)
