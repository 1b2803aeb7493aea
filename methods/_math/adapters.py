"""What training-based methods put into the transformer while they train and sample: embeddings, convolutions, LoRA.

An adapter owns fp32 weights by name, is installed by a context, changes nothing while it is new, and leaves nothing behind.
All sit in self-attention (``attn1``) or the feed-forward part: the text's cross-attention is never touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.backbones.wan import Backbone

Hook = Callable[..., Any]
Weights = dict[str, "Tensor"]
LORA_TARGETS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ffn.net.0.proj", "ffn.net.2")


def width_of(backbone: Backbone) -> int:
    """Channels D of the residual stream."""
    return backbone.card.heads * backbone.card.head_dim


def middle_blocks(count: int, blocks: int) -> range:
    """The ``count`` blocks in the middle of ``blocks``; of an odd rest the deeper half is larger."""
    count = min(count, blocks)
    first = (blocks - count) // 2
    return range(first, first + count)


# --- embeddings -------------------------------------------------------------------------------------------------------


def new_embeddings(backbone: Backbone, blocks: Sequence[int], grid: tuple[int, int, int], coarser: int) -> Weights:
    """Zero embeddings of each block: ``qk.L`` (F, D) for queries and keys, ``v.L`` (F, D, h', w') for values.

    Args:
        grid: tokens (F, h, w).
        coarser: h' = h / coarser and w' = w / coarser, rounded up; at least 1.
    """
    frames, height, width = grid
    channels = width_of(backbone)
    small = (math.ceil(height / coarser), math.ceil(width / coarser))
    weights: Weights = {}
    for block in blocks:
        weights[f"qk.{block}"] = torch.zeros(frames, channels, device=backbone.device)
        weights[f"v.{block}"] = torch.zeros(frames, channels, *small, device=backbone.device)
    return weights


def embeddings(backbone: Backbone, weights: Mapping[str, Tensor], grid: tuple[int, int, int]) -> AbstractContextManager[None]:
    """Add them to the normed hidden state (1, S, D) before its projections to queries, keys and values.

    Values' embeddings are stretched to the token grid (bilinear). Blocks without ``v.L`` keep their values.
    """

    def add(name: str) -> Hook:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, *rest = inputs
            extra = _spread(weights[name], grid)
            return ((hidden.unflatten(1, (grid[0], -1)) + extra.to(hidden.dtype)).flatten(1, 2), *rest)

        return hook

    places = []
    for name in weights:
        kind, _, block = name.partition(".")
        for projection in ("to_v",) if kind == "v" else ("to_q", "to_k"):
            places.append((f"blocks.{block}.attn1.{projection}", add(name)))
    return backbone.hooked(*places, before=True)


def _spread(embedding: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(F, 1, D) for all places alike, or (F, P, D) for each."""
    if embedding.ndim == 2:
        return embedding[:, None]
    size = grid[1:]
    if embedding.shape[2:] != size:
        embedding = torch.nn.functional.interpolate(embedding, size=size, mode="bilinear", align_corners=False)
    return embedding.flatten(2).transpose(1, 2)


# --- convolutions over time -------------------------------------------------------------------------------------------


def new_convolutions(backbone: Backbone, blocks: Sequence[int], middle: int, kernel: int, seed: int) -> Weights:
    """Two kernels of each block: ``down.L`` (middle, D, kernel), drawn from N(0, 1), and ``up.L`` (D, middle, kernel), zero."""
    generator, channels = torch.Generator().manual_seed(seed), width_of(backbone)
    weights: Weights = {}
    for block in blocks:
        weights[f"down.{block}"] = torch.randn(middle, channels, kernel, generator=generator).to(backbone.device)
        weights[f"up.{block}"] = torch.zeros(channels, middle, kernel, device=backbone.device)
    return weights


