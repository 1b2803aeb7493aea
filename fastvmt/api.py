"""Everything the command line does, as Python calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.backbones.device import has_cuda
from fastvmt.core.places import Place, Places, path_or_none, paths
from fastvmt.core.screen.status_line import doing
from fastvmt.estimates.plan_estimate import Conditions, Estimate, estimate, note_prediction, refuse_what_cannot_fit
from fastvmt.jobs.growth import part_of
from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins.listing import describe
from fastvmt.records.verified import Verified
from fastvmt.runner.code import keep_traits, open_run
from fastvmt.runner.command import go_on
from fastvmt.runner.option import split
from fastvmt.runner.plan import Plan, resolve
from fastvmt.runner.runner import Runner
from fastvmt.runner.settings import Options, Outcome, Request
from fastvmt.runner.work import require_fit, work
from fastvmt.store import layout
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    import pandas as pd

    from fastvmt.exchange.imports.videos import Claim
    from fastvmt.reports.tables.comparison import Comparison
    from fastvmt.reports.tables.look import Look
    from fastvmt.reports.tables.run_table import Table

PROBE_CLIPS = 6
"""Drawn clips behind the correspondence figure of a report; ``bench doctor`` takes more."""

__all__ = [
    "Result", "compare", "describe", "frame", "import_videos", "plan", "report", "resume", "run", "score", "table", "work",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A finished (or interrupted) run. ``print`` shows its table; a notebook shows it as one."""

    folder: Path
    outcome: Outcome
    table: Table
    sheet: Path | None

    def __str__(self) -> str:
        from fastvmt.reports.tables.run_table import as_lines

        return as_lines(self.table, self.sheet)

    def _repr_html_(self) -> str:
        from html import escape

        o = self.outcome
        said = f"{self.folder}: {o.made} made, {o.found} found, {o.failed} failed{', interrupted' * o.interrupted}"
        return f"<p>{escape(said)}</p>\n{self.table._repr_html_()}"


def run(request: Request, out: Place | None = None, options: Options | None = None) -> Result:
    """Plan, generate what is missing, score, and build the table. The same call resumes.

    A folder that holds a run already gets what the request adds to it, and its table shows all. Made are the videos that
    the request names; ``resume`` makes whatever the run lacks.

    Args:
        request: what to run.
        out: run folder; by default one whose name follows from the request.
        options: workers, time limit, display.

    Raises:
        UserError: for anything wrong with the request, or when it cannot fit this machine (``options.force`` tries it anyway).
        NotComparable: when the methods must not share a table.
    """
    from fastvmt.backbones.card import require_weights

    options, out = options or Options(), path_or_none(out)
    gpus = options.executor != "local" and request.device == "cuda"  # of the nodes: a login node has none
    doing("reading the request and its clips")
    plan = resolve(request, elsewhere=gpus)
    require_fit(options, plan.config)
    require_weights(plan.card)
    doing("estimating time and memory")
    where = Conditions(options.workers, elsewhere=options.executor != "local", remake=options.remake)
    refuse_what_cannot_fit(estimate(plan.config, plan.card, out or plan.default_folder(), where), options.force)
    doing("storing reference clips")
    store = plan.open_store(out, hold=True)
    store.news += plan.warnings
    config = store.config()  # with all that the folder had before
    return _go(store, config, replace(options, part=part_of(config, plan.config)))


def resume(folder: Place, options: Options | None = None, plugins: Sequence[str] = ()) -> Result:
    """Go on with a run folder as its ``config.json`` says.

    Args:
        plugins: files of plug-ins. Those that the folder names run only where you have given them before, in this state.

    Raises:
        SpecError: when a plug-in is needed that you have not given.
    """
    return _go(*open_run(Path(folder), plugins), options or Options())


def score(
    folder: Place, metrics: Sequence[str] = (), options: Options | None = None, again: bool = False, plugins: Sequence[str] = ()
) -> Result:
    """Score what a run folder holds, without generating.

    Args:
        metrics: labels or patterns such as ``vbench:*``; ``+label`` beside those of the run. None for those of the run, and
            those of ``plugins``.
        again: compute even what is already recorded.
        plugins: as for ``resume``; only metrics are needed.
    """
    from fastvmt.plugins import metric_labels, registry
    from fastvmt.runner.plan.command import own_metrics

    wanted = tuple(split(metrics) if isinstance(metrics, str) else metrics)
    store, config = open_run(Path(folder), plugins, wanted or None, generate=False)
    default = (*config.metrics, *registry.defined_in("metrics", plugins))
    chosen, missing = metric_labels.choose(wanted, default, own_metrics(config))
    before, log = store.records() if again else {}, store.log(layout.RECORDS)
    lines = sum(1 for _ in store.each_record(log)) if again else 0
    result = _go(store, config, options or Options(), generate=False, metrics=chosen, rescore=again)
    result.table.notes += missing
    if again:
        verified = Verified()
        for record in islice(store.each_record(log), lines, None):
            verified.compare(before.get(record.key), record)
        result.table.notes.append(f"{verified.words()}.")
    return result


