"""Whether runs are of one suite and setting: what differs is said, field by field, before any number is put beside another."""

from __future__ import annotations

from fastvmt.core.spelling import shown
from fastvmt.errors import NotComparable
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Setting


def refuse_other_setting(a: str, first: RunConfig, b: str, other: RunConfig) -> None:
    """Raises:
    NotComparable: when two runs, called ``a`` and ``b``, differ in backbone, size, steps, guidance or anything else of it.
    """
    one, two = first.setting, other.setting
    mine, theirs = one.identity(), two.identity()  # the same weights in another folder are no other setting
    differing = [name for name in Setting.model_fields if mine.get(name) != theirs.get(name)]
    if differing:
        said = "; ".join(f"{n}: {shown(getattr(one, n))} and {shown(getattr(two, n))}" for n in differing if n != "sigmas")
        raise NotComparable(
            f"{a} and {b} differ in {', '.join(differing)} ({said or 'other noise levels'}); their numbers must not share a "
            "table. Report them apart."
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
