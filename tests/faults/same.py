"""What must be equal everywhere, and what must not: keys, formats, n in every cell."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastvmt.model import Case, Job, MethodSpec, Setting
from fastvmt.store.folder import Store
from faults.fault import ROOT, Figure, fault, tests
from faults.runs import undisturbed

MADE = """
import json, sys
from fastvmt.model import Case, Job, MethodSpec, Setting
for line in sys.stdin:
    m, c, s, seed = json.loads(line)
    job = Job.make(MethodSpec.model_validate(m), Case.model_validate(c), seed, Setting.model_validate(s))
    print(job.key)
"""


def _random_job(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]:
    """Facts of one job as plain data, of any texts and numbers."""
    from support.runs import make_cases, make_setting

    text = lambda: "".join(rng.choices("abc éß漢字🙂\"'\\\\\\n{}[]:,\\u202e", k=rng.randint(0, 40)))  # noqa: E731
    number = lambda: rng.choice([rng.random(), rng.randint(-9, 9), 10.0 ** rng.randint(-30, 30), 0.1 + 0.2])  # noqa: E731
    case = make_cases(1)[0].model_dump(mode="json") | {
        "prompt": text(),
        "caption": text(),
        "negative": rng.choice([None, text()]),
    }
    setting = make_setting().model_dump(mode="json") | {"negative": text(), "guidance": float(number())}
    params = {text() or "p": rng.choice([number(), text(), None, True, [number(), {"b": 1, "a": number()}]]) for _ in range(4)}
    return {"label": text() or "m", "method": "m", "version": 1, "params": params}, case, setting, rng.randrange(1 << 31)


def _shuffled(value: Any, rng: random.Random) -> Any:
    """The same plain data with every dictionary in another order."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {k: _shuffled(value[k], rng) for k in names}
    return [_shuffled(v, rng) for v in value] if isinstance(value, list) else value


NEEDED = ("numpy", "pydantic")
"""What the modules that make keys import."""


