"""Pages that mkdocs makes from the package itself: commands, settings, Python calls; and two files of the root.

Nothing here imports torch: the command line is read from typer, docstrings are read by griffe without importing them.
"""

from __future__ import annotations

import atexit
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {"project/contributing.md": "CONTRIBUTING.md", "project/changelog.md": "CHANGELOG.md"}
CHECKS = ("check_method", "check_metric", "check_tracker", "check_suite", "random_wan")
OTHER = "Options"
"""Heading of options without a panel."""


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show griffe the package as it is installed."""
    # Signatures are set as they are written; without a formatter the handler would say so for each page.
    logging.getLogger("mkdocs.plugins.mkdocstrings_handlers.python._internal.rendering").setLevel(logging.ERROR)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_overlay()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/python.md": python_page(),
    }
    for page, source in FROM_ROOT.items():
        pages[page] = re.sub(r"\]\(docs/", "](../", (ROOT / source).read_text())
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def commands_page() -> str:
    """Every command with its arguments and options, under the panels of its help page."""
    parts = [
        "# Commands\n",
        "Every command prints this with `--help`. Choices, defaults and panels are those of the program.\n",
    ]
    for name, command in commands():
        parts += [f"## `{name}`\n", _sentences(command.help or "") + "\n", f"```text\n{_usage(name, command)}\n```\n"]
        for panel, params in _panels(command):
            parts += [f"**{panel}**\n", _table(params)]
    return "\n".join(parts)


def settings_page() -> str:
    """The settings of a run by panel, from the one model of which the command line is made too."""
    from fastvmt.runner.settings import PANELS, Options, Request, options_of

    parts = [
        "# Settings\n\n`bench run`, `bench plan`, `bench ablate` and `bench frontier` share these settings. In Python they "
        "are the fields of [`fastvmt.Request` and `fastvmt.Options`](python.md); a run folder keeps the resolved ones in "
        "`config.json`.\n"
    ]
    for panel in PANELS:
        parts.append(f"## {panel}\n\n| option | in Python | default | range | what |\n|---|---|---|---|---|")
        for model in (Request, Options):
            for o in (o for o in options_of(model) if o.panel == panel):
                flags = ", ".join(f"`{flag}`" for flag in o.flags)
                parts.append(f"| {flags} | `{model.__name__}.{o.name}` | `{o.default!r}` | {o.span} | {_cell(o.help)} |")
        parts.append("")
    return "\n".join(parts)


def python_page() -> str:
    """Everything that ``fastvmt`` exports, by its docstrings; the stub says where each name comes from."""
    stub = (ROOT / "fastvmt" / "__init__.pyi").read_text()
    names = re.findall(r"^from \.([\w.]+) import (\w+)", stub, re.MULTILINE)
    parts = [
        "# Python\n",
        "`import fastvmt` gives these names; each is imported when it is first used. Checks for plug-ins stand in "
        "`fastvmt.testing`, at the end.\n",
        *(f"::: fastvmt.{module}.{name}\n" for module, name in sorted(names, key=lambda n: n[1].lower())),
        f"## fastvmt.testing\n\n::: fastvmt.testing\n    options:\n      members: [{', '.join(CHECKS)}]\n",
    ]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Name and click command of everything that can be typed, in alphabetical order."""
    from fastvmt.cli.program import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield name, command
        for child in sorted(getattr(command, "commands", {})):
            if not command.commands[child].hidden:
                yield from walk(f"{name} {child}", command.commands[child])

    yield from walk("bench", typer.main.get_command(app))


def _panels(command: Any) -> Iterator[tuple[str, list[Any]]]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if arguments:
        yield "Arguments", arguments
    found: dict[str, list[Any]] = {}
    for p in command.params:
        if p.param_type_name != "argument" and not getattr(p, "hidden", False):
            found.setdefault(getattr(p, "rich_help_panel", None) or OTHER, []).append(p)
    yield from found.items()


def _table(params: list[Any]) -> str:
    rows = ["| name | default | what |", "|---|---|---|"]
    for p in params:
        names = [*p.opts, *p.secondary_opts] if p.param_type_name == "option" else [p.metavar or p.name]
        shown = ", ".join(f"`{n}`" for n in names)
        rows.append(f"| {shown} | {_default(p)} | {_cell(getattr(p, 'help', '') or '')} |")
    return "\n".join(rows) + "\n"


def _default(p: Any) -> str:
    if p.required:
        return "required"
    if callable(p.default) or p.default in (None, "", False, ()):
        return ""
    if p.default is True:
        return "on"
    return f"`{p.default}`"


def _usage(name: str, command: Any) -> str:
    words = [(p.metavar or p.name) for p in command.params if p.param_type_name == "argument"]
    options = ["[OPTIONS]"] if any(p.param_type_name == "option" for p in command.params) else []
    return " ".join([name, *options, *words])


def _sentences(text: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", text.replace("\f", "\n\n")).strip()


def _cell(text: str) -> str:
    """Help as one table cell: a pipe would end it, a star would begin emphasis."""
    return re.sub(r"\s+", " ", _sentences(text)).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _overlay() -> str:
    """A folder with the package, its links followed: griffe passes over folders that are no regular packages."""
    top = Path(tempfile.mkdtemp(prefix="fastvmt-docs-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "fastvmt", top / "fastvmt", ignore=shutil.ignore_patterns("tiny", "__pycache__"))
    for folder in ("methods", "metrics", "datasets", "reports"):
        (top / "fastvmt" / folder / "__init__.py").touch()
    return str(top)
