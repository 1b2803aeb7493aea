"""Methods, metrics and plug-ins that do the worst they can: each becomes a record, the run goes on, nobody is left behind."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from support.light_runs import alive, children, comes, events, finished, make_light

from fastvmt.plugins import registry
from fastvmt.store.folder import Store
from faults.fault import Figure, Impossible, Times, fault, in_pairs
from faults.runs import PATIENCE, RUN, go_on, start

WORST: dict[str, tuple[str, str]] = {
    "raise": ("error", "a light method's own error"), "device": ("out_of_memory", "CUDA out of memory"),
    "memory": ("out_of_memory", "allocate"), "killed": ("crash", "SIGKILL"), "segfault": ("crash", "SIGSEGV"),
    "abort": ("crash", "SIGABRT"), "leave": ("crash", "exit code 7"), "recurse": ("error", "recursion"),
}  # fmt: skip
"""Mischief to the class of its failure and words of its message."""
HANG_LIMIT, HANG_GRACE = 4.0, 5.0


@fault("a method that raises, eats the host's or the device's memory, segfaults, aborts, leaves", promise=5, sample=2, whole=16)
def worst_methods(n: int, place: Path) -> Figure:
    """Everything in ``WORST``, at the first step of a video and at the last; a good method stands beside it."""
    tries = list(itertools.product((0, 3), WORST))
    order = [tries[(i * 5) % len(tries)] for i in range(min(n, len(tries)))]
    return in_pairs(partial(_one_worst, place / f"{i}", what, at) for i, (at, what) in enumerate(order))


def _one_worst(place: Path, what: str, at: int) -> str:
    kind, words = WORST[what]
    folder = make_light(place / "run", cases=1, methods=(f"light:do={what}:at={at}", "light"))
    said = go_on(folder)
    if said.code != 3:
        return f"{what}: ended with {said.code}: {said.err.strip()[-200:]}"
    bad, good = said.data["rows"]
    failure = json.loads((folder / "failures.jsonl").read_text().splitlines()[-1])
    tried = 2 if kind == "crash" else 1
    right = (
        bad["failed"] == {kind: 1} and bad["made"] == 0 and good["made"] == 1 and words in failure["message"]
        and failure["stage"] and failure["attempt"] == tried and bad["metrics"]["difference"]["n"] == 0
    )  # fmt: skip
    return "" if right else f"{what}: {bad}, {failure['kind']}: {failure['message']}"


@fault("a worker that dies once: its job is done at the second try", promise=1, sample=1, whole=12)
def dies_once(n: int, place: Path) -> Figure:
    kinds = ("segfault", "abort", "killed", "leave")
    return in_pairs(partial(_dies_once, place / f"{i}", kinds[i % 4], i // 4) for i in range(n))


def _dies_once(place: Path, what: str, at: int) -> str:
    folder = make_light(place / "run", cases=1, methods=(f"light:do={what}:at={at}:mark={place / 'mark'}",))
    said = go_on(folder)
    return "" if said.code == 0 and said.data["rows"][0]["made"] == 1 else f"{what}: ended with {said.code}"


@fault("a method that hangs, deaf to SIGTERM, with a grandchild on its pipe", promise=1, sample=1, whole=10)
def hangs(n: int, place: Path) -> Figure:
    times = Times(HANG_LIMIT + HANG_GRACE, HANG_LIMIT + 4 * HANG_GRACE)
    figure = in_pairs(partial(_hangs, place / f"{i}", i % 4, times) for i in range(n))
    figure.note = f"a time limit of {HANG_LIMIT:g} s: failed, worker and grandchild gone, {times.note()}"
    return figure


def _hangs(place: Path, at: int, times: Times) -> str:
    """From the moment that the worker and its grandchild are there until both are gone and the failure is recorded."""
    place.mkdir()
    folder = make_light(place / "run", cases=1, methods=(f"light:do=hang:at={at}", "light"))
    process = start(folder, "--timeout", f"{HANG_LIMIT:g}")
    if not comes(lambda: len(_of_run(folder)) >= 2 or process.poll() is not None):
        return "the grandchild never came"
    began, hung, workers = time.monotonic(), _of_run(folder), children(process.pid)
    over = comes(
        lambda: (
            not any(map(alive, hung))
            and not any(Path(f"/proc/{pid}").exists() for pid in workers)  # nor as a zombie
            and any(e["event"] == "failed" for e in events(folder))
        )
    )
    took = time.monotonic() - began
    code = process.wait(timeout=PATIENCE)
    kinds = [f.kind for f in Store.open(folder).failures().values()]
    if not over or code != 3 or kinds != ["timeout"] or len(finished(folder)) != 1:
        return f"ended with {code}, failures {kinds}, {len(finished(folder))} made"
    if left := _of_run(folder):
        return f"{len(left)} processes left"
    return "it was killed before its time" if took < HANG_LIMIT - 1 else times.wrong(took)


def _of_run(folder: Path) -> list[int]:
    """Living processes of the run: workers, and whatever they started, but not the command itself."""
    found, mark = [], f"{RUN}={folder.resolve()}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (entry / "environ").read_bytes().split(b"\0")
            inside = ours and b"fastvmt.cli" not in (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if inside and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


@fault("the runner killed: no worker and no grandchild outlives it for long", promise=1, sample=1, whole=10)
def orphans(n: int, place: Path) -> Figure:
    return in_pairs(partial(_orphans, place / f"{i}") for i in range(n))


def _orphans(place: Path) -> str:
    folder = make_light(place / "run", cases=1, methods=("light:do=hang", "light:do=hang:at=2"))
    process = start(folder, "--workers", "2")
    try:
        if not comes(lambda: len(_of_run(folder)) >= 4 or process.poll() is not None):
            return "the grandchildren never came"
    finally:
        process.kill()
        process.wait()
    if comes(lambda: not _of_run(folder), 10):
        return ""
    for pid in _of_run(folder):
        os.kill(pid, 9)
    return "processes were left"


@fault("a real device runs out of memory", promise=5, sample=0, whole=1)
def device_memory(n: int, place: Path) -> Figure:
    import torch

    if not torch.cuda.is_available():
        raise Impossible("no CUDA device here; a method that raises torch's error stands in for it")
    toy = place / "hungry.py"
    toy.write_text(_HUNGRY)
    from support.cli import bench

    argv = ("run", "--device", "cuda", "--limit", "1", "--no-controls", "--plugin", toy, "--methods", "hungry,none", "--json",
            "--metrics", "time", "--out", place / "run")  # fmt: skip
    said, figure = bench(*argv), Figure()
    bad, good = said.data["rows"]
    figure.count(said.code == 3 and bad["failed"] == {"out_of_memory": 1} and good["made"] == 1, f"{said.code}: {bad}")
    return figure


_HUNGRY = """
import torch
from fastvmt.plugins.method import Method

