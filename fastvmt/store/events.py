"""Lines of ``events.jsonl`` as they are read: what happened to which job, as far as anybody goes by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from fastvmt.model.fields import Amount, Count, Line


class Event(BaseModel):
    """One line; which fields it has depends on what happened."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: Line
    key: Line = ""
    """Of a job or a preparation."""
    seconds: Amount = 0.0
    workers: Count = 0
    how: tuple[Line, ...] | None = None
    """Options of the driver that started."""
    metrics: tuple[Line, ...] = ()
    kind: Line = "error"
    stage: Line = ""
    message: str = ""


def events_in(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of whole lines; those that are torn or damaged are passed over: whoever reads the log in full says so."""
    for line in lines:
        try:
            yield Event.model_validate_json(line)
        except ValueError:
            continue
