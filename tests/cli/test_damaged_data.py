"""Files that somebody else wrote, or a disk has damaged: a sentence with the file, exit code 2, and the good lines are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.cli import bench
from support.gate_runs import run_folder

from fastvmt.backbones.card import TINY, load
from fastvmt.errors import UserError

NUMBERS = ["NaN", "Infinity", "1e400", "1" + "0" * 400, "9" * 5000]
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("runs") / "r", cases=3)


@pytest.mark.parametrize("field", ["value", "identity", "details"])
@pytest.mark.parametrize("number", [*NUMBERS, DEEP])
def test_a_record_that_is_no_number_is_passed_over_and_said_and_the_others_are_read(
    run: Path, tmp_path: Path, field: str, number: str
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "r"))
    lines = (copy / "records.jsonl").read_text().splitlines()
    facts = json.loads(lines[1])
    facts[field] = "@" if field == "value" else {"a": ["@"]}
    lines[1] = json.dumps(facts).replace('"@"', number)
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    said = bench("table", copy, "--json")
    assert said.code == 0, said.err
    assert "records.jsonl: line 2 is damaged; passed over." in said.data["notes"]
    assert sum(cell["n"] for row in said.data["rows"] for cell in row["metrics"].values()) >= 12


@pytest.mark.parametrize("number", [*NUMBERS, DEEP, '"\\ud800"'])
def test_a_baseline_or_configuration_with_what_is_no_number_is_named(run: Path, tmp_path: Path, number: str) -> None:
    assert bench("baseline", "write", run, "--out", tmp_path / "b.json").code == 0
    whole = (tmp_path / "b.json").read_text()
    head, value, rest = whole.partition('"values": {"motion_fidelity": ')
    (tmp_path / "b.json").write_text(head + value + number + rest[rest.index(",") :])
    said = bench("check", run, "--baseline", tmp_path / "b.json")
    assert said.code == 2 and f"{tmp_path / 'b.json'}: " in said.err and len(said.err) < 600
    copy = Path(shutil.copytree(run, tmp_path / "r"))
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"guidance": 3.0', f'"guidance": {number}', 1))
    for command in (["table"], ["status"], ["compare"], ["check", "--baseline", tmp_path / "b.json"]):
        said = bench(command[0], copy, *command[1:])
        assert said.code == 2 and ("config.json" in said.err or "b.json" in said.err) and len(said.err) < 600


def test_a_log_with_other_kinds_of_values_is_shown(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "r"))
    for path in copy.glob("artefacts/*/meta.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"log": {"code": ["a", {}], "prepared": [], "repeats_differ": "?", "pid": {}}}))
    assert bench("table", copy).code == 0


WEIGHTS: dict[str, bytes] = {
    "no header": b"", "too long": b"\xff" * 20, "no json": (3).to_bytes(8, "little") + b"{a}",
    "depth": (100_000).to_bytes(8, "little") + DEEP.encode(), "no shapes": (11).to_bytes(8, "little") + b'{"a": "b" }',
    "a shape": (31).to_bytes(8, "little") + b'{"a": {"shape": ["x", {}, []]}}',
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none_are_named_by_the_plan(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    next((folder / "vae").glob("*.safetensors")).write_bytes(WEIGHTS[name])
    said = bench(
        "plan", "--backbone", folder, "--suite", "shapes-64", "--limit", "1", "--methods", "none", "--out", tmp_path / "o"
    )
    assert said.code == 2 and "it does not begin as a .safetensors file does" in said.err


CARDS = {
    'defaults.width = "x"': "defaults.width", "defaults.width = -5": "defaults.width", "defaults.steps = 1e400": "defaults.steps",
    "defaults.metrics = 3": "defaults.metrics", "defaults.metrics = [3]": "defaults.metrics.0", "defaults = []": "defaults",
    "shape.parameters = -1": "shape.parameters", "methods.fastvmt = 3": "methods.fastvmt", "note = []": "note",
    'download_gb = "x"': "download_gb", "defaults.shift = nan": "defaults.shift", f"note = {DEEP}": "too deeply",
}  # fmt: skip


@pytest.mark.parametrize("line", CARDS, ids=lambda line: line[:40])
def test_a_backbones_own_defaults_are_checked_by_key(tmp_path: Path, line: str) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    (folder / "bench.toml").write_text(line)
    with pytest.raises(UserError) as caught:
        load(str(folder))
    assert (
        CARDS[line] in str(caught.value) and str(folder / "bench.toml") in str(caught.value) and "\n" not in str(caught.value)
    )


@pytest.mark.parametrize("size", ["0", "-1", "1e300", "null", "[]", '"x"', "99999999999"])
def test_a_backbones_sizes_are_sizes(tmp_path: Path, size: str) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    path = folder / "transformer" / "config.json"
    facts = json.loads(path.read_text()) | {"num_layers": "@"}
    path.write_text(json.dumps(facts).replace('"@"', size))
    with pytest.raises(UserError, match="config.json"):
        load(str(folder))
