"""``bench doctor --parity``: against diffusers' pipeline, and against stored vectors of another implementation."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cli import bench

from fastvmt.backbones import card as cards
from fastvmt.backbones import wan
from fastvmt.errors import UserError
from fastvmt.upkeep import parity


@pytest.fixture(scope="module")
def stand_in(xs: Path, backbone: Any) -> dict[str, Any]:
    """Vectors as somebody else's program would have made them of these weights: diffusers' own calls stand in for it."""
    generator = torch.Generator().manual_seed(3)
    x, text = torch.randn(1, 4, 2, 4, 4, generator=generator), torch.randn(1, 24, 16, generator=generator)
    frames = np.random.default_rng(3).integers(0, 256, (5, 16, 16, 3), np.uint8)
    sigmas = np.array([0.95, 0.4])
    with torch.no_grad():
        said = [backbone.transformer(x, torch.tensor([1000 * s]).float(), text, return_dict=False)[0] for s in sigmas]
        video = torch.tensor(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
        encoded = backbone.vae.encode(video).latent_dist.mode()  # this VAE's mean is 0, its deviation 1
        decoded = (backbone.vae.decode(x).sample / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 3, 0)
    return {
        "sigmas": sigmas, "x": x.numpy(), "text": text.numpy(), "velocity": torch.cat(said).numpy(), "frames": frames,
        "encoded": encoded.numpy(), "latent": x.numpy(), "decoded": (decoded * 255).round().to(torch.uint8).numpy(),
        "dtype": "float32", "source": "a stand-in",
    }  # fmt: skip


@pytest.fixture
def looked(xs: Path, backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Findings by what was looked at, on a model that is loaded already."""
    monkeypatch.setattr(parity, "Backbone", lambda *args: backbone)

    def look(vectors: dict[str, Any]) -> dict[str, Any]:
        file = tmp_path / "v.npz"
        np.savez(file, **vectors)
        return {f.what: f for f in parity.look(cards.load(str(xs)), "cpu", torch.float32, file)}

    return look


def test_another_implementation_of_the_same_model_agrees(looked: Any, stand_in: dict[str, Any]) -> None:
    found = looked(stand_in)
    assert list(found) == ["none", "forward at 0.95", "forward at 0.4", "encode", "decode"]
    assert {f.state for f in found.values()} == {"ok"} and "a stand-in, float32" in found["encode"].words


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("velocity", lambda v: v * np.array([1, 1.01])[:, None, None, None, None], {"forward at 0.4"}),
        ("sigmas", lambda v: v - 0.05, {"forward at 0.9", "forward at 0.35"}), ("encoded", lambda v: v + 0.05, {"encode"}),
        ("encoded", lambda v: v * np.nan, {"encode"}), ("decoded", lambda v: v ^ 8, {"decode"}),
    ],
)  # fmt: skip
def test_what_differs_is_a_problem(looked: Any, stand_in: dict[str, Any], name: str, change: Any, wrong: set[str]) -> None:
    found = looked(stand_in | {name: change(stand_in[name])})
    assert {what for what, f in found.items() if f.state == "problem"} == wrong


def test_a_coarser_original_may_differ_more(looked: Any, stand_in: dict[str, Any]) -> None:
    near = {"velocity": stand_in["velocity"] * 1.01, "dtype": "bfloat16"}
    assert {f.state for f in looked(stand_in | near).values()} == {"ok"}


def test_without_vectors_no_transfer_is_still_compared(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = bench("doctor", "--backbone", xs, "--parity", cwd=tmp_path)
    assert said.code == 0 and "ok      none: diffusers' pipeline bit for bit" in said.out
    assert "warn    vectors: none" in said.out and "parity_vectors.py" in said.out
    run = wan.Backbone._run
    monkeypatch.setattr(wan.Backbone, "_run", lambda self, x, sigma, text, *more: run(self, x, sigma, text) * (1 + 1e-6))
    said = bench("doctor", "--backbone", xs, "--parity", cwd=tmp_path)
    assert said.code == 2 and "problem none: differs" in said.out and "is not the model" in said.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((1, 5, 2, 4, 4), "f4")}, "x has shape"), ({"text": np.zeros((1, 24, 17), "f4")}, "1 x m x 16"),
        ({"frames": np.zeros((5, 16, 16, 3), "f4")}, "frames is float32"), ({"sigmas": np.array([0.5])}, "velocity has shape"),
        ({"x": np.zeros((1, 4, 2, 3, 4), "f4"), "velocity": np.zeros((2, 4, 2, 3, 4), "f4")}, "patches"),
        ({"x": np.array([{}])}, "no .npz of plain arrays"),
    ],
)  # fmt: skip
def test_vectors_of_another_model_are_refused(
    looked: Any, stand_in: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=f"v.npz: .*{words}"):
        looked(stand_in | change)


def test_what_is_no_file_of_vectors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(b"PK")
    for name, words in (("torn", "no .npz"), ("absent", "no such file")):
        with pytest.raises(UserError, match=words):
            parity.read(tmp_path / name)


def test_in_half_precision_no_transfer_is_the_same_to_the_bit_too(xs: Path) -> None:
    none, _ = parity.look(cards.load(str(xs)), "cpu", torch.bfloat16)
    assert none.state == "ok" and "bfloat16, its guidance summed in float32" in none.words


@pytest.mark.parametrize("part", ["vae", "transformer"])
def test_weights_of_another_model_than_the_config_says_are_one_sentence(xs: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(xs, tmp_path / "wan")
    config = folder / part / "config.json"
    config.write_text(re.sub(r'"(base_dim|ffn_dim)": \d+', r'"\1": 12', config.read_text()))
    said = bench("doctor", "--backbone", folder, "--parity", cwd=tmp_path)
    assert said.code == 2 and "not those of its configs" in said.err and len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "words"), [(["--parity"], "--backbone"), (["--backbone", "tiny", "--vectors", "v.npz"], "--parity"),
                        (["--backbone", "tiny", "--parity", "--frames", "9"], "own inputs")],
)  # fmt: skip
def test_parity_is_asked_of_a_backbone_alone(args: list[str], words: str, tmp_path: Path) -> None:
    said = bench("doctor", *args, cwd=tmp_path)
    assert said.code == 2 and words in said.err
