"""What the documentation says can be done: links lead somewhere, and commands and settings are those that there are."""

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.main import COMMANDS, make_app
from penstock.endpoints import PRESETS, resolve_endpoint
from penstock.options import resolve_options
from penstock.pools import resolve_pools
from penstock.pricing import Pricing

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMAND_NAMES = [name for commands in COMMANDS.values() for name in commands]
README_LINES = 120
DECISION_LINES = 40

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ENDS_OF_COMMAND = re.compile(r"[;&|()]+")
KEYWORDS = {"do", "if", "then", "until", "while"}


def read(page: str) -> str:
    """A page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", read(page))


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [text for found, text in BLOCK.findall(read(page)) if found == language]


def anchors(page: str) -> set[str]:
    """The anchors that headings give, as GitHub makes them."""
    titles = [title.lower().replace("`", "") for _, title in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of every command in a shell script, without assignments, keywords and redirections."""
    lexer = shlex.shlex(script.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if ENDS_OF_COMMAND.fullmatch(token):
            yield from [words] if words else []
            words = []
        elif words or not (token in KEYWORDS or re.match(r"\w+=", token)):
            words.append(token)


def penstock_commands(page: str) -> list[list[str]]:
    """The arguments of every `penstock` in the shell blocks of a page."""
    found = [words for block in blocks(page, "sh") for words in simple_commands(block)]
    return [without_redirection(words[1:]) for words in found if words[0] == "penstock"]


def without_redirection(words: list[str]) -> list[str]:
    """Everything before a `<` or `>`."""
    end = next((place for place, word in enumerate(words) if word in ("<", ">")), len(words))
    return words[:end]


@functools.cache
def known_flags() -> frozenset[str]:
    """Every flag of every command."""
    arguments = [argument for name in COMMAND_NAMES for argument in make_app(name)[name].assemble_argument_collection()]
    return frozenset(name for argument in arguments for name in argument.names) | {"--help", "--version"}


def test_reference_is_what_the_code_says() -> None:
    """`docs/reference/` is as `make fix` would write it."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link is to a file that exists, and to a heading in it."""
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = os.path.normpath(Path(page).parent / path) if path else page
        if not (ROOT / target).exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_another() -> None:
    """Nobody has to know a page's name to find it."""
    linked = {
        os.path.normpath(Path(page).parent / link.partition("#")[0])
        for page in PAGES
        for link in LINK.findall(read(page))
    }
    assert [page for page in PAGES if page not in linked and page.startswith("docs/")] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page: str) -> None:
    """The command line takes every `penstock` command in a shell block, and names it gives exist."""
    for arguments in penstock_commands(page):
        app = make_app(arguments[0])
        app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES)
def test_flags_and_commands_in_the_text_exist(page: str) -> None:
    """So do those that are named between the lines."""
    code = INLINE_CODE.findall(prose(page))
    flags = [words.split()[0].partition("=")[0] for words in code if words.startswith("--")]
    commands = [words.split()[1] for words in code if words.startswith("penstock ")]
    assert [flag for flag in flags if flag not in known_flags()] == []
    assert [name for name in commands if name not in COMMAND_NAMES and not name.startswith("--")] == []


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles(page: str) -> None:
    """The Python on a page is Python."""
    for block in blocks(page, "python"):
        compile(block, page, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES)
def test_settings_are_accepted(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes every `penstock.toml` on a page."""
    for block in blocks(page, "toml"):
        config = tomllib.loads(block)
        resolve_options({}, {}, config)
        Pricing.from_config(config)
        presets = [preset.api_key_env for preset in PRESETS.values() if preset.api_key_env]
        keys = dict.fromkeys([*re.findall(r"[A-Z_]+_KEY\w*", block), *presets], "sk-none")
        for path in re.findall(r'api_keys_file = "(.+)"', block):
            (tmp_path / path).write_text("sk-none\n")
            (tmp_path / path).chmod(0o600)
        monkeypatch.chdir(tmp_path)
        for name in config.get("endpoints", {}):
            resolve_endpoint(name, None, keys, config)
        for model in config.get("models", {}):
            assert resolve_pools(None, None, keys, config).routes(model)


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_are_named_exist(page: str) -> None:
    """A promise points to tests that are there."""
    missing = [
        f"{path}::{name}"
        for path, name in TEST_NAME.findall(read(page))
        if not (ROOT / path).is_file() or (name and f"def {name}(" not in read(path))
    ]
    assert missing == []


def test_examples_stand_on_the_page_as_they_are() -> None:
    """What the page on Python shows is what is run."""
    page = read("docs/howto/from-python.md")
    examples = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    assert examples
    assert [example for example in examples if example not in page] == []


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_readme_is_short(page: str) -> None:
    """It is read before anything else."""
    assert len(read(page).splitlines()) <= README_LINES


def test_decisions_are_short() -> None:
    """A decision is context, decision and cost."""
    decisions = [page for page in PAGES if page.startswith("docs/decisions/")]
    assert decisions
    assert [page for page in decisions if len(read(page).splitlines()) > DECISION_LINES] == []


def test_both_readmes_have_the_same_parts() -> None:
    """The Chinese README has a heading for each of the English one."""
    english, chinese = (
        [level for level, _ in HEADING.findall(prose(page))] for page in ("README.md", "README.zh-CN.md")
    )
    assert chinese == english


def test_a_wrong_command_is_noticed() -> None:
    """The parsing above tells a command that is none."""
    words = next(iter(simple_commands("X=1 penstock run a.jsonl --colour red > b; echo done")))
    with pytest.raises(Exception, match="colour"):
        make_app("run").parse_args(without_redirection(words[1:]), exit_on_error=False, print_error=False)
