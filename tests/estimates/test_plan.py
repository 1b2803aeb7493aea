"""``bench plan``: what it counts, what it refuses, and that what it offers instead fits."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import safe_open
from support.cli import bench
from support.runs import make_run

from fastvmt.backbones import card as cards
from fastvmt.errors import UserError
from fastvmt.estimates import memory
from fastvmt.estimates.advice import least, offers
from fastvmt.estimates.memory import GIB, need
from fastvmt.estimates.plan_estimate import _seconds_left
from fastvmt.estimates.seconds import Prediction
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import MethodSpec, Profile
from fastvmt.model.fields import OFFLOADS
from fastvmt.runner.plan import resolve
from fastvmt.runner.settings import Request
from fastvmt.store.folder import Store

GUIDED = MethodSpec(label="g", method="ditflow", version=1, params={"block": 14})
TRAINED = MethodSpec(label="t", method="det", version=1, params={})
NONE = MethodSpec(label="n", method="none", version=1, params={})


def wan(method: MethodSpec = GUIDED, **changes: Any) -> memory.Need:
    facts: dict[str, Any] = {"width": 832, "height": 480, "frames": 33, "dtype": "bfloat16", "device": "cuda"} | changes
    return need(cards.load(facts.pop("backbone", "wan2.1-1.3b")), methods=(method,), **facts)


def test_the_parts_are_those_that_can_be_counted() -> None:
    """Against figures counted on the model's own shapes: weights 2.64 GiB, encoder 10.6, 0.6 GiB of checkpoints for 15 blocks."""
    found = wan()
    assert found.transformer / GIB == pytest.approx(2.64, abs=0.01) and found.text_encoder / GIB == pytest.approx(
        10.6, abs=0.05
    )
    deeper = wan(GUIDED.model_copy(update={"params": {"block": 29}}))
    assert (deeper.guidance - found.guidance) / GIB == pytest.approx(0.60, abs=0.01)
    assert found.stored / GIB == pytest.approx(14, abs=1)
    assert wan(NONE).guidance == 0 < found.guidance and wan(NONE).expected(1 << 60) < found.expected(1 << 60)
    in_turn = wan(offload="block")
    assert in_turn.transformer / GIB == pytest.approx(0.31, abs=0.01), "three of thirty blocks, and what is outside of them"
    assert in_turn.text_encoder / GIB == pytest.approx(3.0, abs=0.1) and in_turn.expected(1 << 60) == in_turn.least


def test_what_a_method_holds_beside_the_model_is_counted() -> None:
    """DiTFlow's matrices of all pairs of frames, and more of them where tokens are more; nothing for one without pairs."""
    one_by_one = MethodSpec(label="m", method="moft", version=1, params={"block": 14})
    dense, none = wan(frames=81).guidance, wan(one_by_one, frames=81).guidance
    assert 0.5 < (dense - none) / GIB < 1
    assert wan(frames=81).stored - wan(one_by_one, frames=81).stored == dense - none


def test_what_needs_less_is_said_to_need_less() -> None:
    base = wan()
    assert (
        wan(frames=29).least
        <= base.least
        <= wan(frames=81).least
        < wan(frames=81, width=1280, height=720).least
        < wan(frames=81, backbone="wan2.1-14b").least
    )
    large = wan(frames=81, backbone="wan2.1-14b")
    assert (
        wan(frames=81, backbone="wan2.1-14b", offload="vae").least < large.least
        and wan(offload="vae", device="cpu").least == wan(device="cpu").least
    )
    assert base.least <= base.expected(24 * GIB) <= base.expected(1 << 60)
    assert base.expected(1 << 60) - base.expected(24 * GIB) > 6 * GIB  # kept where there is room, recomputed where not


def test_parameters_are_counted_from_the_files(xs: Path) -> None:
    card = cards.load(str(xs))
    with safe_open(next((xs / "vae").glob("*.safetensors")), framework="pt") as file:
        counted = sum(file.get_tensor(k).numel() for k in file.keys())  # noqa: SIM118 - not a dictionary
    found = need(card, 32, 32, 17, "float32", (NONE,))
    assert found.vae == counted * 4 and found.transformer > 0 and found.text_encoder > 0


