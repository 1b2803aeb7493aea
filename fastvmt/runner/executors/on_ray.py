"""Workers in a Ray cluster: one actor for each GPU, or for each so many CPU cores, that holds a worker process.

The worker is a child of the actor, not the actor itself: a method that crashes takes its own process with it, and one that
hangs can be killed with everything it has started. The actor passes lines to it and small reports back; videos and records go
into the run folder, which every node has to see. A node that goes away is a worker that died: its job is tried again elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from fastvmt.errors import SpecError
from fastvmt.estimates.plan_estimate import workers_of
from fastvmt.jobs.run_config import RunConfig
from fastvmt.runner.executors import Hand, Inbox
from fastvmt.runner.executors.local import NOWHERE, Child, tail, visible_gpus, worker_environment
from fastvmt.runner.settings import Options
from fastvmt.store.folder import Store
from fastvmt.store.layout import WORKERS

OBJECT_STORE = 80 << 20
"""Bytes of shared memory for a cluster of our own, about the least that Ray takes: nothing is kept there."""
PATIENCE = 5.0
"""Seconds an actor has to end its child before it is killed itself."""
QUIET = 10.0
"""Seconds after which a worker that has no place in the cluster says so: others may hold it for hours."""


class Slot:
    """The actor: one worker process on one node."""

    def __init__(self, root: str, name: str, holder: str, more: dict[str, str], mark: str) -> None:
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        self._place, self._name, self._holder, self._more, self._mark = Path(root), name, holder, more, mark
        self._child: Child | None = None

    def begin(self) -> str:
        """Start the worker; a sentence when that cannot be."""
        if not (self._place / WORKERS / self._mark).exists():
            return (
                f"node {socket.gethostname()} does not see {self._place}: put the run folder (--out) on a file system that all "
                "nodes share, under the same path"
            )
        self._child = Child(self._place, self._name, self._holder, self._more, self._reports.put)
        return ""

    def give(self, line: bytes) -> None:
        if self._child:
            self._child.give(line)

    def reports(self) -> list[dict[str, Any]]:
        """What came since, at once when there is something; else after a second, nothing."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._reports.get(timeout=1.0))
            while True:
                found.append(self._reports.get_nowait())
        return found

    def end(self, kill: bool) -> None:
        if self._child:
            self._child.kill() if kill else self._child.let_go()


