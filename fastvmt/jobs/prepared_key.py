"""The key of what training leaves, by which all jobs of one reference share it.

It covers what training depends on and nothing else: neither target prompt nor guidance, nor steps of sampling, nor the job's
seed (a method that trains has a seed of its own among its parameters).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from fastvmt.core.content_address import KEY_FORMAT, canonical_json, digest
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Case, Job, Setting
from fastvmt.plugins import labels, registry
from fastvmt.plugins.blame import blamed
from fastvmt.plugins.method import Method

KEY_LENGTH = 32
"""Hex digits; 128 bits name a folder."""


def prepared_key(job: Job, case: Case, setting: Setting) -> str | None:
    """Content address of what training leaves for this job, 32 hex digits; None for a method that trains nothing."""
    cls: type[Method] = registry.methods.get(job.method.method)
    if not labels.trains(cls):
        return None
    with blamed(cls, f"Method '{cls.id}', in training"):
        needed = cls.training(copy.deepcopy(job.method.params), case)  # a copy: theirs is in every job's key
        canonical_json(needed)
    facts = {
        "format": KEY_FORMAT, "method": [job.method.method, job.method.version, needed],
        "reference": case.reference.frames_digest, "caption": case.caption, "weights": setting.weights_digest,
        "dtype": setting.dtype, "size": [setting.width, setting.height, setting.frames],
    } | setting.profile.of_training()  # fmt: skip
    return digest(facts)[:KEY_LENGTH]


def keys_for(config: RunConfig) -> Callable[[Job], str | None]:
    """``prepared_key`` for the jobs of a run."""
    cases = {c.id: c for c in config.suite.cases}
    return lambda job: prepared_key(job, cases[job.case_id], config.setting)
