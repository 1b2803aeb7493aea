"""A lost actor, node or driver of a Ray run costs what was in work and no more; a cluster without room is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import Nodes, resume, said, workers_of
from support.light_runs import alive, events, make_quick, quick, times, wait_for

from fastvmt.errors import SpecError
from fastvmt.runner.executors import Executor
from fastvmt.runner.runner import executor_for
from fastvmt.runner.settings import Options
from fastvmt.store.folder import Store


@pytest.fixture(autouse=True)
def own_variables() -> Iterator[None]:
    """What Ray and its executor set for their process is taken back."""
    before = set(os.environ)
    yield
    for name in [n for n in os.environ if n.startswith("RAY_") and n not in before]:
        del os.environ[name]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    found = Nodes(tmp_path_factory.mktemp("nodes"))
    yield found
    found.close()


def waiting(place: Path, address: str, cases: int = 2) -> tuple[Path, Path, subprocess.Popen[str]]:
    """A run on two nodes whose jobs are all in work and wait for a gate."""
    gate = place / "open"
    run = make_quick(place / "run", cases, [quick(do="wait", mark=str(gate))])
    driver = resume(run, "--executor", "ray", "--address", address)
    wait_for(lambda: len(times(run, "generating")) == 2 and len(workers_of(run)) == 2, 120)
    return run, gate, driver


@pytest.mark.slow
def test_killing_an_actor_costs_what_it_had_in_work(tmp_path: Path, nodes: Nodes) -> None:
    run, gate, driver = waiting(tmp_path, nodes.address, cases=3)
    worker, actor = next(iter(workers_of(run).items()))
    os.kill(actor, signal.SIGKILL)
    wait_for(lambda: not alive(worker))  # no worker outlives its actor
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 3
    assert len(events(run, "crashed")) == 1 and sorted(times(run, "generating").values()) == [1, 1, 2]
    assert set(times(run, "made").values()) == {1}


@pytest.mark.slow
def test_a_run_in_a_busy_cluster_says_that_it_waits(tmp_path: Path, nodes: Nodes) -> None:
    _, gate, first = waiting(tmp_path, nodes.address)
    second = resume(make_quick(tmp_path / "second", 1), "--executor", "ray", "--address", nodes.address, "--workers", "1")
    assert second.stderr
    heard = next(line for line in second.stderr if "ray status" in line)
    assert "the cluster has no room for it yet, and it waits" in heard
    gate.touch()
    assert said(first).code == 0 and said(second).code == 0


class FakeRay:
    """A cluster that is only a list of nodes."""

    def __init__(self, *nodes: dict[str, float], broken: str = "") -> None:
        self._nodes, self._broken, self.over = nodes, broken, False

    def is_initialized(self) -> bool:
        return False

    def init(self, **given: Any) -> None:
        if self._broken:
            raise Exception(self._broken)  # as Ray does when its own node does not come up

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": n} for n in self._nodes] + [
            {"Alive": False, "Resources": {"CPU": 999.0, "GPU": 9.0}}
        ]

    def shutdown(self) -> None:
        self.over = True


def on_ray(
    place: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay, workers: int = 0, address: str = "auto", **config: Any
) -> Executor:
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
    store = Store.open(make_quick(place / "run", 1, **config))
    return executor_for(store, store.config(), Options(workers=workers, executor="ray", address=address))


@pytest.mark.parametrize(
    ("device", "nodes", "slots"),
    [("cpu", [{"CPU": 7.0}, {"CPU": 7.0}], 2), ("cpu", [{"CPU": 4.0}, {"GPU": 1.0}], 1),
     ("cuda", [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 1.0, "GPU": 4.0}, {"CPU": 64.0}], 5)],
)  # fmt: skip
def test_room_is_counted_node_by_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, nodes: list[dict[str, float]], slots: int
) -> None:
    executor = on_ray(tmp_path, monkeypatch, FakeRay(*nodes), device=device, threads=4)
    assert executor.slots == slots
    executor.close()


@pytest.mark.parametrize(
    ("device", "nodes", "words"),
    [("cpu", [{"CPU": 32.0}, {"CPU": 32.0}], "64 CPU cores .* largest of the cluster's 2 nodes has 32.*--threads 32 or fewer"),
     ("cuda", [{"CPU": 32.0}], "no node of the cluster has a GPU.*--device cpu"),
     ("cuda", [{"CPU": 32.0}, {"GPU": 8.0}], "no node of the cluster with a GPU has a core")],
)  # fmt: skip
def test_a_cluster_that_can_never_hold_a_worker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, nodes: list[dict[str, float]], words: str
) -> None:
    for workers in (0, 4):
        ray = FakeRay(*nodes)
        with pytest.raises(SpecError, match=words):
            on_ray(tmp_path / str(workers), monkeypatch, ray, workers, device=device, threads=64)
        assert ray.over


def test_a_cluster_of_our_own_that_does_not_start_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"could not be started on this machine \(The current node timed out\)"):
        on_ray(tmp_path, monkeypatch, FakeRay(broken="The current node timed out\nand more"), address="")
