"""A Ray cluster without room for a worker is refused in one sentence; what a dead node or driver costs is on the fault list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.light_runs import make_quick

from fastvmt.errors import SpecError
from fastvmt.runner.executors import Executor
from fastvmt.runner.runner import executor_for
from fastvmt.runner.settings import Options
from fastvmt.store.folder import Store


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
