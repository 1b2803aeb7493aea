"""Run folders read into one frame, where suite, setting and the identity of every metric agree; others are refused."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

from fastvmt.core.content_address import digest
from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import public
from fastvmt.errors import NotComparable, SpecError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins import registry
from fastvmt.plugins.labels import refuse_mixed_presets
from fastvmt.plugins.traits import Traits
from fastvmt.records.identity import Identities
from fastvmt.records.same_setting import refuse_other_setting, refuse_other_timing
from fastvmt.reports.tidy.frame import TEXTS, Tidy
from fastvmt.reports.tidy.gaps import said_of_copies
from fastvmt.reports.tidy.rows import Rows
from fastvmt.store.folder import Store


def gather(folders: Sequence[Path]) -> Tidy:
    """The frame of one or several run folders.

    Raises:
        StoreError: for a folder that is no run.
        NotComparable: when suites, settings, devices, threads, offloading or repeats of timings, metric identities, methods of
            one label, or presets of one method differ.
    """
    if not folders:
        raise SpecError("No run folder was given.")
    return of_stores([(store := Store.open(folder), store.config()) for folder in folders])


def of_stores(opened: Sequence[tuple[Store, RunConfig]]) -> Tidy:
    """As ``gather``, for runs that are open already.

    Raises:
        NotComparable: as ``gather`` does.
    """
    first = opened[0][1]
    for store, config in opened[1:]:
        _refuse_other_run(opened[0][0], first, store, config)
    if len(opened) > 1 and not any(config.ablates_presets for _, config in opened):
        refuse_mixed_presets(spec for _, config in opened for spec in config.methods)
    with no_collection(), registry.reading():
        return _gathered(opened, first)


@contextmanager
def no_collection() -> Iterator[None]:
    """Nothing read here is garbage: looking for some between 100,000 records takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _gathered(opened: Sequence[tuple[Store, RunConfig]], first: RunConfig) -> Tidy:
    import pandas as pd

    traits = reduce(Traits.over, [store.traits() for store, _ in opened])
    rows = Rows(known=Identities(traits), protocol=first.setting.terms)
    jobs = [config.jobs() for _, config in opened]
    pairs = zip(opened, jobs, strict=True)
    held = [{j.key: a for j in own if (a := store.artefact(j, bare=True))} for (store, _), own in pairs]
    for (store, config), own, artefacts in zip(opened, jobs, held, strict=True):
        elsewhere = {key for other in held if other is not artefacts for key in other} - artefacts.keys()
        doing(f"reading the numbers of {store.root.name}")
        rows.add_run(store, config, [j for j in own if j.key not in elsewhere], artefacts)
    frame = pd.DataFrame(rows.columns)
    for name in TEXTS:
        frame[name] = frame[name].astype("category")
    frame["value"] = frame["value"].astype(float)
    there = set(frame["metric"].cat.categories)
    labels = dict.fromkeys([*(m for _, c in opened for m in c.metrics), *registry.BUILTIN["metrics"], *rows.identities])
    metrics = {k: rows.known.metric(k) for k in labels if k in there}
    if unknown := [k for k in metrics if not traits.knows(k)]:
        rows.notes.append(
            f"{', '.join(unknown)}: which way is better is not known here, so it is shown and not ranked; `bench score RUN "
            "--plugin FILE`, with the file of its code, writes that into the run."
        )
    return Tidy(
        frame=frame, metrics=metrics, traits=traits,
        identities=rows.identities, methods=rows.methods,
        cases={c.id: c for c in first.suite.cases}, stores=tuple(s for s, _ in opened), suite=first.suite,
        setting=first.setting, device=first.device, seeds=tuple(dict.fromkeys(s for _, c in opened for s in c.seeds)),
        notes=tuple(dict.fromkeys([*said_of_copies(rows.counts), *rows.notes])),
        digest=digest([sorted(rows.made), sorted(rows.scored)])[:16],
        suite_digest=first.suite.digest()[:16], counts=rows.counts, own_identities=rows.own_identities,
        caveat=public(next((c.caveat for _, c in opened if c.caveat), "")),
    )  # fmt: skip


def _refuse_other_run(a: Store, first: RunConfig, b: Store, config: RunConfig) -> None:
    if config.suite.digest() != first.suite.digest():
        raise NotComparable(
            f"{a.root.name} and {b.root.name} are runs of different suites ({first.suite.name} {first.suite.digest()[:12]}, "
            f"{config.suite.name} {config.suite.digest()[:12]}); their numbers must not share a table. Report them apart."
        )
    refuse_other_setting(a.root.name, first, b.root.name, config)
    refuse_other_timing(a.root.name, first, b.root.name, config)
