"""Boards: which submissions may be ranked together, and the one frame that their tables, verdicts and figures are views of.

A board is one suite, one setting (backbone, protocol, size, steps, everything else that decides a video) and the same seeds.
Of each method the latest submission stands on it; the controls are those of the earliest. What would bend the others' numbers
is left out and said: a row with gaps, and a column that was computed in another way or timed on another machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING

from fastvmt.core.content_address import digest
from fastvmt.core.spelling import shown
from fastvmt.plugins.traits import Traits
from fastvmt.reports.frontier.standing import Frontier, frontier_of
from fastvmt.reports.leaderboard.submissions import Entry
from fastvmt.reports.tables.compare import ranks
from fastvmt.reports.tables.headings import display
from fastvmt.reports.tables.look import main_columns
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.verdict import MOTION, verdict
from fastvmt.reports.tables.view import Cell, Column, View
from fastvmt.reports.tables.views import CONTROLS, LineRequest, build, metrics_of
from fastvmt.reports.tidy import TEXTS, WORK, Tidy

if TYPE_CHECKING:
    import pandas as pd

PLACE = "place"
ELSEWHERE = "elsewhere"
"""Status of a number that does not count here; tables print a dash."""
LATER = "a later submission of the method stands for it"
ALL_SAME = "rows are ranked by one score that has a number for every video"
OTHER_PRESET = "another preset of its method stands here, and two presets share no table"


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes:
        key: short, safe and its own: of suite, setting and seeds.
        tidy: rows of all ranked methods and the controls.
        ranked: the latest submission of each method, by label.
        metric: label of the score of motion that ranks.
    """

    key: str
    tidy: Tidy
    ranked: dict[str, Entry]
    metric: str

    @property
    def title(self) -> str:
        return f"{self.tidy.suite.name} on {self.tidy.setting.called}"

    @property
    def about(self) -> str:
        """The setting in a line."""
        s, seeds = self.tidy.setting, len(self.tidy.seeds)
        return (
            f"{s.fairness}, {len(self.tidy.cases)} cases, {seeds} seed{'s' if seeds > 1 else ''}, width {s.width}, "
            f"height {s.height}, {s.frames} frames, {s.steps} steps, guidance {s.guidance:g}, {s.dtype}"
        )

    @cached_property
    def places(self) -> dict[str, Cell]:
        """By label the place of each method and the places that it may hold, the first one first."""
        view = ranks(self.tidy, [self.metric], list(self.tidy.methods))
        if not view.columns:
            return {label: Cell(1.0, n=1, expected=1) for label in self.ranked}
        found = {line.key: line.cells[1] for line in view.lines if line.cells[1].value is not None}
        return dict(sorted(found.items(), key=lambda item: item[1].value or 0.0))

    @cached_property
    def view(self) -> View:
        """The table: places first, then the score that they follow, the other scores, and what a video costs."""
        tidy = self.tidy
        wanted = [LineRequest(k, k, note=kind_of(tidy, k)) for k in self.places]
        wanted += [LineRequest(k, k, CONTROLS, ranked=False) for k, spec in tidy.methods.items() if spec.control]
        others = [m for m in tidy.metrics if m != self.metric]
        work = [] if metrics_of(tidy, ("forwards",)) else [WORK]
        view = build(tidy, f"board-{self.key}", self.title, wanted, [self.metric, *others, *work])
        column, none = Column(PLACE, "place", decimals=0), Cell(None)
        lines = tuple(replace(line, cells=(self.places.get(line.key, none), *line.cells)) for line in view.lines)
        notes = (f"Controls are those of the submission {shown(self._host.folder, 80)}.", *view.notes)
        said = verdict(tidy, list(tidy.methods))
        main = (PLACE, self.metric, *main_columns(tidy, others), *work)
        return replace(view, columns=(column, *view.columns), lines=lines, notes=notes, verdict=said, main=main)

    @property
    def _host(self) -> Entry:
        return min(self.ranked.values(), key=lambda e: e.order)

    @cached_property
    def frontier(self) -> Frontier:
        return frontier_of(self.tidy)

    def score(self, label: str) -> str:
        """The score of motion and its interval, as the table prints them."""
        column = next(c for c in self.view.columns if c.key == self.metric)
        cell = self.view.cell(label, self.metric)
        ends = "" if cell.low is None or cell.high is None else f" [{column.text(cell.low)}, {column.text(cell.high)}]"
        return column.text(cell.value) + ends

    def place(self, label: str) -> str:
        """``1 to 2 of 5``: the places that a method may hold among all."""
        cell = self.places[label]
        low, high = (int(end or cell.value or 1) for end in (cell.low, cell.high))
        return f"{low}{f' to {high}' if high > low else ''} of {len(self.places)}"


def kind_of(tidy: Tidy, label: str) -> str:
    """What a filter asks of a row."""
    if tidy.methods[label].imported:
        return "made elsewhere"
    return "trains on the clip" if tidy.method(label).trains() else "training-free"


