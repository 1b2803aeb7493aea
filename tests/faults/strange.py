"""Strange values, bytes and links in every place of a run folder, a baseline, a suite and a study, and every command that reads.

A try changes one to three places of a fresh copy, gives one command, and comes through when that ends with 0, 2, 3 or 4 (1 of
the gate), says a sentence wherever it is not 0, runs nothing, and writes nowhere but where it was told to.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.cli import bench
from support.clips import clip
from support.study_runs import answers, by_quality, run_folder, write

from fastvmt.model.artefact import _seal
from fastvmt.reports.study.key import read_key
from fastvmt.runner.crew.leases import _identity
from faults.fault import Figure, fault

PATIENCE = 60
"""Seconds for one command, whatever it was given: longer is a hang, on a pipe for one."""
ROOM = 3 << 30
"""Bytes that a command may take beside what the process has."""
RAW = {"@deep@": "[" * 100_000 + "]" * 100_000, "@objects@": '{"a":' * 50_000 + "1" + "}" * 50_000, "@long@": "9" * 5_000,
       "@huge@": "1" + "0" * 400, "@infinite@": "1e999"}  # fmt: skip
"""What ``json`` would not write, by the text that stands for it."""
TEXTS = (
    "", " ", ".", "..", "/", "~", "-", "nan", "1e400", "../../outside/victim", "../../outside/new", "OUTSIDE/victim", "OUTSIDE/new",
    "OUTSIDE/evil.py", "/proc/self/cwd/../outside/evil.py", "evil.py", "\x00", "a\x00b", "\x1b[31mred\x1b]0;title\x07", "a\r\nb", "\u202e\u200b",
    "\ud800", '=HYPERLINK("http://x")', "<script>window.hit=1</script>", "%s {0} ${x} {{x}}", "x" * 70_000, "f" * 64, "g" * 64, "2026-13-40",
    "fastvmt", "fastvmt:inner=1e400", "tiny", "cuda", "float8", "crop", "ok", "failed", "undefined",
)  # fmt: skip
STRANGE = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(sorted(RAW)), st.text(max_size=8), st.integers(), st.floats(), st.none(), st.booleans(),
    st.sampled_from((0, -1, 2**31, 2**63, 10**23, 1e308, 5e-324, math.nan, math.inf, -math.inf)),
    st.sampled_from(([], {}, [[]], [None], {"a": 1}, {"": {}}, [0] * 10_000, ["a", "a"])),
)  # fmt: skip
PLACES = ("lock", "table.md", "sheet.png", "report", "report/index.html", "events", "events.jsonl", "records", "records.jsonl", "failures",
          "failures.jsonl", "artefacts", "references", "cache", "cache/artefacts.tsv", "workers", "leases", "leases/holders", "prepared",
          "quarantine", "probes", "probes/correspondence.json", "config.json", "conflicts.json", "merge.json", "plan.json")  # fmt: skip
COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "run": [
        ("table", "run"), ("table", "run", "--json"), ("table", "run", "--by", "category"), ("status", "run"), ("compare", "run"),
        ("compare", "run", "second"), ("check", "run", "--baseline", "baseline.json", "--strict"), ("check", "run"),
        ("baseline", "write", "run", "--out", "new.json", "--allow-failures"), ("gc", "run"), ("gc", "."), ("verify", "run"), ("why", "run"),
        ("merge", "run", "second", "--out", "merged"), ("export", "run", "--to", "parquet", "--out", "exported"),
        ("study", "make", "run", "--out", "asked", "--cases", "2"), ("table", "second"),
        ("report", "run", "--no-figures", "--no-page", "--frame", "csv"),
    ],
    "baseline.json": [("check", "run", "--baseline", "baseline.json"), ("check", "run", "--baseline", "baseline.json", "--json")],
    "gate.toml": [("check", "run", "--baseline", "baseline.json", "--tolerances", "gate.toml")],
    "suite": [("suite", "check", "suite"), ("suite", "show", "suite"), ("suite", "make", "suite", "--force"),
              ("plan", "--suite", "suite", "--metrics", "time", "--methods", "fastvmt")],
    "study-key.json": [("study", "import", "answers", "--key", "study-key.json", "--out", "ranks.csv")],
    "answers": [("study", "import", "answers", "--key", "study-key.json"), ("study", "import", "answers", "--key", "study-key.json", "--strict")],
}  # fmt: skip
"""By what was made strange. What a command writes lies in the try's own folder."""
SLOW = ("report", "run", "--tracks")
"""A few tries in a hundred: it draws."""


