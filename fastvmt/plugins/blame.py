"""Whose code failed: what a plug-in raises as one sentence with its file and line, and what it prints beside the results.

Every call into a plug-in's code, at import or later, goes through ``blamed``; ``words`` is the sentence.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fastvmt.core.spelling import shown, value_shown
from fastvmt.errors import BenchError, SpecError, is_full

P = TypeVar("P")
Owner = type | Path | None
"""A plug-in's class, or its file where there is no class yet; None before it is known where it lies."""
_CORE = str(Path(__file__).parent.parent)
_HOOK = "hook: "
_LONGEST = 600
_READ_ONLY = ("read-only", "readonly", "WRITEABLE flag")
"""How numpy and OpenCV say that an array must not be written to."""


def words(error: BaseException, owner: Owner = None, sure: bool = False) -> str:
    """One line: class, words, file and line in the plug-in, and the hook that ``note_hook`` noted.

    An error of ours is a sentence already.

    Args:
        sure: it is the plug-in's fault, even where the error went through none of its lines.
    """
    try:
        text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    except Exception:  # noqa: BLE001 - a plug-in's error whose own words fail
        text = "(it has no words)"
    if isinstance(error, BenchError):
        return text
    text = shown(f"{type(error).__name__}: {text}" if text else type(error).__name__, _LONGEST)
    hook = next((n.removeprefix(_HOOK) for n in reversed(getattr(error, "__notes__", [])) if str(n).startswith(_HOOK)), "")
    line = place(error, owner) or defined(owner if sure else getattr(owner, hook.partition(" ")[0] or "_", None))
    where = ", ".join(part for part in (line, hook) if part)
    copy = "; what it is given is read-only, so copy it first" if any(w in text for w in _READ_ONLY) else ""
    return f"{text}{where and f' ({where})'}{copy}"


def place(error: BaseException, owner: Owner) -> str:
    """``mine.py, line 12``: the last place in the plug-in's own file that an error went through, else in a file of a class it
    is made of; "" without.
    """
    through = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        through.append((error.filename, error.lineno or 1))
    files = _files(owner)
    if owner is None:  # the last one that is neither ours nor what looks plug-ins up
        files = [n for n, _ in reversed(through) if not n.startswith(("<", _CORE)) and Path(n).stem != "pkgutil"][:1]
    for file in files:
        for name, line in reversed(through):
            if name == file:
                return f"{Path(file).name}, line {line}"
    return ""


def defined(what: Any) -> str:
    """``mine.py, line 3``: where a class or a function begins; "" where nobody knows."""
    if isinstance(what, Path):
        return what.name
    if what is None:
        return ""
    try:
        what = inspect.unwrap(getattr(what, "__func__", what))
        return f"{Path(inspect.getfile(what)).name}, line {inspect.getsourcelines(what)[1]}"
    except (TypeError, OSError, ValueError):
        return ""


def is_ours(owner: type) -> bool:
    """Whether a class is this package's own: its errors are ours."""
    return owner.__module__.startswith("fastvmt.")


def _files(owner: Owner) -> list[str]:
    """The plug-in's own file, then those of the classes that it is made of, the contracts' own left out."""
    if not isinstance(owner, type):
        return [str(owner)] if owner else []
    modules = dict.fromkeys(c.__module__ for c in owner.__mro__ if not c.__module__.startswith("fastvmt.plugins."))
    return [file for m in modules if (file := getattr(sys.modules.get(m), "__file__", None))]


@contextlib.contextmanager
def in_hook(name: str, step: int | None = None) -> Iterator[None]:
    """What is raised inside knows in which hook, at which step."""
    try:
        yield
    except BaseException as error:
        note_hook(error, name, step)
        raise


def note_hook(error: BaseException, name: str, step: int | None = None) -> None:
    """Write on an error from which hook it came, at which step."""
    with contextlib.suppress(Exception):
        error.add_note(f"{_HOOK}{name}{'' if step is None else f' at step {step}'}")


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Whatever is printed inside, by Python, C or a child process, goes to stderr: stdout is for results."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # stdout or stderr is closed: nothing to divert
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


@contextlib.contextmanager
def blamed(owner: Owner, doing: str) -> Iterator[None]:
    """Run a plug-in's code.

    Args:
        doing: begins the sentence: whose code, and which hook of it.

    Raises:
        SpecError: for whatever it raises, SystemExit and classes of its own included; our own errors, a full disk and Ctrl-C
            pass through.
    """
    try:
        with aside():
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if type(error).__module__ == BenchError.__module__ or is_full(error):
            raise
        raise SpecError(f"{doing}: {words(error, owner, sure=True)}.") from error


def guard(plugin: P, whose: str, *hooks: str) -> P:
    """The same object, whose hooks are ``blamed`` where it is not one of ours."""
    if not is_ours(type(plugin)):
        for hook in hooks:
            with contextlib.suppress(AttributeError, TypeError):  # a class that takes no attributes: the program's end says it
                setattr(plugin, hook, _blaming(getattr(plugin, hook), type(plugin), f"{whose}, in {hook}"))
    return plugin


def _blaming(hook: Callable[..., Any], owner: type, doing: str) -> Callable[..., Any]:
    @functools.wraps(hook)
    def call(*given: Any, **named: Any) -> Any:
        with blamed(owner, doing):
            return hook(*given, **named)

    return call


def need(owner: type, doing: str, found: Any, holds: bool, wanted: str) -> None:
    """
    Raises:
        SpecError: unless what a plug-in returned ``holds``, with where its class is defined.
    """
    if not holds:
        raise SpecError(f"{doing} returned {value_shown(found)}, expected {wanted}{(at := defined(owner)) and f' ({at})'}.")
