"""The key of a study: which token is which method. What ``make`` writes and ``import`` reads, and no rater ever sees."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fastvmt.core.content_address import digest
from fastvmt.core.reading import check_json
from fastvmt.core.validation import first_problem
from fastvmt.errors import UserError
from fastvmt.model import Frozen
from fastvmt.model.fields import Amount, Hex, Label, Line, Seed

PAGE_FORMAT = "vmt-study/1"
ANSWERS_FORMAT = "vmt-study-answers/1"
KEY_FORMAT = "vmt-study-key/1"
KEY_NAME = "study-key.json"
CRITERIA = {
    "motion": ("Motion preservation", "Does it move as the reference moves: the same paths, pace and camera?"),
    "quality": ("Generation quality", "Does it look good by itself: sharp, steady, without flicker or broken shapes?"),
    "text": ("Text alignment", "Does it show what the target prompt says?"),
}
"""The three columns of the paper's study; its fourth is their mean."""


class Candidate(Frozen):
    """One candidate: what its token stands for."""

    method: Label
    seed: Seed


class Question(Frozen):
    case: Label
    category: Line
    prompt: str
    seconds: Amount
    """Length of the reference clip."""
    reference: Hex
    clips: dict[Hex, Candidate]
    check: Hex | None = None
    """The clip that moves as the reference does, of a pair with a known answer."""


class Key(Frozen):
    """``study-key.json``: what is needed to read answers, and never handed to a rater."""

    format: str = KEY_FORMAT
    study: Hex
    """Digest of what raters see; stands in every answer file."""
    run: Line
    suite: Line
    suite_digest: Hex
    backbone: Line
    methods: tuple[Label, ...]
    questions: dict[Hex, Question]
    raters: tuple[Line, ...] = ()
    """Codes handed out with --raters; empty when raters choose their own."""
    left_out: dict[Line, Line] = {}
    pairs: bool = False
    """Two candidates a question, which may tie."""
    digest: Hex = ""
    """Over all of the above."""

    def own_digest(self) -> str:
        facts = self.model_dump(mode="json", exclude={"digest"})
        if not self.pairs:  # keys older than pairs have neither
            del facts["pairs"]
            for question in facts["questions"].values():
                del question["check"]
        return digest(facts)


def read_key(path: Path) -> Key:
    """The key of a study.

    Raises:
        UserError: when the file is none, is of another version, or was changed.
    """
    try:
        key = Key.model_validate_json(check_json(path.read_bytes()))
    except OSError as error:
        raise UserError(f"--key {path}: cannot be read ({error.strerror}); `bench study make` writes it.") from None
    except ValidationError as error:
        raise UserError(f"--key {path}: is no key of a study ({first_problem(error)}).") from None
    except ValueError as error:
        raise UserError(f"--key {path}: is no key of a study ({error}).") from None
    if key.format != KEY_FORMAT:
        raise UserError(f"--key {path}: format {key.format[:40]!r}, this version reads {KEY_FORMAT}.")
    if key.digest != key.own_digest():
        raise UserError(f"--key {path}: was changed after it was made (another digest); use it as it was written.")
    return key