@dataclass
class Watch:
    """What the interpreter was asked to do, seen by an audit hook, that no reading command has to do."""

    inside: str = ""
    seen: list[str] = field(default_factory=list)
    others: set[int] = field(default_factory=set)
    """Threads that were there before the command: beats of other tests' leases."""

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.inside or threading.get_ident() in self.others:
            return
        if event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            self._touches(event, given[0])
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "shutil.rmtree", "os.rename", "os.link"):
            for place in given[:2] if event in ("os.rename", "os.link") else given[:1]:
                self._touches(event, place)
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
            self.seen.append(f"{event} {given[0]!r}"[:200])
        elif event == "exec" and getattr(given[0], "co_filename", "").startswith(self.inside):
            self.seen.append(f"ran {given[0].co_filename}")

    def _touches(self, event: str, place: object) -> None:
        if not isinstance(place, str | bytes | os.PathLike):
            return  # a descriptor that was opened before
        where = os.path.join(os.path.realpath(os.path.dirname(os.fsdecode(place)) or "."), os.path.basename(os.fsdecode(place)))
        known = (f"{self.inside}/now", f"{self.inside}/tmp", "/dev/null", "/proc/self", *_FONTS)
        if not where.startswith(known) and "__pycache__" not in where:
            self.seen.append(f"{event} {where}"[:200])


_FONTS = tuple(
    os.path.realpath(os.environ.get(name) or Path.home() / folder)
    for name, folder in (("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config"))
)
"""Where libraries that draw keep what they know of fonts."""
WATCH = Watch()


