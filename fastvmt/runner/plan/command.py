"""The command that makes a run again, whole or one job of it, as far as a run folder knows how it was asked for."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.plugins import trust
from fastvmt.plugins.metric_labels import in_full, of_backbone
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.runner.settings import Request, words_of


def typed(config: RunConfig, **more: Any) -> list[str]:
    """What is typed, in parts: the command, then an option each; paths are as seen from the current folder.

    Args:
        more: fields of ``Request`` that are others than the configuration's.
    """
    how, values = config.asked or Asked(suite=config.suite.name), request_words(config, **more)
    start = ["bench", how.command, *how.words]
    if how.command != "run":  # an ablation names its own; beside them stands whatever else the run has
        beside = values.pop("methods")
        start += ["--with", ",".join(label for label in beside if label not in how.words or ":" not in label)]
    return [shlex.join(start), *words_of(Request, values)]


def request_words(config: RunConfig, **more: Any) -> dict[str, Any]:
    """The fields of ``Request`` that ask for a run again, as they are typed.

    Args:
        more: those that are others than the configuration's.
    """
    s, how = config.setting, config.asked or Asked(suite=config.suite.name)
    asked = how.model_dump(exclude_defaults=True, exclude={"some", "command", "words"})
    for name in {"suite", "root", "prompts"} & asked.keys():
        asked[name] = from_here(asked[name])
    asked |= {"cases": tuple(c.id for c in config.suite.cases)} if how.some else {}
    labels, own = [m.label for m in config.methods if not m.imported], of_backbone(s.backbone)
    return asked | {
        "backbone": from_here(s.backbone), "seeds": config.seeds,
        "metrics": tuple(in_full(label, own) for label in config.metrics),
        "width": s.width, "height": s.height, "frames": s.frames, "steps": s.steps, "guidance": s.guidance,
        "guidance_2": s.guidance_2, "dtype": s.dtype,
        "protocol": f"{s.protocol},timing" if config.repeats else s.protocol, "repeats": config.repeats or None,
        "budget": s.budget, "device": config.device if config.device in ("cpu", "cuda") else None,
        "threads": config.threads, "controls": {*CONTROLS} <= {*labels},
        "offload": config.offload if config.offload != "text" or config.device != "cpu" else None,
        "plugins": tuple(from_here(p) for p in config.plugins), "methods": tuple(labels),
    } | s.profile.identity() | more  # fmt: skip


def for_one_job(config: RunConfig, folder: Path, case: str, method: str, seed: int) -> str:
    """The command that makes one video of a run in its folder; "" where the folder does not say how its suite was asked for,
    where no command names the method alone, or where it would run files that the user has never given.
    """
    strange = any(not trust.was_given(Path(plugin)) for plugin in config.plugins)
    imported = any(m.label == method and m.imported for m in config.methods)
    if config.asked is None or config.ablates_presets or strange or imported:
        return ""
    plain = config.model_copy(update={"asked": config.asked.model_copy(update={"command": "run", "words": ()})})
    parts = typed(plain, methods=(method,), cases=(case,), seeds=(seed,), controls=False)
    return " ".join([*parts, "--out", shlex.quote(str(folder))])


def own_metrics(config: RunConfig) -> tuple[str, ...]:
    """What bare names of metrics stand for beside a run: its own labels, then those of its backbone's card."""
    return (*config.metrics, *of_backbone(config.setting.backbone))


def from_here(path: str) -> str:
    """An absolute path as it is typed in the current folder: a page that is passed on shows nobody's home."""
    found = os.path.relpath(path) if os.path.isabs(path) else path  # noqa: PTH117 - a name may be no path
    return found if found == path or "/" in found else f"./{found}"  # else a folder `shapes` would be the suite of that name
