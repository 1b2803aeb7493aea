"""VBench's dimensions: what is missing is said, the worker process survives what it can, formulas equal the package."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support import dino
from support.cli import bench, make_fake_environment
from support.light_runs import alive, wait_for
from support.places import SUPPORT, lacking
from support.runs import make_run

from fastvmt.errors import JobError, MissingWeights, SpecError
from fastvmt.media.files import read_lossless, write_exact_mp4
from fastvmt.metrics import formulas
from fastvmt.metrics.vbench import files, tiny
from fastvmt.metrics.vbench import native as vbench_native
from fastvmt.metrics.vbench import package as vbench_package
from fastvmt.plugins import environments, metric_labels

DIMENSIONS = tuple(files.NEEDED)
NETWORKS = DIMENSIONS[:-1]


def moving_clip(frames: int = 9, height: int = 128, width: int = 128) -> Any:
    """A smooth texture that moves by (2, 3) px a frame, with fresh noise in every frame."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (height // 4, width // 4, 3), np.uint8))
    base = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    moved = [np.roll(base, (2 * t, 3 * t), (0, 1)) + rng.integers(-9, 9, base.shape) for t in range(frames)]
    return np.stack(moved).clip(0, 255).astype(np.uint8)


def scored(frames: Any) -> Any:
    return SimpleNamespace(generated=frames, cache={})


def value(label: str, frames: Any) -> Any:
    return metric_labels.build(label).score(scored(frames)).value


def any_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let weight files of any size and content pass."""
    loose = {k: dataclasses.replace(v, at_least=1, sha256="") for k, v in files.FILES.items()}
    monkeypatch.setattr(files, "FILES", loose)


# --- names, and what is missing ------------------------------------------------------------------------------------


def test_seven_names_with_three_backends_each() -> None:
    assert set(metric_labels.expand("vbench:*")) == {f"vbench:{d}" for d in DIMENSIONS}
    for name in DIMENSIONS:
        own = "native" if name == "temporal_flickering" else "package"
        metric = metric_labels.build(f"vbench:{name}")
        assert metric.params.backend == own and metric.label == f"vbench:{name}"
        assert (metric.direction == "up") == (name != "temporal_flickering")  # which VBench computes on static videos alone
        assert metric_labels.build(f"vbench:{name}:backend={own}").label == f"vbench:{name}"
        assert metric_labels.build(f"vbench:{name}:backend=tiny-shapes").label == f"vbench:{name}:backend=tiny-shapes"
    with pytest.raises(SpecError, match="'package', 'native' or 'tiny-shapes'"):
        metric_labels.build("vbench:subject_consistency:backend=open")


def test_first_the_environment_is_missing_then_each_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NETWORKS:
        assert "bench env create vbench" in metric_labels.build(f"vbench:{name}").missing()
    make_fake_environment(home / "envs" / "vbench")
    for name in NETWORKS:
        sentence = metric_labels.build(f"vbench:{name}").missing()
        for file in files.NEEDED[name]:
            assert file in sentence and files.FILES[file].size in sentence, sentence
        assert "curl -L" in sentence and "\n" not in sentence and sentence.endswith(".")
    assert metric_labels.build("vbench:temporal_flickering:backend=package").missing() == ""
    clip = home / "cache" / files.CLIP_B
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"<html>not found</html>")
    metric = metric_labels.build("vbench:background_consistency:backend=native")
    assert "is torn (22 bytes" in metric.missing()
    full = dataclasses.replace(files.FILES[files.CLIP_B], at_least=1)
    monkeypatch.setitem(files.FILES, files.CLIP_B, full)
    assert "its SHA-256 begins with" in metric.missing() and "not 40d36571" in metric.missing()
    assert metric.identity()["weights"][files.CLIP_B] == files.sha256_of([clip])[0]
    with pytest.raises(MissingWeights, match="is not the published file"):
        metric.score(scored(moving_clip(2)))


def test_code_that_runs_is_the_pinned_commit(home: Path) -> None:
    """All Python files of DINO's repository count, not the one that is called."""
    code = home / "cache" / files.REPO
    code.parent.mkdir(parents=True)
    code.write_text("x = 1")
    (code.parent / "vision_transformer.py").write_text("y = 1")
    sentence = files.lacking((files.REPO,))
    assert "is not facebookresearch/dino at 7c446df" in sentence and "git clone" in sentence
    before = files.digests((files.REPO,))
    (code.parent / "vision_transformer.py").write_text("y = 2")
    assert files.digests((files.REPO,)) != before