@fault("strange values, bytes and links in all that is read, by every reading command", promise=6, sample=150, whole=20_000)
def strange_places(n: int, place: Path) -> Figure:
    base, figure, ends = _base(place / "base"), Figure(), Counter[int]()
    if WATCH not in _HOOKED:
        sys.addaudithook(WATCH)
        _HOOKED.append(WATCH)

    @settings(max_examples=n, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def each(data: st.DataObject) -> None:
        tried, wrong = _one(data, base, place, ends)
        figure.count(not wrong, f"{tried}: {wrong}")

    with _limits():
        each()
    figure.note = "ended with " + ", ".join(f"{code}: {count}" for code, count in sorted(ends.items()))
    return figure


_HOOKED: list[Watch] = []


def _base(base: Path) -> Path:
    """A run with gaps, another one, its baseline, tolerances, a suite, a study and its answers."""
    base.mkdir()
    for name in ("run", "second"):
        run_folder(
            base / name, prompts=("a red disc", "a blue box"), missing=(("case-0001", "moft:inner=3"),), frames=(5, 16, 16)
        )
    _more_files(base / "run")
    (base / "suite").mkdir()
    for name in ("one", "two"):
        clip(base / "suite" / f"{name}.mp4", frames=9)
    (base / "suite" / "prompts.csv").write_text("clip,prompt\none.mp4,a red disc\ntwo.mp4,a blue box\n")
    (base / "gate.toml").write_text("[metrics]\ntime = 0.1\n")
    for argv in (("baseline", "write", "run", "--out", "baseline.json", "--allow-failures"), ("suite", "make", "suite"),
                  ("study", "make", "run", "--out", "study", "--cases", "2")):  # fmt: skip
        said = bench(*argv, cwd=base)
        assert said.code == 0, said.err
    key = read_key(base / "study-key.json")
    write(base / "answers", [answers(key, rater, by_quality) for rater in ("anna", "bo")])
    return base


def _more_files(run: Path) -> None:
    """What a run in work, or a merged one, holds beside its videos and numbers."""
    key = next((run / "artefacts").glob("*/meta.json")).read_text().split('"key": "')[1].split('"')[0]
    failure = {"job_key": key, "kind": "error", "stage": "denoise", "message": "m", "traceback": "t"}
    said = (
        {"event": "started", "jobs": 1, "workers": 2, "how": ["--executor", "ray"]},
        {"event": "made", "key": key, "seconds": 1.0},
    )
    texts = {
        "failures.jsonl": json.dumps(failure) + "\n", "events.jsonl": "".join(json.dumps(line) + "\n" for line in said),
        "plan.json": json.dumps({"time": 1.0, "device": "cpu", "seconds": {"none": 1.0}, "left": {"none": 1}}),
        "conflicts.json": json.dumps({"frames": [{"job": key, "runs": {"a": key}, "used": None}], "numbers": []}),
        "leases/holders/0123456789abcdef": json.dumps(_identity()) + "\n000000000001\n",
    }  # fmt: skip
    (run / "leases" / "holders").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (run / name).write_text(text)


def _one(data: st.DataObject, base: Path, place: Path, ends: Counter[int]) -> tuple[str, str]:
    """What was tried, and what went wrong."""
    now, outside = place / "now", place / "outside"
    for folder in (now, outside, place / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, now)
    (outside / "folder").mkdir(parents=True)
    (place / "tmp").mkdir()
    witness = outside / "witness"
    for file, text in (
        ("victim", "not yours\n" * 3),
        ("folder/victim", "nor this\n"),
        ("evil.py", f"open({str(witness)!r}, 'w')"),
    ):
        (outside / file).write_text(text)
    shutil.copyfile(outside / "evil.py", now / "run" / "evil.py")
    where = data.draw(st.sampled_from(("run",) * 7 + tuple(COMMANDS)[1:]))
    changes = [_change(data, now, now / where, outside) for _ in range(data.draw(st.sampled_from((1, 1, 1, 2, 3))))]
    given = data.draw(st.sampled_from(COMMANDS[where] * 3 + ([SLOW] if where == "run" else [])))
    before = _seen(outside)
    wrong = _give(given, now, place, ends)
    if not wrong and _seen(outside) != before:
        wrong = "something outside was changed"
    return f"{' '.join(given)} after {'; '.join(changes)}", wrong


def _give(given: tuple[str, ...], now: Path, place: Path, ends: Counter[int]) -> str:
    WATCH.seen.clear()
    WATCH.others = {t.ident or 0 for t in threading.enumerate() if t is not threading.current_thread()}
    WATCH.inside, tempfile.tempdir = os.path.realpath(place), str(place / "tmp")
    os.environ["FASTVMT_LEASE_SILENCE"] = "1"  # else `gc` listens half a minute to whoever may be at work elsewhere
    signal.alarm(PATIENCE)
    try:
        said = bench(*given, cwd=now)
    except AssertionError as error:
        return f"a traceback: {str(error).strip()[-300:]}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
        del os.environ["FASTVMT_LEASE_SILENCE"]
        WATCH.inside, tempfile.tempdir = "", None
    ends[said.code] += 1
    if WATCH.seen:
        return "; ".join(WATCH.seen[:3])
    if said.code not in (0, 2, 3, 4) and (said.code, given[0]) != (1, "check"):
        return f"ended with {said.code}: {(said.err or said.out)[-300:]}"
    if said.code and not (said.err or said.out).strip():
        return f"ended with {said.code} and no word"
    raw = [c for c in said.out + said.err if (ord(c) < 32 and c not in "\n\t\r") or c in "\x7f\u202e"]
    return f"sends {raw[0]!r} to the terminal" if raw else ""


# --- changes -------------------------------------------------------------------------------------------------------------


def _change(data: st.DataObject, now: Path, where: Path, outside: Path) -> str:
    """Change one place; what was done, in words."""
    files = sorted(p for p in where.rglob("*") if p.is_file() and not p.is_symlink()) if where.is_dir() else [where]
    kinds = ["value", "value", "value", "bytes", "link"] if where.name == "run" else ["value", "value", "bytes"]
    kind = data.draw(st.sampled_from(kinds))
    if kind == "link":
        return _link(data, where, files, outside)
    texts = [f for f in files if f.suffix in (".json", ".jsonl") or f.parent.name == "holders"]
    if kind == "bytes" or not texts:
        return _bytes(data, data.draw(st.sampled_from(files)), now) if files else "nothing"
    return _value(data, data.draw(st.sampled_from(texts)), now, outside)


def _value(data: st.DataObject, file: Path, now: Path, outside: Path) -> str:
    """One value of a JSON file, or of a line: another one, gone, or with a strange neighbour; seals made anew as a forger would."""
    whole = file.read_text(errors="replace")
    lines = [whole] if file.suffix == ".json" else whole.splitlines()
    number = data.draw(st.integers(0, max(0, len(lines) - 1)))
    try:
        facts = json.loads(lines[number])
    except (ValueError, IndexError, RecursionError):
        return _bytes(data, file, now)
    places = list(_walk(facts))
    if not places:
        return _bytes(data, file, now)
    holder, at, path = data.draw(st.sampled_from(places))
    strange = data.draw(STRANGE)
    if isinstance(strange, str):
        strange = strange.replace("OUTSIDE", str(outside))
    what = data.draw(st.sampled_from(("set", "set", "set", "set", "drop", "add")))
    if what == "drop":
        del holder[at]
    elif what == "set" or isinstance(holder, list):
        holder[at] = strange
    else:
        holder[strange if isinstance(strange, str) else "strange"] = strange
    if isinstance(facts, dict) and data.draw(st.booleans()):
        _seal_again(file, facts)
    line = json.dumps(facts)
    for mark, raw in RAW.items():
        line = line.replace(f'"{mark}"', raw)
    if file.suffix == ".jsonl" and isinstance(facts, dict) and "crc32" in facts and data.draw(st.booleans()):
        bare = line[: line.rindex(', "crc32"')] + "}" if ', "crc32"' in line else line
        line = f'{bare[:-1]},"crc32":"{zlib.crc32(bare.encode("utf-8", "replace")):08x}"}}'
    lines[number] = line
    file.write_text("\n".join(lines) + ("" if file.suffix == ".json" else "\n"), errors="replace")
    return f"{what} {path} of {file.relative_to(now)} line {number + 1} ({strange!r:.60})"


def _seal_again(file: Path, facts: dict[str, Any]) -> None:
    if file.name == "meta.json" and "check" in facts:
        with contextlib.suppress(ValueError):
            facts["check"] = _seal({k: v for k, v in facts.items() if k != "check"})


def _walk(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Every place in a JSON value: its holder, its key there, and how to read that."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield value, key, f"{path}.{key}"
        yield from _walk(inner, f"{path}.{key}")


def _bytes(data: st.DataObject, file: Path, now: Path) -> str:
    raw = file.read_bytes()
    at = data.draw(st.integers(0, len(raw)))
    junk = data.draw(
        st.binary(max_size=6)
        | st.sampled_from((b"", b"\x00" * 300, b"\xff\xfe", b"{}\n", b"[[[[", b'{"a":NaN}\n', b"\xef\xbb\xbf"))
    )
    file.write_bytes(raw[:at] + junk + raw[at + data.draw(st.integers(0, 9)) :])
    return f"{junk[:8]!r} at byte {at} of {file.relative_to(now)}"


def _link(data: st.DataObject, run: Path, files: list[Path], outside: Path) -> str:
    """A link, a pipe or a folder in the place of a file or of a folder that is or may be there."""
    place = data.draw(st.sampled_from([run / p for p in PLACES] + files))
    kind = data.draw(st.sampled_from(("file", "folder", "nowhere", "loop", "hard", "pipe", "endless", "directory")))
    targets = {
        "file": outside / "victim",
        "folder": outside / "folder",
        "nowhere": outside / "new",
        "loop": place,
        "endless": Path("/dev/zero"),
    }
    for parent in place.parents[: len(place.relative_to(run).parts) - 1]:
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            return "nothing"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    if kind == "hard":
        os.link(outside / "victim", place)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to(targets[kind])
    return f"{place.relative_to(run)} is a {kind} link" if kind in targets else f"{place.relative_to(run)} is a {kind}"


def _seen(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Of time, and of memory: a link to an endless file must end a command and not the machine."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"not at its end after {PATIENCE} s")

    before, (soft, hard) = signal.signal(signal.SIGALRM, ring), resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)
