"""The settings of a run as options of commands, and what was typed as settings again. Nothing heavy is imported."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.runner.option import Option, split
from fastvmt.runner.settings import COMMON, OUTPUT, PANELS, Options, Request, from_words, options_of

if TYPE_CHECKING:
    from fastvmt.reports.tables.look import Look

SETTINGS = {option.name: option for option in options_of(Request, Options)} | {
    "out": Option(
        "Run folder; by default its name follows from the request.",
        COMMON,
        kind=Path | None,
        name="out",
        of=Path,
        flags=("--out",),
    ),
    "as_json": Option(
        "Print one JSON object instead of text.", OUTPUT, kind=bool, typed=False, flags=("--json",), name="as_json"
    ),
    "columns": Option(
        "Columns of the tables: ids, heads or patterns, comma-separated; all for every column, interval and note.",
        OUTPUT, kind=str, typed="", flags=("--columns",), name="columns",
    ),
    "rows": Option(
        "Methods in the tables: labels or patterns, comma-separated; empty for all.",
        OUTPUT, kind=str, typed="", flags=("--rows",), name="rows",
    ),
    "names": Option(
        "TOML or JSON file of display names, tables [methods] and [metrics] by label.",
        OUTPUT, kind=Path | None, of=Path, flags=("--names",), name="names",
    ),
}  # fmt: skip
LOOK = ("columns", "rows", "names")
"""How printed and written tables look."""
RUN = tuple(name for name in SETTINGS if name != "verify")
"""What ``run`` and ``plan`` take."""
OWN = tuple(name for name in RUN if name != "methods")
"""What the commands take that choose the methods by themselves."""
HOW = (*(option.name for option in options_of(Options) if option.name != "force"), "as_json", *LOOK)
"""What a command takes that goes on with a run folder."""


def completion(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A shell's completion by these names, of the last one where several stand between commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in known() if name.startswith(last)]

    return complete


def registered(kind: str) -> list[str]:
    """Names of a kind of plug-in; no plug-in is imported."""
    if kind == "backbones":
        from fastvmt.backbones import card

        return card.known()
    from fastvmt.plugins import registry

    return list(getattr(registry, kind).names())


def typed(name: str) -> Any:
    """A setting as typer takes it."""
    return as_typed(SETTINGS[name])


def as_typed(option: Option) -> Any:
    """An option as typer takes it; numbers and places are read and checked by itself, whose sentence says what it takes."""
    metavar = {int: "INTEGER", float: "FLOAT", Path: "PATH"}.get(option.of) if not option.many else None
    how: dict[str, Any] = {"parser": option.value, "metavar": metavar} if metavar else {}
    names = completion(lambda: option.known or registered(option.names)) if option.known or option.names else None
    panel = None if option.panel == COMMON else option.panel
    return typer.Option(*option.flags, help=option.help, rich_help_panel=panel, autocompletion=names, **how)


def number(flag: str, help: str, least: float, most: float, of: type = int, panel: str = COMMON) -> Any:
    """A number that one command takes, as typer takes it."""
    return as_typed(Option(help, panel, between=(least, most), of=of, flags=(flag,), name=flag.strip("-")))


def place(help: str, flag: str = "--out") -> Any:
    """A file or folder that one command writes, as typer takes it."""
    return as_typed(Option(help, COMMON, of=Path, flags=(flag,), name=flag.strip("-")))


def tell(as_json: bool, facts: Any, text: Any) -> None:
    """Print facts as one JSON object, or the text that says them."""
    utf8 = (sys.stdout.encoding or "utf-8").lower().startswith("utf")  # else JSON's own escapes, which lose nothing
    print(json.dumps(facts, default=str, ensure_ascii=not utf8) if as_json else text)


def table_form() -> str:
    """The form of printed tables: drawn for the width of a terminal, Markdown in files and pipes."""
    return "terminal" if sys.stdout.isatty() else "md"


def note(line: object) -> None:
    """A line beside the result."""
    print(line, file=sys.stderr, flush=True)


def load_plugins(paths: Iterable[str] | None) -> None:
    """What ``--plugin`` named, where anything was."""
    if paths:
        from fastvmt.plugins import registry

        for path in paths:
            registry.load_plugin(path)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one suite and setting.")]
By = Annotated[str, typer.Option(help="category: also print a table split by the cases' category.", rich_help_panel=OUTPUT)]
Plugin = Annotated[list[str] | None, typed("plugins")]
Width = Annotated[int | None, typed("width")]
Height = Annotated[int | None, typed("height")]
FrameCount = Annotated[int | None, typed("frames")]


@dataclass(frozen=True)
class Asked:
    """What was typed, by the settings' names."""

    words: dict[str, Any]

    @property
    def out(self) -> Path | None:
        return self.words.get("out")

    @property
    def as_json(self) -> bool:
        return bool(self.words["as_json"])

    @property
    def plugins(self) -> tuple[str, ...]:
        return tuple(self.words["plugins"] or ())

    def request(self, **more: Any) -> Request:
        """The request that this makes, with ``more`` fields.

        Raises:
            SpecError: for what cannot be understood.
        """
        from fastvmt.jobs import protocol

        found = from_words(Request, self.words)
        found["protocol"], timing = protocol.parse(self.words["protocol"])
        if not timing:  # the option says how often, the protocol whether
            found.pop("repeats", None)
        return Request(**found | more)

    @cached_property
    def look(self) -> Look:
        """How tables are to look.

        Raises:
            SpecError: for a file of names that cannot be read.
        """
        from fastvmt.reports.tables.look import Look, Names, read_names

        words = self.words
        names = read_names(words["names"]) if words["names"] else Names()
        return Look(split(words["columns"]), split(words["rows"]), names)

    def options(self) -> Options:
        """How to run.

        Raises:
            SpecError: for what cannot be understood.
        """
        style = "json" if self.as_json else "live" if sys.stderr.isatty() else "plain"
        return Options(**from_words(Options, self.words), style=style)

    def changed(self) -> list[str]:
        """Flags of a request's options that were given another value than their default."""
        named = [SETTINGS[name] for name in (*(o.name for o in options_of(Request)), "out") if name in self.words]
        return [o.flags[0].partition("/")[0] if o.flags else f"--{o.name}" for o in named if self.words[o.name] != o.typed]


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with the options of these settings beside its own, by panel; it gets what was typed as ``asked``."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        def call(**given: Any) -> None:
            asked = Asked({name: given.pop(name) for name in names})
            if asked.words.get("names"):
                _ = asked.look  # a wrong file is said before a long run
            command(**given, asked=asked)

        one = inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True).parameters.values()
        mine = [p.replace(kind=one) for p in own if p.name != "asked"]
        shared = [
            inspect.Parameter(o.name, one, default=o.typed, annotation=Annotated[o.kind, typed(o.name)])
            for o in (SETTINGS[name] for name in names)
        ]
        ordered = sorted([*mine, *shared], key=_place)
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in ordered}
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        return call

    return with_options


def _place(parameter: inspect.Parameter) -> int:
    """Arguments first, then the options by panel; a command's own ones before those of every run."""
    if parameter.default is inspect.Parameter.empty:
        return -1
    return PANELS.index(parameter.annotation.__metadata__[0].rich_help_panel or COMMON)
