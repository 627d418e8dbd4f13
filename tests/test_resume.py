"""Exact resume: a run that is killed, stopped or damaged at any moment and started again ends with
the same bits as one that never was.

Children are forked from one process that has imported everything, so that starting one costs
nothing. They are killed with SIGKILL, at moments drawn at random: after so many steps and so many
milliseconds more, which is anywhere in a step, in reading or in writing a state. (They wait for
their end before a second step more, so that each moment finds something left to interrupt.)
"""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch
import training
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mcxlib.config import load
from mcxlib.engine import progress, session
from mcxlib.engine.history import History
from mcxlib.engine.processes import Crew, Signals

SETTINGS = {"crop_size": 40, "input_size": 36, "epochs": 3, "per_category": 4, "freeze_epochs": 1}
SEED = 20260101
ROOT = Path(__file__).parents[1]

HARNESS = """
    import json, os, pickle, signal, sys, time
    from pathlib import Path
    import torch
    from mcxlib.config import load
    from mcxlib.detectors import mcx_api
    from training import run

    torch.set_num_threads(1)
    rows, folder = pickle.load(open(sys.argv[1], "rb"))
    out, plan = Path(sys.argv[2]), json.loads(sys.argv[3])
    config = load("test", **plan["settings"])
    plain = mcx_api.pair_loss

    def child(name, workers, seconds, last, report, gate):
        calls = 0
        def told(*a):
            nonlocal calls
            calls += 1
            os.write(report, b".")
            if calls == last:
                os.read(gate, 1)  # until the other end is closed
            return plain(*a)
        mcx_api.pair_loss = told
        code = 1
        try:
            options = {"loader_workers": workers, "state_seconds": seconds}
            run(config, (rows, folder), out / name, options)
            code = 0
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        finally:
            os._exit(code)

    def start(name, workers, seconds, last):
        take, report = os.pipe()
        gate, opener = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(take)
            os.close(opener)
            child(name, workers, seconds, last, report, gate)
        os.close(report)
        os.close(gate)
        return pid, take, opener

    def workers_of(pid):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(pid, take, opener):
        os.close(opener)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(take)  # not before: it may be beginning a step
        return code

    endings = [["nothing", end(*start("reference", 0, 600.0, 0))]]
    for moment in plan["moments"]:
        steps = moment["steps"]
        pid, take, opener = start("killed", moment["workers"], moment["seconds"], steps + 2)
        for _ in range(steps):
            if not os.read(take, 1):
                raise SystemExit(f"{moment} ended by itself: {end(pid, take, opener)}, {endings}")
        time.sleep(moment["delay"])
        workers = workers_of(pid) if moment["victim"] == "worker" else []
        for victim in workers or [pid]:
            os.kill(victim, getattr(signal, moment["signal"]))
        if moment["victim"] == "worker":
            # It is noticed only if the worker still had something to read.
            time.sleep(0.3)
            os.kill(pid, signal.SIGKILL)
        endings.append([f"{moment['signal']} {moment['victim']}", end(pid, take, opener)])
    endings.append(["nothing", end(*start("killed", 1, 600.0, 0))])
    (out / "endings.json").write_text(json.dumps(endings))
"""


def moments():
    draw = random.Random(SEED)
    kinds = [
        # signal, whom, loader workers, seconds between states
        ("SIGKILL", "main", 0, 0.0),
        ("SIGKILL", "main", 1, 0.0),
        ("SIGKILL", "main", 0, 600.0),
        ("SIGKILL", "worker", 1, 0.0),
        ("SIGKILL", "main", 1, 0.05),
        ("SIGTERM", "main", 0, 600.0),
        ("SIGINT", "main", 1, 600.0),
    ]
    return [
        {
            "signal": name,
            "victim": victim,
            "workers": workers,
            "seconds": seconds,
            "steps": draw.randint(1, 4),
            "delay": draw.uniform(0, 0.1),
        }
        for name, victim, workers, seconds in draw.sample(kinds, len(kinds))
    ]


@pytest.fixture(scope="module")
def runs(crop_tables, tmp_path_factory):
    """Folder with an uninterrupted run and one that was interrupted again and again."""
    out = tmp_path_factory.mktemp("resume")
    (out / "tables.pkl").write_bytes(pickle.dumps(crop_tables))
    plan = {"settings": SETTINGS, "moments": moments()}
    print("moments:", json.dumps(plan["moments"], indent=1))
    code = textwrap.dedent(HARNESS)
    command = [sys.executable, "-c", code, str(out / "tables.pkl"), str(out), json.dumps(plan)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "tests"]))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-5000:] + done.stdout[-2000:]
    return out, plan["moments"], json.loads((out / "endings.json").read_text()), done.stdout


