"""Helping with a run folder, beside whoever else works on it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastvmt.errors import SpecError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.runner.code import open_run, refuse_other_code
from fastvmt.runner.executors import check
from fastvmt.runner.executors.local import require_device
from fastvmt.runner.runner import Runner
from fastvmt.runner.settings import Options, Outcome


def work(folder: Path, options: Options | None = None, plugins: Sequence[str] = ()) -> Outcome:
    """Join a run folder as one more runner, from any machine that sees it; each job is still done once.

    It needs no lock: jobs are claimed one by one (``fastvmt.runner.crew.leases``). It ends when nothing is left to do, here or
    elsewhere.

    Args:
        plugins: files of the run's plug-ins, where this machine does not trust those that it names.

    Raises:
        UserError: when the folder is no run, a plug-in of it is in another state here, or its weights or its kind of device are
            not on this machine.
    """
    store, config = open_run(folder, plugins)
    require_device(config, folder)  # else it would record one failure after another
    refuse_other_code(store, config)
    options = options or Options()
    require_fit(options, config)
    runner = Runner(store, config, replace(options, reuse=False))  # what can be taken over from other runs, the driver took
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40]
    store.join(f"{host}-{os.getpid()}-{runner.share.leases.token[:6]}")
    return runner.run()


def require_fit(options: Options, config: RunConfig, generate: bool = True) -> None:
    """
    Raises:
        SpecError: for options that do not go with the run, or whose library is missing.
    """
    check(options)
    if config.repeats and generate and options.workers > 1 and not config.device.startswith("cuda"):
        raise SpecError(
            f"--workers {options.workers}: a run with timed repeats makes one video at a time; leave --workers out."
        )
