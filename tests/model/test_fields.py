"""Any field of anything that is read, with a value that is none: a sentence and an exit code, no traceback, nothing written."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.cli import bench
from support.runs import make_run

from fastvmt.model import Case, Failure, FileInfo, MethodSpec, MetricRecord
from fastvmt.runner.crew.leases import _identity

VALUES: list[Any] = [
    None, True, -1, 0, 10**400, 2**70, 1e308, float("nan"), float("inf"), "", "x" * 5000, "../../victim", "/tmp/victim", "a\nb", [], {},
    "\x1b[31mred", "\u202e", "=1+1", [[["x"]]], {"a": 1}, "\x00",
]  # fmt: skip
COMMANDS = ("table", "status", "compare", "check", "gc --dry-run", "report --no-figures --no-tracks")
CARD = "leases/holders/0123456789abcdef"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with everything that one may hold, and its baseline."""
    run = make_run(tmp_path_factory.mktemp("good") / "run", cases=2, methods=("none", "fastvmt", "ditflow"))
    failure = {"job_key": "ab", "kind": "error", "stage": "x", "message": "m", "traceback": "t"}
    started = {"event": "started", "jobs": 1, "workers": 2, "how": ["--executor", "ray"]}
    (run / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    (run / "events.jsonl").write_text(f"{json.dumps(started)}\n{json.dumps({'event': 'made', 'key': 'ab', 'seconds': 1.0})}\n")
    (run / "plan.json").write_text(json.dumps({"time": 1.0, "device": "cpu", "seconds": {"none": 1.0}, "left": {"none": 1}}))
    (run / "conflicts.json").write_text(
        json.dumps({"frames": [{"job": "ab", "runs": {"a": "ab"}, "used": None}], "numbers": []})
    )
    (run / CARD).parent.mkdir(parents=True)
    (run / CARD).write_text(json.dumps(_identity()) + "\n000000000001\n")
    assert bench("baseline", "write", run, "--out", run / "base.json", "--allow-failures").code == 0
    return run


FILES = (
    "config.json",
    "meta.json",
    "records.jsonl",
    "failures.jsonl",
    "events.jsonl",
    "plan.json",
    "conflicts.json",
    CARD,
    "base.json",
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, the whole included; of a list the first two."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ():
        yield from places(part, (*at, key))
    yield at


def with_value(facts: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    inside = facts
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = value
    return facts


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.sampled_from(VALUES), st.sampled_from(COMMANDS), st.integers(0, 2**32))
def test_any_value_in_any_field_ends_in_a_sentence(
    good: Path, tmp_path_factory: pytest.TempPathFactory, name: str, value: Any, command: str, chance: int
) -> None:
    place = tmp_path_factory.mktemp("x")
    run, draw = shutil.copytree(good, place / "run"), random.Random(chance)
    file = sorted((run / "artefacts").glob("*/meta.json"))[0] if name == "meta.json" else run / name
    lines = file.read_text().splitlines() if name.endswith("l") or name == CARD else [file.read_text()]
    at = draw.randrange(len(lines)) if name != CARD else 0
    facts = {k: v for k, v in json.loads(lines[at]).items() if k not in ("check", "crc32")}
    lines[at] = json.dumps(with_value(facts, draw.choice(list(places(facts))), value))
    file.write_text("\n".join(lines) + "\n")
    word, *more = command.split()
    said = bench(word, run, *more, *(["--baseline", run / "base.json"] if word == "check" else []))
    assert said.code in (0, 1, 2, 3, 4) and "\x1b" not in said.out + said.err
    assert [p.name for p in place.iterdir()] == ["run"]


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
