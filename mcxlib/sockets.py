"""Places for the sockets over which processes of this program talk to each other."""

from __future__ import annotations

import os
import tempfile
from multiprocessing import process, util

LONGEST = 100
"""Bytes of a socket's name: Linux allows 107, macOS 103."""

ADDED = len("/pymp-12345678/listener-12345678")
"""What :mod:`multiprocessing` adds to the folder for temporary files."""

SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def make_room() -> None:
    """Let multiprocessing have its sockets elsewhere if the folder for temporary files has too long
    a name for them. To be called before processes are started that need any.

    Raises:
        ValueError: there is no other place.
    """
    folder = tempfile.gettempdir()
    length = len(os.fsencode(folder))
    chosen = process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if length + ADDED <= LONGEST or chosen:
        return
    for short in SHORT:
        if os.access(short, os.W_OK | os.X_OK):
            before = tempfile.tempdir
            tempfile.tempdir = short
            try:
                util.get_temp_dir()  # makes one, removes it at the end, and remembers it until then
            finally:
                tempfile.tempdir = before
            return
    raise ValueError(
        f"the folder for temporary files, {folder}, has a name of {length} bytes, too long for "
        f"sockets in it: set TMPDIR to one of at most {LONGEST - ADDED}"
    )
