import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.skips import allowed

ROOT = Path(__file__).parents[2]


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "tests.support.skips", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_a(): pytest.skip('no reason')",
        "import pytest\npytest.skip('no reason', allow_module_level=True)",
        "import pytest\n@pytest.mark.skip(reason='no reason')\ndef test_a(): pass\ndef test_b(): pass",
    ],
)
def test_a_skip_that_is_not_listed_fails_the_run(tmp_path: Path, source: str) -> None:
    done = run(tmp_path, source)
    assert done.returncode == (5 if "module_level" in source else 1)
    assert "NOT ALLOWED" in done.stdout
    assert "no reason" in done.stdout


def test_a_run_without_skips_passes(tmp_path: Path) -> None:
    assert run(tmp_path, "def test_a(): pass").returncode == 0


def test_the_list_is_patterns_with_reasons() -> None:
    assert allowed(["# comment", "", "tests/a.py::*  no such kernel"]) == {"tests/a.py::*": "no such kernel"}