def test_what_no_backend_can_do_is_said(home: Path) -> None:
    sentences = {
        "motion_smoothness:backend=native": "AMT-S is defined only inside",
        "dynamic_degree:backend=native": "RAFT is defined only inside",
        "aesthetic_quality:backend=tiny-shapes": "no honest substitute",
        "imaging_quality:backend=tiny-shapes": "no honest substitute",
    }
    for label, words in sentences.items():
        assert words in metric_labels.build(f"vbench:{label}").missing()


def test_asking_what_is_missing_loads_no_torch(home: Path) -> None:
    code = (
        "import sys\nfrom fastvmt.plugins import metric_labels\n"
        "for b in ('package', 'native', 'tiny-shapes'):\n"
        "    labels, notes = metric_labels.choose((f'vbench:*:backend={b}',), ())\n"
        "metric_labels.build('text_similarity').missing()\n"
        "print([m for m in ('torch', 'open_clip', 'vbench') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# --- the worker process --------------------------------------------------------------------------------------------


def test_one_worker_answers_and_is_started_again_once(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(3, 32, 32)
    worker = vbench_package.worker()
    first = worker.ask("temporal_flickering", clip, "cpu", {})
    assert first["value"] == 0.25 and first["clip"] is True
    assert worker.ask("temporal_flickering", clip, "cpu", {})["pid"] == first["pid"]
    folder = worker.folder
    assert worker.process
    worker.process.kill()
    assert worker.ask("temporal_flickering", clip, "cpu", {})["pid"] != first["pid"]
    assert not folder.exists()
    worker.close()
    monkeypatch.setenv("STUB", "dies once")
    monkeypatch.setenv("STUB_MARK", str(fake / "mark"))
    assert value("vbench:temporal_flickering:backend=package", clip) == 0.25
    worker.close()
    assert not worker.folder.exists()


@pytest.mark.parametrize(
    ("stub", "words"),
    [
        ("dies", r"died 2 times over temporal_flickering \(signal SIGKILL\)"),
        ("hangs", "took longer than 1 s for one clip and was stopped; set FASTVMT_VBENCH_SECONDS"),
        ("fails", "VBench's temporal_flickering failed: RuntimeError: its own words"),
    ],
)
def test_a_worker_that_cannot_go_on_is_one_sentence(stub: str, words: str, fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB", stub)
    if stub == "hangs":
        monkeypatch.setenv("FASTVMT_VBENCH_SECONDS", "1")
    with pytest.raises(JobError, match=words):
        value("vbench:temporal_flickering:backend=package", moving_clip(3, 32, 32))


def test_the_real_worker_refuses_absent_files_and_ends_with_its_asker(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(vbench_package.SCRIPT), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    request = {
        "id": 3,
        "dimension": "imaging_quality",
        "device": "cpu",
        "files": {"x.pth": "/nowhere"},
        "video": "",
        "frames": "",
    }
    out, _ = process.communicate(json.dumps(request) + "\n", timeout=30)
    assert process.returncode == 0 and not folder.exists()
    assert [json.loads(line) for line in out.splitlines()] in ([], [{"id": 3, "error": "/nowhere is not there"}])


def test_the_worker_does_not_outlive_a_killed_asker(fake: Path) -> None:
    code = (
        "import os, numpy as np\nfrom fastvmt.metrics.vbench import package as p\n"
        "w = p.worker()\nw.ask('temporal_flickering', np.zeros((2, 8, 8, 3), np.uint8), 'cpu', {})\n"
        "print(w.process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(done.stdout)
    wait_for(lambda: not alive(pid))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 57)])
def test_the_mp4_that_vbench_reads_holds_the_same_frames(height: int, width: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
    write_exact_mp4(tmp_path / "a.mp4", noise, Fraction(16))
    np.testing.assert_array_equal(read_lossless(tmp_path / "a.mp4"), noise)
    reader = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert reader.get(cv2.CAP_PROP_FPS) == 16
    read = [reader.read()[1][:, :, ::-1] for _ in noise]
    np.testing.assert_array_equal(np.stack(read), noise)


# --- formulas and features without VBench --------------------------------------------------------------------------


def test_frames_are_prepared_as_vbench_does() -> None:
    """Against torchvision's transforms with the settings that VBench gives them."""
    from torchvision import transforms as t

    for shape in ((3, 60, 100), (2, 130, 90), (2, 224, 224)):
        clip = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
        tensor = torch.tensor(clip).permute(0, 3, 1, 2).float()
        by_dino = t.Compose(
            [t.Resize(224, antialias=False), t.Lambda(lambda x: x / 255), t.Normalize(*vbench_native.DINO_SCALE)]
        )
        by_clip = t.Compose(
            [
                t.Resize(224, t.InterpolationMode.BICUBIC, antialias=False), t.CenterCrop(224), t.Lambda(lambda x: x / 255),
                t.Normalize(*vbench_native.CLIP_SCALE),
            ]
        )  # fmt: skip
        torch.testing.assert_close(vbench_native.prepared(clip, "bilinear", vbench_native.DINO_SCALE, False), by_dino(tensor))
        torch.testing.assert_close(vbench_native.prepared(clip, "bicubic", vbench_native.CLIP_SCALE, True), by_clip(tensor))
    large = np.random.default_rng(1).integers(0, 256, (1, 300, 640, 3), np.uint8)
    seen: list[torch.Tensor] = []
    vbench_native.imaging_scores(large, lambda x: seen.append(x) or 50.0)
    wanted = t.Resize((240, 512), antialias=False)(torch.tensor(large).permute(0, 3, 1, 2).float()) / 255
    torch.testing.assert_close(seen[0], wanted)


def test_injected_models_give_the_formulas() -> None:
    clip = moving_clip(5, 40, 60)
    model = lambda x: x.mean((2, 3))  # noqa: E731
    for features in (vbench_native.subject_features(clip, model), vbench_native.clip_features(clip, model)):
        assert features.shape == (5, 3) and formulas.vbench_consistency(features) is not None
    scores = vbench_native.aesthetic_scores(np.array([[3.0, 4.0]]), np.array([5.0, 5.0]), 1.0)
    assert formulas.aesthetic_quality(scores) == pytest.approx(0.8)
    assert formulas.imaging_quality(vbench_native.imaging_scores(clip, lambda x: 40.0)) == pytest.approx(0.4)
    fast = lambda a, b: np.full((2, 40, 60), 9.0)  # noqa: E731
    assert vbench_native.moves(clip, 16, fast) is True and vbench_native.moves(clip, 16, lambda a, b: fast(a, b) / 99) is False
    assert vbench_native.moves(clip[:2], 16, fast) is None
    assert not formulas.dynamic_degree([], 40, 60, 1)


def test_our_vision_transformer_equals_timm_and_open_clip(tmp_path: Path) -> None:
    from open_clip.transformer import VisionTransformer as OpenClip
    from timm.models.vision_transformer import VisionTransformer as Timm

    from fastvmt.metrics.vbench.vit import load_clip, load_dino

    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    dino = Timm(img_size=64, patch_size=16, embed_dim=128, depth=2, num_heads=2, num_classes=0).eval()
    clip = OpenClip(64, 16, 128, 2, 2, 4.0, output_dim=32, act_layer=QuickGELU).eval()
    with torch.no_grad():
        for parameter in [*dino.parameters(), *clip.parameters()]:
            parameter.copy_((parameter + torch.randn_like(parameter) * 0.05).half().float())
        torch.save(dino.state_dict(), tmp_path / "dino.pth")
        holder = torch.nn.Module()
        holder.visual = torch.jit.trace(clip, images)
        torch.jit.script(holder).save(str(tmp_path / "clip.pt"))
        torch.testing.assert_close(load_dino(tmp_path / "dino.pth")(images), dino(images), atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(load_clip(tmp_path / "clip.pt")(images), clip(images), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), dino.SIZES)
def test_our_vision_transformer_equals_dinos_own_code(height: int, width: int, tmp_path: Path) -> None:
    from fastvmt.metrics.vbench.vit import load_dino

    stored = json.loads(dino.STORED.read_text())
    torch.save(dino.weights({k: tuple(v) for k, v in stored["shapes"].items()}), tmp_path / "dino.pth")
    found = load_dino(tmp_path / "dino.pth")(dino.image(height, width))[0]
    torch.testing.assert_close(found, torch.tensor(stored["features"][f"{height}x{width}"]), atol=1e-5, rtol=1e-5)


class QuickGELU(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


def test_tiny_shapes_says_what_it_is() -> None:
    for name in DIMENSIONS:
        metric = metric_labels.build(f"vbench:{name}:backend=tiny-shapes")
        if not metric.missing():
            assert metric.identity()["backend"] == "tiny-shapes" and metric.identity()["features"], name
    clip = moving_clip(9, 64, 64)
    for name in ("motion_smoothness", "temporal_flickering"):
        assert value(f"vbench:{name}:backend=tiny-shapes", clip) == getattr(formulas, name)(clip)
    assert value("vbench:temporal_flickering", clip) == formulas.temporal_flickering(clip)
    still = np.repeat(clip[:1], 9, 0)
    assert value("vbench:dynamic_degree:backend=tiny-shapes", clip) == 1.0
    assert value("vbench:dynamic_degree:backend=tiny-shapes", still) == 0.0
    assert value("vbench:dynamic_degree:backend=tiny-shapes", clip[:2]) is None
    flow = tiny.dis_flow(*(tiny.enlarged(f) for f in (clip[0], clip[1])))
    assert np.median(flow, (1, 2)) == pytest.approx([12, 8], abs=1.0)  # (3, 2) px on frames enlarged four times


# --- the command line ----------------------------------------------------------------------------------------------


def test_a_pattern_scores_what_it_can_and_says_the_rest(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, run = moving_clip(17, 32, 32), fake / "run"
    make_run(run, 1, ("none",), frames=clip.shape[:3], metrics=("time",), paint=lambda *_: clip)

    def score(metrics: str, envs: str) -> Any:
        monkeypatch.setenv("FASTVMT_ENVS", str(fake / envs))
        return bench("score", run, "--metrics", metrics, "--json")

    said = score("vbench:*", "none")
    assert said.code == 0, said.err
    cells = said.data["rows"][0]["metrics"]
    own = "vbench:temporal_flickering:backend=tiny-shapes"  # the backbone's own form of the dimension
    assert cells[own]["mean"] == pytest.approx(formulas.temporal_flickering(clip))
    notes = [n for n in said.data["notes"] if "is not scored" in n]
    assert len(notes) == 2 and all("bench env create vbench" in n for n in notes)
    label = "vbench:temporal_flickering:backend=package"
    said = score(label, "envs")
    assert said.code == 0 and said.data["rows"][0]["metrics"][label]["mean"] == 0.25, said.err
    assert said.data["identities"][label]["packages"]["vbench"] == "0.1.5"


# --- the real package ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random weights in VBench's layout, made by its own environment's Python; skipped where that was not made."""
    found = environments.find("vbench")
    if found is None:
        lacking("VBench's environment", "bench env create vbench")
    home = tmp_path_factory.mktemp("vbench")
    np.save(home / "frames.npy", moving_clip())
    script = [
        str(found.python),
        str(SUPPORT / "make_vbench_weights.py"),
        *(str(home / n) for n in ("cache", "other", "frames.npy")),
    ]
    done = subprocess.run(script, capture_output=True, text=True, env=vbench_package.worker_environment(), timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return home


def test_all_seven_run_in_the_package_and_ours_equal_it(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    any_weights(monkeypatch)
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(real / "cache"))
    monkeypatch.setenv("FASTVMT_CACHE", str(real / "digests"))
    frames = moving_clip()
    package = {name: value(f"vbench:{name}:backend=package", frames) for name in DIMENSIONS}
    vbench_package.worker().close()
    here = [n for n in DIMENSIONS if not metric_labels.build(f"vbench:{n}:backend=native").missing()]
    native = {n: value(f"vbench:{n}:backend=native", frames) for n in here}
    assert native == {n: pytest.approx(package[n], abs=1e-6) for n in native}
    assert {"subject_consistency", "background_consistency", "aesthetic_quality", "temporal_flickering"} <= native.keys()

    # The three whose networks are defined in the package: our formulas, given the package's own networks.
    amt, raft = (torch.jit.load(real / "other" / f"{n}.pt") for n in ("amt", "raft"))
    image = lambda f: torch.tensor(f).permute(2, 0, 1)[None].float()  # noqa: E731

    def midpoint(a: Any, b: Any) -> Any:
        with torch.no_grad():
            out = amt(image(a) / 255, image(b) / 255)[0].permute(1, 2, 0).numpy() * 255
        return out.clip(0, 255).astype(np.uint8)

    def flow(a: Any, b: Any) -> Any:
        with torch.no_grad():
            return raft(image(a), image(b))[0].numpy()

    assert formulas.motion_smoothness(frames, midpoint) == pytest.approx(package["motion_smoothness"], abs=1e-6)
    assert float(bool(vbench_native.moves(frames, 16, flow))) == package["dynamic_degree"]
    scores = iter(json.loads((real / "other" / "musiq.json").read_text()))
    ours = formulas.imaging_quality(vbench_native.imaging_scores(frames, lambda x: next(scores)))
    assert ours == pytest.approx(package["imaging_quality"], abs=1e-6)