@pytest.mark.parametrize("backbone", ["wan2.1-1.3b", "wan2.1-14b"])
@pytest.mark.parametrize("method", [GUIDED, NONE, TRAINED], ids=lambda m: m.method)
def test_the_total_is_the_sum_of_the_parts_that_are_said(method: MethodSpec, backbone: str) -> None:
    for capacity, offload, frames in itertools.product((0, 24 * GIB, 80 * GIB, 1 << 60), OFFLOADS, (5, 81)):
        found = wan(method, backbone=backbone, offload=offload, frames=frames)
        peak, parts = found.peak(capacity)
        sums = {name: sum(sizes.values()) for name, sizes in found.stages(capacity).items()}
        assert found.expected(capacity) == sum(parts.values()) == sums[peak] == max(sums.values())
        first, others = found.words(capacity).split("; ")
        said = [float(n) for n in re.findall(r" ([\d.]+)(?:,|$)", first.split(": ")[1])]
        assert first.startswith(peak) and sum(said) == pytest.approx(sums[peak] / GIB, abs=0.06 * len(parts))
        assert {name for name, _ in re.findall(r"(\w+) ([\d.]+)", others)} == set(sums) - {peak}
        assert ("guidance" in sums) is (method is not NONE)
        assert ("text encoder" in found.stages(capacity)["denoise"]) is (offload == "none")


def test_a_plan_prints_what_its_parts_sum_to(tmp_path: Path) -> None:
    """Of a device that nobody knows as well: what must be there, and what is taken where there is plenty."""
    said = bench("plan", "--backbone", "wan2.1-1.3b", "--methods", "fastvmt", "--limit", "1", cwd=tmp_path)
    (total, plenty, peak, parts), *_ = re.findall(
        r"memory: about ([\d.]+) GiB a job.*, ([\d.]+) GiB where all .*GiB; (\w+) takes the most: ([^;]*);", said.out
    )
    summed = sum(float(part.rpartition(" ")[2]) for part in parts.split(", "))
    assert float(total) == pytest.approx(summed, abs=0.2) and float(plenty) > float(total) and peak == "text"


@pytest.mark.parametrize(
    ("gib", "backbone", "changes", "wanted"),
    [
        (21, "wan2.1-1.3b", {"dtype": "float32"}, ["--dtype bfloat16", "--offload block"]),
        (11.1, "wan2.1-1.3b", {"width": 1280, "height": 720}, ["--offload block --width"]),
        (40, "wan2.1-14b", {}, ["--offload block", "--backbone wan2.1-1.3b"]),
        (44, "wan2.1-14b", {}, ["--offload vae", "--offload block", "--frames", "--width", "--backbone wan2.1-1.3b"]),
        (30, "wan2.1-14b", {"dtype": "float32"}, ["--dtype bfloat16 --offload block", "--backbone wan2.1-1.3b"]),
        (18, "wan2.1-14b", {}, ["--offload block --frames", "--offload block --width", "--backbone wan2.1-1.3b"]),
        (36, "wan2.1-14b", {"frames": 3001}, ["--offload block --frames", "--offload block --width"]),
        (3, "wan2.1-1.3b", {}, []),
    ],
)
def test_what_is_offered_fits_in_order_of_what_it_costs_and_nothing_is_offered_only_where_nothing_does(
    gib: float, backbone: str, changes: dict[str, Any], wanted: list[str]
) -> None:
    setting = {"width": 832, "height": 480, "frames": 81, "dtype": "bfloat16"} | changes
    config: Any = SimpleNamespace(
        setting=SimpleNamespace(**setting, profile=Profile()), methods=(GUIDED,), device="cuda", offload="text"
    )
    card, capacity = cards.load(backbone), int(gib * GIB)
    assert least(config, card) > capacity
    found = offers(config, card, capacity)
    words = [offer.rpartition(" (")[0] for offer in found]
    order = ("--dtype", "--offload", "--frames", "--width", "--backbone")
    places = [max(order.index(w) for w in offer.split() if w in order) for offer in words]
    assert places == sorted(places) and len(found) >= len(wanted)
    assert all(any(w in offer for offer in words) for w in wanted), words
    for offer, shown in zip(words, found, strict=True):
        given = dict(re.findall(r"--(\w+)(?: ([^-\s]\S*))?", offer))
        new: dict[str, Any] = {k: int(v) if v.isdecimal() else v or True for k, v in given.items()}
        other = cards.load(new.pop("backbone", backbone))
        took = least(config, other, new)
        other.check_size(*(new.get(k, setting[k]) for k in ("width", "height", "frames")))
        assert took <= capacity and f"({took / GIB:.1f} GiB)" in shown
    if not wanted:
        tiniest = {"dtype": "bfloat16", "offload": "block", "frames": 5, "width": 16, "height": 16}
        assert not found and least(config, card, tiniest) > capacity


