"""What is read of ``conflicts.json``, in which a merge says where its runs had other frames of one job."""

from __future__ import annotations

from pydantic import BaseModel

from fastvmt.model.fields import Hex, Line


class Conflict(BaseModel):
    """What is read of a conflict in ``conflicts.json``: a job, runs that disagree with their frames, and who is believed."""

    job: Hex
    runs: dict[Line, Hex]
    used: Line | None


class Conflicts(BaseModel):
    frames: tuple[Conflict, ...]
