"""One environment, written down once: constraints.txt, pyproject.toml and environment.yml agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import mcxlib

ROOT = Path(__file__).parents[1]
PROMISED = (
    "jupyterlab",
    "jupyter-book",
    "papermill",
    "torch",
    "timm",
    "facenet-pytorch",
    "scikit-learn",
    "seaborn",
    "grad-cam",
    "nbval",
)
INSTALLERS = {"pip", "setuptools", "wheel"}
"""What every environment brings along by itself; not pinned."""


def pinned(lines: list[str]) -> list[tuple[str, str]]:
    """(canonical name, version) of each line that is neither empty nor a comment."""
    wanted = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line) for line in wanted]
    assert all(pins), (
        f"not 'name==version': {[w for w, p in zip(wanted, pins, strict=True) if not p]}"
    )
    return [(canonicalize_name(pin[1]), pin[2]) for pin in pins]


@pytest.fixture(scope="module")
def pins() -> list[tuple[str, str]]:
    return pinned((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def direct(project: dict) -> list[Requirement]:
    """Every requirement of pyproject.toml, the extras included."""
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def test_each_package_is_pinned_once(pins):
    names = [name for name, _ in pins]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert not INSTALLERS & set(names)
    assert canonicalize_name("mcxlib") not in names


def test_promised_packages_are_required_and_pinned(pins, direct):
    required = {canonicalize_name(requirement.name) for requirement in direct}
    assert set(PROMISED) <= required
    assert set(PROMISED) <= {name for name, _ in pins}


def test_every_requirement_of_the_project_is_pinned_within_its_range(pins, direct):
    versions = dict(pins)
    wrong = [
        str(requirement)
        for requirement in direct
        if versions.get(canonicalize_name(requirement.name)) is None
        or versions[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert wrong == []


def test_installed_versions_are_the_pinned_ones(pins, direct):
    versions = dict(pins)
    missing, different = [], []
    for requirement in direct:
        if requirement.marker and not requirement.marker.evaluate():
            continue
        name = canonicalize_name(requirement.name)
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        # A local part ("+cpu") is the same release, built for other hardware.
        if Version(found).public != Version(versions[name]).public:
            different.append(f"{name}: {found} installed, {versions[name]} pinned")
    assert missing == []
    assert different == []


def closure(direct: list[Requirement]) -> set[str]:
    """Canonical names of everything installed that the requirements ask for, at any depth."""
    seen: set[tuple[str, str]] = set()
    found: set[str] = set()
    waiting = [(requirement, "") for requirement in direct]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            try:
                lines = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            found.add(name)
            waiting += [(Requirement(line), wanted) for line in lines]
    return found


def test_nothing_that_is_needed_is_left_unpinned(pins, direct):
    """Otherwise a later installation would bring in whatever is newest on that day."""
    versions = dict(pins)
    needed = closure(direct) - INSTALLERS
    assert len(needed) > 100  # the walk does go below the direct requirements
    assert sorted(needed - set(versions)) == []
    different = [
        f"{name}: {metadata.version(name)} installed, {versions[name]} pinned"
        for name in sorted(needed)
        if Version(metadata.version(name)).public != Version(versions[name]).public
    ]
    assert different == []


def test_conda_installs_the_same_pins(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert all(isinstance(item, str) for item in conda), "the pip part comes last, and once"
    # Python and pip only: anything else from conda would come in a version of its own.
    assert {re.split(r"[=<> ]", item)[0] for item in conda} == {"python", "pip"}
    (python,) = (item for item in conda if item.startswith("python"))
    assert python.partition("=")[2] in Requirement(f"python{project['requires-python']}").specifier
    constraint, editable = pip["pip"]
    assert constraint.split() == ["-c", "constraints.txt"]
    assert editable.split()[0] == "-e"
    extras = re.fullmatch(r"\.\[(.+)\]", editable.split()[1])[1].split(",")
    assert set(extras) == set(project["optional-dependencies"])


def test_makefile_installs_the_same_extras(project):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = re.search(r'-c constraints\.txt -e "\.\[(.+?)\]"', text)[1].split(",")
    assert set(extras) == set(project["optional-dependencies"])


def test_version_and_licence_are_the_same_everywhere(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"] == mcxlib.__version__
    assert citation["license"] == project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    paper = citation["preferred-citation"]
    names = [person["family-names"] for person in paper["authors"]]
    assert names == ["Xu", "Raja", "Verdoliva", "Pedersen"]
    assert paper["title"] in project["description"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", changes, re.M)[1]
    assert newest in ("Unreleased", project["version"])


@pytest.mark.parametrize("linked", [False, True])
def test_make_empties_no_folder_outside_the_project(tmp_path, linked):
    (tmp_path / "elsewhere").mkdir()
    kept = tmp_path / "elsewhere/kept"
    kept.write_text("of somebody else")
    (tmp_path / "clone").mkdir()
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "environment.yml"):
        shutil.copy(ROOT / name, tmp_path / "clone")
    folder = tmp_path / "elsewhere"
    if linked:
        folder = Path(".linked")
        (tmp_path / "clone/.linked").symlink_to(tmp_path / "elsewhere")
    done = subprocess.run(
        ["make", "env", f"VENV={folder}"], cwd=tmp_path / "clone", capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"VENV={folder} lies outside this folder" in done.stdout
    assert kept.read_text() == "of somebody else"
    assert list((tmp_path / "elsewhere").iterdir()) == [kept]
