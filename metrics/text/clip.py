"""CLIP by open_clip: features of a clip's frames and of its prompt, and the two scores made of them.

Features are computed in fp32, once per clip and model: every metric of a job that asks for the same ones shares them.
Nothing is ever fetched; ``clip_weights.py`` says what ``clip=...`` may be.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from fastvmt.backbones.device import has_cuda
from fastvmt.core.content_address import digest
from fastvmt.core.sealed import sealed
from fastvmt.errors import MissingWeights, SpecError, UserError
from fastvmt.media.files import Frames
from fastvmt.metrics.formulas import temporal_consistency, text_similarity
from fastvmt.metrics.text.clip_weights import DEFAULT, WORD_LIST, Clip, cut_said, missing, read, weights_identity
from fastvmt.metrics.text.words import WordTokenizer
from fastvmt.model import Case
from fastvmt.plugins.method import Params
from fastvmt.plugins.metric import Metric, Scored, Value

__all__ = [
    "Model", "TemporalConsistency", "TextSimilarity", "image_features", "reference_features", "text_features",
    "weights_identity",
]  # fmt: skip

F64 = NDArray[np.float64]
BATCH = {"cpu": 32, "cuda": 128}
ARCHIVE_EXTRAS = ("input_resolution", "context_length", "vocab_size", "attn_mask")  # kept among the weights, but constants


def device() -> str:
    return "cuda" if has_cuda() else "cpu"


def tokenizer_of(clip: Clip) -> tuple[Any, int]:
    """A CLIP's tokenizer, which needs no weights, and how many tokens it reads of a text."""
    length: int = clip.config["text_cfg"].get("context_length", 77)
    if clip.local and clip.weights and (clip.weights.parent / WORD_LIST).is_file():
        return WordTokenizer.load(clip.weights.parent, length), length
    import open_clip

    return open_clip.get_tokenizer(clip.name), length


def tokens_in(tokenizer: Any, text: str) -> int:
    """How many tokens a text has, counted in a row that none can fill: open_clip cuts a long one without a word."""
    if isinstance(tokenizer, WordTokenizer):
        return len(tokenizer.split(text)) + 1  # without a tensor: planning needs no torch
    row = tokenizer([text], context_length=len(text.encode()) + 16)[0]
    return int((row != row[-1]).nonzero().max()) + 1


class Model:
    """A loaded CLIP: fp32, evaluation mode, on the GPU where there is one.

    Args:
        spec: as in ``clip_weights.py``.

    Raises:
        SpecError, MissingWeights: as ``clip_weights.read`` and ``weights_identity``.
        UserError: when the file does not hold weights of that architecture.
    """

    def __init__(self, spec: str) -> None:
        import open_clip
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        clip = read(spec)
        if clip.weights is None:
            raise MissingWeights(f"clip={spec}: {clip.absent}")
        self.device = device()
        try:
            if clip.torchscript:  # TorchScript's own reader, which runs nothing that a pickle may hide
                state = torch.jit.load(str(clip.weights), map_location="cpu").state_dict()
                self.net = open_clip.CLIP(**clip.config)
                self.net.load_state_dict({k: v for k, v in state.items() if k not in ARCHIVE_EXTRAS})
                self.net.to(self.device)
            else:
                weights = None if clip.local else str(clip.weights)
                self.net = open_clip.create_model(clip.name, weights, precision="fp32", device=self.device, weights_only=True)
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, pickle.UnpicklingError) as error:
            why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
            raise UserError(f"clip={spec}: {clip.weights.name} does not fit ({why}); give another file.") from error
        self.net.eval()
        self.prepare = image_transform_v2(PreprocessCfg(**clip.preprocess), is_train=False)
        self.tokenizer, self.context_length = tokenizer_of(clip)

    def images(self, frames: Frames) -> F64:
        """Features (T, D), not normalised, of uint8 RGB frames (T, H, W, 3).

        Each goes through the model's own preprocessing: for CLIP the shorter side to its size (bicubic, with
        antialiasing), the centre cut out, mean and standard deviation. A wide clip loses its sides.
        """
        import torch
        from PIL import Image

        size, out = BATCH[self.device], []
        with torch.no_grad():
            for start in range(0, len(frames), size):
                batch = torch.stack([self.prepare(Image.fromarray(f)) for f in frames[start : start + size]])
                out.append(self.net.encode_image(batch.to(self.device)).double().cpu().numpy())
        return np.concatenate(out)

    def text(self, text: str) -> tuple[F64, dict[str, Any]]:
        """Feature (D,), not normalised; and what the number must be read with.

        Details hold ``truncated``, ``tokens`` and ``context_length`` where it was cut, and ``unknown_words`` of a small
        vocabulary.
        """
        import torch

        from fastvmt.metrics.text.words import WordTokenizer

        tokens = tokens_in(self.tokenizer, text)
        details: dict[str, Any] = {}
        if tokens > self.context_length:
            details = {"truncated": True, "tokens": tokens, "context_length": self.context_length}
        if isinstance(self.tokenizer, WordTokenizer) and (unknown := self.tokenizer.unknown(text)):
            details["unknown_words"] = unknown
        with torch.no_grad():
            ids = self.tokenizer([text], context_length=self.context_length)
            return self.net.encode_text(ids.to(self.device))[0].double().cpu().numpy(), details


