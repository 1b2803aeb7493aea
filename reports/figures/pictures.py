"""Every figure of a run: which numbers go into it, and where it is written. How it looks is ``draw.py``'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastvmt.core.reading import parse_json
from fastvmt.core.screen.status_line import doing
from fastvmt.errors import UserError
from fastvmt.reports.figures import draw, inner_steps
from fastvmt.reports.figures.frontier import frontier
from fastvmt.reports.figures.style import Drawn, Picture, colours, save
from fastvmt.reports.frontier.standing import frontier_of
from fastvmt.reports.tables import ablation, views
from fastvmt.reports.tables.headings import heading
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.verdict import motion_score
from fastvmt.reports.tables.view import View, id_of
from fastvmt.reports.tidy import STAGE, WORK, Tidy
from fastvmt.store.layout import PROBE

LOGGED_VIDEOS = 64
"""Videos of one method whose logs go into a figure; more would not change it."""
FRONTIER = ("frontier", "quality-time")
"""Names of the figures of motion against forward-equivalents and seconds; a run of one or two methods has the second alone."""
FORMATS = ("png", "svg", "pdf")


def draw_all(
    tidy: Tidy, folder: Path, say: Callable[[str], None] = lambda line: None, only: Sequence[str] = ()
) -> list[Picture]:
    """Draw what the run has the numbers for into ``folder``; ``say`` gets a sentence for each figure that it has not.

    Args:
        only: names of figures; all when empty.
    """
    found = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in _wanted(tidy):
        if only and name not in only:
            continue
        doing(f"drawing {name}")
        try:
            drawn = make()
        except UserError as error:
            say(f"{name} is not drawn: {error}")
            continue
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:  # logs are of others' code
            say(f"{name} is not drawn: what was logged for it has another shape ({type(error).__name__})")
            continue
        paths = save(drawn, folder / name, FORMATS)
        found.append(Picture(name, next(p for p in paths if p.suffix == ".svg"), drawn.alt, drawn.caption))
    return found


def _wanted(tidy: Tidy) -> Iterator[tuple[str, Callable[[], Drawn]]]:
    if found := frontier_of(tidy):
        for name, cost in zip(FRONTIER, (WORK, *views.metrics_of(tidy, ("time",))), strict=False):
            yield name, lambda cost=cost: frontier(found, cost)  # type: ignore[misc]
    else:
        yield "quality-time", lambda: quality_time(tidy)
    yield "stages", lambda: stage_bars(tidy)
    yield "correspondence", lambda: correspondence(tidy)
    for base in ablation.bases(tidy) or [label for label, spec in tidy.methods.items() if not spec.control][:1]:
        name = id_of(base)
        yield f"ablation-{name}", lambda base=base: ablation_bars(ablation.ablation(tidy, base))  # type: ignore[misc]
        yield f"vbench-{name}", lambda base=base: vbench_bars(tidy, base)  # type: ignore[misc]
        yield f"gradients-{name}", lambda base=base: gradients(tidy, base)  # type: ignore[misc]
        yield f"skip-paths-{name}", lambda base=base: skip_paths(tidy, base)  # type: ignore[misc]


def quality_time(tidy: Tidy) -> Drawn:
    """Quality against seconds, a point a method; forms of one method only where there is nothing else to compare."""
    quality = motion_score(tidy)
    times = views.metrics_of(tidy, ("time",))
    if not quality or not times:
        raise UserError("the run has no time or no measure of motion")
    main = ablation.compared(tidy)
    shown = main if sum(not tidy.methods[label].control for label in main) > 1 else first_presets(tidy)
    view = views.build(tidy, "", "", views.lines_of(tidy, shown), [times[0], quality])
    places = colours(tidy.methods)
    points = [
        {"label": line.head, "control": not line.ranked, "n": line.cells[1].n,
         "floor": tidy.methods[line.key].method == "none", "colour": places[line.key],
         "seconds": line.cells[0].value, "seconds_low": line.cells[0].low, "seconds_high": line.cells[0].high,
         "quality": line.cells[1].value, "quality_low": line.cells[1].low, "quality_high": line.cells[1].high}
        for line in view.lines
    ]  # fmt: skip
    return draw.quality_time(points, heading(quality), tidy.metrics[quality].direction)


def stage_bars(tidy: Tidy) -> Drawn:
    """Mean seconds by stage; loading apart."""
    view = views.stages(tidy, first_presets(tidy))
    rows: dict[str, dict[str, float]] = {}
    n = 0
    for line in (row for row in view.lines if not tidy.methods[row.key].ceiling):
        cells = {c.key[len(STAGE) :]: cell for c, cell in zip(view.columns, line.cells, strict=True) if c.key.startswith(STAGE)}
        rows[line.head] = {k: cell.value for k, cell in cells.items() if cell.value is not None and k != "load"}
        n = max([n, *(cell.n for cell in cells.values())])
    return draw.stage_bars(rows, n)


def ablation_bars(view: View) -> Drawn:
    """A panel for each column of an ablation table."""
    metrics = []
    for at, c in enumerate(view.columns):
        if c.key != "time_ratio":
            parts = ([getattr(line.cells[at], k) for line in view.lines] for k in ("value", "low", "high"))
            metrics.append((c.head + (f" [{c.unit}]" if c.unit else ""), c.direction, *parts))
    n = max((cell.n for line in view.lines for cell in line.cells), default=0)
    base = next((at for at, line in enumerate(view.lines) if line.note == "base"), 0)
    return draw.ablation_bars([line.head for line in view.lines], metrics, n=n, base=base)  # type: ignore[arg-type]


def vbench_bars(tidy: Tidy, base: str) -> Drawn:
    """The paper's Figure 7: the method without each of its parts, by VBench."""
    view = ablation.vbench(tidy, base)
    if view is None:
        raise UserError("the run has no VBench dimension, or no form of the method without one of its parts")
    return ablation_bars(view)


