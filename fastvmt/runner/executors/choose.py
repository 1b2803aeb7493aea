"""Which executor a run has."""

from __future__ import annotations

from fastvmt.jobs.run_config import RunConfig
from fastvmt.runner.executors import Executor, local
from fastvmt.runner.settings import Options
from fastvmt.store.folder import Store


def executor_for(store: Store, config: RunConfig, options: Options) -> Executor:
    """The executor that the options name, for runners that hold their workers themselves.

    Raises:
        SpecError: when it cannot start or reach its workers.
    """
    if options.executor == "ray":
        from fastvmt.runner.executors.on_ray import RayExecutor

        return RayExecutor(store, config, options)
    return local.LocalExecutor(store, config, options.workers)
