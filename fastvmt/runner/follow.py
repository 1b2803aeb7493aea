"""What other runners of the same folder report while this one works: their events, read on from where they were last left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastvmt.store.folder import Store
from fastvmt.store.layout import EVENTS


class Follow:
    """Follows the events of all writers but the store's own, from the moment it is made.

    Attributes:
        scored: metric labels by key of the jobs that another runner finished.
        made: seconds by key of the jobs whose video another runner made.
        failed: kind of failure by key of the jobs that failed there.
        prepared: keys of preparations.
        unprepared: class, stage and message of the failure by key of the preparations that failed there.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scored: dict[str, set[str]] = {}
        self.made: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.prepared: set[str] = set()
        self.unprepared: dict[str, tuple[str, str, str]] = {}
        self._at = {path: self._end(path) for path in self._files()}

    def _files(self) -> Iterator[Path]:
        own = self.store.log(EVENTS)
        return (path for path in self.store.logs(EVENTS) if path != own)

    @staticmethod
    def _end(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def poll(self) -> None:
        """Take in what was written since."""
        for path in self._files():
            for line in self._new_lines(path):
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # a torn line: whoever reads the log says so
                if isinstance(row, dict):
                    self._take(row)

    def _new_lines(self, path: Path) -> list[bytes]:
        """Whole lines only. The file is opened even when nothing is new: a network file system looks for news then."""
        try:
            with open(path, "rb") as file:
                file.seek(self._at.get(path, 0))
                new = file.read()
        except OSError:
            return []
        whole = new.rfind(b"\n") + 1
        self._at[path] = self._at.get(path, 0) + whole
        return new[:whole].splitlines()

    def _take(self, row: dict[str, Any]) -> None:
        kind, key = row.get("event"), str(row.get("key", ""))
        if kind == "made":
            self.made[key] = float(row.get("seconds", 0.0))
        elif kind == "done":
            self.scored.setdefault(key, set()).update(map(str, row.get("metrics", ())))
            self.failed.pop(key, None)
        elif kind == "failed":
            self.failed[key] = str(row.get("kind", "error"))
        elif kind == "prepared":
            self.prepared.add(key)
        elif kind == "unprepared":
            self.unprepared[key] = (str(row.get("kind", "error")), str(row.get("stage", "")), str(row.get("message", "")))