def boards_of(entries: Iterable[Entry]) -> tuple[list[Board], list[tuple[Entry, str]]]:
    """Every board of these submissions, that with most methods first; and each submission that is ranked on none, with why.

    Args:
        entries: the earliest first.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key_of(entry.tidy), []).append(entry)
    found, unranked = [], []
    for key, group in groups.items():
        board, others = _board(key, group)
        found += [board] if board else []
        unranked += others
    return sorted(found, key=lambda b: (-len(b.ranked), b.title, b.key)), unranked


def key_of(tidy: Tidy) -> str:
    """What rows must share to be ranked together."""
    return digest([tidy.suite.digest(), tidy.setting.identity(), sorted(tidy.seeds)])[:12]


def _board(key: str, entries: list[Entry]) -> tuple[Board | None, list[tuple[Entry, str]]]:
    chosen, unranked = entries, []
    while True:  # who goes may have been the one whose numbers the others were held against
        metric, whole = _ranking(chosen)
        unranked += [(e, f"{_gap(e, metric, chosen)}, and {ALL_SAME}") for e in chosen if e not in whole]
        latest = sorted({e.label: e for e in whole}.values(), key=lambda e: e.order)
        kept = _first_presets(latest)
        unranked += [(e, LATER if e not in latest else OTHER_PRESET) for e in whole if e not in kept]
        if len(kept) == len(chosen):
            return (Board(key, _united(kept), {e.label: e for e in kept}, metric) if kept else None), unranked
        chosen = kept


def _first_presets(entries: list[Entry]) -> list[Entry]:
    if not entries:
        return []
    labels = first_presets(replace(entries[0].tidy, methods={e.label: e.spec for e in entries}))
    return [e for e in entries if e.label in labels]


def _ranking(entries: Sequence[Entry]) -> tuple[str, list[Entry]]:
    """The score of motion that most of these have without gaps, and who has it."""
    labels = dict.fromkeys(m for id in MOTION for e in entries for m in metrics_of(e.tidy, (id,)))
    found = [(m, [e for e in entries if not _gap(e, m, entries)]) for m in labels]
    return max(found, key=lambda pair: len(pair[1]), default=("", []))


def _gap(entry: Entry, metric: str, among: Sequence[Entry]) -> str:
    """Why a submission's numbers of a metric do not count among these, or ""."""
    if metric not in entry.tidy.identities:
        return "it has no score of motion" if not metric else f"it has no {metric}"
    standing, same = _standing(among, metric)
    if entry.tidy.identities[metric] != standing:
        return f"its {metric} was computed in another way, or on another machine, than that of most"
    wanted, own = _wanted(same, metric), entry.tidy.wide(metric)
    there = own[entry.label].dropna().index if entry.label in own else own.index[:0]
    missing = len(wanted.difference(there))
    return f"{missing} of its {len(wanted)} videos have no {metric}" if missing else ""


def _standing(entries: Sequence[Entry], metric: str) -> tuple[dict[str, object], list[Entry]]:
    """The identity that most submissions' numbers of a metric have, of equally many the earliest one's; and whose it is."""
    there = [e for e in entries if metric in e.tidy.identities]
    keys = [digest(e.tidy.identities[metric]) for e in there]
    most = Counter(keys).most_common(1)[0][0]  # of equal counts the first that was met
    same = [e for e, key in zip(there, keys, strict=True) if key == most]
    return same[0].tidy.identities[metric], same


def _wanted(same: Sequence[Entry], metric: str) -> pd.Index:
    """The videos that a row must have a number of: those that the first one's control of no transfer has, else its own."""
    wide = same[0].tidy.wide(metric)
    floor = next((k for k, spec in same[0].tidy.methods.items() if spec.method == "none" and k in wide), same[0].label)
    return wide[floor].dropna().index if floor in wide else wide.index[:0]


def _united(entries: Sequence[Entry]) -> Tidy:
    """One frame of these rows, and of the first one's controls; numbers that do not count here are emptied."""
    import pandas as pd

    host = entries[0].tidy
    ours = {e.label for e in entries}
    controls = {k: spec for k, spec in host.methods.items() if spec.control and k not in ours}
    metrics = {m: known for e in entries for m, known in e.tidy.metrics.items()}
    parts, silent = [], {}
    for n, e in enumerate(entries):
        rows = e.tidy.frame[e.tidy.frame["label"].isin([e.label, *(controls if not n else ())])].copy()
        gaps = {m: why for m in metrics if m in e.tidy.identities and (why := _gap(e, m, entries))}
        away = rows["metric"].isin(list(gaps))
        rows.loc[away, "value"] = float("nan")
        rows["status"] = rows["status"].astype(object).where(~away, ELSEWHERE)
        silent[e.label] = gaps
        parts.append(rows)
    # Another score of motion is beside the one that ranks only where all have it: tables, verdict and plot follow the first.
    partial = [
        m
        for m, known in metrics.items()
        if known.id in MOTION and any(m in silent[e.label] or m not in e.tidy.identities for e in entries)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[~frame["metric"].isin(partial)].reset_index(drop=True)
    for name in TEXTS:
        frame[name] = frame[name].astype(object).astype("category")
    identities = {m: _standing(entries, m)[0] for m in metrics if any(m in e.tidy.identities for e in entries)}
    devices = sorted({e.tidy.device for e in entries})
    return replace(
        host, frame=frame, metrics={m: k for m, k in metrics.items() if m not in partial}, identities=identities,
        methods={e.label: e.spec for e in entries} | controls,
        counts={k: e.tidy.counts[k] for e in reversed(entries) for k in [e.label, *(controls if e.tidy is host else ())]},
        stores=tuple(store for e in entries for store in e.tidy.stores),
        device=devices[0] if len(devices) == 1 else f"{len(devices)} kinds of machine",
        notes=_notes(entries, silent), digest=digest([e.tidy.digest for e in entries])[:16],
        traits=reduce(Traits.over, [e.tidy.traits for e in entries]),
    )  # fmt: skip


def _notes(entries: Sequence[Entry], silent: dict[str, dict[str, str]]) -> tuple[str, ...]:
    """What was emptied and why."""
    found: dict[str, list[str]] = {}
    for e in entries:
        for why in dict.fromkeys(silent[e.label].values()):
            found.setdefault(why, []).append(display(e.label, e.tidy))
    return tuple(f"{', '.join(names)}: {why}; the column is empty there." for why, names in found.items())
