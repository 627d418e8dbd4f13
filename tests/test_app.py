"""The local page: a dropped file gives its report, nothing stays, and nobody else is asked."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import judged as made
import pytest
from browser import SIZES, barriers, launched, visited
from media import write_video

from mcxlib import weights
from mcxlib.answer import app, report

ROOT = Path(__file__).parents[1]
CONTENT = b"no video at all"
CONNECTED = set()
"""Hosts that this process has opened a connection to, or asked the address of."""


def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.add(arguments[1][0])
    elif event == "socket.getaddrinfo":
        CONNECTED.add(arguments[0])


class Judging:
    """A judge that knows what to say, and keeps a note of what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, path):
        self.seen.append((path, path.read_bytes()))
        return made.judged(name=path.name)


@pytest.fixture(scope="module")
def judge():
    return Judging()


@pytest.fixture(scope="module")
def served(judge):
    sys.addaudithook(note)
    with app.running(judge, max_size="1mb") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


def drop(page, name, content):
    field = "input[type=file]"
    page.wait_for_selector(field, state="attached")
    page.set_input_files(field, files=[{"name": name, "mimeType": "video/mp4", "buffer": content}])


@pytest.mark.parametrize("size", SIZES)
def test_a_dropped_file_gives_its_report(browser, served, judge, size):
    with visited(browser, size, scheme={"desktop": "light", "phone": "dark"}[size]) as seen:
        page, asked, errors = seen
        page.goto(served)
        drop(page, f"clip {size}.mp4", CONTENT)
        frame = page.wait_for_selector("iframe").content_frame()
        frame.wait_for_selector("h1")
        assert frame.inner_text("h1") == f"Report on clip {size}.mp4"
        assert frame.inner_text("#verdict strong") == "likely manipulated"
        assert barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        path, content = judge.seen[-1]
        assert content == CONTENT
        assert not path.parent.exists()  # what was dropped is gone

        with page.expect_download() as saved:
            page.click("text=Save this report")
        assert saved.value.suggested_filename == f"clip {size}.report.html"
        expected = report.html(made.judged(name=path.name, path=path.name))
        assert Path(saved.value.path()).read_text(encoding="utf-8") == expected

        assert len(asked) > 10
        hosts = {urlsplit(u).hostname for u in asked if not u.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert errors == []
        assert page.evaluate("indexedDB.databases()") == []
        assert CONNECTED - {"127.0.0.2"} == {"127.0.0.1"}  # the server's own, too


def test_a_file_that_is_too_large_is_refused_in_words(browser, served, judge):
    before = len(judge.seen)
    with visited(browser) as (page, _, _):
        page.goto(served)
        drop(page, "large.mp4", bytes(2_000_000))
        page.wait_for_selector("text=/maximum allowed size of 1.0 M/i")
    large = {"files": ("large.mp4", bytes(2_000_000))}
    answer = httpx.post(f"{served}gradio_api/upload", files=large)  # past the page's own check
    assert answer.status_code == 413
    assert len(judge.seen) == before
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert max((f.stat().st_size for f in folder.rglob("*")), default=0) < 100_000


def test_a_fault_is_said_on_the_page_and_the_file_is_gone(browser):
    dropped = []

    def broken(path):
        dropped.append(path)
        raise OSError("no room <b>left</b>")

    with app.running(broken) as address, visited(browser) as (page, _, _):
        page.goto(address)
        drop(page, "clip.mp4", CONTENT)
        said = page.wait_for_selector("text=/could not be judged/").inner_text()
        assert "OSError: no room <b>left</b>" in said
    assert not dropped[0].parent.exists()


def test_nothing_but_this_machine_by_its_number(served):
    port = urlsplit(served).port
    assert urlsplit(served).hostname == "127.0.0.1"
    answer = httpx.get(served)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert answer.headers["cache-control"].endswith("no-store")
    assert httpx.get(served, headers={"host": f"example.org:{port}"}).status_code == 400
    # What a page of another site sends is refused, too, and not stored.
    sent = {"files": ("foreign.mp4", CONTENT)}
    for origin, status in (("http://example.org", 403), ("null", 403), (served.rstrip("/"), 200)):
        answer = httpx.post(f"{served}gradio_api/upload", files=sent, headers={"origin": origin})
        assert answer.status_code == status
        if status == 403:
            assert list(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("foreign.mp4")) == []
    # A server on every address would answer here, too.
    with pytest.raises(OSError, match=r"refused|unreachable|assign"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_taken_port_is_named(served, judge):
    port = urlsplit(served).port
    with pytest.raises(ValueError, match=f"port {port} cannot be used"), app.running(judge, port):
        pass


def test_without_gradio_it_says_what_to_install(monkeypatch, judge):
    monkeypatch.setitem(sys.modules, "gradio", None)
    before = dict(os.environ)
    with (
        pytest.raises(RuntimeError, match=r"pip install '\.\[app\]' in the project's folder"),
        app.running(judge),
    ):
        pass
    assert dict(os.environ) == before


def test_command_from_a_real_file_to_a_stop(tmp_path, browser):
    """With its own judge, and a video without a face: the page says so, and nothing is left."""
    file = tmp_path / "weights.safetensors"
    network = made.network()
    weights.save(file, network.model, network.card)
    temporary = tmp_path / "t"
    temporary.mkdir()
    command = [sys.executable, "-m", "mcxlib.cli", "app", "--weights", str(file)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/", line)[0]
        video = write_video(tmp_path / "grey.mp4")
        with visited(browser) as (page, _, _):
            page.goto(address)
            drop(page, "grey.mp4", video.read_bytes())
            frame = page.wait_for_selector("iframe").content_frame()
            frame.wait_for_selector("h1")
            said = frame.inner_text("#verdict")
            assert "not judged" in said
            assert "no face in 20 frames" in said
            assert frame.inner_text("h1") == "Report on grey.mp4"
        assert [p.name for p in temporary.glob("mcx-app-*")] != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        assert [p.name for p in temporary.glob("mcx-*")] == []
    finally:
        process.kill()
        process.wait()


def test_weights_must_be_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mcxlib.cli", "app"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mcx: no weights named")
    assert len(done.stderr.splitlines()) == 1
