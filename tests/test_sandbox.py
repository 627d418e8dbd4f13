"""What a task in the sandbox may take, and that the next one finds everything as it was."""

import os
import signal
import time

import pytest

from mcxlib.answer.sandbox import Limits, Refused, Sandbox

LIMITS = Limits(memory=256 << 20, computing=1, seconds=120, written=1 << 20, tasks=1000)


def pid():
    return os.getpid()


def hoard(size):
    return len(bytearray(size))


def spin():
    while True:
        pass


def die(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def fail(text):
    raise KeyError(text)


def write(path, size):
    path.write_bytes(bytes(size))
    return size


def says():
    os.write(1, b"out\n")
    os.write(2, b"err\n")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(LIMITS) as made:
        yield made


def test_a_task_runs_in_another_process_which_stays(sandbox):
    first = sandbox.run(pid)
    assert first != os.getpid()
    assert sandbox.run(pid) == first


def test_memory_is_limited(sandbox):
    assert sandbox.run(hoard, 64 << 20) == 64 << 20
    with pytest.raises(Refused, match=r"more than the 0\.25 GiB of memory"):
        sandbox.run(hoard, 1 << 30)
    assert sandbox.run(hoard, 1 << 20) == 1 << 20


def test_computing_is_limited(sandbox):
    with pytest.raises(Refused, match="more than 1 s of computing"):
        sandbox.run(spin)
    assert sandbox.run(hoard, 1) == 1


def test_what_is_written_is_limited(sandbox, tmp_path):
    assert sandbox.run(write, tmp_path / "small", 1 << 20) == 1 << 20
    with pytest.raises(Refused, match="File too large"):
        sandbox.run(write, tmp_path / "large", 2 << 20)
    assert (tmp_path / "large").stat().st_size <= 1 << 20


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_process_that_dies_is_said_and_replaced(sandbox, number):
    before = sandbox.run(pid)
    with pytest.raises(Refused, match=rf"died \({number.name}\)"):
        sandbox.run(die, number)
    assert sandbox.run(pid) not in (before, os.getpid())


def test_an_error_comes_back_as_its_first_line(sandbox):
    with pytest.raises(Refused, match=r"^'one'$"):
        sandbox.run(fail, "one")


def test_libraries_that_talk_are_not_heard(sandbox, capfd):
    sandbox.run(says)
    assert capfd.readouterr() == ("", "")


def test_time_is_limited_also_where_nothing_is_computed():
    with (
        Sandbox(Limits(seconds=1)) as sandbox,
        pytest.raises(Refused, match="took more than 1 s"),
    ):
        sandbox.run(time.sleep, 600)
