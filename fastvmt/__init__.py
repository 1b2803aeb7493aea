"""FastVMT bench: the benchmark that video motion transfer is judged by.

    import fastvmt
    result = fastvmt.run(fastvmt.Request(methods=("fastvmt", "ditflow")))

In a checkout, ``methods/``, ``metrics/``, ``datasets/`` and ``reports/`` lie beside this folder, which links to them; in a
wheel they lie inside it. They are imported as ``fastvmt.methods`` and so on in both.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Method": "fastvmt.plugins.method",
    "Params": "fastvmt.plugins.method",
    "Context": "fastvmt.plugins.method",
    "Shape": "fastvmt.plugins.method",
    "Protocols": "fastvmt.plugins.method",
    "Study": "fastvmt.plugins.method",
    "Workspace": "fastvmt.plugins.workspace",
    "Metric": "fastvmt.plugins.metric",
    "Scored": "fastvmt.plugins.metric",
    "Value": "fastvmt.plugins.metric",
    "Tracker": "fastvmt.plugins.tracker",
    "Tracks": "fastvmt.plugins.tracker",
    "Wanted": "fastvmt.suites.cases",
    "ClipEntry": "fastvmt.suites.cases",
    "Target": "fastvmt.suites.cases",
    "case_of_frames": "fastvmt.suites.cases",
    "Case": "fastvmt.model",
    "Reference": "fastvmt.model",
    "Request": "fastvmt.runner.plan",
    "Options": "fastvmt.runner.runner",
    "Result": "fastvmt.api",
    "run": "fastvmt.api",
    "plan": "fastvmt.api",
    "resume": "fastvmt.api",
    "score": "fastvmt.api",
    "table": "fastvmt.api",
    "describe": "fastvmt.api",
    "report": "fastvmt.api",
    "compare": "fastvmt.api",
    "frame": "fastvmt.api",
    "score_clip": "fastvmt.runner.score",
    "merge": "fastvmt.exchange.merge.merge",
    "export": "fastvmt.reports.export.write",
    "import_videos": "fastvmt.exchange.imports.videos",
    "Claim": "fastvmt.exchange.imports.videos",
    "listing": "fastvmt.plugins.listing",
    "BenchError": "fastvmt.errors",
    "UserError": "fastvmt.errors",
    "SuiteError": "fastvmt.errors",
    "SpecError": "fastvmt.errors",
    "MissingWeights": "fastvmt.errors",
    "JobError": "fastvmt.errors",
    "NonFinite": "fastvmt.errors",
}
__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that ``import fastvmt`` stays light."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fastvmt' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
