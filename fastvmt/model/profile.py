"""Profile: how passes through the model are sped up, the same for every row. It may change the sample: it is in every key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from fastvmt.core import limits
from fastvmt.core.choices import one_of
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.model.case import Frozen
from fastvmt.model.fields import Line

NATIVE = "native"
ATTENTION = {
    NATIVE: True, "_native_flash": True, "_native_efficient": True, "_native_cudnn": True, "_native_math": True, "flex": True,
    "flash": True, "xformers": True, "_flash_3": False, "sage": False, "_sage_qk_int8_pv_fp16_cuda": False,
    "_sage_qk_int8_pv_fp16_triton": False, "_sage_qk_int8_pv_fp8_cuda": False, "_sage_qk_int8_pv_fp8_cuda_sm90": False,
}  # fmt: skip
"""Backends of diffusers' dispatcher by name, and whether they have a backward pass. Left out: those that download code at first
use (``..._hub``), those for batches of clips of several lengths (``..._varlen``), and those of other makers' devices."""
COMPILERS = ("inductor", "aot_eager", "eager")
CACHES = {
    "first_block": ("threshold", 0.05, (0.0, 100.0)), "taylorseer": ("interval", 5.0, (1.0, 1000.0)),
    "sea": ("threshold", 0.25, (0.0, 100.0)),
}  # fmt: skip
"""What diffusers' caches for Wan are tuned by: one number's name, its default, least and most. Left out: pyramid attention
broadcast, which would hand the prompt's attention to the negative prompt, FasterCache, which takes both in one batch, and
MagCache, whose ratios have to be measured for each model."""


def cache_parts(text: str) -> tuple[str, float]:
    """``first_block:threshold=0.1`` as its name and number, ``first_block`` with the default one.

    Raises:
        SpecError: naming what there is.

    >>> cache_parts("first_block:threshold=0.1"), cache_parts("taylorseer")
    (('first_block', 0.1), ('taylorseer', 5.0))
    """
    name, colon, value = text.partition(":")
    key, default, (least, most) = CACHES[one_of("--cache", name, CACHES)]
    if not colon:
        return name, default
    given, _, number = value.partition("=")
    try:
        found = float(limits.read_number(number, int if key == "interval" else float))
    except ValueError:
        found = float("nan")
    if given != key or not least <= found <= most:
        kind = "a whole number" if key == "interval" else "a number"
        raise SpecError(f"--cache {shown(text)}: {name}:{key}=N is needed, with {kind} from {least:g} to {most:g}.")
    return name, found


def in_full(cache: str) -> str:
    """A cache with its number, so that a default that changes changes no old key.

    >>> in_full("first_block")
    'first_block:threshold=0.05'
    """
    name, number = cache_parts(cache)
    return f"{name}:{CACHES[name][0]}={number!r}".removesuffix(".0")


def interval_of(text: str) -> tuple[float, float]:
    """``0.3:0.9`` as the least and the highest noise level that guidance is used at.

    Raises:
        SpecError: for anything but two rising numbers from 0 to 1.
    """
    low, _, high = text.partition(":")
    try:
        found = float(limits.read_number(low, float)), float(limits.read_number(high, float))
    except ValueError:
        found = (1.0, 0.0)
    if not 0 <= found[0] < found[1] <= 1:
        raise SpecError(f"--cfg-interval {shown(text)}: LOW:HIGH is needed, two noise levels from 0 to 1, e.g. 0.3:0.95.")
    return found


def _as_stored(check: Any) -> AfterValidator:
    """A field of a file: what the option refuses is refused there, too."""

    def checked(value: Any) -> Any:
        try:
            check(value)
        except SpecError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(checked)


class Profile(Frozen):
    """How passes through the model are sped up; each field empty for as they are.

    Attributes:
        attention: of ``ATTENTION``; diffusers' own choice is "".
        compile: torch.compile's backend for the model's blocks, of ``COMPILERS``.
        cache: ``NAME:KEY=NUMBER`` of ``CACHES``, for the sampling passes of steps in which a method does not guide.
        cfg_interval: ``LOW:HIGH``, the noise levels at which classifier-free guidance is used; a step at any other level is
            the prompt's pass alone.
    """

    attention: Annotated[Line, _as_stored(lambda v: v and one_of("attention", v, ATTENTION))] = ""
    compile: Annotated[Line, _as_stored(lambda v: v and one_of("compile", v, COMPILERS))] = ""
    cache: Annotated[Line, _as_stored(lambda v: v and cache_parts(v))] = ""
    cfg_interval: Annotated[Line, _as_stored(lambda v: v and interval_of(v))] = ""

    @classmethod
    def of(cls, attention: str, compile: str, cache: str, cfg_interval: str) -> Profile:
        """From what was typed; what changes nothing is left out.

        Raises:
            SpecError: for what cannot be.
        """
        low, high = interval_of(cfg_interval) if cfg_interval else (0.0, 1.0)
        return cls(
            attention="" if attention == NATIVE else attention, compile=compile, cache=in_full(cache) if cache else "",
            cfg_interval="" if (low, high) == (0, 1) else f"{low!r}:{high!r}",
        )  # fmt: skip

    def identity(self) -> dict[str, str]:
        """What goes into keys: nothing of a run without one."""
        return {name: value for name, value in self.model_dump().items() if value}

    def of_training(self) -> dict[str, str]:
        """Of it, what acts on the passes of training."""
        return {k: v for k, v in self.identity().items() if k in ("attention", "compile")}

    def guides(self, level: float) -> bool:
        """Whether classifier-free guidance is used at a noise level."""
        low, high = interval_of(self.cfg_interval) if self.cfg_interval else (0.0, 1.0)
        return low <= level <= high

    def __str__(self) -> str:
        """``attention=flash, cache=first_block:threshold=0.1``; ``none``."""
        return ", ".join(f"{k.replace('_', '-')}={v}" for k, v in self.identity().items()) or "none"
