"""The notebooks' committed outputs, made anew with the preset ``test``.

    python tools/execute_notebooks.py                      # all of them
    python tools/execute_notebooks.py 05_tsne 06_cam       # these
    python tools/execute_notebooks.py --home /tmp/home     # keep what is trained for a next time

Each notebook runs twice where the first time something was made: what training and cutting print
on the way would otherwise be in its outputs. Only outputs and their counts change.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"


def executed(file: Path) -> list[dict[str, Any]]:
    """The cells of a notebook after a run of it."""
    book = nbformat.read(file, 4)
    where = {"metadata": {"path": str(file.parent)}}
    NotebookClient(
        book, timeout=None, kernel_name="python3", record_timing=False, resources=where
    ).execute()
    return json.loads(nbformat.writes(book))["cells"]


def noisy(cells: list[dict[str, Any]]) -> bool:
    """Whether something was printed on standard error: progress, most likely."""
    return any(one.get("name") == "stderr" for cell in cells for one in cell.get("outputs", ()))


def renew(file: Path) -> None:
    """Replace the outputs of a notebook; everything else stays as it is written."""
    cells = executed(file)
    if noisy(cells):
        cells = executed(file)
    stored = json.loads(file.read_text(encoding="utf-8"))
    for old, new in zip(stored["cells"], cells, strict=True):
        if old["cell_type"] == "code":
            old["outputs"] = new["outputs"]
            old["execution_count"] = new["execution_count"]
    text = json.dumps(stored, indent=1, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 05_tsne; by default all")
    parser.add_argument("--home", type=Path, help="for runs and data; by default none is kept")
    options = parser.parse_args()
    files = [NOTEBOOKS / f"{name}.ipynb" for name in options.names]
    files = files or sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    if missing := [file.stem for file in files if not file.is_file()]:
        print(f"no notebook {', '.join(missing)} in {NOTEBOOKS}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as kept_by_nobody:
        os.environ |= {"MCX_PRESET": "test", "MCX_HOME": str(options.home or kept_by_nobody)}
        for file in files:
            renew(file)
            print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