def test_what_cannot_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    base = [
        "plan",
        "--backbone",
        "wan2.1-1.3b",
        "--dtype",
        "float32",
        "--limit",
        "1",
        "--device-memory",
        "16",
        "--offload",
        "text",
    ]
    said = bench(*base, cwd=tmp_path)
    assert said.code == 2 and said.err.startswith("bench: One job needs about 21.7 GiB (estimated: text takes the most: ")
    assert (
        len(said.err.strip().splitlines()) == 1
        and "16.0 GiB: --dtype bfloat16 (11.2 GiB), or --offload block (10.9 GiB) would fit" in said.err
        and "larger device" not in said.err
    )
    assert "GPU-hours" in said.out and "of 16.0 GiB" in said.out  # the plan itself is shown all the same
    assert bench(*base, "--dtype", "bfloat16", cwd=tmp_path).code == bench(*base, "--force", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("backbone", "gib", "chosen"),
    [("wan2.1-1.3b", 16, ""), ("wan2.1-14b", 24, "block"), ("wan2.1-14b", 80, ""), ("tiny", 80, "")],
)
def test_as_little_leaves_the_device_as_must_and_that_is_said(tmp_path: Path, backbone: str, gib: float, chosen: str) -> None:
    """81 frames at width 832, height 480, guided: the smaller model in 16 GiB, the larger one in 24."""
    size = ("--width", "832", "--height", "480", "--frames", "81", "--dtype", "bfloat16")
    said = bench("plan", "--backbone", backbone, "--limit", "1", "--device-memory", str(gib), *size, cwd=tmp_path)
    lines = [line for line in said.out.splitlines() if line.startswith("offload: ")]
    assert said.code == 0, said.err
    assert [line.partition(",")[0] for line in lines] == ([f"offload: {chosen}"] if chosen else [])


