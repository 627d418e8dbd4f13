"""The report as a page on one's own machine: drop a file on it, read what is said of the file.

The server listens on 127.0.0.1 alone and answers to that name alone, which keeps other people's
pages from reaching it through a name that they point there. The browser is told to load nothing
from anywhere else. What is dropped lies in a folder of the server's own: it is removed when it has
been judged, and the folder when the server ends.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib.answer import report

if TYPE_CHECKING:
    from mcxlib.answer.judge import Judged

HOST = "127.0.0.1"

MAX_SIZE = "500mb"
"""Of a dropped file."""

_FONTS = ["system-ui", "sans-serif"]

# The field's "- or -" is too pale to read.
_CSS = ".or { color: inherit !important; }"

_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; "
    "object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)

_WORDS = """# Is this face manipulated?

Drop a video or a picture. It is judged on this computer and goes nowhere else: it is removed when
it has been judged, and the report is kept only if you save it."""


def serve(
    judge: Callable[[Path], Judged],
    port: int | None = None,
    max_size: str = MAX_SIZE,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        RuntimeError: gradio is not installed.
        ValueError: the port is taken, or ``max_size`` is no size.
    """
    with running(judge, port, max_size, open_browser) as address:
        say(f"{address} (Ctrl-C ends it)")
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def running(
    judge: Callable[[Path], Judged],
    port: int | None = None,
    max_size: str = MAX_SIZE,
    open_browser: bool = False,
) -> Iterator[str]:
    """The page served in the background, inside the block; yields its address.

    Args:
        judge: called with one file at a time, in another thread.
        port: None takes the first free one from 7860 on.
        max_size: of a file, such as "500mb".
        open_browser: show the page in the user's browser.

    Raises:
        RuntimeError, ValueError: see :func:`serve`.
    """
    with tempfile.TemporaryDirectory(prefix="mcx-app-") as folder, _only_ours(folder):
        page = _page(judge)
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=open_browser,
                prevent_thread_lock=True,
                quiet=True,
                max_file_size=max_size,
                run_history=False,
                footer_links=[],
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                theme=available().themes.Default(font=_FONTS, font_mono=["ui-monospace"]),
                css=_CSS,
                app_kwargs={"middleware": _middleware(), "docs_url": None, "redoc_url": None},
            )
        except OSError as error:
            raise ValueError(f"port {port} cannot be used ({error}); name another one") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


@contextmanager
def _only_ours(folder: str) -> Iterator[None]:
    """The environment in which gradio writes into ``folder`` and speaks to nobody."""
    local = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), HOST]))
    ours = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": folder,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        # It asks its own server whether it is there, which is no matter for a proxy.
        "NO_PROXY": local,
        "no_proxy": local,
    }
    before = {k: v for k, v in os.environ.items() if k in ours or k.startswith("GRADIO_")}
    for name in before:
        del os.environ[name]
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        os.environ.update(before)


def available() -> Any:
    """gradio, on which the page is built.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise RuntimeError(
            f"the local page needs gradio ({error}); install it: pip install '.[app]' in the "
            "project's folder"
        ) from error
    return gradio


def _page(judge: Callable[[Path], Judged]) -> Any:
    gr = available()
    with gr.Blocks(title="Is this face manipulated?", analytics_enabled=False) as page:
        gr.Markdown(_WORDS)
        dropped = gr.File(label="Video or picture", type="filepath", height=160)
        shown = gr.HTML(label="Report", show_label=False)

        def answer(path: str) -> tuple[None, str]:
            # The field is emptied, so that the next file can be dropped at once.
            try:
                return None, _answer(judge, Path(path))
            except Exception as error:  # whatever it is, who waits for an answer is told
                said = escape(f"{type(error).__name__}: {error}")
                raise gr.Error(f"It could not be judged: {said}", duration=None) from error

        dropped.upload(
            answer, dropped, [dropped, shown], concurrency_limit=1, api_visibility="private"
        )
    return page


def _answer(judge: Callable[[Path], Judged], path: Path) -> str:
    """The report about a dropped file, as an element of the page; the file is removed."""
    try:
        judged = judge(path)
        # Where it was put here is not what the user knows it by.
        named = judged.answer.model_copy(update={"path": path.name})
        text = report.html(replace(judged, answer=named))
    finally:
        # Each dropped file lies in a folder of its own.
        with suppress(OSError):
            shutil.rmtree(path.parent)
    name = escape(f"{path.stem}.report.html")
    inside = base64.b64encode(text.encode("utf-8")).decode("ascii")
    link = f'<a style="color: inherit" download="{name}" href="data:text/html;base64,{inside}">'
    return f"<p>{link}Save this report</a></p>{report.frame(text, 'Report', '85vh')}"


def _middleware() -> list[Any]:
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return [Middleware(TrustedHostMiddleware, allowed_hosts=[HOST]), Middleware(_Policy)]


class _Policy:
    """Refuses what another site's page sends, and tells the browser to load nothing from others."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cache-control", b"no-store"),
                ]
                message = message | {"headers": [*message["headers"], *more]}
            await send(message)

        headers = dict(scope.get("headers", ()))
        origin = headers.get(b"origin")
        if origin is not None and origin != b"http://" + headers.get(b"host", b""):
            from starlette.responses import PlainTextResponse

            refusal = PlainTextResponse("this page is for its own use only", status_code=403)
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send_with_policy)
