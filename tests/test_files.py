"""Unfinished files: whose they are, when they are left over, and that readers pass over them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from mcxlib.files import (
    clear_partial,
    leftovers,
    replacing,
    temporary_name,
    visible,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def dead():
    """The number of a process that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive():
    """The number of another process that lives as long as the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def left(folder, name, days=0.0):
    """A file with half of something in it, last written into so many days ago."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_an_unfinished_file_names_its_writer(tmp_path):
    with replacing(tmp_path / "table.parquet") as temporary:
        assert names(tmp_path) == [temporary.name]
        host, pid = re.escape(socket.gethostname()), os.getpid()
        assert re.fullmatch(rf"\.tmp-{host}-{pid}-[0-9a-f]{{8}}\.parquet", temporary.name)
        assert list(leftovers(tmp_path)) == []  # this process lives
        temporary.write_bytes(b"x")
    assert names(tmp_path) == ["table.parquet"]
    assert temporary_name() != temporary_name()


def test_a_killed_writers_file_is_left_over_and_cleared(tmp_path):
    """A real writer, killed in the middle of its work; while it lives its file is its own."""
    code = f"""
from pathlib import Path
from mcxlib.files import replacing
with replacing(Path({str(tmp_path / "a.json")!r})) as temporary:
    temporary.write_text("half")
    print("there", flush=True)
    input()
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"there\n"
    (unfinished,) = tmp_path.iterdir()
    clear_partial(tmp_path)
    assert unfinished.read_text() == "half"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert list(leftovers(tmp_path)) == [unfinished]
    clear_partial(tmp_path)
    assert names(tmp_path) == []


def test_only_files_of_dead_writers_are_left_over(tmp_path, dead, alive):
    here = socket.gethostname()
    gone = [
        left(tmp_path, f".tmp-{here}-{dead}-0a1b2c3d.npy"),
        left(tmp_path, f".tmp-{here}-{dead}-0a1b2c3d"),
        left(tmp_path, f".tmp-another-host-7-{alive}-0a1b2c3d.pt", days=1.1),
        left(tmp_path, ".tmp-ab12_xyz.parquet", days=1.1),
    ]
    left(tmp_path, f".tmp-{here}-{alive}-0a1b2c3d.npy", days=400)
    left(tmp_path, f".tmp-another-host-7-{dead}-0a1b2c3d.pt", days=0.9)
    left(tmp_path, ".tmp-ab12_xyz.npy", days=0.9)
    left(tmp_path, f"tmp-{here}-{dead}-0a1b2c3d.npy", days=9)  # a user's own
    left(tmp_path, ".hidden", days=9)
    (tmp_path / f".tmp-{here}-{dead}-folder").mkdir()
    below = left(tmp_path, f"sub/.tmp-{here}-{dead}-0a1b2c3d.npy")
    assert set(leftovers(tmp_path)) == set(gone)
    assert set(leftovers(tmp_path, recursive=True)) == {*gone, below}
    kept = set(names(tmp_path)) - {path.name for path in gone}
    clear_partial(tmp_path)
    assert set(names(tmp_path)) == kept
    assert below.is_file()
    clear_partial(tmp_path, recursive=True)
    assert not below.exists()
    clear_partial(tmp_path / "absent")


def test_a_file_that_vanishes_meanwhile_is_no_leftover(tmp_path, dead):
    for number in range(3):
        left(tmp_path, f".tmp-{socket.gethostname()}-{dead}-{number}")
    found = leftovers(tmp_path)
    next(found).unlink()
    for path in tmp_path.iterdir():
        path.unlink()
    assert list(found) == []


def test_readers_see_whole_files_only_and_in_order(tmp_path):
    for name in ("b.json", "a.json", "sub/c.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_json(tmp_path / name, {})
    left(tmp_path, ".tmp-x-1-0a1b2c3d.json")
    left(tmp_path, "._a.json")
    left(tmp_path, "sub/.tmp-x-1-0a1b2c3d.json")
    left(tmp_path, ".hidden/d.json")
    assert [f.name for f in visible(tmp_path, "*.json")] == ["a.json", "b.json"]
    found = visible(tmp_path, "**/*.json")
    assert found == [tmp_path / name for name in ("a.json", "b.json", "sub/c.json")]
    assert visible(tmp_path / "absent", "*") == []


def test_a_hidden_folder_may_hold_the_whole_project(tmp_path):
    folder = tmp_path / ".cache"
    write_text(folder / "a.txt", "")
    assert visible(folder, "*.txt") == [folder / "a.txt"]
