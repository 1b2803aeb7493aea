"""A run predicted from one block that was timed: the measured seconds lie inside, what is kept is used, and all of it is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench

from fastvmt.backbones import card as cards
from fastvmt.backbones.one_block import layout_of, operations
from fastvmt.estimates import calibration, from_one_block
from fastvmt.estimates import seconds as costmodel
from fastvmt.estimates.calibration import Calibration
from fastvmt.estimates.seconds import Prediction, Sample
from fastvmt.runner.plan import resolve
from fastvmt.runner.settings import Request
from fastvmt.store.folder import Store


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where calibrations are, none yet."""
    monkeypatch.setenv("FASTVMT_CALIBRATIONS", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_a_run_takes_what_one_block_foretold(xs: Path, tmp_path: Path, kept: Path) -> None:
    """In processor seconds, which nobody else on the machine adds to."""
    args = ["--backbone", xs, "--limit", "2", "--methods", "none,fastvmt", "--no-controls", "--threads", "1", "--workers", "1",
            "--metrics", "time", "--width", "64", "--height", "64", "--steps", "6", "--out", tmp_path / "r"]  # fmt: skip
    unknown = bench("plan", *args)
    assert "unknown" in unknown.out and "--calibrate" in unknown.out
    plan = bench("plan", *args, "--calibrate", "--json").data
    (path,) = kept.iterdir()
    found = Calibration.model_validate_json(path.read_text())
    assert found.tokens == 5 * 8 * 8 and 1 < found.gradient < 10 and found.decode[0] > 0
    assert not plan["extrapolated"] and f"one block of {xs.name}, 320 tokens, on " in plan["seconds_basis"]
    assert bench("plan", *args, "--json").data["seconds_basis"] == plan["seconds_basis"]  # kept
    assert bench("run", *args).code == 0
    store = Store.open(tmp_path / "r")
    made = [a for job in store.config().jobs() if (a := store.artefact(job))]
    took, (low, high) = sum(sum(a.processor.values()) for a in made), plan["seconds_interval"]
    assert len(made) == 4 and low < took < high, plan
    assert json.loads((tmp_path / "r" / "plan.json").read_text())["seconds"] == plan["seconds_each"]
    assert "measured videos" in bench("plan", *args, "--seeds", "0,1", "--json").data["seconds_basis"]  # nearer than a block


def test_what_takes_too_long_is_timed_smaller_and_marked(
    xs: Path, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    said = bench("plan", "--backbone", xs, "--limit", "1", "--methods", "none", "--metrics", "time", "--width", "128", "--height",
                 "128", "--threads", "1", "--calibrate", cwd=tmp_path).out  # fmt: skip
    assert re.search(r"extrapolated: .*; \d+ times outside the work of the block that was timed", said)
    assert "20 of 1,280 tokens" in said and " ~" in said


@pytest.mark.parametrize("flags", [("--device-memory", "24"), ("--executor", "slurm")])
def test_a_calibration_of_another_machine_is_refused(xs: Path, tmp_path: Path, kept: Path, flags: tuple[str, str]) -> None:
    said = bench("plan", "--backbone", xs, "--limit", "1", "--calibrate", *flags, cwd=tmp_path)
    assert said.code == 2 and said.err.startswith("bench: --calibrate times this machine") and flags[0] in said.err
    assert len(said.err.splitlines()) == 1 and not kept.exists()


def test_what_no_block_can_be_built_of_is_refused_in_a_sentence(
    xs: Path, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(self: Any, x: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(calibration.OneBlock, "forward", full)
    said = bench("plan", "--backbone", xs, "--limit", "1", "--calibrate", cwd=tmp_path)
    assert said.code == 2 and "cannot be built and timed here (OutOfMemoryError" in said.err and not kept.exists()


PARAMETERS = 46_440_704


def test_a_cache_that_cannot_be_written_is_a_sentence(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTVMT_CALIBRATIONS", str(tmp_path / "file" / "kept"))
    said = bench("plan", "--backbone", xs, "--limit", "1", "--calibrate", cwd=tmp_path)
    assert said.code == 2 and "set FASTVMT_CALIBRATIONS to a folder that can" in said.err


# --- by formula ------------------------------------------------------------------------------------------------------------


@cache
def _planned() -> Any:
    methods = ("none", "fastvmt")
    return resolve(Request(methods, backbone="wan2.1-1.3b", limit=1, controls=False, metrics=("time",)), decode=False)


def real(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, cards.Card]:
    """A run of the 1.3B model on a GPU that is not here."""
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "a card")
    monkeypatch.setattr(from_one_block, "device_bytes", lambda device: 24 << 30)
    return _planned().config.model_copy(update={"device": "cuda"}), _planned().card


def timed(config: Any, card: cards.Card, size: tuple[int, int, int], law: Callable[[int], float], **more: Any) -> Calibration:
    """A block whose seconds follow a law of its tokens."""
    width, height, frames = size
    tokens = calibration.tokens_of(card, *size)
    work, smaller = (operations(PARAMETERS, n, 512, card) for n in (tokens, tokens // 4))
    return Calibration(
        device=costmodel.device_class(config), layout=calibration._layout(card), software=calibration._software(), width=width,
        height=height, frames=frames, tokens=tokens, parameters=PARAMETERS, text_tokens=512, block=law(tokens),
        slope=(law(tokens) - law(tokens // 4)) / (work - smaller), rest=0.01,
        gradient=3.0, spread=0.01, pixels=width * height, encode=(1e-8, 1e-8), decode=(1e-8, 1e-8), made=1e9, took=3.0, **more,
    )  # fmt: skip


def keep(home: Path, *found: Calibration) -> None:
    home.mkdir(exist_ok=True)
    for n, one in enumerate(found):
        (home / f"{n}.json").write_text(one.model_dump_json())


@pytest.mark.parametrize("law", [lambda n: 2e-6 * n, lambda n: 1e-6 * n + 1e-10 * n**2, lambda n: 2e-3 + 1e-6 * n,
                                 lambda n: 1e-5 * n**0.8],
                         ids=["linear", "with attention", "mostly overhead", "fuller cores"])  # fmt: skip
@pytest.mark.parametrize("size", [(832, 480, 81), (832, 480, 33), (416, 240, 81), (208, 112, 33), (1280, 720, 81)])
def test_the_interval_holds_and_widens_with_the_distance(
    size: tuple[int, int, int], law: Callable[[int], float], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, card = real(monkeypatch)
    keep(kept, timed(config, card, size, law))
    found = from_one_block.predict(config, card, {"none": 100.0, "fastvmt": 150.0})
    each = card.blocks * law(32760) + 0.01
    assert found.low["none"] < 100 * each < found.high["none"]
    assert found.low["fastvmt"] < 150 * each < found.high["fastvmt"] and found.seconds["fastvmt"] > found.seconds["none"]
    same = size == (832, 480, 81)
    assert bool(found.beyond) != same and (found.high["none"] / found.low["none"] < 2.5) is same
    if same:
        assert found.seconds["none"] == pytest.approx(100 * each, rel=0.02)


def test_the_nearest_calibration_of_this_very_model_and_device_is_taken(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, card = real(monkeypatch)
    at = {tokens: timed(config, card, (832, 480, tokens), lambda n: 1e-6 * n) for tokens in (5, 33, 81)}
    strangers = [at[81].model_copy(update={"block": 9.0} | {name: "another"}) for name in ("device", "layout", "software")]
    keep(kept, *strangers, at[5], at[33])
    (kept / "torn.json").write_text('{"device": ')
    (kept / "zero.json").write_text(at[81].model_dump_json().replace('"block":0.', '"block":-0.'))
    assert calibration.known(config, card) == at[33]
    keep(kept, *strangers, at[5], at[33], at[81], newer := at[81].model_copy(update={"made": 2e9}))
    assert calibration.known(config, card) == newer


@pytest.mark.parametrize(("backbone", "width"), [("wan2.1-1.3b", 8960), ("wan2.1-14b", 13824)])
def test_a_card_alone_says_how_the_block_is_made(backbone: str, width: int, tmp_path: Path) -> None:
    """As the folder of the same model does, so that a calibration made before the download holds after it."""
    from dataclasses import replace

    card = cards.load(backbone)
    found = layout_of(card)
    assert found.transformer["ffn_dim"] == width
    for part, config in (("transformer", found.transformer), ("vae", {"z_dim": 16, "_class_name": "AutoencoderKLWan"})):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    assert layout_of(replace(card, folder=tmp_path)).facts() == found.facts()


def test_videos_of_this_very_setting_say_more_than_a_block_and_others_less(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt.estimates.plan_estimate import passes_of, prediction_of
    from fastvmt.estimates.seconds import work

    config, card = real(monkeypatch)
    keep(kept, timed(config, card, (832, 480, 81), lambda n: 1e-6 * n))
    shape, passes = passes_of(config, card)
    s, one = config.setting, work(card, shape)
    setting = (s.weights_digest, s.width, s.height, s.frames)
    video = Sample("a card, " + s.dtype, setting, "m", passes["none"] * one, 77.0, 0.0, 0.0, 1, 0.0, "r", one)
    other = Sample(video.device, ("other weights", 832, 480, 81), *list(vars(video).values())[2:])
    assert "measured videos" in prediction_of(config, card, [video] * 3).basis
    assert "calibration" in prediction_of(config, card, [other] * 3).basis
    assert "calibration" not in prediction_of(config, card, [], elsewhere=True).basis
    keep(kept, timed(config, card, (208, 112, 5), lambda n: 1e-6 * n))  # further away than those videos
    assert "measured videos" in prediction_of(config, card, [other] * 3).basis
    assert (
        from_one_block.predict(config.model_copy(update={"threads": 7}), card, passes) != Prediction()
    )  # a GPU's, not a CPU's