@pytest.mark.parametrize(("words", "means"), [
    ((), "text"), (("--offload",), "vae"), (("--no-offload",), "text"), (("--offload", "--limit", "1"), "vae"),
    (("--offload", "block"), "block"), (("--offload=none",), "none"),
])  # fmt: skip
def test_what_leaves_the_device_is_one_option_and_its_older_words_hold(
    words: tuple[str, ...], means: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def note(request: Request, *_: Any) -> Any:
        found.append(resolve(request, decode=False).config.offload)
        raise UserError("seen")

    monkeypatch.setattr("fastvmt.api.plan", note)
    assert bench("plan", *words).code == 2
    assert found == [means]


def test_yes_and_no_of_older_calls_and_folders_are_read() -> None:
    config = resolve(Request(suite="shapes", limit=1, offload=True), decode=False).config  # type: ignore[arg-type]
    assert config.offload == "vae"
    older = config.model_dump(mode="json") | {"offload": False}
    assert RunConfig.model_validate(older).offload == "text"
    with pytest.raises(UserError, match=r"--offload.*block"):
        Request(offload="blocks")


def test_a_video_that_no_memory_holds_is_refused_with_one_that_it_does() -> None:
    card = cards.load("wan2.1-1.3b")
    with pytest.raises(UserError, match="more than the limit") as said:
        card.check_size(8192, 4608, 161)
    frames, width, height = (int(n) for n in re.findall(r"--(?:frames|width|height) (\d+)", str(said.value)))
    card.check_size(8192, 4608, frames)
    card.check_size(width, height, 161)


def test_hours_wall_time_and_workers(tmp_path: Path) -> None:
    args = ["plan", "--backbone", "wan2.1-1.3b", "--frames", "33", "--methods", "fastvmt:as-written", "--no-controls", "--json",
            "--device-memory", "80", "--workers"]  # fmt: skip
    one, eight = (bench(*args, n, cwd=tmp_path).data for n in ("1", "8"))
    assert one["jobs"] == 16 and one["seconds"] == pytest.approx(16 * 184.18, rel=0.001) and "A100-80GB" in one["seconds_basis"]
    assert one["wall_seconds"] == pytest.approx(one["seconds"])
    low, high = one["seconds_interval"]
    assert "published figure" in one["extrapolated"] and low < one["seconds"] / 3 and high > one["seconds"] * 3
    assert eight["seconds"] == one["seconds"] and eight["wall_seconds"] == pytest.approx(2 * 184.18, rel=0.001)
    assert one["methods"][0]["label"] == "fastvmt:as-written" and one["disk_free"] > 0 < one["disk_bytes"]


def test_timed_repeats_and_the_discarded_video_are_in_the_hours(tmp_path: Path) -> None:
    config = Store.open(make_run(tmp_path / "r", 4, ("none",), videos=False)).config()
    each = Prediction({"none": 10.0}, "", {"none": 0.2})
    once = _seconds_left(config, each, {"none": 6})["none"]
    timed = _seconds_left(config.model_copy(update={"repeats": 3}), each, {"none": 6})["none"]
    assert once == pytest.approx(6 * 8 + 4 * 2) and timed == pytest.approx((6 * 3 + 1) * 8 + 4 * 2)


def test_a_run_that_cannot_fit_does_not_begin(
    xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Disk and memory of this machine, made small."""
    from fastvmt import api
    from fastvmt.estimates import plan_estimate
    from fastvmt.runner.settings import Request

    request = Request(methods=("none",), backbone=str(xs), limit=1, controls=False, metrics=("time",), threads=1)
    for module in (plan_estimate, memory):
        monkeypatch.setattr(module, "device_bytes", lambda device: 100 << 20)
    with pytest.raises(
        UserError,
        match=r"this machine has 0\.1 GiB: even --dtype bfloat16 --frames 5 .* needs .* a larger device is needed\. \(--force",
    ):
        api.run(request, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    monkeypatch.undo()
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(plan_estimate.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="are free: give --out on another disk, or fewer clips with --limit"):
        api.run(request, tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("memory_gib", "each_gib", "threads", "workers"),
    [(64, 1, 1, 6), (64, 40, 6, 1), (64, 20, 3, 2), (64, 12, 2, 3), (1, 40, 6, 1)],
)
def test_nobody_says_how_many_workers(
    memory_gib: int, each_gib: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All six cores have work, and what runs together fits."""
    monkeypatch.setattr(memory, "cores", lambda: 6)
    monkeypatch.setattr(memory, "device_bytes", lambda device: memory_gib * GIB)
    assert memory.threads_when_unsaid("cpu", each_gib * GIB) == threads
    assert memory.workers_when_unsaid("cpu", threads, each_gib * GIB) == workers
    assert memory.workers_when_unsaid("cpu", 4, each_gib * GIB) == 1


def test_workers_share_a_machines_memory(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt import api
    from fastvmt.estimates import plan_estimate
    from fastvmt.estimates.plan_estimate import Conditions
    from fastvmt.runner.settings import Request

    request = Request(methods=("none",), backbone=str(xs), limit=1, controls=False, metrics=("time",))
    monkeypatch.setattr(plan_estimate, "device_bytes", lambda device: 3 * GIB)
    assert api.plan(request, tmp_path / "r", Conditions(2))[1].problem == ""
    found = api.plan(request, tmp_path / "r", Conditions(8))[1].problem
    assert "each of 8 workers has 0.4 GiB" in found and "--workers 1 (3.0 GiB for it alone) would fit" in found


def test_more_videos_than_one_run_can_have_are_refused(tmp_path: Path) -> None:
    seeds = ",".join(map(str, range(10_000)))
    said = bench("plan", "--methods", "all,copy,oracle,frozen", "--seeds", seeds, cwd=tmp_path)
    assert said.code == 2 and "are more than the 1,000,000 of one run" in said.err
