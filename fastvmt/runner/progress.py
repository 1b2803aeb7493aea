"""What the user sees while a run goes: a live line on a terminal, one plain line per event otherwise, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fastvmt.core.screen.status_line import BAR, left_to_others
from fastvmt.core.screen.terminal import raw, visible
from fastvmt.core.spelling import duration

if TYPE_CHECKING:
    from rich.text import Text


class Progress:
    """Takes the runner's events. ``style``: ``live``, ``plain``, ``json`` or ``none``."""

    def __init__(self, total: int, done: int, style: str) -> None:
        self.total, self.done, self.style = total, done, style
        self.failed = 0
        self._since, self._first_done = time.monotonic(), done
        self._stages: dict[int, str] = {}
        self._shares: dict[int, float] = {}
        self._live: Any = None
        self._alone = ExitStack()
        if style == "live":
            from rich.console import Console
            from rich.live import Live

            self._alone.enter_context(left_to_others())
            console = Console(file=raw(sys.stderr))
            self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._line)
            self._live.start()

    def event(self, kind: str, text: str, /, **facts: Any) -> None:
        """Something happened that belongs into the log: started, made, failed, unscored, note."""
        if kind == "made":
            self.done += 1
        elif kind == "failed":
            self.failed += 1
        try:
            self._show(kind, text, facts)
        except OSError:  # nobody reads any more; the run matters more than its words
            self.style, self._live = "none", None

    def _show(self, kind: str, text: str, facts: dict[str, Any]) -> None:
        if self.style == "json":
            print(json.dumps({"event": kind, "done": self.done, "total": self.total, **facts}), file=sys.stderr, flush=True)
        elif self.style == "plain":
            print(f"[{self.done}/{self.total}] {text}", file=sys.stderr, flush=True)
        elif self._live is not None and kind in ("failed", "unscored", "note"):
            self._live.console.print(visible(text), markup=False, highlight=False)

    def stage(self, worker: int, what: str) -> None:
        """What a worker does beside denoising, e.g. ``loading tiny``; "" when it is gone. Only the live style shows it."""
        self._shares.pop(worker, None)
        self._stages[worker] = what

    def step(self, worker: int, name: str, step: int, steps: int) -> None:
        """Where a worker is in its denoise loop; only the live style shows it."""
        if not self._shares and self.done == self._first_done:  # loading is over, which says nothing of the time left
            self._since = time.monotonic()
        self.stage(worker, f"{name} step {step + 1}/{steps}")
        self._shares[worker] = step / (steps + 1)  # a video is made when it is written, not with its last step

    def _line(self) -> Text:
        """What is done as a bar, what the workers do, and the time left; cut where the terminal ends."""
        from rich.text import Text

        share = min(1.0, (self.done + sum(self._shares.values())) / max(1, self.total))
        full, empty = "━─" if self._live and self._live.console.encoding.startswith("utf") else "#-"
        bar = full * round(share * BAR) + empty * (BAR - round(share * BAR))
        failed = f", {self.failed} failed" if self.failed else ""
        now = " | ".join(dict.fromkeys(what for what in self._stages.values() if what))
        parts = [f"{bar} {self.done}/{self.total} videos{failed}", self._left(), now]
        return Text(visible("  ".join(part for part in parts if part)), no_wrap=True, overflow="ellipsis")

    def _left(self) -> str:
        """From the videos made since the start, and from the parts of those in work; nothing before the first step."""
        made = self.done - self._first_done + sum(self._shares.values())
        if not made:
            return ""
        seconds = (time.monotonic() - self._since) / made * (self.total - self._first_done - made)
        return f"about {duration(max(0.0, seconds))} left"

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._alone.close()
