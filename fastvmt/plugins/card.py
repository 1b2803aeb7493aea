"""A method's card: what is faithful to its paper, what is not and why, what it costs, and what is doubtful.

A card is a TOML file ``cards/<id>.toml`` beside the file that defines the method, or whatever ``Method.card`` names. It is
shown by ``bench describe`` and in reports; a method without one says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fastvmt.core.reading import parse_toml
from fastvmt.core.validation import first_problem
from fastvmt.errors import SpecError
from fastvmt.model import Frozen
from fastvmt.plugins.method import Method

NO_CARD = "no card: nothing is said here about what is faithful to a paper and what is not"


class Budget(Frozen):
    """Work of one video with defaults on Wan2.1 1.3B, 50 steps, in forward-equivalents, and what makes it up."""

    forwards: float = Field(ge=0)
    says: str = Field(min_length=1)


class MethodCard(Frozen):
    """What a reader has to know before a method's numbers mean anything."""

    title: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    """Which text or form is implemented."""
    arxiv: str = ""
    faithful: tuple[str, ...] = Field(min_length=1)
    changed: tuple[str, ...] = ()
    """What had to change, and why its authors could accept it."""
    defaults: str = Field(min_length=1)
    """Where they come from."""
    budget: Budget
    licence: str = Field(min_length=1)
    """Of the original code."""
    start: str = Field(min_length=1)
    """How it starts, as published and matched."""
    sees: str = ""
    """How much of its guidance is about the reference, as ``bench doctor --method`` measured it."""
    doubts: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As names and words, in reading order; what is empty is left out."""
        paper = f"{self.paper} (arXiv {self.arxiv})" if self.arxiv else self.paper
        budget = f"{self.budget.forwards:g} forward-equivalents on Wan2.1 1.3B, 50 steps: {self.budget.says}"
        found: dict[str, Any] = {
            "title": self.title, "paper": paper, "faithful": list(self.faithful), "changed": list(self.changed),
            "start": self.start, "sees the reference": self.sees, "defaults": self.defaults, "budget": budget,
            "licence of the original": self.licence, "doubts": list(self.doubts),
        }  # fmt: skip
        return {k: v for k, v in found.items() if v}


def card_of(cls: type[Method]) -> MethodCard | None:
    """A method's card, or None where there is none.

    Raises:
        SpecError: for a card that cannot be read, naming the place.
    """
    if cls.card is None:
        return None
    if isinstance(cls.card, str | Path):
        folder = Path(getattr(sys.modules.get(cls.__module__), "__file__", None) or ".").parent
        path = folder / (cls.card or f"cards/{cls.id}.toml")
        if not path.is_file():
            if cls.card:
                raise SpecError(f"The card of '{cls.id}' is not there: {path}.")
            return None
        try:
            raw: Any = parse_toml(path.read_bytes())
        except ValueError as error:
            raise SpecError(f"{path}: not valid TOML ({error}).") from None
        where = str(path)
    else:
        raw, where = dict(cls.card), f"the card of '{cls.id}'"
    try:
        return MethodCard.model_validate(raw)
    except ValidationError as error:
        raise SpecError(f"{where}: {first_problem(error)}.") from None
