"""Files that changed behind our back: torn and overwritten logs, flipped bits. Found, named, set aside, made again."""

from __future__ import annotations

import json
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from support.cli import Said

from fastvmt.model import Failure
from fastvmt.store.folder import Store
from faults.fault import Figure, fault, in_pairs
from faults.runs import Undisturbed, go_on, table_of, undisturbed

LOGS = ("events.jsonl", "records.jsonl", "failures.jsonl")


def _with_failures(place: Path) -> Path:
    """A finished run, with lines in its log of failures too."""
    folder = shutil.copytree(undisturbed(2).folder, place / "run")
    store = Store.open(folder)
    for number in range(3):
        store.add(Failure(job_key=f"{number}", kind="error", stage="denoise", message="é|\n" * number))
    return folder


def _read(store: Store, name: str) -> int:
    return {"records.jsonl": len(store.records()), "failures.jsonl": len(store.failures())}.get(name, 0)


@fault("the logs of records and failures torn at every byte", promise=1, sample=60, whole=100_000)
def torn_logs(n: int, place: Path) -> Figure:
    folder, figure = _with_failures(place), Figure()
    for name in LOGS[1:]:
        path = folder / name
        whole = path.read_bytes()
        ends = [i + 1 for i, b in enumerate(whole) if b == 10]
        step = max(1, len(whole) * 2 // n)
        for cut in range(0, len(whole) + 1, step):
            path.write_bytes(whole[:cut])
            store = Store.open(folder)
            found, complete = _read(store, name), sum(end <= cut for end in ends)
            lost_newline_only = cut + 1 in ends  # the line is whole, its newline is not there: it may count
            said = len(store.warnings) == (0 if cut in (0, *ends) or lost_newline_only else 1)
            figure.count(said and complete <= found <= complete + lost_newline_only, f"{name} cut at byte {cut}: {found} rows")
        path.write_bytes(whole)
    return figure


@fault("a log torn at a random byte, then the run resumed", promise=1, sample=1, whole=24)
def torn_then_resumed(n: int, place: Path) -> Figure:
    base = undisturbed(2)
    return in_pairs(partial(_torn_and_resumed, place / f"{number}", random.Random(number), base) for number in range(n))


def _torn_and_resumed(place: Path, rng: random.Random, base: Undisturbed) -> str:
    folder = shutil.copytree(base.folder, place / "run")
    for name in ("events.jsonl", "records.jsonl"):
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: rng.randrange(len(raw))])
    said = go_on(folder)
    if said.code or said.data["outcome"]["made"]:
        return f"ended with {said.code}, {said.out[-200:]}"
    return "" if table_of(said) == base.table else "another table"


@fault("garbage and blocks of NUL in the middle of a log", promise=1, sample=20, whole=300)
def garbage(n: int, place: Path) -> Figure:
    folder, figure, rng = _with_failures(place), Figure(), random.Random(5)
    for number in range(n):
        name = LOGS[1 + number % 2]
        path = folder / name
        whole = path.read_bytes()
        lines = whole.split(b"\n")[:-1]
        victim = rng.randrange(len(lines))
        junk = b"\x00" * rng.randrange(1, 5000) if number % 4 < 2 else rng.randbytes(200).replace(b"\n", b"") + b"{"
        path.write_bytes(b"".join((junk if i == victim else line) + b"\n" for i, line in enumerate(lines)))
        store = Store.open(folder)
        found = _read(store, name)
        named = [w for w in store.warnings if name in w and f"line {victim + 1} " in w]
        figure.count(found == len(lines) - 1 and bool(named), f"{name} line {victim + 1}: {found} rows, {store.warnings}")
        path.write_bytes(whole)
    return figure


@fault("one bit flipped in a video or its facts: found and set aside", promise=2, sample=20, whole=400)
def flipped_bits(n: int, place: Path) -> Figure:
    base, figure, rng = undisturbed(2), Figure(), random.Random(6)
    names = ("frames.mkv", "meta.json", "video.mp4")
    for number in range(n):
        folder = shutil.copytree(base.folder, place / "flipped")
        store = Store.open(folder)
        job = rng.choice(store.config().jobs())
        before = store.artefact(job, verify=True)
        path = store.folder(job) / names[number % 3]
        where = _flip(path, rng)
        after = store.artefact(job, verify=True)
        aside = (folder / "quarantine").exists() and bool(store.warnings)
        same_words = path.name == "meta.json" and after == before  # 1e-06 as 1E-06: the same facts
        figure.count((after is None and aside) or same_words, f"{path.name} bit {where}: not found")
        shutil.rmtree(folder)
    return figure


