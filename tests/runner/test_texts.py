"""Texts of a run: encoded once, before the model is loaded; with all of them on disk no text encoder is needed."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training import make_store
from transformers import UMT5EncoderModel

from fastvmt.backbones import wan
from fastvmt.backbones.wan import TextEncoder
from fastvmt.errors import UserError
from fastvmt.runner import generate
from fastvmt.runner.executors.local import require_device
from fastvmt.runner.texts import not_encoded, texts_of


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A generator sets both for its process."""
    threads, fills = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def encoders() -> int:
    return sum(isinstance(thing, UMT5EncoderModel) for thing in gc.get_objects())


def made(generator: Any, n: int) -> str:
    job = list(generator.config.jobs())[n]
    return str(generator.make(job, lambda i, steps: None, lambda stage: None).frames_digest)


def test_texts_are_encoded_once_before_the_model_and_then_need_no_encoder(
    xs: Path, backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(xs, tmp_path / "wan")
    order: list[str] = []
    for name in ("TextEncoder", "Backbone"):
        kept = getattr(wan, name)
        monkeypatch.setattr(generate, name, lambda *args, k=kept, n=name: (order.append(f"{n}, {encoders()}"), k(*args))[1])
    before = encoders()
    store = make_store(folder, tmp_path / "run", ("none",))
    first = generate.Generator(store, store.config())
    assert order == [f"TextEncoder, {before}", f"Backbone, {before}"] and encoders() == before
    root, config = first.store.root, first.config
    assert not_encoded(root, config) == [] and first.load_seconds > 0
    digest = made(first, 0)
    assert len(order) == 2, "a job asked for a text that is not among those of the run"
    for case in config.suite.cases:
        assert {case.prompt, case.caption, "", config.setting.negative} <= set(texts_of(config))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    require_device(config, root)
    second = generate.Generator(first.store, config)
    assert order[2:] == [f"Backbone, {before}"] and made(second, 0) == digest
    for path in (root / "cache").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match="text_encoder/ holds no"):
        require_device(config, root)
    with pytest.raises(UserError, match="text_encoder/ holds no"):
        generate.Generator(first.store, config)


def test_the_encoder_alone_is_that_of_the_whole_pipeline_bit_for_bit(xs: Path, backbone: Any) -> None:
    from diffusers import WanPipeline

    from fastvmt.backbones import card

    pipe = WanPipeline.from_pretrained(xs, dtype=torch.float32)
    with torch.no_grad():
        wanted, _ = pipe.encode_prompt("a red circle", do_classifier_free_guidance=False, max_sequence_length=24, device="cpu")
    alone = TextEncoder(card.load(str(xs)), "cpu", torch.float32)("a red circle")
    assert torch.equal(alone, wanted) and torch.equal(backbone.encode_text("a red circle"), wanted)
