"""Drives native/generator.c."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.host import BenchmarkError, cpu_seconds, pinned

_SETTLE = 0.05  # seconds until a server has done what follows the last delivery


@dataclass(frozen=True, slots=True)
class Phase:
    """What one command took: seconds of CPU of each watched process and of the generator, and of the clock."""

    cpu: tuple[float, ...]
    generator_cpu: float
    seconds: float
    answer: dict[str, Any]


class Generator:
    """One process of the load generator. `watched`: the processes whose CPU is counted while it works."""

    def __init__(self, binary: Path, core: int, port: int, path: str, watched: Sequence[int]) -> None:
        self._watched = tuple(watched)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        with pinned(core):
            self._process = subprocess.Popen(
                [str(binary), str(port), path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            stream.close()

    def do(self, command: str) -> Phase:
        """Raises BenchmarkError when a connection fails, or what was sent does not arrive."""
        before = [cpu_seconds(pid) for pid in self._watched]
        answer = self._ask(command)
        time.sleep(_SETTLE)
        cpu = tuple(cpu_seconds(pid) - start for pid, start in zip(self._watched, before, strict=True))
        return Phase(cpu, answer.get("cpu", 0.0), answer.get("seconds", 0.0), answer)

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            raise BenchmarkError(f"generator: {said or 'ended'} (at: {command[:60]})")
        answer: dict[str, Any] = json.loads(line)
        return answer
