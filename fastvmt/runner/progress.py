"""What the user sees while a run goes: a live line on a terminal, one plain line per event otherwise, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from fastvmt.core.spelling import duration
from fastvmt.core.terminal import raw, visible


class Progress:
    """Takes the runner's events. ``style``: ``live``, ``plain``, ``json`` or ``none``."""

    def __init__(self, total: int, done: int, style: str) -> None:
        self.total, self.done, self.style = total, done, style
        self.failed = 0
        self._since, self._first_done = time.monotonic(), done
        self._steps: dict[str, str] = {}
        self._live: Any = None
        if style == "live":
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(file=raw(sys.stderr)), refresh_per_second=4, transient=True, get_renderable=self._line
            )
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

    def step(self, worker: int, name: str, step: int, steps: int) -> None:
        """Where a worker is in its denoise loop; only the live style shows it."""
        self._steps[str(worker)] = f"{name} step {step + 1}/{steps}"

    def _line(self) -> str:
        left = self._left()
        now = " | ".join(self._steps.values())
        failed = f", {self.failed} failed" if self.failed else ""
        return visible(f"{self.done}/{self.total} videos{failed}  {now}  {left}")

    def _left(self) -> str:
        made = self.done - self._first_done
        if not made:
            return ""
        seconds = (time.monotonic() - self._since) / made * (self.total - self.done)
        return f"about {duration(seconds)} left"

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
