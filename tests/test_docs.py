"""README and docs hold: what they tell to type can be typed, what they show runs, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from fastvmt.cli.program import app

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "pyproject.toml").is_file())
DOCS = ROOT / "docs"
PAGES = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(DOCS.rglob("*.md"))
MADE = {DOCS / n for n in ("reference/commands.md", "reference/settings.md", "reference/python.md")} | {
    DOCS / n for n in ("project/contributing.md", "project/changelog.md")
}
"""Pages that exist on the site alone."""
RUN = [p for p in PAGES if "```console" in p.read_text()]
FENCE = re.compile(r'^( *)```(\w*)(?: title="([^"]+)")?\n(.*?)^\1```$', re.M | re.S)


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m[2], m[3] or "", m[4]) for m in FENCE.finditer(page.read_text())]


def typed(block: Block) -> list[str]:
    """The commands of a ``console`` block: what stands behind ``$``, lines that go on joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_page_runs_as_it_is_read(page: Path, tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
            continue
        commands = [["python", "-c", block.text]] if block.language == "python" else []
        if block.language == "console":
            commands = [["bash", "-c", line] for line in typed(block)]
        for command in commands:
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def command_lines(page: Path) -> Iterator[str]:
    """Everything on a page that begins with ``bench``: lines of code blocks, and code within a sentence."""
    text = page.read_text()
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            if found := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )?(?:pip install uv && )?(?:uv run )?(bench .*)", line.strip()):
                yield re.split(r" (?:&&|\|\||[|;>]) ", found[1])[0]
    for inline in re.finditer(r"`(bench\s[^`]+)`", FENCE.sub("", text)):
        yield " ".join(inline[1].split())


def wrong_in(line: str) -> str:
    """What the program would not understand: a command or an option that it does not have; "" for nothing."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and re.fullmatch(r"[a-z]+", words[0]):
        if words[0] not in command.commands:
            return words[0]
        command = command.commands[words.pop(0)]
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    return next((w for w in words if w.startswith("--") and w.split("=")[0] not in options), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_line_can_be_typed(page: Path) -> None:
    wrong = {line: found for line in command_lines(page) if (found := wrong_in(line))}
    assert not wrong


def test_a_command_that_is_not_there_is_found() -> None:
    assert wrong_in("bench rum --methods fastvmt") == "rum"
    assert wrong_in("bench run --method fastvmt  # one") == "--method"
    assert not wrong_in("bench suite make my_clips --title x")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_relative_link_resolves(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    there = [(page.parent / link).resolve() for link in links if link]
    assert not [p for p in there if not p.exists() and p not in MADE]


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    assert "pip install uv && uv run bench run --methods fastvmt,ditflow" in text
    assert "uv run pytest" in text


def test_generated_pages_name_every_command_and_load_no_torch() -> None:
    code = (
        "import sys; sys.path.insert(0, 'docs'); import hooks\n"
        "pages = hooks.commands_page(), hooks.settings_page(), hooks.python_page()\n"
        "assert not [n for n, _ in hooks.commands() if f'## `{n}`' not in pages[0]]\n"
        "assert '--methods' in pages[1] and '::: ' in pages[2]\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
