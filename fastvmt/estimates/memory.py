"""What one job needs on its device, stage by stage and part by part. An estimate from counted parameters and tensor sizes.

    text      text encoder: texts are encoded before anything else is loaded, and it is let go of
    encode    transformer, VAE, and what the VAE's encoder holds
    guidance  transformer, VAE, and activations up to the tapped block: kept, where that fits; else recomputed
    denoise   transformer, VAE, the insides of one block, and what a profile's cache keeps
    decode    transformer, VAE, and what the VAE's decoder holds

The peak is the largest stage. Libraries stand in each. With ``offload`` the VAE is on the device in its own two stages alone.

    transformer, text encoder   parameters x bytes of the dtype
    VAE                         parameters x 4 (it stays in fp32)
    insides of a block          22 tensors (tokens x width) of the dtype, as ``Backbone`` counts them
    activations, kept           those of every block up to the tapped one, and four fp32 tensors for queries and keys
    activations, recomputed     one tensor a block, the insides of one, and the same four
    encode, decode              10.5 and 12.5 fp32 tensors of 96 channels and 4 frames at full size, and the video twice
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastvmt.backbones.card import Card
from fastvmt.backbones.device import cores
from fastvmt.backbones.token_grid import fits_kept, kept_activations
from fastvmt.core.reading import parse_json
from fastvmt.core.spelling import GIB
from fastvmt.errors import UserError
from fastvmt.model import MethodSpec

TEXT_ENCODER, VAE = 5_680_000_000, 126_900_000
"""Parameters of Wan 2.1's UMT5-XXL encoder and VAE (counted on their configs), for a backbone whose files are not here."""
ENCODE_BYTES, DECODE_BYTES = 16_100, 19_200
"""A pixel of one frame, in the VAE's widest stage: 10.5 and 12.5 fp32 tensors of 96 channels and 4 frames. Measured on a
CPU: resident memory of random weights in Wan 2.1's layout at 160 x 160 px, above that at 64 x 64 px."""
HELD = {"first_block": 6, "sea": 6}
"""Tensors (tokens x width) that a cache keeps at the most from one step to the next, counted on small models: three a text."""
LIBRARIES = {"cpu": 900 << 20, "cuda": 600 << 20}
LONGEST_HEADER = 100_000_000
"""Bytes of a .safetensors file's header, as its own library limits them."""
ROOM = 0.8
"""Of a machine's memory: what workers that nobody counted may take together."""
SHOWN = GIB // 20
"""Bytes from which a part is worth a word."""


Stages = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Need:
    """Bytes of one job. ``guidance`` is with activations recomputed, ``stored`` is what it becomes where they can be kept."""

    transformer: int
    text_encoder: int
    vae: int
    forward: int
    guidance: int
    stored: int
    encode: int
    decode: int
    libraries: int
    offload: bool = False

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
        beside = {"transformer": self.transformer} | ({} if self.offload else {"VAE": self.vae}) | {"libraries": self.libraries}
        kept = fits_kept(self.stored, capacity - sum(beside.values()))
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
    card: Card, width: int, height: int, frames: int, dtype: str, methods: tuple[MethodSpec, ...], *, offload: bool = False,
    device: str = "cpu", cache: str = "",
) -> Need:  # fmt: skip
    """Bytes of the most demanding job of these methods.

    Args:
        width, height: px.
        frames: 4k+1.
        dtype: of transformer and text encoder.
        offload: without effect on a CPU, where both places are one.
        cache: of the run's profile.
    """
    size = 4 if dtype == "float32" else 2
    _, _, f, h, w = card.latent_shape(width, height, frames)
    tokens = f * h * w // math.prod(card.patch)
    tensor = tokens * card.heads * card.head_dim
    depth = max((gradient_depth(m, card) for m in methods), default=0)
    features = 4 * tensor * 4 if depth else 0
    inside = kept_activations(tokens, card.heads * card.head_dim, size, 1)
    return Need(
        transformer=(card.parameters or _parameters(card, "transformer", 0)) * size,
        text_encoder=_parameters(card, "text_encoder", TEXT_ENCODER) * size,
        vae=_parameters(card, "vae", VAE) * 4,
        forward=inside + HELD.get(cache.partition(":")[0], 0) * tensor * size,
        guidance=tensor * size * depth + inside + features if depth else 0,
        stored=inside * depth + features,
        encode=width * height * (ENCODE_BYTES + frames * 3 * 4 * 2),
        decode=width * height * (DECODE_BYTES + frames * 3 * 4 * 2),
        libraries=LIBRARIES[device],
        offload=offload and device != "cpu",
    )


def gradient_depth(spec: MethodSpec, card: Card) -> int:
    """Blocks that a gradient of this method passes: up to the tapped one, all for one that trains or says so, else none."""
    from fastvmt.plugins import labels, registry

    cls = registry.methods.get(spec.method)
    if labels.trains(cls) or cls.whole_gradient:
        return card.blocks
    block = spec.params.get("block")
    return 0 if block is None else int(block) + 1


def _parameters(card: Card, part: str, published: int) -> int:
    return _counted(card.folder / part) if card.folder else published


@lru_cache(maxsize=64)
def _counted(folder: Path) -> int:
    """Parameters in a folder's safetensors files, from their headers alone.

    Raises:
        UserError: for a file that is none.
    """
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = parse_json(file.read(min(size, LONGEST_HEADER)))
            total += sum(math.prod(map(int, t["shape"])) for name, t in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: it does not begin as a .safetensors file does. Fetch the folder anew.") from None
    return total


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
