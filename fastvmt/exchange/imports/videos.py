"""``bench import``: every problem first, all at once; then the videos, their failures, and last the method's line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastvmt.artefacts.given import publish_given
from fastvmt.core.content_address import digest, frames_digest
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import SpecError, StoreError, SuiteError
from fastvmt.exchange.imports.claims import differences, read_claims, worded
from fastvmt.exchange.imports.frames import Policy, Read, read
from fastvmt.exchange.imports.matching import VideoFiles, match
from fastvmt.jobs.numbering import JobGrid
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import IMPORTED, Case, Failure, Job, MethodSpec
from fastvmt.runner.crew.leases import Leases
from fastvmt.runner.plan import resolve
from fastvmt.runner.settings import Request
from fastvmt.store import layout
from fastvmt.store.folder import Store
from fastvmt.suites.cases import content_sha256

NOT_GIVEN = "not_given"
AS_IT_IS = Policy()
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Claim:
    """What is said about the videos.

    Attributes:
        name: of the method; its line is ``imported:NAME``.
        settings: ``key=value`` pairs and TOML files, as on the command line.
        source: where the videos come from, for readers.
        policy: what is done to videos of another size or length.
        partial: cases without a video are failures instead of a reason to refuse.
    """

    name: str
    settings: tuple[str, ...] = ()
    source: str = ""
    policy: Policy = AS_IT_IS
    partial: bool = False


@dataclass
class _Seen:
    """What a first look at the files found, without keeping a frame."""

    shas: dict[tuple[str, int], str]
    made: dict[tuple[str, int], str]
    lossy: Counter[str]
    fitted: Counter[str]


def bring_in(
    videos: Path, claim: Claim, request: Request | None = None, *, into: Path | None = None, out: Path | None = None
) -> Store:
    """Bring somebody else's videos into a run folder; see ``fastvmt.import_videos``.

    Returns:
        The run folder, not locked any more.
    """
    claim.policy.check()
    plan = None
    if into is not None:
        store = Store.open(into)
        config = store.config()
    else:
        plan = resolve(replace(request or Request(), methods=("none",), controls=False, repeats=0, ablates_presets=False))
        config = plan.config.model_copy(update={"methods": ()})
    spec, found, seen = _looked_through(videos, claim, config)
    if plan is not None:
        config = with_line(config, spec, _notes(claim, spec, config, found, seen))
        store = replace(plan, config=config).open_store(out, hold=True)
    store.lock()
    try:
        _refuse_other_import(store, spec)
        store.clear_unfinished(Leases(store.root).lives)  # runners that joined hold no lock
        _publish(store, store.config(), spec, found, seen, claim.policy)
        before = store.config()
        after = with_line(before, spec, _notes(claim, spec, before, found, seen))
        write_atomic(store.root / layout.CONFIG, after.model_dump_json(indent=1))
    finally:
        store.unlock()
    return store


def with_line(config: RunConfig, spec: MethodSpec, notes: Sequence[str]) -> RunConfig:
    """The configuration with one more method and its notes; unchanged where it has them."""
    methods = config.methods if spec in config.methods else (*config.methods, spec)
    return config.model_copy(update={"methods": methods, "notes": tuple(dict.fromkeys([*config.notes, *notes]))})


def _refuse_other_import(store: Store, spec: MethodSpec) -> None:
    for known in store.config().methods:
        if known.label == spec.label and known.identity() != spec.identity():
            raise StoreError(
                f"{store.root} holds other videos or other claims under '{spec.label}'. Give this import another --method name."
            )


# --- looking ------------------------------------------------------------------------------------------------------------


def _looked_through(videos: Path, claim: Claim, config: RunConfig) -> tuple[MethodSpec, VideoFiles, _Seen]:
    """Every file opened once.

    Raises:
        SpecError: with every problem there is, a line each.
    """
    problems: list[str] = []
    if not _NAME.fullmatch(claim.name):
        problems.append(
            f"--method {claim.name[:80]!r}: use up to 64 small letters, digits, '.', '_' and '-', e.g. their-method."
        )
    claims = read_claims(claim.settings, problems)
    found = match(videos, config.suite.cases, config.seeds, problems)
    seen = _look(found, config, claim.policy, problems)
    absent = [f"{c.id} seed {s}" for c in config.suite.cases for s in config.seeds if (c.id, s) not in found]
    if absent and not claim.partial and videos.exists():
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        problems.append(
            f"no video for {', '.join(absent[:3])}{more}. Add them, or give --partial: they then count as failures, "
            "because a table over the cases somebody chose to send is no comparison."
        )
    if not found and not problems:
        problems.append(f"{videos}: there is no video in it.")
    if problems:
        raise SpecError("\n".join(dict.fromkeys(problems)))
    params: dict[str, Any] = {
        "name": claim.name, "claims": claims, "source": " ".join(claim.source.split())[:500],
        "files": digest(sorted([case, seed, sha] for (case, seed), sha in seen.shas.items())),
        "fitted": f"{claim.policy.fit}, {claim.policy.frames}" if seen.fitted else "", "lossy": bool(seen.lossy),
    }  # fmt: skip
    label = f"{IMPORTED}:{claim.name}"
    return MethodSpec(label=label, method=IMPORTED, version=1, params=params), found, seen


def _look(found: VideoFiles, config: RunConfig, policy: Policy, problems: list[str]) -> _Seen:
    seen = _Seen({}, {}, Counter(), Counter())
    cases = {c.id: c for c in config.suite.cases}
    for at, path in found.items():
        try:
            clip = _read(path, cases[at[0]], config, policy)
            seen.shas[at], seen.made[at] = content_sha256(path), frames_digest(clip.frames)
        except SuiteError as error:
            problems.append(str(error).replace(" Take it out of the suite.", " Take it out."))
            continue
        except OSError as error:
            problems.append(f"{path.name}: cannot be read ({(error.strerror or 'unknown reason').lower()}).")
            continue
        seen.lossy.update([clip.lossy] if clip.lossy else [])
        seen.fitted.update([clip.fitted] if clip.fitted else [])
    return seen


def _read(path: Path, case: Case, config: RunConfig, policy: Policy) -> Read:
    return read(path, path.name, config.setting.width, config.setting.height, case.reference.frames, policy)


def _notes(claim: Claim, spec: MethodSpec, config: RunConfig, found: VideoFiles, seen: _Seen) -> list[str]:
    """What every table with this line has to say under it."""
    p, label = spec.params, spec.label
    origin = f" (from {p['source']})" if p["source"] else ""
    notes = [
        f"{label}: {len(found)} videos made elsewhere{origin} and imported; claimed settings: {worded(p['claims'])}; "
        "claims are not checked, and no seconds of it are ours."
    ]
    if other := differences(p["claims"], config.setting):
        notes.append(f"{label}: claims another setting than this run's: {', '.join(other)}.")
    if "seconds" in p["claims"]:
        notes.append(f"{label}: claims {p['claims']['seconds']} s a video, on another machine; it is in no column.")
    if seen.lossy:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(seen.lossy.items()))
        notes.append(
            f"{label}: {sum(seen.lossy.values())} of {len(found)} videos were read from files that may have lost pixels "
            f"({kinds}); its numbers are those of the compressed videos, ours are not compressed."
        )
    if seen.fitted:
        kinds = "; ".join(f"{n} {kind}" for kind, n in sorted(seen.fitted.items()))
        notes.append(f"{label}: {sum(seen.fitted.values())} of {len(found)} videos were fitted to this run ({kinds}).")
    return notes


# --- writing ------------------------------------------------------------------------------------------------------------


def _publish(store: Store, config: RunConfig, spec: MethodSpec, found: VideoFiles, seen: _Seen, policy: Policy) -> None:
    """Videos that are not there yet, and a failure for every job without one."""
    failed = store.failures()
    cases = {c.id: c for c in config.suite.cases}
    for job in JobGrid([spec], config.suite.cases, config.seeds, config.setting):
        at = (job.case_id, job.seed)
        if at in found:
            if store.artefact(job) is None:
                _write(store, config, job, cases[job.case_id], found[at], seen, policy)
        elif job.key not in failed:
            message = "no video of this case and seed was given to `bench import`"
            store.add(Failure(job_key=job.key, kind=NOT_GIVEN, stage="import", message=message))


def _write(store: Store, config: RunConfig, job: Job, case: Case, path: Path, seen: _Seen, policy: Policy) -> None:
    clip = _read(path, case, config, policy)
    at = (job.case_id, job.seed)
    if frames_digest(clip.frames) != seen.made[at]:
        raise StoreError(f"{path.name} changed while it was imported. Import again when nothing writes to it.")
    facts = {"file": path.name, "sha256": seen.shas[at], "lossy": clip.lossy, "fitted": clip.fitted, "notes": list(clip.notes)}
    publish_given(store, job, case, clip.frames, IMPORTED, {IMPORTED: facts})
