"""What somebody hands in, damaged: read, or refused by name; never another error."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from fuzz import broken
from fuzz_readers import READERS, REFUSALS, card, once
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_merge import make

from mcxlib import cli, weights
from mcxlib.config import load
from mcxlib.pipeline import merge as merging

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", READERS)
def test_broken_files_are_read_or_refused(name, tmp_path):
    reader = READERS[name]
    whole = reader.whole()
    path = tmp_path / f"x{reader.suffix}"
    assert once(reader, path, whole) == ""
    rng = np.random.default_rng(0)
    refused = sum(
        bool(once(reader, path, broken({reader.suffix: whole}, rng)[1])) for _ in range(60)
    )
    assert refused > 10  # else they are not broken


def places(value, path=()):
    """The ways to every value inside a JSON value, its own included."""
    yield path
    inside = value.items() if isinstance(value, dict) else ()
    for key, one in inside:
        yield from places(one, (*path, key))


@given(data=st.data())
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_card_with_anything_in_it_is_read_or_refused(data, tmp_path):
    config = load("test").stored()
    whole = {"format": 1, "detector": "mcx-api", "label": "x", "classes": ["real", "DF"]}
    whole |= {"config": config}
    way = data.draw(st.sampled_from(list(places(whole))))
    value = data.draw(JSON)
    if way:
        holder = whole
        for step in way[:-1]:
            holder = holder[step]
        holder[way[-1]] = value
    else:
        whole = value
    path = tmp_path / "x.safetensors"
    path.write_bytes(card(json.dumps(whole)))
    for read in (weights.read_card, weights.load):
        try:
            read(path)
        except REFUSALS as error:
            refusal = str(error)
        else:
            continue
        assert path.name in refusal
        assert len(refusal.splitlines()) == 1 or "fit the network" in refusal


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path, capsys, monkeypatch):
    name = str(tmp_path / "\x1b[31mred\r.png")
    monkeypatch.setattr("sys.argv", ["mcx", "figures", "--from", name])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert r"\x1b[31mred\r.png" in said
    assert said.count("\n") == 1
    assert said.strip().isprintable()


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_damaged_run_of_another_machine_is_merged_or_refused_by_name(data, tmp_path):
    """One of its files cut, flipped, emptied, gone, a folder, or JSON with anything in it."""
    given_, into = tmp_path / "given", tmp_path / "all"
    for folder in (given_, into):
        shutil.rmtree(folder, ignore_errors=True)
    run = make(given_)
    kept = make(given_, seed=1)
    file = data.draw(st.sampled_from(sorted(f for f in run.path.rglob("*") if f.is_file())))
    whole = file.read_bytes()
    kind = data.draw(st.sampled_from(["broken", "gone", "folder", "other"]))
    if kind == "broken":
        rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
        file.write_bytes(broken({file.suffix: whole}, rng)[1])
    elif kind == "other" and file.suffix == ".json":
        told = json.loads(whole)
        *way, last = data.draw(st.sampled_from([w for w in places(told) if w]))
        holder = told
        for step in way:
            holder = holder[step]
        holder[last] = data.draw(JSON)
        file.write_text(json.dumps(data.draw(st.sampled_from([told, [], None, 3]))))
    else:
        file.unlink()
        if kind == "folder":
            file.mkdir()
    try:
        found, refusal = merging.merge([given_], into), ""
    except ValueError as error:
        found, refusal = [], str(error)
    if refusal:
        assert run.run_id in refusal
        assert not into.exists() or not [f for f in into.rglob("*") if f.is_file()]
    else:
        assert kept.run_id in {one.run for one in found if one.what == "merged"}
    assert not list(into.rglob(".tmp-*"))
