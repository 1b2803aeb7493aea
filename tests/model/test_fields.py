"""Fields of what is read: what is legal stays legal, and what is none is refused. Any value anywhere: ``strange_places``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from fastvmt.model import Case, Failure, FileInfo, MethodSpec, MetricRecord

RECORD = {"key": "ab", "job_key": "cd", "metric": "m", "identity": {}, "status": "ok", "value": 0.5}


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        (MetricRecord, RECORD | {"metric": "vbench:x:weights=local-dir:/a b/ü,日本"}),
        (MetricRecord, RECORD | {"status": "undefined", "value": None, "details": {"why": "a\nb", "curve": [1, float("nan")], "n": 2**63}}),
        (MethodSpec, {"label": "ditflow:inner=10 🙂\u200d🔥", "method": "m", "version": 0, "params": {"a": None, "b": [1, {"c": True}]}}),
        (Failure, {"job_key": "", "kind": "error", "stage": "", "message": "a\nb\x1b[0m", "traceback": "\t"}),
        (FileInfo, {"bytes": 0, "sha256": ""}),
    ],
)  # fmt: skip
def test_what_is_legal_stays_legal(model: Any, facts: dict[str, Any]) -> None:
    assert model.model_validate_json(json.dumps(facts)).model_dump(include=facts.keys()).keys() == facts.keys()


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        (MetricRecord, RECORD | {"value": value}) for value in (float("nan"), float("inf"), 1e101, 10**400, "x", [])
    ]
    + [(MetricRecord, RECORD | {"key": key}) for key in ("../x", "AB", "a" * 65, "ab\n", None)]
    + [(MetricRecord, RECORD | {"metric": label}) for label in ("", "a\nb", "\x1b[0m", "a\u2028b", "\x85")]
    + [(MetricRecord, RECORD | {"identity": facts}) for facts in ({"a": 2**64}, {"a": [float("nan")]}, {"a": {"b": 10**400}})]
    + [(FileInfo, {"bytes": -1, "sha256": "ab"}), (MethodSpec, {"label": "a", "method": "m", "version": -1, "params": {}})]
    + [(Case, {"id": name, "prompt": "", "reference": {}}) for name in ("..", "a/b", "-a", "A")],
)  # fmt: skip
def test_what_is_none_is_refused(model: Any, facts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate_json(json.dumps(facts))
