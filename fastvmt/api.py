"""Everything the command line does, as Python calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.backbones.device import has_cuda
from fastvmt.errors import SpecError
from fastvmt.estimates.plan_estimate import Conditions, Estimate, estimate, note_prediction, refuse_what_cannot_fit
from fastvmt.jobs.run_config import RunConfig
from fastvmt.runner.plan import Plan, Request, resolve
from fastvmt.runner.runner import Options, Outcome
from fastvmt.store import layout
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    import pandas as pd

    from fastvmt.reports.tables.run_table import Table

PROBE_CLIPS = 6
"""Drawn clips behind the correspondence figure of a report; ``bench doctor`` takes more."""


@dataclass(frozen=True)
class Result:
    """A finished (or interrupted) run."""

    folder: Path
    outcome: Outcome
    table: Table
    sheet: Path | None


def run(request: Request, out: Path | None = None, options: Options | None = None) -> Result:
    """Plan, generate what is missing, score, and build the table. The same call resumes.

    Args:
        request: what to run.
        out: run folder; by default one whose name follows from the request.
        options: workers, time limit, display.

    Raises:
        UserError: for anything wrong with the request, or when it cannot fit this machine (``options.force`` tries it anyway).
        NotComparable: when the methods must not share a table.
    """
    from fastvmt.backbones.card import require_weights

    options = options or Options()
    gpus = options.executor != "local" and request.device == "cuda"  # of the nodes: a login node has none
    plan = resolve(request, elsewhere=gpus)
    options = _checked(options, plan.config)
    require_weights(plan.card)
    folder = out or plan.default_folder()
    there = Store.open(folder) if layout.is_run(folder) else None
    where = Conditions(options.workers, elsewhere=options.executor != "local")
    refuse_what_cannot_fit(estimate(plan, there, where, folder), options.force)
    store = plan.open_store(out, hold=True)
    return _go(store, store.config(), options)  # with what was imported into the folder


def resume(folder: Path, options: Options | None = None) -> Result:
    """Go on with a run folder as its ``config.json`` says."""
    store = Store.open(folder)
    config = store.config()
    _load_plugins(store, config)
    return _go(store, config, options or Options())


def work(folder: Path, options: Options | None = None) -> Outcome:
    """Join a run folder as one more runner, from any machine that sees it; each job is still done once.

    It needs no lock: jobs are claimed one by one (see ``fastvmt.runner.leases``). It ends when nothing is left to do, here or
    elsewhere.

    Raises:
        UserError: when the folder is no run, or its weights or its kind of device are not on this machine.
    """
    from fastvmt.backbones import card as cards
    from fastvmt.runner.executors import join

    store = Store.open(folder)
    config = store.config()
    _load_plugins(store, config)
    cards.require_weights(cards.load(config.setting.backbone))
    if config.device.startswith("cuda") and not has_cuda():  # else it would record one failure after another
        raise SpecError(f"{folder} is a run on CUDA, and torch sees no CUDA device here; help from a machine that has one.")
    return join(store, config, _checked(options or Options(), config))


def score(folder: Path, metrics: tuple[str, ...], options: Options | None = None, again: bool = False) -> Result:
    """Score what a run folder holds, without generating.

    Args:
        metrics: labels or patterns such as ``vbench:*``; none for those of the run.
        again: compute even what is already recorded.
    """
    from fastvmt.plugins import metric_labels

    store = Store.open(folder)
    config = store.config()
    _load_plugins(store, config)
    chosen, missing = metric_labels.choose(metrics, config.metrics)
    result = _go(store, config, options or Options(), generate=False, metrics=chosen, rescore=again)
    result.table.notes += missing
    return result


def table(folder: Path) -> Table:
    """The table of a run folder, from its records."""
    from fastvmt.reports.tables.run_table import build

    store = Store.open(folder)
    config = store.config()
    _load_plugins(store, config)
    return build(store, config)


def by_category(folder: Path) -> str:
    """The table of a run folder split by the cases' category, as Markdown."""
    from fastvmt.reports.tables.run_table import split_lines

    return split_lines(table(folder))


def report(
    folders: Sequence[Path], out: Path | None = None, *, against: str = "", tables: tuple[str, ...] = (),
    formats: tuple[str, ...] = ("md", "csv", "tex", "html", "json"), frame: tuple[str, ...] = (), page: bool = True,
    figures: bool = True, tracks: bool = True, say: Callable[[str], None] = lambda line: None,
) -> list[Path]:  # fmt: skip
    """Write the report of a run, or of several of one suite and setting, into ``out`` (the first run's ``report/``).

    Args:
        against, tables, formats, frame, page, figures, tracks: see ``reports.page.bundle.ReportContents``.
        say: gets a sentence for every figure that the run has no numbers for.

    Returns:
        The files a reader opens first.

    Raises:
        NotComparable: when the runs must not share a table.
    """
    from fastvmt.reports.page.bundle import ReportContents, write
    from fastvmt.reports.tidy import gather

    contents = ReportContents(against, tables, formats, frame, page, figures, tracks)
    return write(gather(folders), out or folders[0] / layout.REPORT, contents, say)


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """The tidy frame of a run, or of several of one suite and setting: a row for every video and number, gaps included.

    Raises:
        NotComparable: when the runs must not share a table.
    """
    from fastvmt.reports.tidy import gather

    return gather(folders).frame


