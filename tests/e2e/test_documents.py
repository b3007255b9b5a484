"""The first pages' examples in languages other than Python."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import clean_environment, program
from tests.support.documents import ROOT, Block, sections
from tests.support.local_cluster import LocalCluster
from tests.support.wait import eventually

SDK = Path(__file__).parent / "sdk"
PAGES = (ROOT / "README.md", ROOT / "docs" / "quick-start.md")
BLOCKS = [block for page in PAGES for section in sections(page) for block in section.blocks]
JAVASCRIPT = [block for block in BLOCKS if block.language == "js"]
PHP = [block for block in BLOCKS if block.language == "php"]


def test_there_are_examples() -> None:
    assert len(JAVASCRIPT) == 3
    assert PHP


@pytest.mark.parametrize("block", JAVASCRIPT, ids=lambda block: f"line-{block.line}")
def test_javascript_is_understood(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "example.mjs"
    file.write_text(block.text)
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("php") is None, reason="php is not installed")
@pytest.mark.parametrize("block", PHP, ids=lambda block: f"line-{block.line}")
def test_php_is_understood(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "example.php"
    file.write_text(f"<?php\n{block.text}\n")
    done = subprocess.run(["php", "-l", str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout


async def test_the_subscriber_of_the_pages_gets_what_is_published() -> None:
    block, other = [block for block in JAVASCRIPT if "newSubscription" in block.text]
    assert block.text == other.text
    async with LocalCluster("--nodes", "2") as cluster:
        balancer = cluster.info["balancer"]
        assert "ws://127.0.0.1:8080/" in block.text
        script = block.text.replace("ws://127.0.0.1:8080", balancer.replace("http", "ws", 1))
        # A browser has WebSocket; Node has it from version 22 on.
        whole = f'import WebSocket from "ws"; globalThis.WebSocket = WebSocket;\n{script}'
        subscriber = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", whole), cwd=SDK, stdout=-1, stderr=-1
        )
        try:
            assert subscriber.stdout is not None
            line = asyncio.ensure_future(subscriber.stdout.readline())
            environment = clean_environment({"WSP_SERVER": balancer, "WSP_KEY": cluster.info["api_key"]})

            async def received() -> bool:
                publisher = await asyncio.create_subprocess_exec(
                    *program("publish", "news", json.dumps({"hello": "world"})), env=environment
                )
                assert await publisher.wait() == 0
                return line.done()

            await eventually(received, within=30)
            assert line.result() == b"{ hello: 'world' }\n"
        finally:
            subscriber.kill()
            await subscriber.communicate()
