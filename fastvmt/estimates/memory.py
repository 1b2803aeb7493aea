"""What one job needs on its device, stage by stage and part by part. An estimate from counted parameters and tensor sizes.

    text      text encoder: texts are encoded before anything else is loaded, and it is let go of
    encode    transformer, VAE, and what the VAE's encoder holds
    guidance  transformer, VAE, and activations up to the tapped block: kept, where that fits; else recomputed
    denoise   transformer, VAE, the insides of one block, and what a profile's cache keeps
    decode    transformer, VAE, and what the VAE's decoder holds

The peak is the largest stage. Libraries stand in each. ``--offload none`` keeps the text encoder in every stage; with ``vae``
the VAE is on the device in its own two stages alone; with ``block`` so are all but three blocks of transformer and encoder, and
activations are always recomputed.

    transformer, text encoder   parameters x bytes of the dtype
                                (of two transformers both, with ``--offload vae`` the one that runs)
    VAE                         parameters x 4 (it stays in fp32)
    insides of a block          8 + 1.5 r tensors (tokens x width) of the dtype, r: the feed-forward's width over the model's
    activations, kept           22 tensors for every block up to the tapped one, four fp32 tensors of queries and keys, and
                                what the method holds (dense flow: its matrices)
    activations, recomputed     one tensor a block, 23 + 2.3 r (fp32: 15 + 2.3 r) inside of one, and the same beside them
    control blocks              as other blocks for a gradient; else one tensor each
    encode, decode              8 and 9.8 fp32 tensors of 96 channels and 4 frames at full size, and the video twice; of a VAE
                                with other widths in proportion
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastvmt.backbones.card import Card
from fastvmt.backbones.device import cores
from fastvmt.backbones.token_grid import MODULATION, fits_kept, kept_activations
from fastvmt.core.spelling import GIB
from fastvmt.estimates import parts
from fastvmt.model import MethodSpec
from fastvmt.plugins.method import Shape

ENCODE_BYTES, DECODE_BYTES = 12_300, 15_100
"""A pixel of one frame, in the VAE's widest stage, where frames are taken one by one: allocations of random weights in
Wan 2.1's layout on a CPU, by ``python benchmarks/memory.py vae``."""
HELD = {"first_block": 6, "sea": 6}
"""Tensors (tokens x width) that a cache keeps at the most from one step to the next, counted on small models: three a text."""
LIBRARIES = {"cpu": 900 << 20, "cuda": 600 << 20}
ROOM = 0.8
"""Of a machine's memory: what workers that nobody counted may take together."""
SHOWN = GIB // 20
"""Bytes from which a part is worth a word."""


Stages = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Need:
    """Bytes of one job. ``guidance`` is with activations recomputed, ``stored`` is what it becomes where they can be kept.

    Of transformer and text encoder it is what ``offload`` has on the device.
    """

    transformer: int
    text_encoder: int
    vae: int
    forward: int
    guidance: int
    stored: int
    encode: int
    decode: int
    libraries: int
    offload: str = "text"

    @property
    def least(self) -> int:
        """What must be there, with activations recomputed."""
        return self.expected(0)

    def expected(self, capacity: int) -> int:
        """What is taken at the peak on a device of this size: kept activations where they fit."""
        return sum(self.peak(capacity)[1].values())

    def peak(self, capacity: int = 0) -> tuple[str, dict[str, int]]:
        """The largest stage and its parts."""
        return max(self.stages(capacity).items(), key=lambda stage: sum(stage[1].values()))

    def stages(self, capacity: int = 0) -> Stages:
        """Bytes by stage and part on a device of this size; with activations recomputed where it is 0."""
        stay = {"text encoder": self.text_encoder} if self.offload == "none" else {}
        stay |= {"VAE": self.vae} if self.offload in ("none", "text") else {}
        beside = {"transformer": self.transformer} | stay | {"libraries": self.libraries}
        kept = self.offload != "block" and fits_kept(self.stored, capacity - sum(beside.values()))
        coding = beside | {"VAE": self.vae}
        found: Stages = {
            "text": {"text encoder": self.text_encoder, "libraries": self.libraries},
            "encode": coding | {"encode": self.encode},
            "guidance": beside | {"activations": self.stored if kept else self.guidance},
            "denoise": beside | {"activations": self.forward},
            "decode": coding | {"decode": self.decode},
        }
        return found if self.guidance else {k: v for k, v in found.items() if k != "guidance"}

    def words(self, capacity: int = 0) -> str:
        """The peak's parts in GiB, which are its sum, and the other stages' sums."""
        peak, parts = self.peak(capacity)
        sums = {name: sum(sizes.values()) for name, sizes in self.stages(capacity).items() if name != peak}
        beside = ", ".join(f"{name} {size / GIB:.1f}" for name, size in sums.items())
        shown = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items() if size >= SHOWN)
        return f"{peak} takes the most: {shown}; {beside}"


