"""An environment of its own, far from the checkout, with the wheels of this project in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.cli import clean_environment
from tests.support.documents import ROOT


def fresh_environment(folder: Path, *others: str, projects: tuple[Path, ...] = (ROOT,)) -> Path:
    """Its python. `projects`: folders of which wheels are made; `others`: what pip is to install beside them."""
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    for project in projects:
        run(project, sys.executable, *build)
    run(folder, sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wheels = [str(wheel) for wheel in sorted(folder.glob("*.whl"))]
    run(folder, *pip, "--constraint", str(ROOT / "constraints.txt"), *wheels, *others)
    return python


def run(folder: Path, *command: str) -> str:
    """What it prints."""
    environment = clean_environment()
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