@lru_cache(maxsize=4)
def _model(spec: str, key: str) -> Model:
    return Model(spec)


@lru_cache(maxsize=4096)
def _text(spec: str, key: str, text: str) -> tuple[F64, dict[str, Any]]:
    return sealed(_model(spec, key).text(text))


def image_features(scored: Scored, spec: str) -> F64:
    """CLIP features (T, D) of the generated frames, float64, not normalised; computed once per job and model.

    Raises:
        SpecError, MissingWeights, UserError: as ``Model``.
    """
    key = digest(weights_identity(spec))
    if (at := ("clip", key, "generated")) not in scored.cache:
        scored.cache[at] = _model(spec, key).images(scored.generated)
    found: F64 = scored.cache[at]
    return found


_REFERENCES: dict[tuple[str, str], F64] = {}
"""Features of references already seen by this process, by model and digest."""


def reference_features(frames_digest: str, frames: Frames, spec: str) -> F64:
    """CLIP features (T, D) of a reference's frames, as ``image_features``; kept for the other methods of its case."""
    key = digest(weights_identity(spec)), frames_digest
    if key not in _REFERENCES:
        if len(_REFERENCES) >= 128:
            _REFERENCES.clear()
        _REFERENCES[key] = sealed(_model(spec, key[0]).images(frames))
    return _REFERENCES[key]


def text_features(text: str, spec: str) -> tuple[F64, dict[str, Any]]:
    """CLIP feature (D,) of a text, float64, not normalised, and details as ``Model.text``; once per process."""
    return _text(spec, digest(weights_identity(spec)), text)


class ClipParams(Params):
    clip: str = Field(DEFAULT, description="ARCHITECTURE/tag, ARCHITECTURE//path/to/weights, local-dir:/path or tiny-shapes")

    @field_validator("clip")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return read(value).spec
        except SpecError as error:
            raise ValueError(str(error)) from None


class _Clip(Metric):
    source = "FastVMT section 4.2"
    backend = "open_clip"
    decimals = 4
    Params: ClassVar[type[Params]] = ClipParams

    def missing(self) -> str:
        return missing(self.params.clip)

    def identity(self) -> dict[str, Any]:
        return super().identity() | weights_identity(self.params.clip) | {"device": device()}


class TextSimilarity(_Clip):
    """Mean cosine between the features of the generated frames (T, D) and of the prompt (D,).

    Range -1 to 1; with ViT-B/32 a fitting prompt scores about 0.3. Undefined when the model's vocabulary lacks a word of the
    prompt; ``details`` say when a prompt was too long and has been cut. Source: FastVMT section 4.2, which does not name
    its CLIP: numbers of another ``clip`` cannot be compared.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> right, wrong = (
    ...     score_clip("text_similarity:clip=tiny-shapes", frames, prompt=p).value
    ...     for p in (caption, "a red star on a white plain background")
    ... )
    >>> right > 0.8 > wrong
    True
    """

    id = "text_similarity"
    summary = "mean CLIP cosine of generated frames and prompt"

    def caution(self, cases: Sequence[Case]) -> str:
        clip = read(self.params.clip)
        length = (clip.config or {}).get("text_cfg", {}).get("context_length", 77)
        # A token is a byte at least, so that most prompts need no tokenizer.
        long = [p for p in dict.fromkeys(c.prompt for c in cases) if len(p.encode()) + 2 > length]
        if not long or self.missing():
            return ""
        tokenizer, _ = tokenizer_of(clip)
        cut = sum(tokens_in(tokenizer, prompt) > length for prompt in long)
        return cut_said(self.label, cut, length) if cut else ""

    def score(self, scored: Scored) -> Value:
        text, details = text_features(scored.case.prompt, self.params.clip)
        if "unknown_words" in details:
            return Value(None, details | {"why": "the prompt has words that this CLIP does not know"})
        return Value(text_similarity(image_features(scored, self.params.clip), text), details)


class TemporalConsistency(_Clip):
    """Mean cosine between the features (T, D) of consecutive generated frames.

    Range -1 to 1; undefined for a single frame. A frozen clip scores 1: read it beside a motion metric.
    Source: FastVMT section 4.2.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> score_clip("temporal_consistency:clip=tiny-shapes", frames).value > 0.95
    True
    """

    id = "temporal_consistency"
    summary = "mean CLIP cosine of consecutive generated frames"

    def score(self, scored: Scored) -> Value:
        return Value(temporal_consistency(image_features(scored, self.params.clip)))