def need(
    card: Card, width: int, height: int, frames: int, dtype: str, methods: tuple[MethodSpec, ...], *, offload: str = "text",
    device: str = "cpu", cache: str = "",
) -> Need:  # fmt: skip
    """Bytes of the most demanding job of these methods.

    Args:
        width, height: px.
        frames: 4k+1.
        dtype: of transformer and text encoder.
        offload: ``none``, ``text``, ``vae`` or ``block``; from ``text`` on without effect on a CPU, where both places are one.
        cache: of the run's profile.
    """
    size = 4 if dtype == "float32" else 2
    _, _, f, h, w = card.latent_shape(width, height, frames)
    grid = (f // card.patch[0], h // card.patch[1], w // card.patch[2])
    hidden = card.heads * card.head_dim
    tensor = math.prod(grid) * hidden
    depth = max((gradient_depth(m, card) for m in methods), default=0)
    shape = Shape(card.blocks, card.heads, grid, (), card.control_blocks)
    held = 4 * tensor * 4 + max((_held(m, shape, hidden) for m in methods), default=0) if depth else 0
    beside = tensor * size * (card.control_blocks + 6 * card.per_token)  # what the control branch hands over; six of time steps
    depth += card.control_blocks if depth else 0
    if device == "cpu" and offload != "none":
        offload = "text"
    weights, texts = parts.transformer(card), parts.text_encoder(card)
    of_own = tensor * MODULATION * card.per_token
    inside = {grad: int(tensor * size * parts.inside(weights, hidden, size, grad)) + of_own for grad in (False, True)}
    in_turn = offload == "block"
    there = 1 if card.boundary is None or offload == "vae" else 2  # of two transformers with blocks in turn, one runs
    return Need(
        transformer=(weights.in_turn + (there - 1) * weights.beside if in_turn else weights.whole * there) * size,
        text_encoder=(texts.in_turn if in_turn else texts.whole) * size,
        vae=parts.vae(card) * 4,
        forward=inside[False] + beside + HELD.get(cache.partition(":")[0], 0) * tensor * size,
        guidance=tensor * size * depth + inside[True] + beside + held if depth else 0,
        stored=kept_activations(math.prod(grid), hidden, size, depth, card.per_token) + beside + held,
        encode=round(width * height * (ENCODE_BYTES * card.vae_channels[0] / 96 + frames * 3 * 4 * 2)),
        decode=round(width * height * (DECODE_BYTES * card.vae_channels[1] / 96 + frames * 3 * 4 * 2)),
        libraries=LIBRARIES[device],
        offload=offload,
    )


def gradient_depth(spec: MethodSpec, card: Card) -> int:
    """Blocks that a gradient of this method passes: up to the tapped one, all for one that trains or says so, else none."""
    from fastvmt.plugins import labels, registry

    cls = registry.methods.get(spec.method)
    if labels.trains(cls) or cls.whole_gradient:
        return card.blocks
    block = spec.params.get("block")
    return 0 if block is None else int(block) + 1


def _held(spec: MethodSpec, shape: Shape, width: int) -> int:
    """Bytes that a method's loss holds beside the model."""
    from fastvmt.plugins import registry

    cls = registry.methods.get(spec.method)
    return int(cls.held(cls.Params.model_validate(spec.params), shape, width))


# --- what there is -------------------------------------------------------------------------------------------------------


def device_bytes(device: str) -> int:
    """Memory of the device: of the first GPU, or of this machine and the group of processes that we are in (cgroup)."""
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is no such limit
            limits.append(int(Path(path).read_text()))
    return min(limits)


def device_count(device: str) -> int:
    """GPUs that torch sees; one for a CPU."""
    if device != "cuda":
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def threads_when_unsaid(device: str, least: int) -> int:
    """CPU threads of a worker: on a CPU as few as leave no core idle, where each worker needs ``least`` bytes.

    One thread a worker does more than several threads in one, and its sums do not depend on how many cores a machine has.
    """
    return cores() if device == "cuda" else -(-cores() // _side_by_side(least))


def workers_when_unsaid(device: str, threads: int, least: int) -> int:
    """One for every GPU; on a CPU one for every ``threads`` cores, as far as memory goes."""
    return device_count(device) if device == "cuda" else max(1, min(cores() // threads, _side_by_side(least)))


def _side_by_side(least: int) -> int:
    return max(1, min(cores(), int(ROOM * device_bytes("cpu") / least)))
