"""`bench merge`: several machines and people, one run. What a user would miss: a wrong number, a lost one, a silent choice."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.cli import bench, command
from support.runs import make_cases, make_run, make_setting, paint, values

import fastvmt
from fastvmt.errors import BenchError, NotComparable, SpecError, StoreError
from fastvmt.exchange.merge import choose, folder
from fastvmt.media.files import Frames
from fastvmt.model import Case, MetricRecord
from fastvmt.store import foreign_run
from fastvmt.store.folder import Store

FREE, DENSE = ("none", "fastvmt"), ("none", "ditflow")


def other_frames(case: Case | None, label: str, seed: int, frames: int, height: int, width: int) -> Frames:
    """One job comes out otherwise: fastvmt on the second case."""
    clip = paint(case, label, seed, frames, height, width)
    return 255 - clip if label == "fastvmt" and case and case.id == "case-0001" else clip


def contents(root: Path) -> dict[str, bytes]:
    files = [p for p in root.rglob("*") if p.is_file() and p.name != "lock" and p.parent.name != "cache"]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def digest_of(run: Path) -> str:
    return fastvmt.table(run).digest


def cell(run: Path, label: str, metric: str) -> dict[str, Any]:
    from fastvmt.reports.tables.run_table import as_data

    row = next(r for r in as_data(fastvmt.table(run))["rows"] if r["method"] == label)
    return row["metrics"][metric]


def test_methods_cases_and_seeds_of_several_machines_become_one_table(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", 4, methods=("none", "ditflow", "fastvmt"), seeds=(0, 1))
    config = Store(whole).config()
    first, last = config.suite.cases[:2], config.suite.cases[2:]
    parts = [
        make_run(tmp_path / "a", first, methods=FREE, seeds=(0, 1)), make_run(tmp_path / "b", last, methods=FREE, seeds=(0, 1)),
        make_run(tmp_path / "c", 4, methods=DENSE, seeds=(0,)), make_run(tmp_path / "d", 4, methods=DENSE, seeds=(1,)),
    ]  # fmt: skip
    found = fastvmt.merge(parts, tmp_path / "m")
    assert found.videos == 4 * 3 * 2 and not found.frames and not found.numbers and found.failures == 0
    assert digest_of(tmp_path / "m") == digest_of(whole)
    assert cell(tmp_path / "m", "fastvmt", "motion_fidelity")["mean"] == cell(whole, "fastvmt", "motion_fidelity")["mean"]


def test_order_of_runs_does_not_matter_and_twice_changes_no_byte(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 3, methods=FREE), make_run(tmp_path / "b", 3, methods=DENSE, seeds=(0, 1))
    fastvmt.merge([a, b], tmp_path / "x")
    before = contents(tmp_path / "x")
    assert fastvmt.merge([b, a, b], tmp_path / "x").new is False
    assert contents(tmp_path / "x") == before
    fastvmt.merge([b, a], tmp_path / "y", copy=True)
    assert contents(tmp_path / "y") == before


def test_videos_are_hard_links_and_the_runs_stay_as_they_were(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=DENSE)
    before = contents(a) | contents(b)
    fastvmt.merge([a, b], tmp_path / "m")
    made = sorted((tmp_path / "m" / "artefacts").glob("*/frames.mkv"))
    assert len(made) == 6 and all(p.stat().st_nlink == 2 for p in made if "none" not in p.parent.name)
    assert contents(a) | contents(b) == before


def test_a_job_with_other_frames_in_two_runs_has_no_value_until_one_is_preferred(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 3, methods=FREE)
    b = make_run(tmp_path / "b", 3, methods=FREE, paint=other_frames, values=lambda m, c, x, s: (values(m, c, x, s) or 0) + 1)
    said = bench("merge", a, b, "--out", tmp_path / "m", "--json")
    assert said.code == 3
    (conflict,) = said.data["conflicts"]["frames"]
    assert (conflict["case"], conflict["method"], conflict["used"]) == ("case-0001", "fastvmt", None)
    assert set(conflict["runs"]) == {"a", "b"} and len(set(conflict["runs"].values())) == 2
    assert json.loads((tmp_path / "m" / "conflicts.json").read_text())["frames"] == [conflict]
    fast = next(r for r in said.data["rows"] if r["method"] == "fastvmt")
    assert fast["made"] == 2 and fast["failed"] == {"conflict": 1}
    assert any("other frames" in n and "conflicts.json" in n for n in said.data["notes"])
    text = bench("merge", a, b, "--out", tmp_path / "m")
    assert text.code == 3 and "conflict: case-0001 fastvmt seed 0" in text.err and "--prefer" in text.err
    frame = fastvmt.frame([tmp_path / "m"])
    rows = frame[(frame["case"] == "case-0001") & (frame["label"] == "fastvmt")]
    assert set(rows["status"]) == {"failed"} and rows["value"].isna().all()
    for chosen, base in (("a", a), ("b", b)):
        out = tmp_path / f"prefer-{chosen}"
        assert bench("merge", a, b, "--out", out, "--prefer", chosen if chosen == "a" else base).code == 0
        frame, own = fastvmt.frame([out]), fastvmt.frame([base])
        pick = lambda f: f[(f["case"] == "case-0001") & (f["label"] == "fastvmt") & (f["metric"] == "motion_fidelity")]  # noqa: E731
        assert pick(frame)["value"].tolist() == pick(own)["value"].tolist() and pick(own)["value"].notna().all()


def test_what_an_earlier_merge_left_open_stays_open_in_a_later_one(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=FREE, paint=other_frames)
    fastvmt.merge([a, b], tmp_path / "m")
    c = shutil.copytree(a, tmp_path / "c")
    later = fastvmt.merge([tmp_path / "m", c], tmp_path / "n")
    assert later.undecided == 1 and set(later.frames[0]["runs"]) == {"a", "b", "c"}
    assert fastvmt.merge([tmp_path / "m", c], tmp_path / "p", prefer=["c"]).undecided == 0


def test_going_on_with_a_merged_run_makes_no_third_video_of_a_disputed_job(tmp_path: Path) -> None:
    from fastvmt.runner.runner import Runner
    from fastvmt.runner.settings import Options

    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=FREE, paint=other_frames)
    fastvmt.merge([a, b], tmp_path / "m")
    store = Store(tmp_path / "m")
    outcome = Runner(store, store.config(), Options(style="none")).run(metrics=())
    assert outcome.made == 0  # a and b lie beside it, and neither was taken over
    assert len(list((tmp_path / "m" / "artefacts").glob("[!.]*"))) == 3
    assert len(fastvmt.table(tmp_path / "m").tidy.of("time").dropna(subset="value")) == 3


def test_other_numbers_for_the_same_frames_are_left_out_and_said(tmp_path: Path) -> None:
    off = lambda m, c, x, s: 0.5 if (m, c.id, x) == ("motion_fidelity", "case-0000", "fastvmt") else values(m, c, x, s)  # noqa: E731
    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=FREE, values=off)
    found = fastvmt.merge([a, b], tmp_path / "m")
    (conflict,) = found.numbers
    assert conflict["metric"] == "motion_fidelity" and conflict["runs"]["b"] == 0.5 and conflict["used"] is None
    assert cell(tmp_path / "m", "fastvmt", "motion_fidelity")["n"] == 1
    assert fastvmt.merge([a, b], tmp_path / "p", prefer=[b]).numbers[0]["used"] == "b"
    assert cell(tmp_path / "p", "fastvmt", "motion_fidelity")["n"] == 2


def test_done_anywhere_is_done_and_what_failed_everywhere_failed(tmp_path: Path) -> None:
    one, both = ("case-0000", "fastvmt", 0), ("case-0001", "fastvmt", 0)
    a = make_run(tmp_path / "a", 3, methods=FREE, failed={one: "out of luck", both: "here too"})
    b = make_run(tmp_path / "b", 3, methods=FREE, failed={both: "and there"})
    assert fastvmt.merge([a, b], tmp_path / "m").videos == 5
    messages = [f.message for f in Store(tmp_path / "m").failures().values()]
    assert messages == ["and there"]
    assert "out of luck" not in (tmp_path / "m" / "failures.jsonl").read_text()
    assert "here too" in (tmp_path / "m" / "failures.jsonl").read_text()


def test_logs_of_runners_that_joined_are_read_too(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 2, methods=FREE)
    before = digest_of(a)
    lines = (a / "records.jsonl").read_text().splitlines(keepends=True)
    (a / "records").mkdir()
    (a / "records" / "other.jsonl").write_text("".join(lines[::2]))
    (a / "records.jsonl").write_text("".join(lines[1::2]))
    fastvmt.merge([a], tmp_path / "m")
    assert digest_of(tmp_path / "m") == before


def test_seconds_of_two_devices_never_share_a_column(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 4, methods=FREE, device="card one")
    slow = lambda m, c, x, s: 1000.0 if m == "time" else values(m, c, x, s)  # noqa: E731
    b = make_run(tmp_path / "b", 4, methods=FREE, seeds=(1,), device="card two", values=slow)
    c = make_run(tmp_path / "c", 1, methods=FREE, seeds=(2,), device="card one")
    config = Store(c).config()
    assert config.suite.cases[0] == Store(a).config().suite.cases[0]
    fastvmt.merge([a, b, c], tmp_path / "m")
    frame = fastvmt.frame([tmp_path / "m"])
    time = frame[frame["metric"] == "time"]
    assert set(time[time["value"].notna()]["device"]) == {"card one"} and time["value"].max() < 100
    assert set(time[time["device"] == "card two"]["status"]) == {"elsewhere"}
    assert not len(frame[frame["metric"].str.startswith("stage:") & (frame["device"] == "card two")])
    assert frame[(frame["metric"] == "motion_fidelity") & (frame["device"] == "card two")]["value"].notna().all()
    assert any("card one alone" in n and "8 on card two" in n for n in fastvmt.table(tmp_path / "m").view.notes)
    assert "1000.0" in (tmp_path / "m" / "records.jsonl").read_text()  # kept with their device


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(setting=make_setting(steps=9)), "steps: 4 and 9"),
        (dict(setting=make_setting(guidance=7.0)), "guidance: 3.0 and 7.0"),
        (dict(suite="another"), "different suites ('fake' and 'another')"),
    ],
)  # fmt: skip
def test_runs_that_are_not_alike_are_refused_with_what_differs(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    a, b = make_run(tmp_path / "a", 1, methods=FREE), make_run(tmp_path / "b", 1, **(dict(methods=FREE) | change))
    said = bench("merge", a, b, "--out", tmp_path / "m")
    assert said.code == 4 and words in said.err and not (tmp_path / "m").exists()


def test_other_prompts_parameters_protocols_and_metric_versions_are_refused(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 1, methods=FREE)

    def changed(name: str, edit: Any, file: str = "config.json") -> Path:
        root = shutil.copytree(a, tmp_path / name)
        lines = (root / file).read_text().splitlines() if file.endswith("l") else [(root / file).read_text()]
        facts = [json.loads(line) for line in lines]
        for one in facts:
            edit(one)
        (root / file).write_text("\n".join(map(json.dumps, facts)))
        return root

    cases: list[tuple[Path, str]] = [
        (changed("prompt", lambda c: c["suite"]["cases"][0].update(prompt="x")), "in its prompt"),
        (changed("params", lambda c: c["methods"][1].update(version=9)), "version 1 and 9"),
        (changed("repeats", lambda c: c.update(repeats=3)), "0 and 3 timed repeats"),
    ]  # fmt: skip
    for other, words in cases:
        with pytest.raises(NotComparable) as refused:
            fastvmt.merge([a, other], tmp_path / "m")
        assert words in str(refused.value)
    other = changed(
        "version", lambda r: r["identity"].update(version=99) if r["metric"] == "motion_fidelity" else None, "records.jsonl"
    )
    b, c = (
        make_run(tmp_path / n, Store(other).config().suite.cases, methods=FREE) for n, other in (("x", a), ("y", cases[0][0]))
    )
    z = make_run(tmp_path / "0", [make_cases(2)[1]], methods=FREE)  # first by name, and without the case in question
    with pytest.raises(NotComparable, match="differs between x and y in its prompt"):
        fastvmt.merge([b, c, z], tmp_path / "m")
    with pytest.raises(NotComparable, match="not computed alike in a and version: version differ"):
        fastvmt.merge([a, other], tmp_path / "m")


def test_kill_9_in_the_middle_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 40, methods=FREE), make_run(tmp_path / "b", 40, methods=DENSE)
    fastvmt.merge([a, b], tmp_path / "undisturbed", copy=True)
    out = tmp_path / "m"
    argv = command("merge", a, b, "--out", out, "--copy")
    for wanted in (5, 20):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("artefacts/[!.]*"))) < wanted:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
        assert not (out / "config.json").exists()
        assert bench("table", out).code == 2  # not a run yet
    assert bench(*argv[3:]).code == 0
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_killed_merge_goes_on_even_when_its_runs_have_gone_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=DENSE)

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(folder, "_references", die)
        fastvmt.merge([a, b], tmp_path / "m")
    assert len(list((tmp_path / "m" / "artefacts").iterdir())) == 6
    shutil.rmtree(next((b / "artefacts").glob("case-0000--ditflow*")))
    assert fastvmt.merge([a, b], tmp_path / "m").videos == 5
    assert len(list((tmp_path / "m" / "artefacts").iterdir())) == 5
    with pytest.raises(StoreError, match="another state"):
        fastvmt.merge([a], tmp_path / "m")


def test_the_folder_of_another_run_is_never_written_to(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 1, methods=FREE), make_run(tmp_path / "b", 1, methods=FREE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for out, words in ((b, "holds a run"), (a, "lies in a"), (a / "sub", "lies in a"), (tmp_path / "mine", "not empty")):
        before = contents(out) if out.exists() else None
        said = bench("merge", a, "--out", out)
        assert said.code == 2 and words in said.err
        assert (contents(out) if out.exists() else None) == before
    assert "no config.json" in bench("merge", tmp_path / "mine", "--out", tmp_path / "m").err


def damage(run: Path) -> Path:
    victim = sorted((run / "artefacts").glob("*/frames.mkv"))[0]
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    return victim


def test_a_file_that_is_not_what_it_was_is_a_failure_and_not_a_video(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 2, methods=FREE)
    victim = damage(a)
    said = bench("merge", a, "--out", tmp_path / "m", "--json")
    assert said.code == 3 and said.data["videos"] == 3
    assert [f.kind for f in Store(tmp_path / "m").failures().values()] == ["damaged"]
    assert victim.exists()  # not moved to a quarantine of somebody else's run


@pytest.mark.parametrize("broken", ["a", "b"])
def test_a_damaged_video_is_taken_from_another_run_that_has_it(tmp_path: Path, broken: str) -> None:
    a, b = make_run(tmp_path / "a", 2, methods=FREE), make_run(tmp_path / "b", 2, methods=FREE)
    damage(tmp_path / broken)
    said = bench("merge", a, b, "--out", tmp_path / "m", "--json")
    assert said.code == 0 and said.data["videos"] == 4
    store = Store(tmp_path / "m")
    assert all(store.artefact(job, verify=True) for job in store.config().jobs()) and not store.failures()


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch EXECUTED",)


def _links(run: Path, secret: Path) -> None:
    video = next((run / "artefacts").glob("*/frames.mkv"))
    video.unlink()
    video.symlink_to(secret)


def _linked_log(run: Path, secret: Path) -> None:
    (run / "records.jsonl").unlink()
    (run / "records.jsonl").symlink_to(secret)


def _pipe(run: Path, secret: Path) -> None:
    (run / "events.jsonl").unlink(missing_ok=True)
    os.mkfifo(run / "events.jsonl")


def _huge(run: Path, secret: Path) -> None:
    with open(run / "config.json", "ab") as file:
        file.truncate(foreign_run.LARGEST[".json"] + 1)


def _deep(run: Path, secret: Path) -> None:
    (run / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def _many(run: Path, secret: Path) -> None:
    facts = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(facts | {"seeds": list(range(3_000_000))}))


@pytest.mark.parametrize("attack", [_links, _linked_log, _pipe, _huge, _deep, _many])
def test_a_hostile_run_is_refused_in_one_sentence(tmp_path: Path, attack: Any) -> None:
    run, secret = make_run(tmp_path / "a", 1, methods=FREE), tmp_path / "secret"
    secret.write_text("{}")
    attack(run, secret)
    with pytest.raises(BenchError) as refused:
        fastvmt.merge([run], tmp_path / "m")
    assert refused.value.exit_code == 2 and len(str(refused.value)) < 400
    assert not (tmp_path / "m").exists()


def test_paths_pickles_and_plug_ins_of_a_hostile_run_do_no_harm(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 2, methods=FREE)
    (run / "evil.py").write_text("open('EXECUTED', 'w')")
    facts = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(facts | {"plugins": [str(run / "evil.py")]}))
    (run / "cache" / "x.safetensors").write_bytes(pickle.dumps(_Evil()))
    (tmp_path / "outside.mkv").write_bytes(b"mine")
    for number, name in enumerate(("../../../outside.mkv", "weights.pkl")):
        folder = sorted((run / "artefacts").iterdir())[number]
        meta = json.loads((folder / "meta.json").read_text())
        meta["files"][name] = {"bytes": 4, "sha256": "0" * 64}
        (folder / "weights.pkl").write_bytes(pickle.dumps(_Evil()))
        (folder / "meta.json").write_text(json.dumps(meta))
    said = bench("merge", run, "--out", tmp_path / "m", "--json", cwd=tmp_path)
    assert said.code == 0 and said.data["videos"] == 2
    assert sum("is no file of a video" in n or "no plain name of a file" in n for n in said.data["notes"]) == 2
    assert not list(tmp_path.rglob("EXECUTED")) and not list((tmp_path / "m").rglob("*.p[ky]*"))
    assert Store(tmp_path / "m").config().plugins == ()


def test_bad_words_on_the_command_line(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 1, methods=FREE)
    with pytest.raises(SpecError, match="none of the runs that are merged \\(a\\)"):
        fastvmt.merge([a], tmp_path / "m", prefer=["z"])
    with pytest.raises(StoreError, match="not a run folder"):
        fastvmt.merge([tmp_path / "nowhere"], tmp_path / "m")


def test_a_number_that_failed_keeps_no_runs_apart() -> None:
    said = {"key": "0" * 64, "job_key": "1" * 64, "metric": "m"}
    failed = MetricRecord(**said, identity={"metric": "m"}, status="failed", value=None)
    sound = MetricRecord(**said, identity={"metric": "m", "version": 2}, status="ok", value=1.0)
    runs: Any = [(SimpleNamespace(name="a"), failed), (SimpleNamespace(name="b"), sound)]
    known: dict[str, Any] = {}
    choose._same_identity("m", runs, known)
    assert known == {"m": ("b", sound.identity)}
