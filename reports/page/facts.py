"""What the report says about a run: what was run, each method's card, and the command that does it again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastvmt.core.spelling import public
from fastvmt.errors import SpecError
from fastvmt.model import MethodSpec
from fastvmt.plugins.card import NO_CARD, card_of
from fastvmt.plugins.method import Method
from fastvmt.reports.tidy import Tidy
from fastvmt.reports.tidy.frame import Count
from fastvmt.runner.plan.command import from_here, typed
from fastvmt.runner.plan.methods import CONTROLS


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
        ("backbone", s.called),
        ("size", f"width {s.width}, height {s.height}, {s.frames} frames"),
        ("protocol", s.fairness.removeprefix("protocol ")),
        ("sampling", f"{s.steps} steps ({s.solver}), {s.scales}, {s.dtype}"),
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
    return [
        _card(spec, tidy.method(k), counts[k].made, planned, sum(counts[k].failed.values())) for k, spec in tidy.methods.items()
    ]


def _card(spec: MethodSpec, cls: type[Method], made: int, planned: int, failed: int) -> dict[str, Any]:
    try:
        said = spec.params.get("source") if spec.imported else ""
        summary, source = str(cls.summary), str(said or cls.source)
        card = card_of(cls)
        lines = card.facts() if card else {"card": NO_CARD}
        about = () if spec.imported else tuple((k, v if isinstance(v, list) else [str(v)]) for k, v in lines.items())
    except SpecError:
        summary, source, about = "", "", ()  # its card is damaged: its numbers are still here
    params = tuple((str(k), _words(v)) for k, v in spec.params.items())
    return {
        "label": spec.label, "summary": summary, "source": source, "control": spec.control, "preset": spec.preset,
        "params": params, "made": made, "planned": planned, "failed": failed, "about": about,
    }  # fmt: skip


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_words(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else public(str(value))


def command(tidy: Tidy) -> str:
    """The command that makes the same run, as far as a run folder knows it; paths are as seen from the current folder."""
    configs = [store.config() for store in tidy.stores]
    labels = tuple(k for k, m in tidy.methods.items() if not m.imported)
    if not labels:
        return "# every video was imported, and no command makes them"
    some = configs[0].asked is not None and configs[0].asked.some
    parts = typed(
        configs[0], methods=labels, seeds=tidy.seeds, metrics=tuple(tidy.metrics), controls={*CONTROLS} <= {*labels},
        plugins=tuple(dict.fromkeys(from_here(p) for c in configs for p in c.plugins)),
        **({"cases": tuple(tidy.cases)} if some else {}),
    )  # fmt: skip
    return " \\\n  ".join(parts)
