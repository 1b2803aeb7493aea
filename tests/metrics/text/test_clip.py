"""CLIP scores: the formula on injected weights, what silently spoils them, missing weights, and the shipped ``tiny-shapes``."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS, Scene, draw
from fastvmt.datasets.drawn.shapes import random_scene, stream
from fastvmt.errors import MissingWeights, SpecError, UserError
from fastvmt.media.files import Frames
from fastvmt.metrics import formulas
from fastvmt.metrics.text import clip, clip_weights
from fastvmt.plugins.metric import Scored, Value
from fastvmt.plugins.metric_labels import build, choose
from fastvmt.reports.tidy.gaps import cut_prompts

PROMPT = "a red ball on the moon"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights and the stock vocabulary, as ``local-dir``."""
    return make_clip(tmp_path_factory.mktemp("clip"))


def make_clip(to: Path, seed: int = 0) -> Path:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    config: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(seed)
    to.mkdir(parents=True, exist_ok=True)
    (to / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(CLIP(**config).state_dict(), to / "open_clip_model.safetensors")
    return to


def scored(frames: Frames, prompt: str = PROMPT) -> Scored:
    return Scored(frames, frames, SimpleNamespace(prompt=prompt), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]


def score(label: str, frames: Frames, prompt: str = PROMPT) -> Value:
    return build(label).score(scored(frames, prompt))


@pytest.fixture(scope="module")
def frames() -> Frames:
    return np.random.default_rng(0).integers(0, 255, (5, 40, 72, 3), np.uint8)


def test_scores_are_the_formulas_of_what_the_model_says(folder: Path, frames: Frames) -> None:
    """Preprocessing and both encoders by hand: shorter side to 32 px (bicubic), the centre, CLIP's mean and deviation."""
    import open_clip

    net = open_clip.create_model(f"local-dir:{folder}").eval()
    assert net.visual.preprocess_cfg["mean"] == pytest.approx(clip_weights.PREPROCESS["mean"])
    assert net.visual.preprocess_cfg["interpolation"] == clip_weights.PREPROCESS["interpolation"]
    pixels = []
    for frame in frames:
        small = np.asarray(Image.fromarray(frame).resize((57, 32), Image.Resampling.BICUBIC))[:, 12:44]
        pixels.append((small / 255 - clip_weights.PREPROCESS["mean"]) / clip_weights.PREPROCESS["std"])
    with torch.no_grad():
        images = net.encode_image(torch.tensor(np.stack(pixels), dtype=torch.float32).permute(0, 3, 1, 2)).numpy()
        text = net.encode_text(open_clip.tokenize(PROMPT, 20))[0].numpy()
    found = score(f"text_similarity:clip=local-dir:{folder}", frames)
    assert found.value == pytest.approx(formulas.text_similarity(images, text), abs=1e-5) and not found.details
    between = score(f"temporal_consistency:clip=local-dir:{folder}", frames)
    assert between.value == pytest.approx(formulas.temporal_consistency(images), abs=1e-5)
    assert score(f"temporal_consistency:clip=local-dir:{folder}", frames[:1]).value is None


def test_a_prompt_that_is_cut_is_flagged(folder: Path, frames: Frames) -> None:
    label = f"text_similarity:clip=local-dir:{folder}"
    fits, long = " ".join(["moon"] * 18), " ".join(["moon"] * 19)  # and a start and an end: 20 tokens is what fits
    assert not score(label, frames, fits).details
    assert score(label, frames, long).details == {"truncated": True, "tokens": 21, "context_length": 20}


def test_cut_prompts_are_said_before_a_run_and_under_its_table(folder: Path, frames: Frames) -> None:
    label = f"text_similarity:clip=local-dir:{folder}"
    fits, long = (" ".join(["moon"] * n) for n in (18, 19))
    cases = {f"c{n}": SimpleNamespace(id=f"c{n}", prompt=p) for n, p in enumerate((fits, long, long, long + " moon"))}
    jobs: Any = [SimpleNamespace(key=case.id, case_id=case.id) for case in cases.values()]
    records: Any = {
        c.id: {label: SimpleNamespace(details=score(label, frames, c.prompt).details, status="ok")} for c in cases.values()
    }
    before = build(label).caution(list(cases.values()))
    assert (
        before
        == f"{label}: 2 prompts are longer than the 20 tokens that its CLIP reads; what stands behind them is not scored."
    )
    assert cut_prompts(cases, jobs, records) == [before]  # type: ignore[arg-type]
    assert build(label).caution([cases["c0"]]) == "" == build("text_similarity").caution(list(cases.values()))


def test_records_tell_models_apart_by_content_not_by_place(folder: Path, tmp_path: Path) -> None:
    same, other = make_clip(tmp_path / "same"), make_clip(tmp_path / "other", seed=1)
    label = "text_similarity:clip=local-dir:{}"
    mine, copied, changed = (build(label.format(f)).identity() for f in (folder, same, other))
    assert mine == copied != changed and str(folder) not in json.dumps(mine)
    config = json.loads((same / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = {"interpolation": "bilinear"}
    (same / "open_clip_config.json").write_text(json.dumps(config))
    assert build(label.format(same)).identity() != mine


def test_openais_weights_without_quick_gelu_are_refused(tmp_path: Path) -> None:
    """By the tag, by the file's name, and by the format that only OpenAI used."""
    with pytest.raises(SpecError, match="use ViT-B-32-quickgelu"):
        build("text_similarity:clip=ViT-B-32/openai")
    archive, named = tmp_path / "ViT-B-32.pt", tmp_path / "clip-openai.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), archive)
    torch.save({"a": torch.zeros(1)}, named)
    for file in (archive, named):
        with pytest.raises(SpecError, match="quick-GELU"):
            build(f"text_similarity:clip=ViT-B-32/{file}")
        assert not build(f"text_similarity:clip=ViT-B-32-quickgelu/{file}").missing()
    assert clip_weights.read(f"ViT-B-32-quickgelu/{archive}").torchscript
    assert not clip_weights.read(f"ViT-B-32-quickgelu/{named}").torchscript


def test_an_archive_of_openais_kind_is_read(tmp_path: Path, frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision and TorchScript in the file, fp32 and the same features here."""
    import open_clip
    from open_clip.model import CLIP

    config = json.loads((make_clip(tmp_path / "source") / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "Small-quickgelu.json").write_text(json.dumps(config | {"quick_gelu": True}))
    open_clip.add_model_config(tmp_path / "Small-quickgelu.json")
    monkeypatch.setattr(clip_weights, "_architectures", lambda: tmp_path)
    net = CLIP(**config, quick_gelu=True).eval().half().float()
    archive = tmp_path / "Small.pt"
    example = (torch.zeros(1, 3, 32, 32), torch.zeros(1, 20, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net, example, check_trace=False).half(), archive)
    net.float()  # the traced module shares its weights
    loaded = clip.Model(f"Small-quickgelu/{archive}")
    assert {p.dtype for p in loaded.net.parameters()} == {torch.float32}
    batch = torch.stack([loaded.prepare(Image.fromarray(f)) for f in frames])
    with torch.no_grad():
        assert loaded.images(frames) == pytest.approx(net.encode_image(batch).numpy(), abs=1e-5)


def test_missing_weights_are_one_sentence_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    sentence = build("text_similarity").missing()
    assert "`hf download timm/vit_base_patch32_clip_224.openai open_clip_model.safetensors`" in sentence and "GB" in sentence
    with pytest.raises(MissingWeights, match="text_similarity: its weights are not on this machine"):
        choose(["text_similarity"], [])
    labels, notes = choose([], ["text_similarity", "text_similarity:clip=tiny-shapes", "time"])
    assert labels == ("text_similarity:clip=tiny-shapes", "time")
    assert notes == (f"text_similarity is not scored: {sentence}",)
    assert "no file" in build(f"text_similarity:clip=ViT-L-14/{tmp_path}/x.pt").missing()
    assert "open_clip_config.json" in build(f"text_similarity:clip=local-dir:{tmp_path}").missing()
    weights = tmp_path / "hub/models--timm--vit_base_patch32_clip_224.openai/snapshots/a1/open_clip_model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"\0" * 16)
    assert not build("text_similarity").missing()
    with pytest.raises(UserError):
        clip.weights_identity("ViT-B-16-quickgelu/openai")


@pytest.mark.parametrize("spec", ["ViT-B-32", "ViT-B-33/openai", "ViT-B-32-quickgelu/laion2b", "", "ViT-B-16-SigLIP/webli"])
def test_a_spec_that_names_nothing_is_refused(spec: str) -> None:
    with pytest.raises(SpecError, match="clip"):
        build(f"text_similarity:clip={spec}")


def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    broken = make_clip(tmp_path / "broken")
    config = json.loads((broken / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 8
    (broken / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit") as caught:
        clip.Model(f"local-dir:{broken}")
    assert "\n" not in str(caught.value)


def held_out(count: int) -> list[Scene]:
    """Single-subject scenes that the shipped weights were not trained on."""
    scenes = (random_scene(stream("heldout", n), 33) for n in range(900_000, 901_000))
    return [s for s, _ in zip((s for s in scenes if len(s.movers) == 1), range(count), strict=False)]


def captions_with_another(scene: Scene, part: str) -> list[str]:
    mover = scene.movers[0]
    values: dict[str, list[Scene]] = {
        "colour": [replace(scene, movers=(replace(mover, colour=c),)) for c in SUBJECT_COLOURS if c != mover.colour],
        "shape": [replace(scene, movers=(replace(mover, shape=c),)) for c in SHAPES if c != mover.shape],
        "ground": [replace(scene, ground=c) for c in GROUND_COLOURS if c != scene.ground],
        "pattern": [replace(scene, pattern=c) for c in PATTERNS if c != scene.pattern],
    }
    return [s.caption() for s in values[part]]


def test_the_shipped_clip_prefers_the_true_caption() -> None:
    """Twelve held-out clips, every fourth frame: the own caption against each with one word changed."""
    right: dict[str, list[bool]] = {"colour": [], "shape": [], "ground": [], "pattern": []}
    for scene in held_out(12):
        job = scored(draw(scene)[::4], scene.caption())
        features = clip.image_features(job, "tiny-shapes")
        own = build("text_similarity:clip=tiny-shapes").score(job).value
        assert own is not None and own > 0.3
        for part, wins in right.items():
            others = [clip.text_features(c, "tiny-shapes")[0] for c in captions_with_another(scene, part)]
            wins.append(own > max(formulas.text_similarity(features, other) for other in others))
    share = {part: np.mean(wins) for part, wins in right.items()}
    assert min(share["colour"], share["ground"], share["pattern"]) >= 0.9 and share["shape"] >= 0.5, share


def test_a_prompt_outside_the_small_vocabulary_has_no_score(frames: Frames) -> None:
    found = score("text_similarity:clip=tiny-shapes", frames, "a red train on a navy plain background.")
    assert found.value is None and found.details["unknown_words"] == ["train"]
