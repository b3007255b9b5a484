"""What the pages name is there: links, files, settings, commands, targets, dependencies."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.documents import PAGES, ROOT, Block, check, prose, script, sections
from wsplatform.cli import COMMANDS
from wsplatform.errors import SettingsError
from wsplatform.resources import folder
from wsplatform.settings_load import check_production, load

PACKAGE = ROOT / "wsplatform"
LAYERS = "app|cli|core|net|node|plugins|registry|testing|transports|web|wire"
KEYS = {
    f"{section}.{key}"
    for section, table in msgspec.to_builtins(load("test", folder("config"))).items()
    if isinstance(table, dict)
    for key in table
}
SECTIONS = "|".join(sorted({key.partition(".")[0] for key in KEYS}))
FILES = ("cfg", "db", "toml", "md", "py", "state", "orig", "service")
SPECIFIC = [page for page in PAGES if page.name != "CONTRIBUTING.md"]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> Iterator[str]:
    """What stands between backticks, and in blocks for the shell that are meant to succeed."""
    yield from re.findall(r"`([^`]+)`", prose(page))
    for section in sections(page):
        for block in section.blocks:
            if block.language in ("", "sh") and block.manner != "fails":
                yield from block.text.splitlines()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_every_place_that_the_architecture_names_is_there() -> None:
    page = ROOT / "docs" / "architecture.md"
    named = set(re.findall(rf"(?<![\w/.])(?:{LAYERS})/[a-z_0-9]*(?:\.py)?", page.read_text(encoding="utf-8")))
    named |= {text for text in code(page) if re.fullmatch(r"[a-z_0-9]+\.py|[a-z][a-z_0-9]*/[\w/.]*", text)}
    assert len(named) > 30
    for name in sorted(named - {"core/x.py", "node/x.py"}):
        places = [root / f"{name}{ending}" for root in (PACKAGE, ROOT) for ending in ("", ".py")]
        assert any(place.exists() for place in places), name


def test_every_folder_is_named_by_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    tops = {path.split("/")[0] for path in listed.split() if "/" in path and not path.startswith(".")}
    for name in sorted(tops):
        assert re.search(rf"`{name}/", page), name
    layers = {path.split("/")[1] for path in listed.split() if re.fullmatch(r"wsplatform/\w+/__init__\.py", path)}
    for name in sorted(layers):
        assert re.search(rf"\b{name}/", page), name


def test_the_tables_of_all_settings_are_as_the_settings_are() -> None:
    writer = script("settings_table")
    page = writer.PAGE.read_text(encoding="utf-8")
    assert writer.rewritten(page) == page, "run: python scripts/settings_table.py"
    variables = re.findall(r"^\| `[a-z_]+` \|.* `WSP_([A-Z_]+)` \|$", page, re.MULTILINE)
    names = [name.lower().replace("__", ".") for name in variables]
    assert {name if name in KEYS else name.removesuffix("_file") for name in names} == KEYS
    assert "development-only" not in page


def test_the_table_of_all_metrics_is_as_the_catalogue_is() -> None:
    writer = script("metrics_table")
    page = writer.PAGE.read_text(encoding="utf-8")
    assert writer.rewritten(page) == page, "run: python scripts/metrics_table.py"


def test_a_key_without_a_meaning_has_no_table() -> None:
    class Table(msgspec.Struct):
        """About it.

        one: The first.
            Goes on.
        """

        one: int = 0
        two: int = 0

    writer = script("settings_table")
    assert writer.meanings(Table) == ("About it.", {"one": "The first. Goes on."})
    with pytest.raises(ValueError, match="two"):
        writer._section("node", Table)
    with pytest.raises(ValueError, match="each once"):
        writer.rewritten("no markers")


@pytest.mark.parametrize("page", SPECIFIC, ids=lambda page: page.name)
def test_settings_and_variables_that_a_page_names_exist(page: Path) -> None:
    for text in code(page):
        for section, key in re.findall(rf"(?<![\w/.-])({SECTIONS})\.([a-z_]+)\b(?!/)", text):
            assert f"{section}.{key}" in KEYS or key in FILES, text
        for section, key in re.findall(r"\bWSP_([A-Z]+)__([A-Z_]+[A-Z])\b", text):
            name = f"{section}.{key}".lower()
            assert {name, name.removesuffix("_file")} & KEYS or section == "SECTION", text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_targets_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for text in code(page):
        for command in re.findall(r"(?:^|[(`/] ?)wsplatform ([a-z]+)", text):
            assert command in COMMANDS, text
        for target in re.findall(r"^make ([a-z0-9]+)", text):
            assert target in targets, text


def test_every_command_is_told_of() -> None:
    told = "\n".join(text for page in PAGES for text in code(page))
    assert [name for name in COMMANDS if f"wsplatform {name}" not in told] == []


def test_what_is_shell_says_so_and_is_run_or_says_why_not() -> None:
    for page in SPECIFIC:
        for block in (block for section in sections(page) for block in section.blocks):
            begins = re.search(r"^(wsplatform|curl|make|pip|export) ", block.text, re.MULTILINE)
            assert not begins or block.language == "sh", f"{page.name}, line {block.line}"
            assert re.fullmatch(r"|fails|until=.+|no-run: .+", block.manner), f"{page.name}, line {block.line}"


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    named = {name for cell in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) for name in re.findall(r"[\w-]+", cell)}
    for requirement in (requirement for group in groups for requirement in group):
        name = re.match(r"[\w-]+", requirement)
        assert name
        assert name[0] in named, requirement


def test_what_production_needs_is_said_in_the_words_of_the_program() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    secret = "x" * 32

    def usable(environ: dict[str, str]) -> None:
        check_production(load("production", folder("config"), environ=environ), node=True, registry=True)

    given = {
        "WSP_CLUSTER__SECRETS": secret,
        "WSP_REGISTRY__ADMIN_KEY": secret,
        "WSP_CLIENT__TOKEN_HMAC_SECRETS": secret,
    }
    for missing in given:
        environ = {name: value for name, value in given.items() if name != missing}
        with pytest.raises(SettingsError) as caught:
            usable(environ)
        assert f"`{caught.value.message}`" in page
    public = load("development", folder("config")).cluster.secrets[0]
    for value, complaint in ((public, "is public"), ("short", "at least")):
        with pytest.raises(SettingsError, match=complaint) as caught:
            usable({**given, "WSP_CLUSTER__SECRETS": value})
        assert f"expected {caught.value.expected}." in page


def test_pages_are_cut_into_sections_and_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n```sh\na\n```\n\n```text\nb\n```\n## S\n```sh until=x y\n## c\n```\nz\n```js\nd\n```\n")
    first, second = sections(page)
    assert (first.title, second.title) == ("page.md", "S")
    assert first.blocks == (Block(2, "sh", "a", follows=False), Block(6, "text", "b", follows=True))
    assert [(block.text, block.manner, block.follows) for block in second.blocks] == [
        ("## c", "until=x y", False),
        ("d", "", False),
    ]
    assert prose(page) == "# T\n\n## S\nz"


@pytest.mark.parametrize(
    ("language", "told", "output", "agree"),
    [
        ("text", "a  b\nc", "a b\n  c\n", True),
        ("text", "a … c", "a b b c", True),
        ("text", "a b", "a b c", False),
        ("json", '{"a":{"b1":1}}', '{"a":{"b1":2}}', True),
        ("json", '{"a":1}', '{"b":1}', False),
        ("json", '{"a":"n1"}', '{"a":"x"}', True),
        ("json", '{"a":"n"}', '{"a":"x"}', False),
        ("json", '{"a":true}', '{"a":false}', False),
        ("json", '[{"a":1}]', '[{"a":2},{"a":3}]', True),
        ("json", '[{"a":1}]', "[]", False),
        ("json", "[1,2]", "[1,2,3]", False),
        ("json", "[1,2]", "[1]", False),
    ],
)
def test_what_is_printed_is_compared_with_what_is_told(language: str, told: str, output: str, agree: bool) -> None:
    if agree:
        check(language, told, output)
    else:
        with pytest.raises(AssertionError):
            check(language, told, output)


@pytest.mark.parametrize(
    ("page", "folder", "module", "least"),
    [
        ("writing-a-transport.md", "transport-unix", "wsplatform_unix", 9),
        ("writing-a-plugin.md", "plugin-targets", "wsplatform_targets", 6),
    ],
)
def test_the_code_for_authors_is_that_of_the_example(page: str, folder: str, module: str, least: int) -> None:
    example = ROOT / "examples" / folder
    files = [example / f"{module}.py", example / "tests" / f"test_{module}.py", example / "pyproject.toml"]
    lines = {line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()}
    text = "\n".join("\n".join(map(str.strip, file.read_text(encoding="utf-8").splitlines())) for file in files)
    found = list(sections(ROOT / "docs" / page))
    blocks = [block for section in found for language in ("python", "toml") for block in section.of(language)]
    assert len(blocks) >= least
    for block in blocks:
        assert "\n".join(map(str.strip, block.text.splitlines())) in text, {*block.text.splitlines()} - lines
