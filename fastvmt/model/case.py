"""What all nouns have in common; which clip, which prompt: Reference, Case, Suite."""

from __future__ import annotations

from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from fastvmt.core.content_address import digest
from fastvmt.core.spelling import public
from fastvmt.model.fields import Hex, Line, Size

IMPORTED = "imported"
"""Id of the method whose videos somebody else made, first part of its labels, and ``reused_from`` of its artefacts."""
REFERENCE = "reference"
"""Id of the control whose videos are the references themselves, and ``reused_from`` of its artefacts."""
CATEGORIES = ("camera", "single_object", "multiple_objects", "complex_human_motion", "complex", "uncategorised")


class Frozen(BaseModel):
    """Base of the vocabulary: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(Frozen):
    """The clip whose motion is transferred, as decoded and fitted to the run's size."""

    frames_digest: Hex
    width: Size
    height: Size
    frames: Size
    fps_num: Size = 15
    fps_den: Size = 1
    source: str
    """Where it came from: a path as the user gave it, or ``drawn:<suite>/<case>``."""
    fit: Line = "crop"
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height, width."""
        return self.frames, self.height, self.width

    def published(self) -> Reference:
        """The same reference, without the way to its clip on somebody's machine."""
        return self.model_copy(update={"source": public(self.source), "notes": tuple(map(public, self.notes))})


class Case(Frozen):
    """One reference and one target prompt."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    category: Line = "uncategorised"
    prompt: str
    caption: str = ""
    """What the reference shows; used by methods that need it."""
    negative: str | None = None
    """None: the backbone's own negative prompt."""
    reference: Reference

    def digest(self) -> str:
        """What of the case determines the video: decoded frames and texts, not names or paths."""
        return _case_digest(self.reference.frames_digest, self.prompt, self.caption, self.negative)


@lru_cache(maxsize=1 << 17)
def _case_digest(frames: str, prompt: str, caption: str, negative: str | None) -> str:
    return digest({"frames": frames, "prompt": prompt, "caption": caption, "negative": negative})


class Suite(Frozen):
    """Named cases; ``digest`` covers every case in order."""

    name: Line
    cases: tuple[Case, ...]

    def other_reference(self, case: Case) -> Reference | None:
        """The next case's reference of the same length, round the suite: the same for every method. None without."""
        cases = [c for c in self.cases if c.reference.frames == case.reference.frames]
        at = next(n for n, c in enumerate(cases) if c.id == case.id)
        own = case.reference.frames_digest
        others = (c.reference for c in (*cases[at + 1 :], *cases[:at]))
        return next((r for r in others if r.frames_digest != own), None)

    def digest(self) -> str:
        return digest([self.name, [[c.id, c.category, c.digest()] for c in self.cases]])