def test_the_interruptions_were_interruptions(runs):
    out, planned, endings, said = runs
    codes = {
        "nothing": {0},
        "SIGKILL main": {-signal.SIGKILL},
        "SIGKILL worker": {-signal.SIGKILL, 1},
        "SIGTERM main": {1},
        "SIGINT main": {1},
    }
    assert all(code in codes[what] for what, code in endings), endings
    assert len(endings) == len(planned) + 2
    assert sum(what.startswith("SIGKILL") for what, _ in endings) == 5
    assert "stopped by SIGTERM after step" in said
    assert "stopped by SIGINT after step" in said
    assert said.count("Stopped") == 2
    assert (out / "killed" / "provenance.json").is_file()


def test_final_weights_are_bit_identical(runs):
    """Also: with and without loader workers, since the runs differ in that."""
    out = runs[0]
    a, b = (load_file(out / name / "weights.safetensors") for name in ("reference", "killed"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_history_is_the_same_but_for_the_speed(runs):
    a, b = (
        pd.read_parquet(runs[0] / name / "history.parquet").drop(columns="images_per_second")
        for name in ("reference", "killed")
    )
    pd.testing.assert_frame_equal(a, b)


def test_nothing_is_left_behind(runs):
    left = {path.name for path in (runs[0] / "killed").rglob("*") if "tfevents" not in path.name}
    whole = {
        path.name for path in (runs[0] / "reference").rglob("*") if "tfevents" not in path.name
    }
    assert left == whole == {
        "config.json", "weights.safetensors", "history.parquet", "videos.parquet", "tensorboard",
        "provenance.json", "validation.parquet",
    }  # fmt: skip


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(e.step, e.value) for e in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_event_files_tell_each_step_once(runs):
    out = runs[0]
    history = pd.read_parquet(out / "killed" / "history.parquet")
    told = events(out / "killed" / "tensorboard")
    for tag, column in (
        ("loss/total", "total"),
        ("loss/score_ranking", "score_ranking"),
        ("learning_rate/backbone", "lr_backbone"),
        ("validation/auc", "val_auc"),
    ):
        expected = history[history[column].notna()]
        assert [step for step, _ in told[tag]] == expected["step"].tolist()
        assert [value for _, value in told[tag]] == pytest.approx(expected[column].tolist())
    assert (history["images_per_second"] > 0).all()


def test_steps_done_again_replace_the_events_of_the_first_time(tmp_path):
    """Five steps told, a state from step 3: after the restart 4 and 5 are told anew."""
    names = ("total", "cross_entropy", "score_ranking")
    loss = dict(zip(names, torch.tensor([3.0, 2.0, 1.0]), strict=True))
    first = History([], Crew(), tmp_path)
    for step in range(1, 6):
        first.add({"step": step, "epoch": 0, "lr": 0.1, "lr_backbone": 0.1}, loss, 12)
    first.flush()
    first.write_events()  # and then it is killed
    second = History(first.rows[:3], Crew(), tmp_path)
    for step in (4, 5):
        again = dict(zip(names, torch.tensor([30.0, 20.0, 10.0]), strict=True))
        second.add({"step": step, "epoch": 0, "lr": 0.1, "lr_backbone": 0.1}, again, 12)
    second.flush()
    second.close()
    assert events(tmp_path)["loss/total"] == [(1, 3), (2, 3), (3, 3), (4, 30), (5, 30)]


def test_a_signal_during_validation_leaves_it_and_it_is_done_again(
    crop_tables, tmp_path, monkeypatch
):
    rows, folder = crop_tables
    rows = rows[rows["target_id"].isin(["000", "001", "006", "008"])]
    config = load("test", **(SETTINGS | {"epochs": 2}))

    def run(name):
        return training.run(config, (rows, folder), tmp_path / name)

    whole = run("whole")
    plain, calls = session.score_rows, 0

    def interrupted(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 2:
            signal.raise_signal(signal.SIGTERM)
        return plain(*arguments, **options)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(session, "score_rows", interrupted)
        with pytest.raises(session.Stopped, match="stopped by SIGTERM after step") as stopped:
            run("stopped")
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    state = progress.latest_state(tmp_path / "stopped" / "states")
    assert state["step"] == len(whole)
    assert state["epoch"] == 1
    again = run("stopped")
    columns = ["total", "val_auc", "val_bosc", "selected"]
    pd.testing.assert_frame_equal(again[columns], whole[columns])
    a, b = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "stopped"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_second_interrupt_is_not_waited_for():
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
