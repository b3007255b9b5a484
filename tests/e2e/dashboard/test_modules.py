"""The modules that decide what the pages say, run by Node.js."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_modules_decide_as_they_say() -> None:
    command = ["node", "--test", str(Path(__file__).with_name("modules.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
