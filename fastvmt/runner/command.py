"""The command that goes on with a run, from the options of its last driver."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fastvmt.runner.settings import Options
from fastvmt.store import layout
from fastvmt.store.events import events_in

KNOWN = {
    "--executor": r"ray|slurm", "--address": r"[\w.:/-]+", "--workers": r"[0-9]{1,6}",
    "--slurm": r"(partition|time|account|qos|gres|(gpus|mem)_per_\w+|num_gpus|cpus_per_task|mem|mem_gb|constraint|exclude|"
    r"nodelist|nodes|reservation|cluster|name)=[\w.:,+*&|\[\]-]+",
}  # fmt: skip
"""Options of a driver that say where and how much, and run nothing; with the values they take."""


def go_on(folder: Path, options: Options | None = None) -> str:
    """The command that goes on with a run as its last driver was begun: with its executor, address and cluster's options.

    It is to be pasted into a shell, and the log may be a stranger's: of its options only those are taken that say where and
    how much.

    Args:
        options: of the driver, where it was this process.
    """
    if options and (own := words(options)):
        return shlex.join(["bench", "resume", str(folder), *own])
    try:
        log = layout.log(folder, layout.EVENTS).read_bytes()
    except OSError:
        log = b""
    at = log.rfind(b"\n", 0, max(0, log.rfind(b'"how": ['))) + 1  # a scoring alone says nothing of it
    how = next((event.how or () for event in events_in([log[at:].partition(b"\n")[0]])), ())
    return shlex.join(["bench", "resume", str(folder), *known_words(how)])


def known_words(said: Sequence[str]) -> list[str]:
    """Of options that stand in a log those that choose where and how much: none that would run something by itself.

    >>> known_words(["--executor", "slurm", "--slurm", "partition=gpu", "--slurm", "setup=curl x|sh", "--plugin", "x.py"])
    ['--executor', 'slurm', '--slurm', 'partition=gpu']
    """
    pairs = zip(said[::2], said[1::2], strict=False)
    return [word for pair in pairs if pair[0] in KNOWN and re.fullmatch(KNOWN[pair[0]], pair[1]) for word in pair]


def words(options: Options) -> list[str]:
    """The executor as options of the command line; none for workers on this machine."""
    if options.executor == "local":
        return []
    found = ["--executor", options.executor]
    found += ["--address", options.address] if options.address else []
    found += ["--workers", str(options.workers)] if options.workers else []
    return found + [word for key, value in options.slurm for word in ("--slurm", f"{key}={value}")]
