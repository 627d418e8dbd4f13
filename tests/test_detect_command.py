"""``mcx detect``: lines, JSON, CSV, exit codes, and a list that goes on where it was stopped."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from fuzz import WEIGHTS
from media import write_video
from typer.testing import CliRunner

from mcxlib import cli
from mcxlib.answer import command
from mcxlib.answer.schema import Answer
from mcxlib.synthetic import render_person


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "a.mp4", 4, (160, 120), frames=render_person((5,), 160, 120, 4))
    write_video(folder / "wall.mp4", 4)
    return folder


def mcx(*arguments):
    words = ["detect", *map(str, arguments), "--max-frames", "4"]
    return CliRunner().invoke(cli.app, words)


def test_one_line_a_file_and_what_could_not_be_judged_decides_the_code(clips):
    said = mcx(clips / "a.mp4", "--weights", WEIGHTS)
    assert said.exit_code == 0
    (line,) = said.stdout.splitlines()
    assert line.startswith(f"{clips / 'a.mp4'}: ")
    assert line.endswith("4 faces in 4 of 4 frames, by weights that know drawn faces only")
    assert "trained on drawn faces only" in said.stderr
    said = mcx(clips, clips / "none.mp4", "--weights", WEIGHTS)
    assert said.exit_code == 1
    assert said.stdout.splitlines()[1:] == [
        f"{clips / 'wall.mp4'}: not judged: no face in 4 frames",
        f"{clips / 'none.mp4'}: not judged: no such file",
    ]
    assert "mcx: 3 of 3" in said.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a.mp4",), "no weights named"),
        (("a.mp4", "--weights", "nowhere"), "no weights at nowhere"),
        (("a.mp4", "--weights", WEIGHTS, "--json", "--csv"), "exclude each other"),
        (("a.mp4", "--weights", WEIGHTS, "--people", "some"), "--people is all or largest"),
        (
            ("a.mp4", "--weights", WEIGHTS, "--precision", "bf8"),
            "--precision is auto, fp32 or bf16",
        ),
        (("a.mp4", "--weights", WEIGHTS, "--every", "-1"), "every"),
        ((), "files"),
    ],
)
def test_wrong_use_is_two(arguments, why):
    said = mcx(*arguments)
    assert said.exit_code == 2
    assert why in said.stderr
    assert not said.stdout


def test_the_demonstrations_weights_are_taken_by_name_only(tmp_path, monkeypatch):
    monkeypatch.setenv("MCX_HOME", str(tmp_path))
    for name in ("DATA", "RUNS", "RESULTS"):
        monkeypatch.delenv(f"MCX_{name}", raising=False)
    said = mcx("a.mp4", "--weights", "demo")
    assert said.exit_code == 2
    assert "no demonstration weights" in said.stderr


def test_json_is_the_schema_and_csv_says_the_same(clips):
    said = mcx(clips, "--weights", WEIGHTS, "--json")
    answers = [Answer.model_validate_json(line) for line in said.stdout.splitlines()]
    assert [json.loads(line)["schema_version"] for line in said.stdout.splitlines()] == [1, 1]
    rows = list(csv.DictReader(io.StringIO(mcx(clips, "--weights", WEIGHTS, "--csv").stdout)))
    assert tuple(rows[0]) == command.CSV_COLUMNS
    for answer, row in zip(answers, rows, strict=True):
        assert row["path"] == answer.path
        assert row["verdict"] == (answer.verdict or "")
        assert row["score"] == (str(answer.score.value) if answer.score else "")
        assert row["warning"] == answer.weights.warning != ""


def test_a_list_goes_on_where_it_was_stopped(clips, tmp_path, monkeypatch):
    out = tmp_path / "list/answers.jsonl"
    files = [tmp_path / name for name in ("1.mp4", "2.mp4")]
    data = (clips / "a.mp4").read_bytes()
    files[0].write_bytes(data)
    files[1].write_bytes((clips / "wall.mp4").read_bytes())
    first = mcx(*files, "--weights", WEIGHTS, "--output", out)
    whole = out.read_text().splitlines()
    assert [Answer.model_validate_json(line).path for line in whole] == list(map(str, files))
    # Cut off in the second line.
    out.write_text(whole[0] + "\n" + whole[1][:50])
    again = mcx(*files, "--weights", WEIGHTS, "--output", out)
    assert again.stdout == first.stdout
    assert "1.mp4: known already" in again.stderr
    assert "2.mp4: known already" not in again.stderr
    made = [line.split('"made"')[0] for line in out.read_text().splitlines()]
    assert made == [line.split('"made"')[0] for line in whole]
    # Another name is the same content; other content, or other options, are not.
    files[0].rename(tmp_path / "3.mp4")
    assert (
        "3.mp4: known already"
        in mcx(tmp_path / "3.mp4", files[1], "--weights", WEIGHTS, "--output", out).stderr
    )
    assert json.loads(out.read_text().splitlines()[2])["path"] == str(tmp_path / "3.mp4")
    other = mcx(tmp_path / "3.mp4", files[1], "--weights", WEIGHTS, "--output", out, "--every", 1)
    assert "known already" not in other.stderr


def test_a_file_that_is_no_list_of_answers_is_left_alone(clips, tmp_path):
    out = tmp_path / "notes.txt"
    for text, why in (
        ("some notes\n", "line 1 is no answer of this program"),
        ('{"schema_version": 99}\n', "schema version 99, this program writes 1"),
    ):
        out.write_text(text)
        said = mcx(clips / "a.mp4", "--weights", WEIGHTS, "--output", out)
        assert said.exit_code == 2
        assert why in said.stderr
        assert out.read_text() == text


def test_folders_are_videos_or_frames(tmp_path):
    for name in ("b/2.png", "b/10.png", "a/x.mp4", "a/y.jpg", "a/.hidden.mp4", "notes/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in command.expanded([tmp_path])]
    assert found == ["a/x.mp4", "a/y.jpg", "b"]
    assert list(command.expanded([tmp_path / "notes"])) == [tmp_path / "notes"]
    assert list(command.expanded([tmp_path / "none"])) == [tmp_path / "none"]


def test_a_wrong_call_is_answered_without_the_network_library():
    code = (
        "import sys; from mcxlib import cli\n"
        "sys.argv = ['mcx', 'detect', 'a.mp4']\n"
        "try: cli.main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'av' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert said.stdout.split() == ["2", "False", "False"]
    assert said.stderr.count("\n") == 1


def test_the_module_is_the_command():
    said = subprocess.run(
        [sys.executable, "-m", "mcxlib", "detect", "--help"], capture_output=True, text=True
    )
    assert said.returncode == 0
    assert "Exit code: 0 all judged" in said.stdout
