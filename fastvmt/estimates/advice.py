"""What would fit where a job does not: options of ``bench run``, each computed, in order of what they cost.

``--dtype`` costs digits, ``--offload`` seconds (the further, the more), ``--frames`` length, a smaller size detail,
``--backbone`` the model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from fastvmt.backbones import card as cards
from fastvmt.core.spelling import gib
from fastvmt.estimates.memory import need
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model.fields import OFFLOADS, Placing

Changes = dict[str, Any]
T = TypeVar("T")
SMALLER = 20
"""A backbone with less than one part in this many of the parameters is not offered as a smaller one."""
WORDS = {
    "backbone": "--backbone {}", "dtype": "--dtype {}", "offload": "--offload {}", "frames": "--frames {}",
    "width": "--width {}", "height": "--height {}",
}  # fmt: skip


def least(config: RunConfig, card: cards.Card, changes: Changes | None = None) -> int:
    """Bytes that a job of a run needs, were some of its options others."""
    s = config.setting
    facts: Changes = {"width": s.width, "height": s.height, "frames": s.frames, "dtype": s.dtype, "offload": config.offload}
    facts |= changes or {}
    facts.pop("backbone", None)
    return need(card, **facts, methods=config.methods, device=config.device, cache=s.profile.cache).least


def chosen_offload(config: RunConfig, card: cards.Card, capacity: int) -> tuple[Placing, str]:
    """What must leave a GPU of so many bytes for a run to fit, and a sentence about it; the last resort where nothing does."""
    needs: dict[Placing, int] = {name: least(config, card, {"offload": name}) for name in OFFLOADS[1:]}
    if not capacity or needs["text"] <= capacity:
        return "text", ""
    offload = next((name for name, size in needs.items() if size <= capacity), OFFLOADS[-1])
    return offload, (
        f"offload: {offload}, chosen for {gib(capacity)}: a job needs {gib(needs[offload])} with it, "
        f"{gib(needs['text'])} with text; its seconds are compared with those of the same offload alone"
    )


def offers(config: RunConfig, card: cards.Card, capacity: int) -> list[str]:
    """Options that fit so many bytes, each with what it would take; none where nothing does."""
    found = [*_of_card(config, card, capacity, {})]
    for other in _smaller(config, card):
        if more := [*_of_card(config, other, capacity, {"backbone": other.id})]:
            found.append(more[0])
            break
    return found


def smallest(config: RunConfig, card: cards.Card) -> str:
    """The least that any option leaves, in words."""
    changes = _switches(config)[-1] | {"frames": card.lengths(config.setting.frames)[0]} | _sizes(config, card)[0]
    return f"even {_words(changes)} needs {gib(least(config, card, changes))}"


def _of_card(config: RunConfig, card: cards.Card, capacity: int, other: Changes) -> Iterator[str]:
    """What fits of one backbone: without a loss of frames or pixels, with fewer frames, smaller, or both."""

    def fits(changes: Changes) -> bool:
        return least(config, card, changes) <= capacity

    def said(changes: Changes) -> str:
        return f"{_words(other | changes)} ({gib(least(config, card, changes))})"

    switches = _switches(config)
    enough: list[Changes] = []
    for switch in switches:
        if (switch or other) and fits(switch) and not any(less.items() <= switch.items() for less in enough):
            enough.append(switch)
    yield from map(said, enough)
    frames = [{"frames": n} for n in card.lengths(config.setting.frames)]
    sizes = _sizes(config, card)
    ways = [c for c in (_best(way, switches, fits) for way in (frames, sizes)) if c]
    reduced = [c for c in ways if not any(less.items() <= c.items() for less in enough)]
    if not ways and not enough and (both := _best([frames[0] | size for size in sizes], switches, fits)):
        longest = _most([both | n for n in frames], fits)
        reduced = [longest or both]
    yield from map(said, reduced)


def _switches(config: RunConfig) -> list[Changes]:
    """Sets of options that cost neither frames nor pixels, the cheapest first, none before all."""
    dtype: Changes = {"dtype": "bfloat16"} if config.setting.dtype == "float32" else {}
    more = OFFLOADS[max(1, OFFLOADS.index(config.offload) + 1) :] if config.device != "cpu" else ()
    offloads: list[Changes] = [{"offload": name} for name in more]
    return [{}, *([dtype] if dtype else []), *offloads, *(dtype | o for o in offloads if dtype)]


def _sizes(config: RunConfig, card: cards.Card) -> list[Changes]:
    s = config.setting
    return [{"width": w, "height": h} for w, h in card.sizes(s.width, s.height)]


def _best(way: Sequence[Changes], switches: Sequence[Changes], fits: Callable[[Changes], bool]) -> Changes | None:
    """The largest of these that fits under any switches, with the cheapest of them that it fits under."""
    found = [(way.index(most), -n, switch | most) for n, switch in enumerate(switches)
             if (most := _most(way, lambda c, s=switch: fits(s | c)))]  # type: ignore[misc]  # fmt: skip
    return max(found, key=lambda f: f[:2])[2] if found else None


def _most(ascending: Sequence[T], fits: Callable[[T], bool]) -> T | None:
    """The last that fits, where each needs more than the one before."""
    n = bisect_left(ascending, True, key=lambda each: not fits(each))
    return ascending[n - 1] if n else None


def _words(changes: Changes) -> str:
    return " ".join(words.format(changes[k]) for k, words in WORDS.items() if k in changes)


def _smaller(config: RunConfig, card: cards.Card) -> list[cards.Card]:
    """Known backbones of the same order of size that make such videos by the same methods: of such latents first."""
    s = config.setting
    others = [cards.load(name) for name in cards.known() if name != card.id]
    kept = [
        c for c in others
        if card.parameters / SMALLER <= c.parameters < card.parameters and bool(c.control_blocks) is bool(card.control_blocks)
        and not (s.width % c.multiple or s.height % c.multiple or (s.frames - 1) % c.vae_temporal)
    ]  # fmt: skip
    return sorted(kept, key=lambda c: (c.latent_channels != card.latent_channels, -c.parameters))