def convolutions(backbone: Backbone, weights: Mapping[str, Tensor], frames: int) -> AbstractContextManager[None]:
    """A branch beside self-attention: its input (1, S, D), at each place along time, through both kernels with GELU between.

    What comes out is added to attention's output, and gated with it. Kernels are widened by zeros at both ends of time.
    """

    def add(block: str) -> Hook:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            down, up = weights[f"down.{block}"], weights[f"up.{block}"]
            lines = inputs[0].unflatten(1, (frames, -1))[0].permute(1, 2, 0).to(down.dtype)  # (P, D, F)
            inner = torch.nn.functional.conv1d(lines, down, padding="same")
            outer = torch.nn.functional.conv1d(torch.nn.functional.gelu(inner), up, padding="same")
            return output + outer.permute(2, 0, 1).flatten(0, 1)[None].to(output.dtype)

        return hook

    blocks = [name.partition(".")[2] for name in weights if name.startswith("down.")]
    return backbone.hooked(*((f"blocks.{block}.attn1", add(block)) for block in blocks))


# --- LoRA, by PEFT ----------------------------------------------------------------------------------------------------


class LoRA:
    """Low-rank adapters by name on the same layers, each ``rank`` wide with scale 1; fp32 whatever the model is.

    Args:
        backbone: whose self-attention and feed-forward layers get them.
        names: of the adapters.
        rank: r; down is drawn from N(0, 1/r), up is zero.
        dropout: in front of each adapter while it trains.
        seed: of the draw.
    """

    def __init__(self, backbone: Backbone, names: Sequence[str], rank: int, dropout: float = 0.0, seed: int = 0) -> None:
        self.backbone, self.names, self.rank, self.dropout, self.seed = backbone, tuple(names), rank, dropout, seed

    @contextmanager
    def installed(self, weights: Mapping[str, Tensor] | None = None, trains: bool = False) -> Iterator[None]:
        """PEFT's layers around the model's while it holds; afterwards the very same layers as before.

        Args:
            weights: as ``weights`` gives them; drawn anew without.
            trains: with dropout.
        """
        with ExitStack() as stack:
            stack.callback(self._remove)
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                for name in self.names:
                    self._inject(name, empty=weights is not None)
            if weights is not None:
                self.transformer.load_state_dict(dict(weights), strict=False, assign=True)
            for layer in self._layers():
                layer.lora_dropout.train(trains)
            yield

    @property
    def transformer(self) -> Any:
        return self.backbone.transformer

    def weights(self, name: str) -> Weights:
        """One adapter's parameters by their names in the transformer."""
        return {n: p for n, p in self.transformer.named_parameters() if f".lora_A.{name}." in n or f".lora_B.{name}." in n}

    def use(self, *names: str) -> None:
        """Let these adapters act, and no other; all weights of theirs can have gradients."""
        for layer in self._layers():
            layer.set_adapter(list(names))

    def _inject(self, name: str, empty: bool) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        endings = "|".join(t.replace(".", r"\.") for t in LORA_TARGETS)
        config = LoraConfig(
            r=self.rank, lora_alpha=self.rank, lora_dropout=self.dropout, init_lora_weights="gaussian",
            target_modules=rf"(\d+\.)?blocks\.\d+\.({endings})",
        )  # fmt: skip
        self._forget()  # or PEFT warns of the second adapter, which is wanted
        inject_adapter_in_model(config, self.transformer, name, low_cpu_mem_usage=empty)
        if not empty:
            for parameter in self.weights(name).values():
                parameter.data = parameter.data.float()

    def _layers(self) -> list[Any]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        return [m for m in self.transformer.modules() if isinstance(m, BaseTunerLayer)]

    def _remove(self) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(self.transformer.named_modules()):
            if isinstance(module, BaseTunerLayer):
                parent, _, leaf = name.rpartition(".")
                setattr(self.transformer.get_submodule(parent), leaf, module.get_base_layer())
        self._forget()
        self.transformer.requires_grad_(False)

    def _forget(self) -> None:
        if hasattr(self.transformer, "peft_config"):
            del self.transformer.peft_config
