"""What all nouns have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

IMPORTED = "imported"
"""Id of the method whose videos somebody else made, first part of its labels, and ``reused_from`` of its artefacts."""


class Frozen(BaseModel):
    """Base of the vocabulary: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
