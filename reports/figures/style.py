"""How every figure looks and is written: one style, colours that colour-blind readers can tell apart, the same bytes twice."""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import UserError
from fastvmt.reports.tables.grid import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastvmt.model import MethodSpec

P = ParamSpec("P")
COLUMN, PAGE = 3.4, 7.0
"""Widths in inches: one column of a paper, and its whole page."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's colours, the yellow last since it is faint on white."""
GREY, INK = "#7A7A7A", "#222222"
HUES = 7
"""Colours of methods; the next place is the controls' grey, here and in the page's style sheet (``s0`` ... ``s7``)."""
DPI = 200
"""Of PNGs."""
MARKERS = "osD^vPX<>p*h"
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.5, "axes.axisbelow": True, "legend.frameon": False, "lines.linewidth": 1.3,
    "text.parse_math": False, "text.usetex": False, "svg.hashsalt": "fastvmt", "svg.fonttype": "path", "pdf.fonttype": 42,
    "axes.unicode_minus": True, "savefig.facecolor": "white",
}  # fmt: skip
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Drawn:
    """A figure with what must stand beside it: ``alt`` says in words what is seen, ``caption`` n and what the marks mean."""

    figure: Figure
    alt: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """A figure that was written to ``path``."""

    name: str
    path: Path
    alt: str
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """The project's style whatever the reader's own matplotlibrc says; global settings come back afterwards."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Run a drawing function in the project's style; no text in its figure is read as mathematics, now or when saved."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        from matplotlib.text import Text

        with style():
            drawn = draw(*args, **kwargs)
            for text in drawn.figure.findobj(Text):
                text.set_parse_math(False)
        return drawn

    return wrapped


def new_figure(width: float, height: float) -> Figure:
    """An empty figure outside pyplot's list of open ones; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure | Drawn, path: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write ``path`` + ".png" and so on, whole or not at all, with the same bytes for the same figure.

    Args:
        figure: with a ``Drawn``, its alt text goes into the SVG.
        path: without suffix.
        formats: of png, svg, pdf.

    Raises:
        UserError: for another format.
    """
    wrong = [f for f in formats if f not in METADATA]
    if wrong:
        raise UserError(f"Figure format {wrong[0]!r} cannot be written; choose from {', '.join(METADATA)}.")
    drawing, alt = (figure.figure, figure.alt) if isinstance(figure, Drawn) else (figure, "")
    made = []
    for kind in formats:
        metadata: dict[str, str | None] = dict(METADATA[kind])
        if kind == "svg" and alt:
            metadata["Description"] = alt
        raw = io.BytesIO()
        with style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
            drawing.set_dpi(DPI)
            drawing.draw_without_rendering()  # the layout settles in its second draw
            drawing.savefig(raw, format=kind, dpi=DPI, metadata=metadata)
        target = path.with_name(f"{path.name}.{kind}")
        write_atomic(target, raw.getvalue())
        made.append(target)
    return made


# --- words ----------------------------------------------------------------------------------------------------------


def plain(text: str, limit: int = 48) -> str:
    """A label on one line, at most ``limit`` long, without what cannot be printed."""
    flat = clean(str(text))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def number(value: float) -> str:
    """A value for axes and alt texts."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def counted(counts: Sequence[int | None]) -> str:
    """``n = 32``, ``n = 30 to 32``, or that it was not given."""
    known = sorted({c for c in counts if c is not None})
    if not known:
        return "n was not given"
    return f"n = {known[0]}" if len(known) == 1 else f"n = {known[0]} to {known[-1]}"


def finite(value: object) -> float | None:
    """The number, or None for anything that cannot be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def colours(methods: Mapping[str, MethodSpec]) -> dict[str, int]:
    """The place of each method's colour, the same in every figure and table of a report."""
    own = [label for label, spec in methods.items() if not spec.control]
    return {label: own.index(label) % HUES if label in own else HUES for label in methods}


# --- axes -----------------------------------------------------------------------------------------------------------


def seconds_axis(axes: Axes) -> None:
    """Logarithmic seconds with plain labels at 1, 2, 5 of each decade, at least over a factor of two."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 2 * low:
        middle = math.sqrt(low * high)
        axes.set_xlim(middle / math.sqrt(2), middle * math.sqrt(2))
        low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high > 6 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def bar_of(value: float, low: object, high: object) -> list[list[float]] | None:
    """The lengths matplotlib wants for an interval, or None where there is none."""
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return None
    return [[max(0.0, value - first)], [max(0.0, last - value)]]