class Hungry(Method):
    id = "hungry"

    def adjust(self, ctx, i, x):
        kept = [torch.empty(1 << 34, device=x.device, dtype=torch.uint8) for _ in range(1 << 10)]
        return x + len(kept)

METHODS = {"hungry": Hungry}
"""

BAD_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "NaN": lambda x: x * math.nan, "infinity": lambda x: x + math.inf, "minus infinity": lambda x: x - math.inf,
    "one NaN": lambda x: x.index_fill(4, x.new_zeros(1).long(), math.nan), "a frame less": lambda x: x[:, :, 1:],
    "a frame more": lambda x: x.repeat(1, 1, 2, 1, 1), "nothing": lambda x: x[:, :, :0], "another height": lambda x: x[:, :, :, 1:],
    "another width": lambda x: x[..., :1], "no batch": lambda x: x[0], "two videos": lambda x: x.repeat(2, 1, 1, 1, 1),
    "None": lambda x: None, "text": lambda x: "a video", "integers": lambda x: x.long(),
}  # fmt: skip
HOOKS = ("adjust", "settle", "start", "steer")
"""Hooks through which a bad latent can come; ``steer``'s is a velocity."""


@fault("NaN, infinity, nothing, another size or type from each hook of a method", promise=5, sample=56, whole=56)
def bad_numbers(n: int, place: Path) -> Figure:
    """On the random Wan, in this process: the method's output must become an error of one job, and no file."""
    from fastvmt.backbones import card as cards
    from fastvmt.backbones.wan import Backbone
    from fastvmt.testing import random_wan

    backbone, figure = Backbone(cards.load(str(random_wan(place / "xs")))), Figure()
    for hook, (name, spoil) in itertools.islice(itertools.product(HOOKS, BAD_NUMBERS.items()), n):
        ending = _spoiled(backbone, hook, spoil)
        figure.count(ending != "a video", f"{name} from {hook}: {ending}")
    return figure


def _spoiled(backbone: Any, hook: str, spoil: Callable[[Any], Any]) -> str:
    """How the denoise loop ends with a method whose hook spoils what it returns: an error's name, or ``a video``."""
    import torch

    from fastvmt.denoise import denoise
    from fastvmt.plugins.method import Method, Params
    from fastvmt.testing import make_context

    class Spoiler(Method):
        id = "spoiler"

    honest = getattr(Method, hook)

    def bad(self: Any, ctx: Any, *given: Any) -> Any:
        found = honest(self, ctx, *given)
        if hook == "start":
            return spoil(found[0]), found[1]
        return spoil(torch.zeros_like(ctx.noise) if hook == "steer" else found)

    setattr(Spoiler, hook, bad)
    ctx = make_context(backbone, steps=2)
    try:
        latent = denoise(Spoiler(Params()), ctx, 1.0, lambda i, n: None)
    except Exception as error:  # what a worker would report
        return type(error).__name__
    whole = latent.shape == ctx.noise.shape and latent.dtype == torch.float32 and bool(torch.isfinite(latent).all())
    harmless = hook == "steer" and whole and spoil(ctx.noise) is not None  # zeros of another precision are zeros
    return "harmless" if harmless else "a video"


