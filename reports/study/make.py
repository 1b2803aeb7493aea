"""``bench study make``: a blind questionnaire from a run folder, and the key that is needed to read its answers.

    DIR/index.html, study.js, study.css    the page; opens from disk, asks nothing of a network, sends nothing
    DIR/<token>.webp                       one atlas per clip: its frames in a grid, row by row
    study-key.json                         beside DIR: which token is which method; stays with whoever asks

Nothing in DIR may lead to a method. Names are random and not derived from anything, files are written in the order of
their names, and the digest in the page covers only what raters see: one over the key could be tried out until it fits.
"""

from __future__ import annotations

import hashlib
import math
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import publish_folder, write_atomic
from fastvmt.core.disk.held_folder import new_folder
from fastvmt.errors import SpecError, StoreError, UserError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import read_lossless
from fastvmt.model import CATEGORIES, Case, Job
from fastvmt.reports.page.atlas import LARGEST_SIDE, Layout, json_text, pictures, reduced, webp
from fastvmt.reports.study.key import ANSWERS_FORMAT, CRITERIA, KEY_NAME, PAGE_FORMAT, Candidate, Key, Question
from fastvmt.reports.study.pairs import MOVING, STILL, checks_of, pairs_of
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES, REFERENCES

PAGE = Path(__file__).resolve().parent / "page"
MAX_FRAME_WIDTH = 360
MAX_ATLAS_AREA = 40_000_000
"""Pixels; decoded this is 160 MB, and a browser holds one atlas for every clip of a question."""
SAY_EVERY = 10
CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyDesign:
    """What to ask. Without ``methods`` all of the run that are no controls; ``raters``: how many codes to hand out; ``pairs``:
    so many questions of two videos each, and checks among them, instead of one of all videos for each of ``cases``."""

    methods: tuple[str, ...] = ()
    cases: int = 8
    seed: int = 0
    raters: int = 0
    pairs: int = 0


@dataclass
class MadeStudy:
    """What was made, and what was left out and why (case -> reason)."""

    folder: Path
    key_file: Path
    key: Key
    bytes: int
    left_out: dict[str, str]
    warnings: list[str] = field(default_factory=list)