def table(folder: Place) -> Table:
    """The table of a run folder, from its records; no plug-in is loaded."""
    from fastvmt.reports.tables.run_table import build

    store = Store.open(Path(folder))
    return build(store, store.config())


def report(
    folders: Places, out: Place | None = None, *, against: str = "", tables: tuple[str, ...] = (),
    formats: tuple[str, ...] = ("md", "csv", "tex", "html", "json"), frame: tuple[str, ...] = (), page: bool = True,
    figures: bool | tuple[str, ...] = True, tracks: bool = True, look: Look | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:  # fmt: skip
    """Write the report of a run, or of several of one suite and setting, into ``out`` (the first run's ``report/``).

    Args:
        against, tables, formats, frame, page, figures, tracks, look: see ``reports.page.bundle.ReportContents``.
        say: gets a sentence for every figure that the run has no numbers for.

    Returns:
        The files a reader opens first.

    Raises:
        NotComparable: when the runs must not share a table.
    """
    from fastvmt.reports.page.bundle import ReportContents, write
    from fastvmt.reports.tables.look import Look
    from fastvmt.reports.tidy import gather

    contents = ReportContents(against, tables, formats, frame, page, figures, tracks, look or Look())
    runs = paths(folders)
    tidy = gather(runs)
    return write(tidy, path_or_none(out) or runs[0] / layout.REPORT, contents, say)


def frame(folders: Places) -> pd.DataFrame:
    """The tidy frame of a run, or of several of one suite and setting: a row for every video and number, gaps included.

    Raises:
        NotComparable: when the runs must not share a table.
    """
    from fastvmt.reports.tidy import gather

    return gather(paths(folders)).frame


def print_tables(
    folders: Sequence[Path], tables: tuple[str, ...] = (), against: str = "", form: str = "terminal", look: Look | None = None
) -> str:
    """Tables of runs as text: all, or those whose id begins with one of the words; in one of ``render.FORMATS``."""
    from fastvmt.core.choices import one_of
    from fastvmt.reports.page.bundle import tables_of
    from fastvmt.reports.tables.look import Look
    from fastvmt.reports.tables.render import FORMATS, as_json, render
    from fastvmt.reports.tidy import gather

    one_of("--print", form, FORMATS)
    look = look or Look()
    tidy = look.named(gather(folders))
    shown = look.of(tables_of(tidy, tables, against))
    if form == "json":
        return as_json(shown)
    brief = [replace(v, notes=tuple(n for n in v.notes if n not in tidy.notes)) for v in shown[:-1]]  # said once, at the end
    return "\n\n".join(render(view, form).rstrip() for view in (*brief, *shown[-1:]))


def compare(
    folders: Places, base: str = "", metrics: Sequence[str] = (), form: str = "terminal", look: Look | None = None
) -> Comparison:
    """One method against every other with tests; one preset a method: the base's, and the first of every other.

    Args:
        base: a method's label; the first one that is no control without it.
        metrics: labels; all that have a direction without any.
        form: of ``str()`` and ``print``; one of ``render.FORMATS``.
        look: which columns and rows, and how they are called.

    Raises:
        SpecError: for an unknown base or metric, or what ``look`` names and the run has not.
        NotComparable: when the runs must not share a table, or nothing is paired.
    """
    from fastvmt.core.choices import one_of
    from fastvmt.reports.tables.comparison import of
    from fastvmt.reports.tables.look import Look
    from fastvmt.reports.tables.render import FORMATS
    from fastvmt.reports.tidy import gather

    one_of("form", form, FORMATS)
    look = look or Look()
    tidy = look.named(gather(paths(folders)))
    doing("reckoning intervals and tests")
    found = of(tidy, base, split(metrics) if isinstance(metrics, str) else metrics, form)
    return replace(found, views=tuple(look.of(found.views)))


def probe(folder: Path) -> Path | None:
    """How well each block of the run's backbone follows known motion, as ``RUN/probes/correspondence.json``; kept once made.

    Returns:
        None where the run's device is not here: a large model on a CPU would take hours.
    """
    import json

    from fastvmt.backbones import card as cards
    from fastvmt.core.disk.atomic import write_atomic

    path = folder / layout.PROBE
    if path.exists():
        return path
    config = Store.open(folder).config()
    setting, card = config.setting, cards.load(config.setting.backbone)
    if card.folder is None or (config.device.startswith("cuda") and not has_cuda()):
        return None
    from fastvmt.backbones.wan import Backbone, encoded
    from fastvmt.datasets.drawn.probe import correspondence
    from fastvmt.runner.generate import DTYPES

    empty = encoded(card, config.device, DTYPES[setting.dtype], [""], config.offload)[""]
    model = Backbone(card, config.device, DTYPES[setting.dtype], config.offload)
    found = correspondence(model, setting.width, setting.height, setting.frames, clips=PROBE_CLIPS, empty=empty)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, json.dumps(found.data() | {"clips": PROBE_CLIPS}))
    return path


