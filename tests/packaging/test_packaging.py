"""The package as users get it: built, installed into an empty environment without Node, seen by JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from nn_inspector import catalog

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
NODE = {"node", "nodejs", "npm", "npx", "yarn", "jlpm"}


def run(*command: object, path: str | None = None, cwd: Path | None = None) -> str:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PATH"] = path
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def without_node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with everything but Node."""
    folder = tmp_path_factory.mktemp("bin")
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*") if directory else ():
            if program.name not in NODE and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    assert shutil.which("node", path=str(folder)) is None
    return str(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_wheel_carries_the_lab_extension_and_is_small(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    data = f"{wheel.name.split('-py3')[0]}.data/data/share/jupyter/labextensions/nn_inspector"
    for name in (
        f"{data}/install.json",
        f"{data}/package.json",
        "nn_inspector/py.typed",
    ):
        assert name in names
    assert any(name.startswith(f"{data}/static/remoteEntry") for name in names)
    assert f"{data}/schemas/nn_inspector/plugin.json" in names
    assert not [name for name in names if name.startswith(("tests/", "js/", "node_modules/"))]
    assert wheel.stat().st_size < 1_500_000


def test_the_sdist_carries_sources_and_bundle(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    inside = {name.split("/", 1)[1] for name in names if "/" in name}
    for name in (
        "js/src/index.ts",
        "package.json",
        "yarn.lock",
        "nn_inspector/labextension/static/style.js",
        "README.md",
        "LICENSE",
    ):
        assert name in inside
    assert not [name for name in inside if name.startswith(("node_modules", ".venv"))]


def test_the_sdist_builds_without_node(built, without_node, tmp_path):
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "-w",
        tmp_path,
        next(built.glob("*.tar.gz")),
        path=without_node,
    )
    assert next(tmp_path.glob("*.whl"))


def test_the_wheel_works_in_an_empty_environment_without_node(wheel, without_node, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    bin_dir = tmp_path / "env" / "bin"
    path = os.pathsep.join([str(bin_dir), without_node])
    python = bin_dir / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "torch", path=path)
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, path=path)
    listed = run(bin_dir / "jupyter", "labextension", "list", path=path, cwd=tmp_path)
    version = json.loads((ROOT / "package.json").read_text())["version"]
    line = next(line for line in listed.splitlines() if "nn_inspector" in line)
    assert f"v{version}" in line
    assert "OK" in line
    script = "import torch, nn_inspector as nni; d = nni.watch(torch.nn.Linear(1, 1)).diagnose(); print(*(f.check for f in d.findings))"
    assert set(run(python, "-c", script, path=path, cwd=tmp_path).split()) == {info.name for info in catalog()}
