"""Whose code runs: what a run folder names never does by itself, what the user gave does, and reading needs none."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.cli import Said, bench, same_plugins, spawn
from support.light_runs import PLUGIN, make_quick
from support.runs import make_run

from fastvmt.errors import SpecError
from fastvmt.plugins import registry
from fastvmt.plugins.traits import Traits
from fastvmt.runner.code import handed, load_handed
from fastvmt.store.folder import Store

EVIL = """\
from fastvmt import Method, Metric, Value
from pathlib import Path
Path({ran!r}).touch()
class Evil(Method):
    id = "evil"
class Bad(Metric):
    id = "bad"
    def score(self, scored):
        return Value(0.5)
METHODS, METRICS = {{"evil": Evil}}, {{"bad": Bad}}
"""


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has given no plug-in yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def hostile(place: Path, named: str, at: str) -> tuple[Path, Path, Path]:
    """A run folder whose configuration names a plug-in, the plug-in, and what it leaves behind where it is run."""
    run, ran = make_run(place / "run", 2, ("fastvmt", "ditflow"), videos=True), place / "ran"
    file = place / at
    file.parent.mkdir(exist_ok=True)
    file.write_text(EVIL.format(ran=str(ran)))
    facts = json.loads((run / "config.json").read_text())
    spec = facts["methods"][0] | {"label": "evil", "method": "evil", "params": {}}
    facts |= {"methods": [*facts["methods"], spec], "metrics": [*facts["metrics"], "bad"], "plugins": [named.format(place)]}
    (run / "config.json").write_text(json.dumps(facts))
    return run, file, ran


PLACES = [("{}/share/evil.py", "share/evil.py"), ("/proc/self/cwd/share/evil.py", "share/evil.py"), ("share/evil.py", "share/evil.py"),
          ("{}/run/evil.py", "run/evil.py"), ("{}/run/../run/evil.py", "run/evil.py")]  # fmt: skip
READ = [
    ("table", "run"), ("table", "run", "--json"), ("report", "run", "--print", "md"), ("report", "run", "--no-tracks"),
    ("compare", "run"), ("baseline", "write", "run", "--out", "b.json", "--allow-failures"), ("status", "run"), ("gc", "run"),
    ("export", "run", "--to", "parquet", "--out", "p"), ("merge", "run", "--out", "m"), ("study", "make", "run", "--out", "s", "--methods", "fastvmt,ditflow"),
    ("check", "run", "--tolerances", "t.toml"),
]  # fmt: skip


@pytest.mark.parametrize(("named", "at"), PLACES)
def test_what_a_run_folder_names_is_not_run_by_whoever_goes_on_with_it(named: str, at: str, tmp_path: Path) -> None:
    run, file, ran = hostile(tmp_path, named, at)
    videos = tmp_path / "videos"
    shutil.copytree(run / "references", videos)
    for words in (("resume", run), ("score", run), ("work", run), ("score", run, "--metrics", "bad"),
                  ("import", videos, "--method", "theirs", "--into", run, "--partial")):  # fmt: skip
        said = bench(*words, cwd=tmp_path)
        assert said.code == 2 and "--plugin" in said.err and len(said.err.splitlines()) == 1
        assert not Path(named.format(tmp_path)).is_absolute() or sha256(file.read_bytes()).hexdigest() in said.err
    assert not ran.exists() and not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("named", ["/\0x.py", "", "/", "/dev/zero", "{}/pipe", "/" + "x" * 5000, "{}/loop", "/\x1b[31m\n.py"])
def test_odd_names_of_plug_ins_are_one_sentence(named: str, tmp_path: Path) -> None:
    run, _, ran = hostile(tmp_path, named, "share/evil.py")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    said = bench("score", run, "--metrics", "bad")
    assert said.code == 2 and len(said.err) < 1000 and len(said.err.splitlines()) == 1 and "\x1b" not in said.err
    assert bench("table", run).code in (0, 2) and not ran.exists()


@pytest.mark.parametrize("words", READ, ids=" ".join)
def test_reading_needs_no_plug_in(words: tuple[str, ...], tmp_path: Path) -> None:
    _, file, ran = hostile(tmp_path, *PLACES[1])
    (tmp_path / "t.toml").write_text('[[better]]\nmetric = "time"\nof = "fastvmt"\nthan = "ditflow"\n')
    said = [bench(*words, cwd=tmp_path)]
    file.unlink()
    for made in ("b.json", "p", "m", "s", "study-key.json", "s-key.json"):
        shutil.rmtree(tmp_path / made) if (tmp_path / made).is_dir() else (tmp_path / made).unlink(missing_ok=True)
    said.append(bench(*words, cwd=tmp_path))
    assert [s.code for s in said] == [said[0].code] * 2 and said[0].code in (0, 4), said[0].err
    assert not ran.exists()


def test_reading_imports_no_installed_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers the name is code of the user's, and it is not needed either."""
    run, file, ran = hostile(tmp_path, *PLACES[0])
    monkeypatch.syspath_prepend(file.parent)
    for kind, name, what in ((registry.metrics, "bad", "Bad"), (registry.methods, "evil", "Evil")):
        kind.names()
        kind._entries[name] = registry.Entry(name, "a-package", f"evil:{what}")
    assert bench("report", run, "--print", "md").code == bench("gc", run).code == 0 and not ran.exists()
    assert registry.metrics.get("bad") and ran.exists()