BAD_VALUES = {"nan": "float('nan')", "inf": "float('inf')", "minus-inf": "-float('inf')", "numpy-nan": "np.float32('nan')"}
_BAD_METRICS = """
import numpy as np
from fastvmt.plugins.metric import Metric, Value

METRICS = {}
for name, value in (%s):
    def score(self, scored, value=value):
        return Value(value)
    METRICS[name] = type(name, (Metric,), {"id": name, "score": score})
"""


@fault("a metric that returns NaN or infinity", promise=5, sample=4, whole=4)
def bad_values(n: int, place: Path) -> Figure:
    """A failed record with its cause, no value in the table, and the numbers of a good metric beside it whole."""
    names, plugin, figure = list(BAD_VALUES)[:n], place / "bad_metrics.py", Figure()
    plugin.write_text(_BAD_METRICS % "".join(f"({name!r}, {BAD_VALUES[name]}), " for name in names))
    folder = make_light(place / "run", cases=1, plugins=[plugin], metrics=("difference", *names))
    said = go_on(folder)
    rows, records = said.data["rows"], list(Store.open(folder).records().values())
    for name in names:
        own = [r for r in records if r.metric == name]
        recorded = len(own) == len(rows) and all(
            r.status == "failed" and r.value is None and r.details.get("cause") for r in own
        )
        cells = [row["metrics"].get(name, {"value": None, "n": 0}) for row in rows]
        shown = all(c["value"] is None and c["n"] == 0 for c in cells) and all(
            r["metrics"]["difference"]["n"] == 1 for r in rows
        )
        figure.count(recorded and shown, f"{name}: {[(r.status, r.value) for r in own]}, {cells}")
    return figure


@fault("broken plug-ins: listed with their cause, and nothing else breaks", promise=6, sample=6, whole=11)
def broken_plugins(n: int, place: Path) -> Figure:
    from support.cli import bench

    figure = Figure()
    for name, (text, words) in itertools.islice(BROKEN_FILES.items(), n):
        file = place / f"{name.replace(' ', '_')}.py"
        if text is not None:
            file.write_text(text)
        said = bench("list", "methods", "--plugin", file)
        figure.count(said.code == 2 and words in said.err, f"{name}: {said.code} {said.err.strip()[-200:]}")
    return figure


BROKEN_FILES: dict[str, tuple[str | None, str]] = {
    "syntax": ("def (:", "SyntaxError"), "raises": ("1 / 0", "ZeroDivisionError"), "absent": (None, "no such file"),
    "registers nothing": ("x = 1", "defines none of METHODS"), "missing import": ("import no_such_module_here", "ModuleNotFoundError"),
    "takes a name": ("from fastvmt.plugins.method import Method\nMETHODS = {'fastvmt': Method}", "is taken"),
    "not a dictionary": ("METHODS = ['a']", "METHODS"), "no class": ("METHODS = {'mine': 5}", "name to class"),
    "leaves": ("import sys; sys.exit(0)", "SystemExit"), "binary": ("\x00\x01", "cannot"), "empty": ("", "defines none of METHODS"),
}  # fmt: skip


@fault("entry points that import nothing, raise, or take a name", promise=6, sample=1, whole=1)
def broken_entry_points(n: int, place: Path) -> Figure:
    """An installed package whose every entry point is bad: ``bench list`` shows them with causes, and the rest as ever."""
    import subprocess

    from support.cli import command

    package = place / "site"
    info = package / "bad_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fastvmt.methods]\ngone = no_such_module_here:M\nraises = bad_raises:M\nlacks = math:Nothing\nleaves = bad_leaves:M\nfastvmt = math:pi\nno colon = math\n"
        "theirs = good_theirs:Theirs\n"
    )
    (package / "good_theirs.py").write_text(
        "from fastvmt import Method\nclass Theirs(Method):\n    id = 'theirs'\n    summary = 'it works'\n"
    )
    (package / "bad_leaves.py").write_text("import sys\nsys.exit(0)\n")
    (package / "bad_raises.py").write_text("raise RuntimeError('a plug-in of a test')\n")
    done = subprocess.run(
        command("list", "methods", "--json"), capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(package)}
    )
    figure = Figure()
    figure.count(done.returncode == 0, f"bench list ended with {done.returncode}: {done.stderr[-300:]}")
    rows = json.loads(done.stdout or "[]")
    said = {r["name"]: r["summary"] for r in rows if r["origin"] == "bad-plugins"}
    causes = {"gone": "ModuleNotFoundError", "raises": "a plug-in of a test", "lacks": "AttributeError", "leaves": "SystemExit",
              "fastvmt": "the name is taken by built in", "theirs": "it works"}  # fmt: skip
    for name, words in causes.items():
        figure.count(words in said.get(name, ""), f"{name}: {said.get(name)}")
    good = {r["name"] for r in rows if r["origin"] == "built in" and "BROKEN" not in r["summary"]}
    figure.count(good >= set(registry.BUILTIN["methods"]), f"built-in methods are not listed: {good}")
    return figure