def plan(request: Request, out: Place | None = None, where: Conditions | None = None) -> tuple[Plan, Estimate]:
    """What a run would do and take; writes nothing but a calibration that is asked for, into the user's cache.

    Args:
        where: workers, a device other than this machine's, whether to time one block first.

    Raises:
        UserError: as ``run`` does, for anything wrong with the request or that the folder's run forbids.
    """
    doing("reading the request and its clips")
    memory = where.device_bytes if where else 0
    plan = resolve(request, decode=False, elsewhere=bool(memory), memory=memory)
    folder = path_or_none(out) or plan.default_folder()
    if layout.is_run(folder) and plan.listed.decoded:
        Store(folder).grown(plan.config)
    return plan, estimate(plan.config, plan.card, folder, where)


def import_videos(
    videos: Place, claim: Claim, request: Request | None = None, *, into: Place | None = None, out: Place | None = None,
    options: Options | None = None, plugins: Sequence[str] = (),
) -> Result:  # fmt: skip
    """Bring somebody else's videos into a run folder and score them as ours are scored.

    Args:
        videos: folder of videos or image folders named by case id, or a CSV file with case, file and perhaps seed.
        claim: name, claimed settings, what to do with other sizes.
        request: suite, backbone and size of a new run (its ``methods`` and ``controls`` are not used).
        into: an existing run that gets one line more, instead of a new one.
        out: folder of a new run; by default one whose name follows from all of this.
        plugins: of ``into``, as for ``resume``.

    Returns:
        As ``fastvmt.run``: the scored run.

    Raises:
        SpecError: with every problem of names, settings and files, a line each; nothing is then written.
        StoreError: ``into`` holds another import of that name, or is in use.
    """
    from fastvmt.exchange.imports.videos import bring_in

    if into is not None:
        open_run(Path(into), plugins, generate=False)  # what cannot be scored is not brought in
    store = bring_in(Path(videos), claim, request, into=path_or_none(into), out=path_or_none(out))
    return score(store.root, (), options, plugins=plugins)


def _go(
    store: Store, config: RunConfig, options: Options, generate: bool = True,
    metrics: tuple[str, ...] | None = None, rescore: bool = False,
) -> Result:  # fmt: skip
    from fastvmt.core.disk.atomic import write_atomic
    from fastvmt.reports.figures.sheet import write_sheet
    from fastvmt.reports.tables.run_table import as_lines, build

    require_fit(options, config, generate)
    store.lock()
    try:
        keep_traits(store, config, config.metrics if metrics is None else metrics)
        if generate:
            _mark_to_remake(store, config, options)
            note_prediction(store, config)
        if options.executor == "slurm" and generate:
            from fastvmt.runner.executors.on_slurm import Crew

            outcome = Crew(store, config, options, work).run()
        else:
            outcome = Runner(store, config, options).run(generate, metrics, rescore)
        doing("reading the numbers")
        found = build(store, config)
        if lacking := _unasked(store, config, options):
            store.news.append(f"{lacking} videos of this run were not asked for; `{go_on(store.root)}` makes them.")
        found.notes += [said for said in store.news if said not in found.tidy.notes]
        outcome = replace(outcome, unscored=found.unscored(config.metrics if metrics is None else metrics))  # whoever scored
        sheet = None
        if not outcome.interrupted and found.made:
            doing("drawing the sheet")
            sheet = write_sheet(store, config, store.root / layout.SHEET)
        write_atomic(store.root / layout.TABLE, as_lines(found, sheet) + "\n")
    finally:
        store.unlock()
    return Result(store.root, outcome, found, sheet)


def _unasked(store: Store, config: RunConfig, options: Options) -> int:
    """Videos that are not there and that the command did not name."""
    if (part := options.part) is None:
        return 0
    grid = ((job, part.holds(job.method.label, job.case_id, job.seed)) for job in config.grid() if not job.method.imported)
    return sum(not named and not store.folder(job).exists() for job, named in grid)


def _mark_to_remake(store: Store, config: RunConfig, options: Options) -> None:
    """Raises:
    SpecError: for a label of which this command makes no video.
    """
    from fastvmt.core.choices import one_of

    part = options.part
    labels = [m.label for m in config.methods if not m.imported and (part is None or m.label in part.labels)]
    wanted = {one_of("--remake", label, labels) for label in options.remake}
    store.mark(
        job.key for job in (config.grid() if wanted else ())
        if job.method.label in wanted and (part is None or part.holds(job.method.label, job.case_id, job.seed))
    )  # fmt: skip
