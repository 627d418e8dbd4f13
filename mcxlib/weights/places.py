"""What ``--weights`` is given -> the file of weights that is meant."""

from __future__ import annotations

from pathlib import Path

from mcxlib.runs import RunFolder
from mcxlib.settings import paths
from mcxlib.settings.matrix import Row

DEMO = "demo"


def find(path_or_name: str | Path) -> Path:
    """The ``.safetensors`` file of this project that ``path_or_name`` stands for.

    Args:
        path_or_name: such a file, the folder of a finished run, or ``"demo"`` for the run of
            MCX-API(RGB) of the demonstration (a folder of that name is ``./demo``).

    Raises:
        FileNotFoundError: there is nothing there, or no demonstration was made.
        ValueError: an unfinished run, a folder that is none, or a file of someone else's, which
            ``mcx weights import`` may know.
    """
    from mcxlib.weights.format import read_card

    if str(path_or_name) == DEMO:
        file = RunFolder(paths.runs(DEMO) / Row("mcx-api").run_id(seed=0)).weights
        if not file.is_file():
            raise FileNotFoundError(
                f"no demonstration weights at {file}; make makes them, or mcx train"
            )
        return file
    path = Path(path_or_name).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path}; give a .safetensors file, the folder of a run, or {DEMO!r}"
        )
    try:
        read_card(path)
    except ValueError as error:
        if " is of format " in str(error):
            raise
        raise ValueError(
            f"{path} is not a file of weights of this project; if its layout is a known one, make "
            f"such a file of it: mcx weights import '{path}'"
        ) from error
    return path


def _of_folder(path: Path) -> Path:
    folder = RunFolder(path)
    if folder.finished and folder.weights.is_file():
        return folder.weights
    if folder.config.is_file():
        raise ValueError(
            f"the run in {path} is not finished; mcx train goes on with it"
            if not folder.finished
            else f"{folder.weights} is missing; bring it back, or train that run again"
        )
    raise ValueError(
        f"{path} is not the folder of a run; give such a folder, a .safetensors file, or {DEMO!r}"
    )