def _logs(tidy: Tidy, label: str) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """(case, seed) and log of the method's first videos."""
    seen = 0
    for store in tidy.stores:
        for job in store.config().jobs():
            if job.method.label == label and seen < LOGGED_VIDEOS and (artefact := store.artefact(job)):
                seen += 1
                yield (job.case_id, job.seed), artefact.log


def gradients(tidy: Tidy, base: str) -> Drawn:
    """Figure 2b: how alike the gradients of one guided step are, of the form that computes every one afresh if there is one."""
    afresh = [c.label for c in ablation.changes(tidy, base) if c.params == ("interval",) and c.spec.params["interval"] == 1]
    label = afresh[0] if afresh else base
    found = [log["gradients"] for _, log in _logs(tidy, label) if isinstance(log.get("gradients"), dict)]
    return inner_steps.gradient_similarity(found)


def skip_paths(tidy: Tidy, base: str) -> Drawn:
    """Figure 3: the latent's path under growing skip, from runs that differ in the interval alone."""
    spec = tidy.methods[base]
    labels = {int(spec.params["interval"]): base} if "interval" in spec.params else {}
    for change in ablation.changes(tidy, base):
        if change.params == ("interval",):
            labels[int(change.spec.params["interval"])] = change.label
    paths: dict[tuple[str, int], dict[int, Any]] = {}
    for interval, label in sorted(labels.items()):
        for video, log in _logs(tidy, label):
            if isinstance(log.get("path"), dict):
                paths.setdefault(video, {})[interval] = log["path"]["sketch"]
    complete = [found for found in paths.values() if len(found) == len(labels)]
    if not complete:
        raise UserError("no video was made with several intervals; bench ablate runs them")
    return inner_steps.skip_paths(complete[0], complete[1:])


def correspondence(tidy: Tidy) -> Drawn:
    """Figure 9: how well queries and keys of each block follow known motion, from the run's probe."""
    path = tidy.stores[0].root / PROBE
    if not path.exists():
        raise UserError("the backbone was not probed; bench ablate and bench paper do it")
    facts = parse_json(path.read_bytes())
    return inner_steps.correspondence(facts["levels"], facts["forms"], facts["share"])
