"""Whether runs are of one suite and setting: what differs is said, field by field, before any number is put beside another."""

from __future__ import annotations

from fastvmt.errors import NotComparable
from fastvmt.jobs.growth import setting_differences
from fastvmt.jobs.run_config import RunConfig


def refuse_other_setting(a: str, first: RunConfig, b: str, other: RunConfig) -> None:
    """Raises:
    NotComparable: when two runs, called ``a`` and ``b``, differ in backbone, size, steps, guidance or anything else of it.
    """
    if differing := setting_differences(first.setting, other.setting):
        raise NotComparable(
            f"{a} and {b} differ in {'; '.join(differing)}; their numbers must not share a table. Report them apart."
        )


def refuse_other_timing(a: str, first: RunConfig, b: str, other: RunConfig) -> None:
    """Raises:
    NotComparable: when two runs, called ``a`` and ``b``, that both made videos differ in CPU threads, offloading or repeats.
    """
    if not all(any(not m.imported for m in config.methods) for config in (first, other)):
        return
    names = ["offload", "repeats", *(["threads"] if first.device == other.device == "cpu" else [])]
    differing = [f"{n}: {getattr(first, n)} and {getattr(other, n)}" for n in names if getattr(first, n) != getattr(other, n)]
    if differing:
        raise NotComparable(
            f"{a} and {b} were timed differently ({'; '.join(differing)}), so their seconds must not share a table; report the "
            "runs apart."
        )
