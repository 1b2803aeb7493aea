"""The prepared GPU session (``benchmarks/gpu.py``) at toy size on the CPU: every line that a GPU will run but CUDA's own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.places import ROOT

PROGRAM = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program as a module; its clock's signal is given back."""
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import gpu

    before = signal.signal(signal.SIGALRM, gpu._time_is_up)
    yield gpu
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def toy(gpu: Any, tmp_path: Path) -> Any:
    from on_gpu.device import Device
    from on_gpu.session import TOY, Session

    return Session(Device("cpu"), TOY, tmp_path / "weights")


def test_the_transcription_has_the_numbers_of_our_released_form_and_the_calls_of_theirs(toy: Any) -> None:
    from on_gpu.parts import _loop
    from on_gpu.released_loop import checkpointed_twice
    from on_gpu.session import difference

    frames, steps = toy.scale.short, toy.scale.short_steps
    loop, ours = _loop(toy, frames, steps), toy.method("fastvmt:released", frames, steps)
    assert difference(toy.guided_step(loop, frames, steps), toy.guided_step(ours, frames, steps))["largest"] < 1e-3
    ctx, calls = toy.context(frames, steps), dict.fromkeys(range(toy.backbone.card.blocks), 0)
    objective = loop.objective(ctx, 0)

    def count(block: int, *_: object) -> None:
        calls[block] += 1

    names = [(f"blocks.{n}.attn1.to_q", partial(count, n)) for n in calls]
    with torch.enable_grad(), checkpointed_twice(toy.backbone), toy.backbone.hooked(*names):
        objective(ctx.noise.clone().requires_grad_(True)).backward()
    tapped = loop.params.block
    assert calls == {n: 3 if n <= tapped else 1 for n in calls}


def breaks() -> Iterator[tuple[str, Any]]:
    yield "one", {"seconds": [1.0]}
    raise ValueError("no such kernel")


def hangs() -> Iterator[tuple[str, Any]]:
    """A part that comes to no end."""
    yield "one", {"seconds": [1.0]}
    while True:
        pass


@pytest.mark.parametrize(("part", "state", "why"), [(breaks, "failed", "no such kernel"), (hangs, "cut off", "time was up")])
def test_a_part_that_ends_early_keeps_its_rows_and_says_why(
    gpu: Any, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Any, state: str, why: str
) -> None:
    monkeypatch.setitem(gpu.PARTS, "load", 0.05)
    data: dict[str, Any] = {"parts": {"load": {"state": "cut off", "rows": {"older": {}}}}}

    def call(_: Any) -> Any:
        """What it is."""
        return part()

    gpu.measure("load", call, toy, float("inf"), data, tmp_path / "out.json")
    kept = json.loads((tmp_path / "out.json").read_text())["parts"]["load"]
    assert kept["state"] == state and why in kept["why"]
    assert set(kept["rows"]) == {"older", "one"}


def test_numbers_of_another_card_or_driver_are_not_mixed_in(gpu: Any, tmp_path: Path) -> None:
    head = {"toy": False, "device": {"card": "A", "driver": "1"}}
    (out := tmp_path / "out.json").write_text(json.dumps(head | {"parts": {"load": {}}}))
    assert gpu.opened(out, head)["parts"] == {"load": {}}
    with pytest.raises(SystemExit, match=r"another device.*Give another --out"):
        gpu.opened(out, head | {"device": {"card": "A", "driver": "2"}})


@pytest.mark.slow
def test_a_session_that_was_killed_goes_on_with_what_is_missing(gpu: Any, tmp_path: Path) -> None:
    from on_gpu.tables import tables

    out = tmp_path / "gpu.json"
    command = [sys.executable, str(PROGRAM), "--toy", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("inner: done") for line in process.stdout)  # and not one line further
        process.kill()
    before = json.loads(out.read_text())["parts"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert again.returncode == 0, again.stdout + again.stderr
    data = json.loads(out.read_text())
    parts = data["parts"]
    assert set(parts) == set(gpu.PARTS) and {part["state"] for part in parts.values()} == {"done"}
    assert all(parts[name] == before[name] for name in ("load", "inner"))
    rows = {name: part["rows"] for name, part in parts.items()}
    assert rows["released"]["gradient of the transcription against fastvmt:released"]["norm"] < 1e-4
    assert rows["methods"]["fastvmt"]["passes"][0] > rows["methods"]["none"]["passes"][0] == 2 * 5
    assert all(row["norm"] == 0 for row in rows["agreement"].values())  # a CPU against itself
    assert rows["caches"]["none"]["blocks run"] == 1 > rows["caches"]["taylorseer:interval=5"]["blocks run"]
    assert all(row["left behind"] == 0 for row in rows["caches"].values() if "left behind" in row)
    assert all(row.get("norm", 0) < 1e-5 for row in rows["compile"].values()) and "failed" not in str(rows["compile"])
    assert all(row["peak"]["taken"] > 0 and row["predicted"] > 0 for row in rows["memory"].values())
    assert all(row["largest"] == 0 for name, row in rows["memory"].items() if name.endswith("in turn"))
    text = tables(data)
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert len(lines) + text.count("\n- No number of ") == sum(map(len, rows.values()))
    assert all(f"| {data['device']['card']} | none | none | " in line for line in lines)
