"""Every failure this package raises on purpose.

BenchError                   base; carries the exit code
├── UserError           2    bad input: says what, why, and what to do
│   ├── SuiteError      2    a suite, clip or prompt file
│   ├── SpecError       2    a method, metric or option that cannot be understood
│   ├── MissingWeights  2    weights that have to be fetched first
│   ├── DamagedFile     2    a stored video that cannot be decoded
│   └── StoreError      2    a run folder that cannot be used as it is
├── NotComparable       4    numbers that must not stand in one table
└── JobError            3    one job; becomes a Failure record
    ├── NonFinite       3    NaN or infinity in a latent or a frame
    └── WrongOutput     3    a method returned frames of another shape
"""

from __future__ import annotations

import errno

FULL = (
    "the disk takes no more (full, or over a limit), so this stopped; what was finished is kept. Make room, then give the same "
    "command again."
)


def is_full(error: BaseException) -> bool:
    """Whether a write failed because there was no room for it, and not for anything wrong with what was written."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    try:
        return "(os error 28)" in str(error)  # as libraries written in Rust say it: safetensors
    except Exception:  # noqa: BLE001 - a plug-in's error that has no words
        return False


class BenchError(Exception):
    """Base of all errors raised on purpose. ``str()`` is one sentence for the reader."""

    exit_code = 2


class UserError(BenchError):
    """The input cannot be used; the message says what to change."""


class SuiteError(UserError):
    """A suite, clip or prompt file cannot be used. Several problems are joined by newlines."""


class SpecError(UserError):
    """A method, metric or option cannot be understood."""


class MissingWeights(UserError):
    """Weights are not on this machine; the message says what to fetch, how large it is, and how."""


class DamagedFile(UserError, OSError):
    """A file that we wrote cannot be read any more."""


class StoreError(UserError):
    """A run folder is in use, of another format, or damaged beyond use."""


class NotComparable(BenchError):
    """Results that differ in backend, preset or device cannot share a table."""

    exit_code = 4


class JobError(BenchError):
    """One job cannot be completed; becomes a Failure record."""

    exit_code = 3


class NonFinite(JobError):
    """A latent or a frame holds NaN or infinity."""


class WrongOutput(JobError):
    """A method returned something other than the latent it was given the shape of."""