def test_trust_does_not_extend_to_a_copy_with_another_file_beside_it(tmp_path: Path) -> None:
    """The same bytes elsewhere run as the user's own file: what it looks for beside itself is his."""
    helper = 'import sys\nsys.path.insert(0, __file__.rpartition("/")[0])\nimport beside_it\nsys.path.pop(0)\n'
    run, file, ran = hostile(tmp_path, *PLACES[0])
    mine = tmp_path / "mine" / "evil.py"
    mine.parent.mkdir()
    for place, code in ((file.parent, f"from pathlib import Path\nPath({str(ran)!r}).touch()"), (mine.parent, "mine = True")):
        (place / "evil.py").write_text(helper + EVIL.format(ran=str(tmp_path / "mine" / "ran")))
        (place / "beside_it.py").write_text(code)
    assert bench("list", "methods", "--plugin", mine).code == 0
    assert bench("score", run, "--metrics", "bad").code == 0  # nothing to score, and its code is here
    assert not ran.exists()
    mine.write_text("raise SystemExit")  # edited: what he gave is nowhere any more
    said = bench("score", run, "--metrics", "bad")
    assert said.code == 2 and str(file) in said.err and not ran.exists()


# --- what the user gave ---------------------------------------------------------------------------------------------------


def made_with(place: Path) -> tuple[Path, Path]:
    """A run folder and the user's plug-in, which he has not given to it yet."""
    file = place / "mine.py"
    shutil.copyfile(PLUGIN, file)
    with same_plugins():
        return make_quick(place / "run", 1, plugins=()), file


def told(said: Said, code: int = 0) -> Any:
    assert said.code == code, said.err
    return said.data if code == 0 else said.err


def test_what_was_given_once_goes_on_until_it_is_edited(tmp_path: Path) -> None:
    run, file = made_with(tmp_path)
    assert "No method is called 'quick'" in told(bench("resume", run), 2)
    assert told(bench("resume", run, "--plugin", file, "--json"))["outcome"]["made"] == 1
    for words in ("resume", "score", "work"):
        told(bench(words, run, "--json"))
    file.write_text(file.read_text() + "# edited\n")
    for words in ("resume", "score", "work"):
        err = told(bench(words, run), 2)
        assert str(file) in err and sha256(file.read_bytes()).hexdigest() in err and "never given in this state" in err
    told(bench("resume", run, "--plugin", file, "--json"))
    told(bench("resume", run, "--json"))


def test_the_same_file_in_another_place_stands_for_it(tmp_path: Path) -> None:
    run, file = made_with(tmp_path)
    told(bench("resume", run, "--plugin", file, "--json"))
    there = tmp_path / "there" / "other.py"
    there.parent.mkdir()
    file.rename(there)
    assert "is not there. Give its file with --plugin" in told(bench("resume", run), 2)
    shutil.rmtree(next((run / "artefacts").iterdir()))
    assert told(bench("resume", run, "--plugin", there, "--json", "--no-reuse"))["outcome"]["made"] == 1
    told(bench("resume", run, "--json"))  # given once there, too
    there.write_text(there.read_text() + "# edited, with the same names\n")
    told(bench("resume", run, "--plugin", there, "--json"))


def test_workers_get_what_this_process_was_given_before(tmp_path: Path) -> None:
    """In a notebook, of a run that names no file: a merged one, say."""
    run, file = made_with(tmp_path)
    with same_plugins():
        registry.load_plugin(str(file))
        assert told(bench("resume", run, "--json"))["outcome"]["made"] == 1


def test_a_worker_runs_what_its_runner_has_read(tmp_path: Path) -> None:
    """A file that changes while a run goes on runs nowhere."""
    file = made_with(tmp_path)[1]
    with same_plugins():
        registry.load_plugin(str(file))
        file.write_text("raise SystemExit('edited meanwhile')\n")
        files = handed([str(file)])
    with same_plugins(), pytest.raises(SpecError, match="changed since the run was started"):
        load_handed(files)


def test_a_home_that_cannot_be_written_breaks_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, file = made_with(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(file))  # no folder
    assert told(bench("resume", run, "--plugin", file, "--json"))["outcome"]["made"] == 1
    assert "--plugin" in told(bench("resume", run), 2)


def test_another_process_trusts_what_this_one_was_given(tmp_path: Path) -> None:
    run, file = made_with(tmp_path)
    told(bench("resume", run, "--plugin", file, "--json"))
    shutil.rmtree(next((run / "artefacts").iterdir()))
    assert (
        told(spawn("resume", run, "--json", "--executor", "slurm", "--slurm", "cluster=local", "--no-reuse"))["outcome"]["made"]
        == 1
    )


