"""The wheel, as a user gets it: in an environment of its own, outside the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = {"torch", "matplotlib", "pyarrow", "onnx", "pythia8mc", "fastjet", "scikit-learn"}


def _pip(python: Path | str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment that holds the wheel and what it asks for, and nothing else.

    As on a machine without a C compiler; `make test-compiled` is about the other wheel.
    """
    folder = tmp_path_factory.mktemp("wheel")
    built = _pip(sys.executable, "wheel", "--no-deps", "-w", folder, ROOT, CC="no-such-compiler")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("sonic_hep-*-py3-none-any.whl")
    venv.create(folder / "env", with_pip=True)
    done = _pip(folder / "env" / "bin" / "python", "install", wheel)
    assert done.returncode == 0, done.stderr
    return folder / "env"


def test_what_is_to_be_compiled_is_there() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    modules = wheel["hooks"]["custom"]["modules"]
    assert modules
    assert modules == sorted(modules)
    assert all((ROOT / "src" / module).is_file() for module in modules)


@pytest.mark.timeout(600)
def test_a_wheel_that_must_be_compiled_and_cannot_be_says_why(tmp_path: Path) -> None:
    demanded = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1", "CC": "no-such-compiler"}
    built = _pip(sys.executable, "wheel", "--no-deps", "-w", tmp_path, ROOT, **demanded)
    assert built.returncode != 0
    assert "there is no C compiler no-such-compiler" in built.stdout + built.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.timeout(600)
def test_a_base_install_is_small_and_needs_no_optional_package(installed: Path) -> None:
    listed = json.loads(_pip(installed / "bin" / "python", "list", "--format", "json").stdout)
    assert not OPTIONAL & {row["name"].lower() for row in listed}
    (packages,) = installed.glob("lib/python*/site-packages")
    brought = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}  # by every environment
    size_mb = (
        sum(
            file.lstat().st_size
            for file in packages.rglob("*")
            if file.is_file() and file.relative_to(packages).parts[0] not in brought
        )
        / 1e6
    )
    assert size_mb < 300  # of which onnxruntime and numpy have half, and grow


@pytest.mark.timeout(600)
def test_the_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sonic, sonic.workloads.miniaod as m; w = m.workflow(); print(sonic.__file__); assert w.models.is_dir()"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which may lead to the checkout
    done = subprocess.run(
        [installed / "bin" / "python", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout
    shown = subprocess.run(
        [installed / "bin" / "sonic", "--help"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "serve" in shown.stdout


def test_the_first_workflow_needs_no_more_than_its_page_says() -> None:
    page = (ROOT / "docs" / "first-workflow.md").read_text()
    code = "\n".join(re.findall(r"^```python.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    imported = {match[1] for match in re.finditer(r"^(?:import|from) (\w+)", code, re.MULTILINE)}
    (said,) = re.findall(r"`pip install (.*)`", page)
    wanted = [Requirement(line) for line in requires("sonic-hep") or []]
    base = {each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})}
    assert imported <= {"sonic", *said.split(), *base, *sys.stdlib_module_names}


def test_extras_admit_the_cpu_build_of_torch() -> None:
    wanted = [Requirement(line) for line in requires("sonic-hep") or []]
    (torch,) = {str(r.specifier) for r in wanted if r.name == "torch"}
    assert Requirement(f"torch{torch}").specifier.contains("2.13.0")


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_extra_that_is_named_is_there() -> None:
    there = set(_project()["project"]["optional-dependencies"])
    files = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")]
    named = {
        extra: file
        for file in files
        for match in re.finditer(r"sonic-hep\[([a-z,]+)\]", file.read_text())
        for extra in match[1].split(",")
    }
    assert {extra: file for extra, file in named.items() if extra not in there} == {}


def test_the_source_distribution_has_what_its_tests_and_pages_need() -> None:
    packed = set(_project()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert {"conftest.py", "demo", "docs", "tests", "tools", "benchmarks"} <= packed
    linked = re.findall(r"\]\(([^)#:]+)", (ROOT / "README.md").read_text())
    assert {Path(link).parts[0] for link in linked} <= packed
