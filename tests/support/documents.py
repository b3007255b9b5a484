"""The project's pages of Markdown, and their examples carried out as a reader would.

An example is a fenced block. What its first line says decides what becomes of it:

    ```sh                   run; it has to succeed
    ```sh fails             run; it has to end with status 1
    ```sh until=WORDS       left running once WORDS are in its output; ended by Ctrl-C when its section is done
    ```sh no-run: REASON    not run
    ```text, ```json        right after a ```sh: what that prints; in a text, … stands for anything
    ```python, ```js, …     left to whoever asks for them

All examples of one section (`## …`) share a folder and their variables, one section knows nothing of another.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import free_port
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
SECONDS = 30.0
_FENCE = re.compile(r"^```(.*)$")
_PORT = re.compile(r"(?<=127\.0\.0\.1:)[0-9]{4,5}\b|(?<=--port )[0-9]{4,5}\b")


@dataclass(frozen=True, slots=True)
class Block:
    """line: of its first fence, in the page. info: what stands after the fence. follows: nothing is between it and the

    block before it.
    """

    line: int
    info: str
    text: str
    follows: bool

    @property
    def language(self) -> str:
        return self.info.split(" ")[0]

    @property
    def manner(self) -> str:
        """What is said about how to run it."""
        return self.info.removeprefix(self.language).strip()


@dataclass(frozen=True, slots=True)
class Section:
    page: Path
    title: str
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        return f"{self.page.name}: {self.title}"

    @property
    def examples(self) -> tuple[Block, ...]:
        """Those to run."""
        return tuple(block for block in self.blocks if block.language == "sh" and "no-run" not in block.manner)

    def of(self, language: str) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.language == language)


def sections(page: Path) -> Iterator[Section]:
    """What comes before the first heading of the second level has the page's own title."""
    title = page.name
    blocks: list[Block] = []
    for item in _items(page.read_text(encoding="utf-8")):
        if isinstance(item, str):
            yield Section(page, title, tuple(blocks))
            title, blocks = item, []
        else:
            blocks.append(item)
    yield Section(page, title, tuple(blocks))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    outside, lines = True, []
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            outside = not outside
        elif outside:
            lines.append(line)
    return "\n".join(lines)


def _items(text: str) -> Iterator[str | Block]:
    """Titles of the second level, and blocks."""
    info, begin, end = None, 0, -1
    lines = text.splitlines()
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and info is None:
            info, begin = fence[1], number
        elif fence and info is not None:
            between = "".join(lines[end + 1 : begin]) if end >= 0 else "the beginning of the page"
            yield Block(begin + 1, info, "\n".join(lines[begin + 1 : number]), follows=not between.strip())
            info, end = None, number
        elif info is None and line.startswith("## "):
            yield line.removeprefix("## ")
    assert info is None, f"a block is not closed: line {begin + 1}"


class Reader:
    """Does what a section says, in `folder`. `ports`: what stands in for a port that the page names.

    A port that is not in `ports` gets a free one at its first use.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], ports: Mapping[str, int] | None = None) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._environment["PATH"] = f"{_program(folder)}:{self._environment.get('PATH', '')}"
        self._ports = dict(ports or {})
        self._running: list[tuple[Block, asyncio.subprocess.Process, Path]] = []

    async def read(self, section: Section) -> None:
        """Raises AssertionError with the place in the page."""
        try:
            for block, after in zip(section.blocks, (*section.blocks[1:], None), strict=True):
                if block not in section.examples:
                    continue
                try:
                    await self._do(block, after if after and after.follows else None)
                except (AssertionError, TimeoutError) as error:
                    raise AssertionError(f"{section.page.name}, line {block.line}: {error}") from error
        finally:
            await self._end()

    def ported(self, text: str) -> str:
        """With the ports of this machine."""
        return _PORT.sub(lambda found: str(self._ports.setdefault(found[0], free_port())), text)

    async def _do(self, block: Block, told: Block | None) -> None:
        if block.manner.startswith("until="):
            await self._begin(block, block.manner.removeprefix("until="))
            return
        assert block.manner in ("", "fails"), f"{block.info!r} is not understood"
        status, output = await self._run(block.text)
        assert status == (1 if block.manner else 0), f"ended with {status}:\n{output}"
        if told is not None and told.language in ("text", "json"):
            check(told.language, self.ported(told.text), output)

    async def _run(self, script: str) -> tuple[int, str]:
        """Variables that it sets are there for the next one."""
        variables = self._folder / ".variables"
        whole = f"set -aeuo pipefail\n{self.ported(script)}\nenv -0 > {variables}"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", whole, cwd=self._folder, env=self._environment, stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        if process.returncode == 0:
            pairs = (pair.partition("=") for pair in variables.read_text().split("\0") if pair)
            self._environment = {name: value for name, _, value in pairs}
        return process.returncode or 0, output.decode()

    async def _begin(self, block: Block, words: str) -> None:
        log = self._folder / f".output-{block.line}"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", f"exec {self.ported(block.text)}"),
                cwd=self._folder,
                env=self._environment,
                stdout=file,
                stderr=file,
            )
        self._running.append((block, process, log))

        def said() -> bool:
            assert process.returncode is None, f"ended with {process.returncode}:\n{log.read_text()}"
            return words in log.read_text()

        await eventually(said, within=SECONDS, why=f"{words!r} is not said")

    async def _end(self) -> None:
        while self._running:
            block, process, log = self._running.pop()
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            try:
                status = await asyncio.wait_for(process.wait(), SECONDS)
            except TimeoutError:
                process.kill()
                status = await process.wait()
            assert status in (0, 130), f"line {block.line} ended with {status}:\n{log.read_text()}"


def check(language: str, told: str, output: str) -> None:
    """Whether `output` is what the page says, apart from blanks; of JSON, from figures and ids too."""
    if language == "json":
        said = list(_values(output))
        assert all(_agrees(*pair) for pair in zip(_values(told), said, strict=True)), output
        return
    pattern = r"\s+".join(re.escape(word).replace("…", ".*") for word in told.split())
    assert re.fullmatch(pattern, output.strip()), output


def _values(text: str) -> Iterator[Any]:
    """JSON values, one after the other."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].strip()


def _agrees(told: Any, said: Any) -> bool:
    """A list of one stands for any number of the same kind; a text with digits in it, and a number, for any other."""
    if isinstance(told, dict) and isinstance(said, dict):
        return told.keys() == said.keys() and all(_agrees(told[key], said[key]) for key in told)
    if isinstance(told, list) and isinstance(said, list):
        kinds = told * len(said) if len(told) == 1 and said else told
        return len(kinds) == len(said) and all(map(_agrees, kinds, said))
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return bool(told == said)
    return type(told) is type(said) and (told == said or bool(re.search("[0-9]", str(told))))


def _program(folder: Path) -> Path:
    """A folder in which `wsplatform` is the one of this interpreter."""
    path = folder / ".bin" / "wsplatform"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wsplatform "$@"\n')
    path.chmod(0o755)
    return path.parent


def script(name: str) -> Any:
    """A module of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