# --- what is said of them -------------------------------------------------------------------------------------------------

SHINE = """\
from fastvmt import Method, Metric, Study
class Mine(Method):
    id, summary, role = "mine", "a method of mine", "baseline"
    study = Study(ablations={"steps": ("fast",)})
    variants = {"fast": {}}
    card = {"title": "Mine", "paper": "none", "faithful": ["all"], "budget": {"forwards": 1, "says": "one"}, "licence": "MIT",
            "start": "noise", "defaults": "mine"}
    def prepare(self, ctx, workspace):
        return {}
class Shine(Metric):
    id, direction, unit, decimals, range = "shine", "down", "px", 1, (0.0, 99.0)
    def applies(self, case):
        return case.id != "case-0001"
METHODS, METRICS = {"mine": Mine}, {"shine": Shine}
"""


@pytest.fixture
def shining(tmp_path: Path) -> tuple[Path, Path]:
    """A finished run with a method and a metric of a file, and the file."""
    file = tmp_path / "shine.py"
    file.write_text(SHINE)
    with same_plugins():
        registry.load_plugin(str(file))
        run = make_run(
            tmp_path / "run", 6, ("none", "mine", "ditflow"), metrics=("time", "shine"),
            values=lambda m, case, label, seed: {"none": 9.0, "mine": 3.0}.get(label, 5.0) + len(m),
        )  # fmt: skip
        assert bench("score", run, "--plugin", file, "--json").code == 0
    return run, file


READERS = [
    ("table", "--json"),
    ("table",),
    ("report", "--print", "html"),
    ("compare", "--json"),
    ("check", "--tolerances", "t.toml"),
]


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_tables_are_the_same_with_and_without_the_code(
    words: tuple[str, ...], shining: tuple[Path, Path], tmp_path: Path
) -> None:
    run, file = shining
    (tmp_path / "t.toml").write_text('[[better]]\nmetric = "shine"\nof = "mine"\nthan = "none"\n')
    argv = (words[0], run, *words[1:])
    without = bench(*argv, cwd=tmp_path)
    (run / "traits.json").rename(tmp_path / "traits.json")
    with same_plugins():
        registry.load_plugin(str(file))
        code = bench(*argv, cwd=tmp_path)
    assert (without.code, without.out) == (code.code, code.out) and "shine" in without.out.lower()


def test_the_page_is_the_same_too(shining: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = shining
    file.unlink()
    assert bench("report", run, "--out", tmp_path / "page", "--no-figures", "--no-tracks").code == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "a method of mine" in page and "px" in page and "title" in page


def test_a_run_of_before_shows_what_its_records_say(shining: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = shining
    (run / "traits.json").unlink()
    said = told(bench("table", run, "--json"))
    cells = {row["method"]: row["metrics"]["shine"] for row in said["rows"]}
    assert cells["mine"]["value"] == 8.0 and not any(cell["mark"] for cell in cells.values())
    assert any("shine" in note and "not ranked" in note for note in said["notes"])
    (tmp_path / "t.toml").write_text('[[better]]\nmetric = "shine"\nof = "mine"\nthan = "none"\n')
    found = bench("check", run, "--tolerances", tmp_path / "t.toml", "--strict")
    assert found.code != 0 and "which way is better is not known here" in found.out, found


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"metrics": {"shine": {"id": "shine", "direction": "sideways"}}}', '{"metrics": {"time": {"id": "time", "direction": "up"}}}',
     '{"methods": {"none": {"role": "baseline"}}}', '{"a": ' * 5000, '{"metrics": {"shine": {"id": "x", "direction": "up", "decimals": 99}}}',
     '{"metrics": {"shine": {"id": "x", "direction": "up", "unit": "\\u001b[31m"}}}'],
)  # fmt: skip
def test_what_a_folder_says_is_data(text: str, shining: tuple[Path, Path]) -> None:
    """Damaged, it is named and passed over; of what is built in it says nothing."""
    run, _ = shining
    (run / "traits.json").write_text(text)
    said = told(bench("table", run, "--json"))
    times = {row["method"]: row["metrics"]["time"] for row in said["rows"]}
    assert times["mine"]["mark"] and times["ditflow"]["mark"] != times["mine"]["mark"]
    assert ("traits.json: damaged" in str(said["notes"])) != isinstance(_read(text), Traits)


def _read(text: str) -> Traits | None:
    try:
        return Traits.model_validate_json(text)
    except ValueError:
        return None


def test_a_merge_carries_it_on(shining: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = shining
    file.unlink()
    told(bench("merge", run, "--out", tmp_path / "m", "--json"))
    theirs, ours = (told(bench("table", folder, "--json"))["rows"] for folder in (run, tmp_path / "m"))
    assert theirs == ours and Store(tmp_path / "m").traits().metrics["shine"].unit == "px"
    assert "--plugin FILE" in told(bench("resume", tmp_path / "m"), 2)
