"""Records of Every Eval Ever, schema 0.3.0: a file for each method, where its datastore wants it.

    data/<suite>/fastvmt-bench/<method>-on-<backbone>/<uuid>.json

What is judged is a video model as a method steers it, so method and backbone together are the record's model. A file's name
follows from the numbers: equal numbers, equal file. Metrics without a better direction are left out.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.spelling import public
from fastvmt.core.version import __version__
from fastvmt.reports.export.rows import Row, judged_rows
from fastvmt.reports.statistics import LEVEL
from fastvmt.reports.tables.grid import clean
from fastvmt.reports.tables.view import Cell, Column, id_of
from fastvmt.reports.tidy import Tidy

SCHEMA = "0.3.0"
LIBRARY = "fastvmt-bench"


def write(tidy: Tidy, out: Path) -> list[Path]:
    """Write the records of all methods that have a number.

    Raises:
        SpecError: when none has.
    """
    found = []
    for row in judged_rows(tidy, controls=True):
        record = record_of(tidy, row)
        name = UUID(bytes=bytes.fromhex(digest([row.label, row.facts(tidy), record["evaluation_results"]])[:32]), version=4)
        path = out / "data" / id_of(tidy.suite.name) / record["model_info"]["id"] / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
        found.append(path)
    return found


def record_of(tidy: Tidy, row: Row) -> dict[str, Any]:
    """One method's record."""
    model = f"{LIBRARY}/{id_of(row.label)}-on-{id_of(tidy.setting.called)}"
    now = f"{time.time():.0f}"
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{id_of(tidy.suite.name)}/{model.replace('/', '_')}/{now}",
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": LIBRARY, "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": {"videos of others, their settings claimed": _words(row.spec.imported)},
        },
        "eval_library": {"name": LIBRARY, "version": __version__},
        "model_info": {
            "name": f"{row.head} on {clean(tidy.setting.called)}", "id": model,
            "additional_details": {k: _words(v) for k, v in row.facts(tidy).items()}
            | {"deployment_type": "self_deployed", "model_availability": "unknown"},
        },
        "evaluation_results": [_result(tidy, column, cell) for column, cell in row.judged()],
    }  # fmt: skip


def _result(tidy: Tidy, column: Column, cell: Cell) -> dict[str, Any]:
    metric = tidy.metrics.get(column.key)
    low, high = metric.range if metric else (0.0, math.inf)
    identity = public(clean(json.dumps(tidy.identities.get(column.key, {}), sort_keys=True, default=str)))
    ends = {"lower": cell.low, "upper": cell.high, "confidence_level": LEVEL, "method": "over reference clips"}
    uncertainty: dict[str, Any] = {"num_samples": cell.n} | ({"confidence_interval": ends} if cell.low is not None else {})
    return {
        "evaluation_result_id": column.key,
        "evaluation_name": clean(tidy.suite.name),
        "source_data": {
            "dataset_name": clean(tidy.suite.name), "source_type": "other",
            "additional_details": {"suite_digest": tidy.suite_digest},
        },
        "metric_config": {
            "metric_id": f"fastvmt_bench.{column.key}", "metric_name": clean(column.head),
            "metric_unit": column.unit or "score",
            "lower_is_better": column.direction == "down", "score_type": "continuous",
            "min_score": _bound(low), "max_score": _bound(high), "additional_details": {"identity": identity},
        },
        "score_details": {
            "score": cell.value, "uncertainty": uncertainty,
            "details": {"videos": str(cell.n), "videos that should be there": str(cell.expected)},
        },
    }  # fmt: skip


def _bound(value: float) -> float | str:
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _words(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