class RayHand(Hand):
    """An actor and the thread that asks it for reports."""

    def __init__(self, number: int, actor: Any, log: Path, inbox: Inbox) -> None:
        self.number, self._actor, self._log, self._inbox = number, actor, log, inbox
        self._over = self._begun = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        import ray

        try:
            begun = self._actor.begin.remote()
            if not ray.wait([begun], timeout=QUIET)[0]:
                print(
                    f"worker {self.number}: the cluster has no room for it yet, and it waits (`ray status` shows who is there)",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
            problem, self._begun = ray.get(begun), True
            if problem:
                self._gone(problem, True, problem)
                return
            while not self._over:
                for report in ray.get(self._actor.reports.remote()):
                    self._inbox.put((self, report))
                    self._over = self._over or report["report"] == "gone"
        except Exception as error:  # noqa: BLE001 - Ray has a class for every way in which an actor or a node can be lost
            text = " ".join(str(error).split())
            broken = "ModuleNotFoundError" in text or "ImportError" in text
            hint = "a node of the cluster cannot import fastvmt: install the same version there, under the same Python"
            self._gone("its actor or its node was lost", broken, hint if broken else f"{tail(self._log)}\n{text[:2000]}")

    def _gone(self, how: str, clean: bool, log: str) -> None:
        self._over = True
        self._inbox.put((self, {"report": "gone", "how": how, "clean": clean, "log": log}))

    def give(self, line: bytes) -> None:
        self._actor.give.remote(line)  # that it is gone is seen by the reader

    def let_go(self) -> None:
        self._end(kill=False)

    def kill(self) -> None:
        self._end(kill=True)

    def _end(self, kill: bool) -> None:
        import ray

        with contextlib.suppress(Exception):
            if self._begun:  # one that has no place in the cluster yet would not answer
                ray.get(self._actor.end.remote(kill), timeout=PATIENCE)
        with contextlib.suppress(Exception):
            ray.kill(self._actor)
        self._over = True


class RayExecutor:
    """Actors in a cluster that is there, or in one started here for this run, on loopback and without a dashboard."""

    def __init__(self, store: Store, config: RunConfig, options: Options) -> None:
        self.store, self.config = store, config
        self.gpu = config.device.startswith("cuda")
        self.needs = {"GPU": 1, "CPU": 1} if self.gpu else {"CPU": config.threads}
        self._aside = contextlib.ExitStack()
        self._aside.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray speaks there; stdout is for the table
        try:
            self._connect(options)
            there = self._room()
            self.slots = options.workers or there
        except BaseException:
            self._aside.close()
            raise
        self._mark = f".shared-{secrets.token_hex(6)}"
        (store.root / WORKERS / self._mark).touch()

    def _connect(self, options: Options) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # else, under `uv run`, Ray copies the working directory to every node and builds an environment in it
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        if options.address.partition(":")[0] in ("", "127.0.0.1", "localhost"):  # else Ray puts the network's address for it
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if not options.address:  # a cluster of our own is for nobody else
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        slots = options.workers or (len(visible_gpus()) if self.gpu else workers_of(self.config))
        own: dict[str, Any] = {
            "address": "local", "num_cpus": max(1, slots * self.config.threads), "include_dashboard": False,
            "object_store_memory": OBJECT_STORE, "_node_ip_address": "127.0.0.1",
        }  # fmt: skip
        try:
            with contextlib.chdir(NOWHERE):  # Ray lets its workers import from the folder that it is started in
                ray.init(**({"address": options.address} if options.address else own), **quiet)
        except Exception as error:  # noqa: BLE001 - Ray raises many classes here, bare Exception among them
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            if options.address:
                raise SpecError(
                    f"--address {options.address}: no Ray cluster can be reached there ({why}). Start one with "
                    "`ray start --head`, or leave --address out to have one started here."
                ) from None
            raise SpecError(
                f"--executor ray: a Ray cluster could not be started on this machine ({why}). Free memory and /dev/shm and try "
                "again, give --address of one that runs, or use --executor local."
            ) from None

    def _room(self) -> int:
        """Workers that the cluster has room for, node by node: an actor lies on one.

        Raises:
            SpecError: when no node has room for a single one. Ray would wait for such a node for ever, and say nothing.
        """
        import ray

        nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        if found := room(nodes, self.needs):
            return found
        self._leave()
        gpus, cores = (int(max((n.get(kind, 0) for n in nodes), default=0)) for kind in ("GPU", "CPU"))
        if self.gpu:
            which = "no node of the cluster has a GPU" if not gpus else "no node of the cluster with a GPU has a core to give"
            raise SpecError(
                f"--executor ray: a worker needs a GPU and a CPU core, and {which}. Give --address of a cluster with GPUs, or "
                "the `bench run` command with --device cpu."
            )
        raise SpecError(
            f"--executor ray: a worker needs {self.config.threads} CPU cores (--threads) on one node, and the largest of the "
            f"cluster's {len(nodes)} nodes has {cores}. Give the `bench run` command with --threads {max(1, cores)} or fewer."
        )

    def start(self, number: int, inbox: Inbox) -> Hand:
        import ray

        more = worker_environment(self.config, self.slots > 1)
        name = f"{self.store.writer}-{number}".lstrip("-")
        root = str(self.store.root.resolve())
        needs: dict[str, Any] = {f"num_{k.lower()}s": n for k, n in self.needs.items()}
        actor = (
            ray.remote(Slot)
            .options(max_restarts=0, max_concurrency=4, scheduling_strategy="SPREAD", **needs)
            .remote(root, name, self.store.holder, more, self._mark)
        )
        return RayHand(number, actor, self.store.root / WORKERS / f"worker-{name}.log", inbox)

    def close(self) -> None:
        (self.store.root / WORKERS / self._mark).unlink(missing_ok=True)
        self._leave()
        self._aside.close()

    def _leave(self) -> None:
        import ray

        if self._ours:
            ray.shutdown()


def room(nodes: list[dict[str, float]], needs: dict[str, int]) -> int:
    """Actors with these needs that nodes with these resources can hold.

    >>> room([{"CPU": 6.0}, {"CPU": 6.0}], {"CPU": 4}), room([{"CPU": 8.0}, {"CPU": 1.0, "GPU": 2.0}], {"GPU": 1, "CPU": 1})
    (2, 1)
    """
    return sum(min(int(node.get(kind, 0) // n) for kind, n in needs.items()) for node in nodes)
