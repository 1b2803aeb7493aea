"""``bench plan``: what a run would do and take, and whether it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import RUN, Asked, number, takes, tell
from fastvmt.core.spelling import GIB, duration, gib, mib
from fastvmt.plugins.labels import window_words
from fastvmt.runner.settings import WHERE

if TYPE_CHECKING:
    from pathlib import Path

    from fastvmt.estimates.plan_estimate import Estimate
    from fastvmt.runner.plan import Plan

PLENTY = 1 << 60
CALIBRATE = "Time one block of the backbone on this machine for a few seconds, and predict from it; kept for later plans."
Calibrate = Annotated[bool, typer.Option("--calibrate", help=CALIBRATE, rich_help_panel=WHERE)]
DeviceMemory = Annotated[
    float,
    number("--device-memory", "Plan for GPUs of so many GiB, one a worker, not for this machine.", 0, 10**6, float, WHERE),
]


@takes(*RUN)
def plan(asked: Asked, device_memory: DeviceMemory = 0.0, calibrate: Calibrate = False) -> None:
    """Say what the same ``run`` would do and take, and do nothing; exit code 2 when it cannot fit."""
    from fastvmt import api
    from fastvmt.estimates.plan_estimate import Conditions, refuse_what_cannot_fit

    options = asked.options()
    elsewhere = options.executor != "local"
    where = Conditions(options.workers, int(device_memory * GIB), elsewhere, options.remake, calibrate)
    found, cost = api.plan(asked.request(), asked.out, where)
    folder = asked.out or found.default_folder()
    facts = cost.data() | {"protocol": found.config.setting.terms, "budget": found.config.setting.budget}
    facts |= {
        "folder": folder,
        "warnings": found.warnings,
        "guided": found.guided(),
        "methods": [m.model_dump(mode="json") for m in found.config.methods],
    }
    tell(asked.as_json, facts, "\n".join(as_lines(found, cost, folder)))
    refuse_what_cannot_fit(cost, options.force)


def as_lines(found: Plan, cost: Estimate, folder: Path) -> list[str]:
    """The plan as text."""
    lines = [f"{cost.jobs} videos, {cost.done} already there, {cost.jobs - cost.done} to make, into {folder}"]
    lines.append(found.config.setting.fairness)
    on_gpu = found.config.device == "cuda" or "A100" in cost.seconds_basis
    lines += _table(cost, "GPU" if on_gpu else "core" if found.config.threads == 1 else "worker")
    if guided := found.guided():
        lines.append("guided: " + "; ".join(f"{label} in {window_words(window)}" for label, window in guided.items()))
    lines += [*found.warnings, *found.notes]
    if not found.listed.decoded:
        lines.append("clips were listed, not opened: what is already there is not counted, and the folder's name can change")
    capacity = cost.memory_capacity
    beside = f" of {gib(capacity)}" if capacity else ", not held against this machine, where it does not run"
    time = "unknown"
    if cost.seconds is not None and cost.wall_seconds is not None:
        many = f"{cost.workers} worker{'s' * (cost.workers > 1)}"
        time = f"{duration(cost.seconds)} in all{_between(cost)}, {duration(cost.wall_seconds)} on {many}"
    disk = f" of {gib(cost.disk_free)} free" if cost.disk_free else ""
    return [
        *lines,
        f"time: {time} ({cost.seconds_basis})",
        f"last time on this device: {_last(cost)}",
        f"memory: about {gib(cost.memory_bytes)} a job{beside}{_kept(cost)} (estimated, GiB; {cost.memory.words(capacity)})",
        f"disk: about {mib(cost.disk_bytes)}{disk} (estimated)",
        f"weights to fetch: {cost.fetch or 'none'}",
    ]


def _between(cost: Estimate) -> str:
    """The interval of all seconds, and whether they are extrapolated."""
    if cost.seconds_interval is None:
        return ""
    low, high = map(duration, cost.seconds_interval)
    said = f"{low} to {high}"
    return f" (extrapolated: {said}; {cost.extrapolated})" if cost.extrapolated else f" ({said})"


def _kept(cost: Estimate) -> str:
    """What a job takes where nobody knows how much there is, and there is plenty."""
    most = cost.memory.expected(PLENTY)
    return f", {gib(most)} where all activations can be kept" if not cost.memory_capacity and most > cost.memory_bytes else ""


def _table(cost: Estimate, whose: str) -> list[str]:
    """A line for each method: videos, passes, seconds a video, hours."""
    rows = [("method", "to make", "forward passes", "s a video", f"{whose}-hours")]
    for label, passes in cost.forward_equivalents.items():
        each, left = cost.seconds_each.get(label), cost.left[label]
        time = (
            ("?", "?")
            if each is None
            else (f"{'~' if cost.extrapolated else ''}{each:.1f}", f"{cost.seconds_left[label] / 3600:,.2f}")
        )
        rows.append((label, str(left), f"{passes:g}", *time))
    widths = [max(len(r[k]) for r in rows) for k in range(5)]
    return ["  " + r[0].ljust(widths[0]) + "".join(f"  {r[k]:>{widths[k]}}" for k in range(1, 5)) for r in rows]


def _last(cost: Estimate) -> str:
    if cost.last is None:
        return "nothing was predicted yet"
    last = cost.last
    videos = f"{last.videos} videos looked at in {last.run}"
    return f"predicted {duration(last.predicted)}, took {duration(last.took)} ({last.off:+.0%}) for the {videos}"