def _flip(path: Path, rng: random.Random) -> int:
    raw = bytearray(path.read_bytes())
    where = rng.randrange(8 * len(raw))
    raw[where // 8] ^= 1 << where % 8
    path.write_bytes(raw)
    return where


@fault("one bit flipped in a finished run: the same command makes it again", promise=2, sample=2, whole=30)
def flipped_then_resumed(n: int, place: Path) -> Figure:
    base = undisturbed(2)
    return in_pairs(partial(_flipped_and_resumed, place / f"{number}", random.Random(number), base) for number in range(n))


def _flipped_and_resumed(place: Path, rng: random.Random, base: Undisturbed) -> str:
    folder = shutil.copytree(base.folder, place / "run")
    path = rng.choice(sorted((folder / "artefacts").glob("*/[fm]*")))
    before = json.loads(path.read_text()) if path.suffix == ".json" else None
    where = _flip(path, rng)
    said = go_on(folder, "--verify")
    if table_of(said) != base.table:
        return f"{path.name} bit {where}: another table"
    if said.data["outcome"]["made"] == 1 and any("quarantine" in note for note in said.data["notes"]):
        return ""
    return "" if before is not None and _same_json(path, before) else f"{path.name} bit {where}: not made again"


def _same_json(path: Path, before: Any) -> bool:
    try:
        return bool(json.loads(path.read_bytes()) == before)
    except ValueError:
        return False


@fault(
    "one bit flipped in a reference, a record or a video not yet scored: never a wrong number", promise=2, sample=3, whole=24
)
def flipped_inputs(n: int, place: Path) -> Figure:
    base, kinds = undisturbed(2), (_flipped_record, _flipped_reference, _flipped_unscored)
    return in_pairs(partial(kinds[number % 3], place / f"{number}", random.Random(number), base) for number in range(n))


def _flipped_record(place: Path, rng: random.Random, base: Undisturbed) -> str:
    """It is scored again."""
    folder = shutil.copytree(base.folder, place / "run")
    where = _flip(folder / "records.jsonl", rng)
    said = go_on(folder)
    return "" if said.code == 0 and table_of(said) == base.table else f"records.jsonl bit {where}: another table"


def _flipped_reference(place: Path, rng: random.Random, base: Undisturbed) -> str:
    """It stops what needs it, and the numbers that stand are right."""
    folder = shutil.copytree(base.folder, place / "run")
    where = _flip(rng.choice(sorted((folder / "references").glob("*.mkv"))), rng)
    (folder / "records.jsonl").unlink()
    said = go_on(folder)
    if wrong := _right(said, base):
        return wrong
    logs = (folder / "failures.jsonl", folder / "records.jsonl")  # a video could not be made, or a number not computed
    said_so = said.code == 0 or any("set aside" in log.read_text() for log in logs if log.exists())
    return "" if said.code in (0, 3) and said_so else f"reference bit {where}: ended with {said.code}"


def _flipped_unscored(place: Path, rng: random.Random, base: Undisturbed) -> str:
    """It is set aside when it would be scored, and the same command makes it again."""
    folder = shutil.copytree(base.folder, place / "run")
    where = _flip(rng.choice(sorted((folder / "artefacts").glob("*/frames.mkv"))), rng)
    (folder / "records.jsonl").unlink()
    said = go_on(folder)
    if wrong := _right(said, base):
        return wrong
    again = go_on(folder) if said.code == 3 else said
    if again.code or table_of(again) != base.table or not list((folder / "quarantine").iterdir()):
        return f"frames.mkv bit {where}: ended with {said.code}, then {again.code}"
    return ""


def _right(said: Said, base: Undisturbed) -> str:
    """Whether each number that stands on all clips is that of the undisturbed run."""
    right = {r["method"]: r["metrics"]["difference"] for r in base.table[1]}
    for row in said.data["rows"]:
        cell = row["metrics"]["difference"]
        if cell["n"] == 2 and cell["value"] != right[row["method"]]["value"]:
            return f"{row['method']}: a wrong number"
    return ""


@fault("the facts of a video cut at every seventh byte", promise=2, sample=1, whole=1)
def cut_meta(n: int, place: Path) -> Figure:
    """``meta.json`` cut at every byte: never an artefact, always set aside."""
    folder, figure = shutil.copytree(undisturbed(1).folder, place / "run"), Figure()
    store = Store.open(folder)
    job = store.config().jobs()[0]
    raw = (store.folder(job) / "meta.json").read_bytes()
    kept = shutil.copytree(store.folder(job), place / "kept")
    for cut in range(0, len(raw) - 1, 7):
        (store.folder(job) / "meta.json").write_bytes(raw[:cut])
        figure.count(store.artefact(job) is None and not store.folder(job).exists(), f"cut at byte {cut}")
        shutil.copytree(kept, store.folder(job))
    return figure


@fault("one bit flipped in a cached tensor: computed again, never used", promise=2, sample=20, whole=300)
def cached_tensors(n: int, place: Path) -> Figure:
    """The real cache of embeddings and latents, asked anew."""
    import torch

    from fastvmt.core.stages import Stages
    from fastvmt.runner.tensor_cache import TensorCache

    folder, figure, rng = shutil.copytree(undisturbed(1).folder, place / "run"), Figure(), random.Random(12)
    value = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(0))

    def ask() -> tuple[bool, bool]:
        """Whether the right tensor came, and whether it was computed for that."""
        made: list[int] = []
        cache = TensorCache(folder / "cache", ("weights", "float32"), torch.device("cpu"))
        found = cache.get("text:a", lambda: made.append(1) or value.clone(), "text", Stages())  # type: ignore[func-returns-value]
        return bool(torch.equal(found, value)), bool(made)

    first, second = ask(), ask()
    figure.count(first == (True, True) and second == (True, False), f"the cache itself: {first}, {second}")
    path = next((folder / "cache").glob("*.safetensors"))
    for _ in range(n):
        where = _flip(path, rng)
        figure.count(ask() == (True, True) and ask() == (True, False), f"bit {where}: not computed again, or another tensor")
    return figure