def layout_of(frames: int, width: int, height: int) -> Layout:
    """How a clip's frames lie in its one image: as large as they fit, and of their grids the squarest.

    Raises:
        UserError: when not even frames of 32 px fit.
    """
    for w in range(min(MAX_FRAME_WIDTH, width), 0, -1):
        h = max(1, round(height * w / width))
        columns = max(1, min(frames, LARGEST_SIDE // w, round(math.sqrt(frames * h / w))))
        rows = math.ceil(frames / columns)
        if rows * h <= LARGEST_SIDE and columns * w * rows * h <= MAX_ATLAS_AREA:
            return Layout(frames, w, h, columns, rows, 1)
        if w <= 32:
            break
    raise UserError(f"A clip of {frames} frames, width {width}, height {height} px, fits no atlas; use a shorter run.")


def make(run: Path, out: Path, design: StudyDesign, say: Say = lambda _: None) -> MadeStudy:
    """Write the questionnaire folder ``out`` and the key beside it; ``say`` hears how far it is.

    Raises:
        UserError: options that fit no study, a place that is taken, or no case with a video of every method.
    """
    store = Store.open(run)
    config = store.config()
    methods = _methods(config, design)
    key_file = _free_place(out)
    found, left_out = complete_cases(store, config, methods)
    picked = pick(found, replace(design, cases=len(found)) if design.pairs else design)
    order = secrets.SystemRandom()
    if design.pairs:
        two = pairs_of(found, picked, methods, design.pairs, design.seed)
        asked = {secrets.token_hex(8): _question(case, dict(jobs), order) for case, jobs in two}
        checks = checks_of(store, picked, len(two))
        asked |= {secrets.token_hex(8): _question(case, {MOVING: None, STILL: None}, order) for case in checks}
        picked = [case for case, _ in two]
    else:
        asked = {secrets.token_hex(8): _question(case, dict(found[case]), order) for case in picked}
    left_out |= {case.id: "not picked" for case in found if case not in picked}
    with new_folder(out.parent, "study") as making:
        public = _write_clips(making, store, asked, bool(design.pairs), say)
        key = Key(
            study=public["study"], run=run.resolve().name, suite=config.suite.name, suite_digest=config.suite.digest(),
            backbone=config.setting.backbone, methods=methods, questions={t: q for t, (_, q) in asked.items()},
            raters=rater_codes(design.raters), left_out=left_out, pairs=bool(design.pairs),
        )  # fmt: skip
        key = key.model_copy(update={"digest": key.own_digest()})
        _write_page(making, public)
        size = sum(p.stat().st_size for p in making.iterdir())
        # The key first: a folder without its key could be handed out, and its answers never read.
        write_atomic(key_file, key.model_dump_json(indent=1))
        try:
            publish_folder(making, out)
        except BaseException:
            key_file.unlink(missing_ok=True)
            raise
    return MadeStudy(out, key_file, key, size, left_out, list(store.warnings))


def _methods(config: RunConfig, design: StudyDesign) -> tuple[str, ...]:
    labels = [m.label for m in config.methods]
    chosen = design.methods or tuple(m.label for m in config.methods if not m.control)
    for label in chosen:
        if label not in labels:
            raise SpecError(f"--methods {label}: the run has {', '.join(labels)}.")
    if len(set(chosen)) != len(chosen):
        raise SpecError(f"--methods {','.join(chosen)}: a method is named twice.")
    if not 2 <= len(chosen) <= 26:
        which = f"{len(chosen)} ({', '.join(chosen)})" if chosen else "none"
        raise SpecError(f"A study ranks 2 to 26 methods, not {which}; name them with --methods, of {', '.join(labels)}.")
    if not 1 <= design.cases <= 10_000:
        raise SpecError(f"--cases {design.cases}: 1 to 10000 questions can be asked.")
    if not 0 <= design.pairs <= 10_000:
        raise SpecError(f"--pairs {design.pairs}: 0 to 10000 pairs can be asked.")
    if not 0 <= design.raters <= 10_000:
        raise SpecError(f"--raters {design.raters}: 0 to 10000 codes can be handed out.")
    return tuple(chosen)


def _free_place(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: is there already; a study is never overwritten, give another folder.")
    key_file = out.resolve().parent / KEY_NAME
    if key_file.exists():
        raise UserError(f"{key_file}: the key of another study is there; move it, or give --out in another folder.")
    return key_file


def complete_cases(
    store: Store, config: RunConfig, methods: tuple[str, ...]
) -> tuple[dict[Case, dict[str, Job]], dict[str, str]]:
    """Cases for which every method has a video, with the jobs of the first seed that has them all; and the others, why not."""
    specs = [m for m in config.methods if m.label in methods]
    found: dict[Case, dict[str, Job]] = {}
    left_out: dict[str, str] = {}
    for case in config.suite.cases:
        fewest: list[str] | None = None
        for seed in config.seeds:
            jobs = {m.label: Job.make(m, case, seed, config.setting) for m in specs}
            missing = [label for label, job in jobs.items() if store.artefact(job) is None]
            if not missing:
                found[case] = jobs
                break
            fewest = missing if fewest is None or len(missing) < len(fewest) else fewest
        else:
            left_out[case.id] = f"no video of {', '.join(fewest or methods)}"
    if not found:
        example = next(iter(left_out.items()), ("", "the suite has no cases"))
        what = ": ".join(filter(None, example))
        raise UserError(f"{store.root}: no case has a video of every method ({what}); `bench resume` makes what is missing.")
    return found, left_out


def pick(found: dict[Case, dict[str, Job]], design: StudyDesign) -> list[Case]:
    """So many cases, by turns from each category; a second prompt of one clip only when the clips run out."""
    chance = random.Random(design.seed)
    groups = [[c for c in found if c.category == name] for name in CATEGORIES]
    groups += [[c for c in found if c.category not in CATEGORIES]]
    groups = [chance.sample(g, len(g)) for g in groups if g]
    chance.shuffle(groups)  # so that which categories get one more follows from the seed, not from their order
    picked: list[Case] = []
    seen: set[str] = set()
    for repeat in (False, True):
        waiting = [[c for c in g if c not in picked] for g in groups]
        while any(waiting) and len(picked) < design.cases:
            for group in waiting:
                fresh = (c for c in group if repeat or c.reference.frames_digest not in seen)
                case = next(fresh, None)
                if case is None:
                    group.clear()
                elif len(picked) < design.cases:
                    picked.append(case)
                    seen.add(case.reference.frames_digest)
                    group.remove(case)
    return picked


def _question(case: Case, jobs: Mapping[str, Job | None], order: random.Random) -> tuple[tuple[Case, Jobs], Question]:
    """A question with fresh tokens, and the job behind each of them; none behind those of a check."""
    tokens = sorted(secrets.token_hex(8) for _ in jobs)
    labels = order.sample(list(jobs), len(jobs))
    reference = case.reference
    question = Question(
        case=case.id, category=case.category, prompt=case.prompt,
        seconds=reference.frames * reference.fps_den / reference.fps_num, reference=secrets.token_hex(8),
        clips={t: Candidate(method=label, seed=job.seed if (job := jobs[label]) else 0)
               for t, label in zip(tokens, labels, strict=True)},
        check=next((t for t, label in zip(tokens, labels, strict=True) if label == MOVING), None),
    )  # fmt: skip
    return (case, {t: jobs[label] for t, label in zip(tokens, labels, strict=True)}), question


Jobs = dict[str, Job | None]
Asked = dict[str, tuple[tuple[Case, Jobs], Question]]


def _write_clips(folder: Path, store: Store, asked: Asked, ties: bool, say: Say) -> dict[str, Any]:
    """All atlases, in the order of their names: times of writing then tell nothing. Returns what the page shows."""
    facts: dict[str, dict[str, Any]] = {}
    sums: dict[str, str] = {}
    sources = sorted(_sources(store, asked))
    still = {t for _, question in asked.values() for t, c in question.clips.items() if c.method == STILL}
    for number, (token, path, shape) in enumerate(sources):
        if number and number % SAY_EVERY == 0:
            say(f"{number} of {len(sources)} clips")
        try:
            frames = read_lossless(path, shape)
        except OSError:
            hint = "`bench resume` makes what is missing" if path.parent != store.root / REFERENCES else "run the suite anew"
            raise StoreError(f"{path}: cannot be read as a video; {hint}.") from None
        if token in still:
            frames = np.repeat(frames[:1], len(frames), 0)
        layout = layout_of(len(frames), frames.shape[2], frames.shape[1])
        image = webp(pictures(reduced(frames, layout), layout)[0], layout.width)
        write_atomic(folder / f"{token}.webp", image)
        facts[token] = {"id": token, **{k: getattr(layout, k) for k in ("frames", "columns", "width", "height")}}
        sums[token] = hashlib.sha256(image).hexdigest()
    page: dict[str, Any] = {
        "format": PAGE_FORMAT,
        "answers": ANSWERS_FORMAT,
        "ties": ties,
        "criteria": [{"id": name, "title": title, "asks": asks} for name, (title, asks) in CRITERIA.items()],
        "questions": [
            {
                "id": token,
                "prompt": question.prompt,
                "fps": case.reference.fps_num / case.reference.fps_den,
                "reference": facts[question.reference],
                "clips": [facts[t] for t in question.clips],
            }
            for token, ((case, _), question) in sorted(asked.items())
        ],
    }
    return page | {"study": digest([page, sums])}


def _sources(store: Store, asked: Asked) -> Iterator[tuple[str, Path, tuple[int, int, int]]]:
    for (case, jobs), question in asked.values():
        yield question.reference, store.reference_path(case.reference.frames_digest), case.reference.shape
        for token, job in jobs.items():
            made = store.artefact(job) if job else None
            place = store.folder(job) / FRAMES if job else store.reference_path(case.reference.frames_digest)
            yield token, place, made.shape if made else case.reference.shape


def _write_page(folder: Path, public: dict[str, Any]) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    text = pages.get_template("study.html.jinja").render(data=Markup(json_text(public)))  # noqa: S704 - escaped for this place
    write_atomic(folder / "index.html", text)
    for name in ("study.js", "study.css"):
        write_atomic(folder / name, (PAGE / name).read_bytes())


def rater_codes(count: int) -> tuple[str, ...]:
    """Different codes of five letters and digits, none of which look alike."""
    codes: set[str] = set()
    while len(codes) < count:
        codes.add("".join(secrets.choice(CODE_LETTERS) for _ in range(5)))
    return tuple(sorted(codes))
