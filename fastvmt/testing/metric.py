"""What every metric has to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastvmt.core.content_address import frames_digest
from fastvmt.core.spelling import value_shown
from fastvmt.media.files import Frames
from fastvmt.model import Artefact, Case, Job, MethodSpec
from fastvmt.plugins import registry
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.suites.cases import Wanted
from fastvmt.testing.checked import Checked, DoesNotApply, all_of, all_spelt, need_steady, plain, returned

WANTED = Wanted(64, 64, 17)
"""Of the clips that are scored: the suite ``shapes``, whose motion is known."""


@dataclass(frozen=True)
class Trial:
    cls: type[Metric]
    changes: Mapping[str, Any] = field(default_factory=dict)

    def metric(self) -> Metric:
        return self.cls(self.cls.Params.model_validate(dict(self.changes)))

    def clips(self) -> list[Scored]:
        """The reference itself, with noise on it, and its first frame held."""
        if why := self.metric().missing():
            raise DoesNotApply(why)
        known = list(registry.suites.get("shapes")().cases(WANTED))
        fitting = [(case, frames) for case, frames in known if self.metric().applies(case)]
        if not fitting:
            raise DoesNotApply("it applies to no drawn clip")
        case, frames = fitting[0]
        noisy = frames.astype(np.int16) + np.random.default_rng(0).integers(-9, 10, frames.shape)
        wrong = next(f for c, f in known if c.id != case.id)
        videos = (frames, noisy.clip(0, 255).astype(np.uint8), np.repeat(frames[:1], len(frames), axis=0))
        return [scored(video, frames, case, wrong) for video in videos]


def scored(generated: Frames, reference: Frames, case: Case, wrong: Frames) -> Scored:
    """What a metric sees of a job that made these frames."""
    spec = MethodSpec(label="none", method="none", version=1, params={})
    job = Job(key="0" * 64, method=spec, case_id=case.id, case_digest=case.digest(), seed=0)
    count, height, width = generated.shape[:3]
    made = Artefact(
        key=job.key, frames_digest=frames_digest(generated), width=width, height=height, frames=count, fps_num=15, fps_den=1,
        files={}, stages={"encode": 1.0, "denoise": 2.0, "decode": 1.0}, peak_memory_bytes=1 << 30,
        peak_reserved_bytes=1 << 30, forward_equivalents=20.0, forward_formula=20.0, device="cpu", software={}, timing_key="0",
    )  # fmt: skip
    return Scored(generated, reference, case, job, made, wrong_reference=lambda: (frames_digest(wrong), wrong))


def it_says_what_it_is(trial: Trial) -> None:
    """Name, direction, range and decimals, by which tables print and rank it, and nothing that is nearly a hook."""
    cls = trial.cls
    all_spelt(cls, Metric)
    facts = {
        "id": (cls.id, bool(cls.id), "a name"),
        "direction": (cls.direction, cls.direction in ("up", "down", "none"), "up, down or none"),
        "range": (cls.range, len(cls.range) == 2 and cls.range[0] < cls.range[1], "lowest and highest value"),
        "binary": (cls.binary, cls.binary in (True, False), "True or False"),
        "decimals": (cls.decimals, isinstance(cls.decimals, int) and cls.decimals >= 0, "a whole number from 0"),
        "version": (cls.version, isinstance(cls.version, int), "a whole number"),
    }
    for name, (value, holds, wanted) in facts.items():
        assert holds, f"{cls.__name__}: {name} is {value_shown(value)}, expected {wanted}"
    without = [k for k, f in cls.Params.model_fields.items() if f.is_required()]
    assert not without, f"{cls.id}: Params has no default for {', '.join(without)}, expected one for every parameter"
    returned(cls.id, "label with defaults", cls().label, cls().label == cls.id, "the id")


def its_identity_is_plain_and_steady(trial: Trial) -> str:
    """Records of different identity never share a cell, so it is data, the same each time, with name and version."""
    if why := trial.metric().missing():
        return why
    need_steady(trial.cls.id, trial.metric().identity(), trial.metric().identity(), "metric", "version")
    return ""


def scores_are_values_in_its_range(trial: Trial) -> None:
    """``score`` returns a ``Value``: a finite number within ``range``, or None and why, with plain details."""
    low, high = trial.cls.range
    for seen in trial.clips():
        found = _score(trial.metric(), seen)
        returned(trial.cls.id, "score", found, isinstance(found, Value), "a Value")
        plain(found.details)
        if found.value is None:
            returned(trial.cls.id, "score", found, bool(found.details), "details that say why there is none")
        else:
            number = isinstance(found.value, int | float) and math.isfinite(found.value)
            returned(trial.cls.id, "score", found.value, number, "a finite number or None")
            inside = low - 1e-6 <= found.value <= high + 1e-6
            if trial.cls.binary:
                returned(trial.cls.id, "score", found.value, found.value in (0, 1), "0 or 1 (it is binary)")
            assert inside, f"{trial.cls.id}: score returned {found.value}, expected {low} to {high} (its range)"


def scores_repeat_and_frames_stay(trial: Trial) -> None:
    """The same number from the same frames, with or without what another metric left in the job's cache.

    Other metrics of the job see the same arrays.
    """
    for seen in trial.clips():
        before, metric = (seen.generated.copy(), seen.reference.copy()), trial.metric()
        first, cached = _score(metric, seen), _score(metric, seen)
        other = _score(trial.metric(), replace(seen, cache={}))
        for how, again in (("with its cache", cached), ("made anew", other)):
            said = f"{trial.cls.id}: score returned {again.value} {how}, expected {first.value} as before"
            assert again.value == first.value, said
        same = (before[0] == seen.generated).all() and (before[1] == seen.reference).all()
        assert same, f"{trial.cls.id}: score changed the frames it was given, expected them as they were"


def _score(metric: Metric, seen: Scored) -> Value:
    try:
        return metric.score(seen)
    except Exception as error:
        raise AssertionError(f"{metric.id}: score raised {type(error).__name__}: {error}, expected a Value") from error


CHECKS = (
    it_says_what_it_is, its_identity_is_plain_and_steady, scores_are_values_in_its_range, scores_repeat_and_frames_stay,
)  # fmt: skip


def check_metric(cls: type[Metric], **changes: Any) -> Checked:
    """Every check on a metric, on drawn clips: the reference itself, with noise on it, and its first frame held.

    Args:
        changes: parameters that differ from their defaults.

    Returns:
        Which checks hold, and which do not apply and why; it prints as a list.

    Raises:
        AssertionError: naming the hook, what it returned and what was expected.
    """
    return all_of(cls.id, CHECKS, Trial(cls, changes))
