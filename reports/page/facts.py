"""What the report says about a run: what was run, each method's card, and the command that does it again."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from typing import Any

from fastvmt.errors import SpecError
from fastvmt.jobs.run_config import Asked
from fastvmt.model import MethodSpec
from fastvmt.plugins import registry
from fastvmt.plugins.card import NO_CARD, card_of
from fastvmt.reports.tidy import Tidy
from fastvmt.reports.tidy.frame import Count
from fastvmt.runner.settings import Request, words_of


def facts(tidy: Tidy) -> list[tuple[str, str]]:
    """What was run, as names and words."""
    s = tidy.setting
    planned = len(tidy.cases) * len(tidy.seeds) * len(tidy.methods)
    kinds = Counter(c.category for c in tidy.cases.values())
    devices = [d for d in dict.fromkeys(tidy.frame["device"].astype(str)) if d]
    found = [
        ("suite", tidy.suite.name),
        ("cases", f"{len(tidy.cases)} ({', '.join(f'{n} {k}'.replace('_', ' ') for k, n in kinds.items())})"),
        ("methods", str(len(tidy.methods))),
        ("seeds", ", ".join(map(str, tidy.seeds))),
        ("videos", f"{sum(c.made for c in tidy.counts.values())} of {planned}"),
        ("backbone", s.backbone),
        ("size", f"width {s.width}, height {s.height}, {s.frames} frames"),
        ("protocol", s.fairness.removeprefix("protocol ")),
        ("sampling", f"{s.steps} steps ({s.solver}), guidance {s.guidance:g}, {s.dtype}"),
        ("device", ", ".join(devices) or tidy.device),
        ("run folders", ", ".join(store.root.resolve().name for store in tidy.stores)),
        ("table digest", tidy.digest),
        ("suite digest", tidy.suite_digest),
        ("weights digest", s.weights_digest[:16]),
    ]
    return [(k, v) for k, v in found if v]


def method_cards(tidy: Tidy) -> list[dict[str, Any]]:
    """Each method as it was run, in the run's order; ``about`` is its own card, as names and sentences."""
    planned = len(tidy.cases) * len(tidy.seeds)
    counts = {label: tidy.counts.get(label, Count()) for label in tidy.methods}
    return [_card(spec, counts[k].made, planned, sum(counts[k].failed.values())) for k, spec in tidy.methods.items()]


def _card(spec: MethodSpec, made: int, planned: int, failed: int) -> dict[str, Any]:
    try:
        cls = registry.methods.get(spec.method)
        said = spec.params.get("source") if spec.imported else ""
        summary, source = str(cls.summary), str(said or cls.source)
        card = card_of(cls)
        lines = card.facts() if card else {"card": NO_CARD}
        about = () if spec.imported else tuple((k, v if isinstance(v, list) else [str(v)]) for k, v in lines.items())
    except SpecError:
        summary, source, about = "", "", ()  # a plug-in of another machine: its numbers are still here
    params = tuple((str(k), _words(v)) for k, v in spec.params.items())
    return {
        "label": spec.label, "summary": summary, "source": source, "control": spec.control, "preset": spec.preset,
        "params": params, "made": made, "planned": planned, "failed": failed, "about": about,
    }  # fmt: skip


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_words(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def command(tidy: Tidy) -> str:
    """The command that makes the same run, as far as a run folder knows it; paths are as seen from the current folder."""
    s, configs = tidy.setting, [store.config() for store in tidy.stores]
    first = configs[0]
    labels = [k for k, m in tidy.methods.items() if not m.imported]
    if not labels:
        return "# every video was imported, and no command makes them"
    how = first.asked or Asked(suite=tidy.suite.name)
    asked = how.model_dump(exclude_defaults=True, exclude={"some", "command", "words"})
    for name in {"suite", "root", "prompts"} & asked.keys():
        asked[name] = _from_here(asked[name])
    asked |= {"cases": tuple(tidy.cases)} if how.some else {}
    values = asked | {
        "backbone": _from_here(s.backbone), "seeds": tidy.seeds, "metrics": tuple(tidy.metrics),
        "width": s.width, "height": s.height, "frames": s.frames, "steps": s.steps, "guidance": s.guidance, "dtype": s.dtype,
        "protocol": f"{s.protocol},timing" if first.repeats else s.protocol, "repeats": first.repeats or None,
        "budget": s.budget, "device": first.device if first.device in ("cpu", "cuda") else None,
        "threads": first.threads, "offload": first.offload,
        "controls": {"none", "sdedit"} <= set(labels),
        "plugins": tuple(dict.fromkeys(_from_here(p) for c in configs for p in c.plugins)),
    }  # fmt: skip
    start = ["bench", how.command, *how.words]
    if how.command == "run":
        values["methods"] = tuple(labels)
    else:  # an ablation names its own; beside them stands whatever else the run has
        start += ["--with", ",".join(label for label in labels if label not in how.words or ":" not in label)]
    return " \\\n  ".join([shlex.join(start), *words_of(Request, values)])


def _from_here(path: str) -> str:
    """An absolute path as it is typed in the current folder: a page that is passed on shows nobody's home."""
    found = os.path.relpath(path) if os.path.isabs(path) else path  # noqa: PTH117 - a name may be no path
    return found if found == path or "/" in found else f"./{found}"  # else a folder `shapes` would be the suite of that name
