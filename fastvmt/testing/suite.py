"""What every suite has to hold."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastvmt.core.content_address import frames_digest
from fastvmt.media.files import Frames
from fastvmt.model import Case
from fastvmt.suites.cases import ClipEntry, Wanted, load
from fastvmt.testing.checked import Checked, DoesNotApply, all_of, returned

CLIP_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
OPENED = 4
"""Clips or cases that are opened."""


@dataclass(frozen=True)
class Trial:
    cls: Callable[[], Any]
    wanted: Wanted

    @property
    def name(self) -> str:
        return str(getattr(self.cls, "name", "")) or getattr(self.cls, "__name__", "suite")

    def entries(self) -> list[ClipEntry]:
        """What ``entries`` returns. Raises SuiteError where the data are not on this machine."""
        found: list[ClipEntry] = self.cls().entries(self.wanted)
        return found

    def cases(self) -> list[tuple[Case, Frames]]:
        """The first cases, whichever way the suite gives them."""
        if hasattr(self.cls, "path"):
            raise DoesNotApply("it stands for a folder of the user's")
        source = self.cls()
        given = source.cases(self.wanted) if hasattr(source, "cases") else load(self.entries()[:OPENED], self.wanted)
        return list(itertools.islice(given, OPENED))


def it_has_one_way_to_give_clips(trial: Trial) -> None:
    """``cases`` for clips it makes itself, ``entries`` for files, ``path`` for a folder of the user's."""
    ways = [way for way in ("cases", "entries", "path") if callable(getattr(trial.cls, way, None))]
    assert len(ways) == 1, f"{trial.name}: it defines {' and '.join(ways) or 'none'} of cases, entries and path, expected one"


def entries_name_clips_and_prompts(trial: Trial) -> None:
    """Every clip has an id of its own, and at least one target prompt."""
    if not hasattr(trial.cls, "entries"):
        raise DoesNotApply("it has no entries")
    found = trial.entries()
    good = isinstance(found, list) and bool(found) and all(isinstance(entry, ClipEntry) for entry in found)
    returned(trial.name, "entries", found, good, "a list of ClipEntry")
    ids = [entry.id for entry in found]
    odd = next((i for i in ids if ids.count(i) > 1 or not CLIP_ID.fullmatch(i)), None)
    assert odd is None, f"{trial.name}: entries returned the id {odd!r}, expected ids like {CLIP_ID.pattern}, each once"
    for entry in found:
        texts = [target.text.strip() for target in entry.targets]
        assert texts and all(texts), f"{trial.name}: entries returned '{entry.id}' with targets {texts}, expected prompts"


def cases_hold_what_was_wanted(trial: Trial) -> None:
    """Frames of the wanted size and number, a reference that describes them, and a prompt."""
    found, wanted = trial.cases(), trial.wanted
    returned(trial.name, "cases", found, bool(found), "at least one case")
    shape = (wanted.frames, wanted.height, wanted.width, 3)
    for pair in found:
        returned(
            trial.name,
            "cases",
            pair,
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Case),
            "(Case, frames)",
        )
        case, frames = pair
        fits = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.shape == shape
        returned(f"{trial.name}: '{case.id}'", "cases", frames, fits, f"uint8 of shape {shape}")
        said = case.reference
        same = (said.frames, said.height, said.width) == shape[:3] and said.frames_digest == frames_digest(frames)
        returned(trial.name, "cases", said, same, "the size and digest of its frames (case_of_frames)")
        assert case.prompt.strip(), f"{trial.name}: cases returned '{case.id}' with prompt {case.prompt!r}, expected words"
    ids = [case.id for case, _ in found]
    assert len(set(ids)) == len(ids), f"{trial.name}: cases returned the ids {ids}, expected each once"


def cases_repeat(trial: Trial) -> None:
    """The same cases in the same order, with the same frames: a run is resumed by them."""
    same = [case for case, _ in trial.cases()] == [case for case, _ in trial.cases()]
    assert same, f"{trial.name}: cases returned other cases or frames the second time, expected the same"


CHECKS = (it_has_one_way_to_give_clips, entries_name_clips_and_prompts, cases_hold_what_was_wanted, cases_repeat)


def check_suite(cls: Callable[[], Any], **wanted: Any) -> Checked:
    """Every check on a suite; at most four of its clips are opened.

    Args:
        wanted: fields of ``Wanted`` that differ from width 64, height 64 and 17 frames (``root``, ``prompts`` ...).

    Returns:
        Which checks hold, and which do not apply and why (data that are not on this machine); it prints as a list.

    Raises:
        AssertionError: naming the hook, what it returned and what was expected.
    """
    trial = Trial(cls, replace(Wanted(64, 64, 17), **wanted))
    return all_of(trial.name, CHECKS, trial)
