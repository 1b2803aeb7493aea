"""The key of what training leaves, by which all jobs of one reference share it.

It covers what training depends on and nothing else: neither target prompt nor guidance, nor steps of sampling, nor the job's
seed (a method that trains has a seed of its own among its parameters).
"""

from __future__ import annotations

from fastvmt.core.content_address import KEY_FORMAT, digest
from fastvmt.model import Case, Job, Setting
from fastvmt.plugins import registry
from fastvmt.plugins.method import Method

KEY_LENGTH = 32
"""Hex digits; 128 bits name a folder."""


def prepared_key(job: Job, case: Case, setting: Setting) -> str | None:
    """Content address of what training leaves for this job, 32 hex digits; None for a method that trains nothing."""
    cls: type[Method] = registry.methods.get(job.method.method)
    if not cls.trains():
        return None
    facts = {
        "format": KEY_FORMAT, "method": [job.method.method, job.method.version, cls.training(job.method.params, case)],
        "reference": case.reference.frames_digest, "caption": case.caption, "weights": setting.weights_digest,
        "dtype": setting.dtype, "size": [setting.width, setting.height, setting.frames],
    }  # fmt: skip
    return digest(facts)[:KEY_LENGTH]