def print_tables(folders: Sequence[Path], tables: tuple[str, ...] = (), against: str = "", form: str = "terminal") -> str:
    """Tables of runs as text: all, or those whose id begins with one of the words; in one of ``render.FORMATS``."""
    from fastvmt.reports.page.bundle import as_json, tables_of
    from fastvmt.reports.tables.render import render
    from fastvmt.reports.tidy import gather

    tidy = gather(folders)
    shown = tables_of(tidy, tables, against)
    if form == "json":
        return as_json(shown)
    brief = [replace(v, notes=tuple(n for n in v.notes if n not in tidy.notes)) for v in shown[:-1]]  # said once, at the end
    return "\n\n".join(render(view, form).rstrip() for view in (*brief, *shown[-1:]))


def compare(folders: Sequence[Path], base: str = "", metrics: tuple[str, ...] = (), form: str = "terminal") -> str:
    """One method against every other with tests, as text; one preset a method: the base's, and the first of every other.

    Raises:
        SpecError: for an unknown base or metric.
        NotComparable: when the runs must not share a table, or nothing is paired.
    """
    from fastvmt.reports.page.bundle import as_json
    from fastvmt.reports.tables import compare as comparing
    from fastvmt.reports.tables.render import render
    from fastvmt.reports.tables.run_table import first_presets
    from fastvmt.reports.tidy import gather

    tidy = gather(folders)
    labels = first_presets(tidy, comparing.base_of(tidy, base))
    shown = [comparing.versus(tidy, base, metrics), comparing.ratios(tidy, base), comparing.ranks(tidy, metrics, labels)]
    shown = [view for view in shown if view.columns and view.lines]
    return as_json(shown) if form == "json" else "\n\n".join(render(view, form).rstrip() for view in shown)


def probe(folder: Path) -> Path | None:
    """How well each block of the run's backbone follows known motion, as ``RUN/probes/correspondence.json``; kept once made.

    Returns:
        None where the run's device is not here: a large model on a CPU would take hours.
    """
    import json

    from fastvmt.backbones import card as cards
    from fastvmt.core.atomic import write_atomic
    from fastvmt.plugins import registry

    path = folder / layout.PROBE
    if path.exists():
        return path
    config = Store.open(folder).config()
    setting, card = config.setting, cards.load(config.setting.backbone)
    if card.folder is None or (config.device.startswith("cuda") and not has_cuda()):
        return None
    from fastvmt.backbones.wan import Backbone
    from fastvmt.runner.generate import DTYPES

    found = registry.probes.get("correspondence")(
        Backbone(card, config.device, DTYPES[setting.dtype], config.offload), setting.width, setting.height, setting.frames,
        clips=PROBE_CLIPS,
    )  # fmt: skip
    facts = {"levels": found.levels, "forms": found.forms, "share": found.share.tolist(), "best": found.best_block()}
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, json.dumps(facts | {"clips": PROBE_CLIPS}))
    return path


def plan(request: Request, out: Path | None = None, where: Conditions | None = None) -> tuple[Plan, Estimate]:
    """What a run would do and take; writes nothing.

    Args:
        where: workers, and a device other than this machine's.
    """
    plan = resolve(request, decode=False, elsewhere=bool(where and where.device_bytes))
    folder = out or plan.default_folder()
    store = Store.open(folder) if layout.is_run(folder) else None
    return plan, estimate(plan, store, where, folder)


def _load_plugins(store: Store, config: RunConfig) -> None:
    from fastvmt.plugins import registry

    registry.load_own_plugins(store.root, config.plugins)


def _go(
    store: Store, config: RunConfig, options: Options, generate: bool = True,
    metrics: tuple[str, ...] | None = None, rescore: bool = False,
) -> Result:  # fmt: skip
    from fastvmt.core.atomic import write_atomic
    from fastvmt.reports.figures.sheet import write_sheet
    from fastvmt.reports.tables.run_table import as_lines, build
    from fastvmt.runner import executors

    options = _checked(options, config, generate)
    store.lock()
    try:
        if generate:
            note_prediction(store, config)
        outcome = executors.run(store, config, options, generate, metrics, rescore)
        found = build(store, config)
        sheet = None
        if not outcome.interrupted and found.made:
            sheet = write_sheet(store, config, store.root / layout.SHEET)
        write_atomic(store.root / layout.TABLE, as_lines(found, sheet) + "\n")
    finally:
        store.unlock()
    return Result(store.root, outcome, found, sheet)


def _checked(options: Options, config: RunConfig, generate: bool = True) -> Options:
    """
    Raises:
        SpecError: for a number of workers that cannot be, and options that contradict each other.
    """
    from fastvmt.runner import executors

    executors.check(options)
    if options.workers < 0:
        raise SpecError(f"--workers {options.workers}: at least 1 is needed.")
    if config.repeats and generate and options.workers > 1 and not config.device.startswith("cuda"):
        raise SpecError(
            f"--workers {options.workers}: a run with timed repeats makes one video at a time; leave --workers out."
        )
    return options


def describe(name: str) -> dict[str, Any]:
    """What is registered under a name, as plain data.

    Raises:
        SpecError: when nothing is.
    """
    from fastvmt.plugins.listing import describe as look_up

    return look_up(name)