def _pythons(place: Path) -> tuple[list[str], str]:
    """Interpreters that can make keys, ours first, and a sentence about them.

    Others are those that uv or pyenv has on this machine. One without the libraries gets an environment of its own from uv's cache;
    nothing is downloaded.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    can, versions = [sys.executable], [own]
    for version in (v for v in OTHER_PYTHONS if v != own):
        if python := _with_libraries(version, place):
            can.append(python)
            versions.append(version)
    missing = [v for v in OTHER_PYTHONS if v not in versions]
    lacks = (
        f"{', two are asked' if len(can) == 1 else ''}; {' and '.join(missing)} not here with {' and '.join(NEEDED)}"
        if missing
        else ""
    )
    return can, f"Python {' and '.join(versions)}{lacks}"


OTHER_PYTHONS = ("3.11", "3.12", "3.13")


def _with_libraries(version: str, place: Path) -> str:
    """An interpreter of this version that imports ``NEEDED``; "" where none is to be had without a network."""
    uv = shutil.which("uv")
    if uv is None:
        return ""
    listed = _said([uv, "python", "list", "--only-installed", "--offline", "--output-format", "json", version])
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(each["path"]) for each in json.loads(listed or "[]")]
    found += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python3"))]
    for python in found:
        if _said([python, "-c", f"import {', '.join(NEEDED)}; print(1)"]):
            return python
    own = place / f"python-{version}"
    for python in found:
        if (
            _said([python, "-c", "print(1)"])
            and _said([uv, "venv", "--offline", "--clear", "--python", python, str(own)], "yes")
            and _said(
                [uv, "pip", "install", "--offline", "--no-config", "--python", str(own / "bin" / "python"), *NEEDED], "yes"
            )
        ):
            return str(own / "bin" / "python")
    return ""


def _said(argv: list[str], otherwise: str = "") -> str:
    """What a command printed, or ``otherwise`` where it had nothing to say; "" where it failed."""
    env = {k: v for k, v in os.environ.items() if k not in ("UV_CONSTRAINT", "PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=120)
    return "" if done.returncode else done.stdout.strip() or otherwise


@fault("keys of random jobs in other processes, orders, hash seeds, folders and Pythons", promise=3, sample=60, whole=500)
def same_keys(n: int, place: Path) -> Figure:
    rng, figure = random.Random(9), Figure()
    jobs = [_random_job(rng) for _ in range(n)]
    keys = [_key(*job) for job in jobs]
    pythons, figure.note = _pythons(place)
    for python in pythons:
        for seed in ("0", "1", "random"):
            lines = "".join(json.dumps(_shuffled(list(job), rng)) + "\n" for job in jobs)
            env = os.environ | {
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": str(ROOT) if python != sys.executable else "",
                "LC_ALL": "C",
            }
            done = subprocess.run([python, "-c", MADE], input=lines, capture_output=True, text=True, cwd=place, env=env)
            found = done.stdout.split()
            for i, key in enumerate(keys):
                figure.count(i < len(found) and found[i] == key, f"{python} seed {seed}: another key {done.stderr[-200:]}")
    return figure


def _key(method: dict[str, Any], case: dict[str, Any], setting: dict[str, Any], seed: int) -> str:
    return Job.make(MethodSpec.model_validate(method), Case.model_validate(case), seed, Setting.model_validate(setting)).key


CHANGES: tuple[tuple[int, str, Callable[[Any], Any]], ...] = (
    (0, "method", lambda v: v + "x"), (0, "version", lambda v: v + 1), (0, "params", lambda v: v | {"new": 1}),
    (1, "prompt", lambda v: v + "x"), (1, "caption", lambda v: v + "x"), (1, "negative", lambda v: (v or "") + "x"),
    (1, "reference", lambda v: v | {"frames_digest": "0" * 64}), (2, "weights_digest", lambda v: "0" * 64),
    (2, "width", lambda v: v + 8), (2, "height", lambda v: v + 8), (2, "frames", lambda v: v + 4), (2, "steps", lambda v: v + 1),
    (2, "guidance", lambda v: v * 1.0000001 + 1e-40), (2, "sigmas", lambda v: [*v[:-1], 1e-9]), (2, "dtype", lambda v: "bfloat16"),
    (2, "negative", lambda v: v + "x"), (3, "", lambda v: v + 1),
)  # fmt: skip


@fault("one thing changed in a random job: another key", promise=3, sample=170, whole=5_000)
def other_keys(n: int, place: Path) -> Figure:
    rng, figure = random.Random(10), Figure()
    for i in range(n):
        job = list(_random_job(rng))
        before = _key(*job)  # type: ignore[arg-type]
        part, name, change = CHANGES[i % len(CHANGES)]
        job[part] = job[part] | {name: change(job[part][name])} if name else change(job[part])  # type: ignore[operator,index,call-overload]
        figure.count(_key(*job) != before, f"{name or 'seed'} changed, the key did not")  # type: ignore[arg-type]
    return figure


@fault("one byte of a weight or config file changed: another digest, another key", promise=3, sample=10, whole=100)
def changed_weights(n: int, place: Path) -> Figure:
    """A flip in each file of ``tiny`` in turn, its size kept and its time of change as the file system sets it."""
    from fastvmt.backbones import card as cards

    figure, rng = Figure(), random.Random(11)
    folder = shutil.copytree(ROOT / "fastvmt" / "backbones" / "tiny" / "weights", place / "weights")
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json") and p.is_file())
    before = cards.weights_digest(cards.load(str(folder)))
    for i in range(n):
        file = files[i % len(files)]
        raw = file.read_bytes()
        at = rng.randrange(len(raw))
        card = cards.load(str(folder))
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        figure.count(cards.weights_digest(card) != before, f"{file.name} byte {at}: the same digest")
        file.write_bytes(raw)
    return figure


tests("interrupted_tiny", "with a real backbone: 25 kills, each class of failure, Ctrl-C", 1,
      ["tests/runner/test_run.py::test_kill_9_at_random_moments_resumes_to_the_same_table",
       "tests/runner/test_run.py::test_whatever_a_method_does_becomes_a_record_and_the_run_goes_on",
       "tests/runner/test_run.py::test_ctrl_c_keeps_what_is_done_and_exits_130"])  # fmt: skip


@fault("every number of a table followed back to its video, job, case, weights and device", promise=4, sample=1, whole=1)
def traced(n: int, place: Path) -> Figure:
    """From each row of the tidy frame, by the keys in it alone."""
    from fastvmt.reports.tidy import gather

    folder, figure = undisturbed(6).folder, Figure()
    tidy, store = gather([folder]), Store.open(folder)
    jobs, records = {j.key: j for j in store.config().jobs()}, list(store.records().values())
    for row in tidy.frame.to_dict("records"):
        job = jobs.get(row["job"])
        artefact = store.artefact(job, verify=True) if job else None
        if job is None or artefact is None:
            figure.count(False, f"{row['job']}: no such job or video")
            continue
        own = [r for r in records if r.job_key == job.key and r.metric == row["metric"]]
        case = next(c for c in store.config().suite.cases if c.id == job.case_id)
        whole = artefact.frames_digest == row["frames_digest"] and artefact.device == row["device"] and artefact.software
        known = case.digest() == job.case_digest and store.config().setting.weights_digest
        cost = row["metric"] not in tidy.metrics  # seconds and bytes are the video's own facts, and have no records
        recorded = cost or (len(own) == 1 and own[0].value == row["value"])
        figure.count(bool(recorded and whole and known), f"{row['job']} {row['metric']}: lost its way")
    return figure


tests("trace", "several runs gathered: each row with its run, device and identity, what differs refused", 4,
      ["tests/reports/tables/test_views.py::test_the_frame_is_long_and_whole", "tests/reports/tables/test_views.py::test_records_of_two_backends_are_refused",
       "tests/reports/tables/test_views.py::test_runs_are_gathered_only_where_they_may_share_a_table"])  # fmt: skip
tests("metric_raises", "a metric that fails on some clips, undefined numbers, missing videos: n in every cell", 5,
      ["tests/reports/tables/test_views.py::test_a_comparison_is_over_what_every_method_has",
       "tests/reports/tables/test_views.py::test_a_method_without_a_value_stays_visible_and_spoils_nothing",
       "tests/reports/tables/test_views.py::test_a_job_that_failed_in_one_run_and_was_made_in_another_counts_once",
       "tests/runner/test_run.py::test_a_metric_that_fails_on_some_clips_shows_n"])  # fmt: skip
tests("gate_errors", "the gate's own error rates, and nothing to compare", 5,
      ["tests/reports/gate/test_rule.py", "tests/reports/gate/test_check.py"])  # fmt: skip
tests("datasets_beside", "Hugging Face datasets beside our wheel, installed and removed", 6,
      ["tests/test_package.py::test_installing_and_removing_our_wheel_leaves_hugging_face_datasets_whole"])  # fmt: skip
