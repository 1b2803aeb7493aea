"""Whose code a run may use: the files that the user gave on this command line or before, never what its folder names by itself.

open_run(folder, plugins)    what goes on with a run; reading one (``Store.open``) needs no code
handed(config)               for workers: the files by place and digest, as this process has read them
keep_traits(store, ...)      what tables need of the plug-ins, written into the folder
"""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastvmt.artefacts.code_state import edited_method, edited_metric, other_code
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins import registry, trust
from fastvmt.plugins.card import card_of
from fastvmt.plugins.labels import in_words, trains
from fastvmt.plugins.metric import bounds_of
from fastvmt.plugins.metric_labels import applies, build, listed, name_of
from fastvmt.plugins.registry import BUILTIN, PluginFile
from fastvmt.plugins.traits import FACTS, MethodTraits, MetricTraits, Traits
from fastvmt.records.missing import Scan
from fastvmt.store.folder import Store

VARIABLE = "FASTVMT_PLUGINS"
"""In a worker's environment: the plug-in files that it loads, as JSON; the run folder has no say in it."""
LARGEST = 16 << 20
"""Bytes of a plug-in file that a run folder names."""
MOST_SHOWN = 500


def open_run(
    folder: Path, plugins: Sequence[str] = (), metrics: Sequence[str] | None = None, generate: bool = True
) -> tuple[Store, RunConfig]:
    """A run folder with its configuration, and the code that it needs loaded.

    Args:
        plugins: files that the user gives; one stands for a file that the run names where it has the same bytes or names.
        metrics: labels that are to be scored, patterns among them; the run's own by default.
        generate: false where no method is needed.

    Returns:
        The store, and the configuration whose ``plugins`` are the files that were loaded.

    Raises:
        UserError: when it is no run, a plug-in cannot be loaded, or one that is needed was never given by the user.
    """
    store = Store.open(folder)
    config, known = store.config(), store.traits().plugins
    for path in plugins:
        registry.load_plugin(path)
    methods = [m.method for m in config.methods if not m.imported] if generate else []
    labels = (
        config.metrics
        if metrics is None
        else [n for names in listed(metrics, config.metrics if metrics else ()) for n in names]
    )
    names = dict.fromkeys([*config.plugins, *known])
    there = [place for name in names if (place := Path(name)).is_absolute() and _is_loaded(place, _digest(place))]
    used, refused = list(dict.fromkeys([*(Path(p).resolve() for p in plugins), *there])), []
    for named in names:
        if plugins and named not in known and not _lacking(methods, labels):
            continue  # a folder of before, which does not say what the file was for
        file, problem = _load_named(store.root, named, known.get(named), used)
        used += [file] if file and file not in used else []
        refused += [problem] if problem else []
    if lacking := _lacking(methods, labels):
        raise SpecError("\n".join(refused) or f"{store.root}: {lacking} Give its file with --plugin FILE.")
    own = [registry.file_of("methods", id) for id in methods] + [registry.file_of("metrics", name_of(m)) for m in labels]
    files = dict.fromkeys([*map(str, used), *filter(None, own)])  # what this process was given before, too
    return store, config.model_copy(update={"plugins": tuple(files)})


def _load_named(root: Path, named: str, was: PluginFile | None, used: Sequence[Path]) -> tuple[Path | None, str]:
    """Load a file that a run folder names, where it may be: the file that was loaded, and why it was not."""
    for file in used:
        here = registry.loaded(file)
        if here and was and (here.sha256 == was.sha256 or set(was.names) <= set(here.names)):
            return file, ""
    place, words = Path(named), shown(named, MOST_SHOWN)
    if not place.is_absolute() or not (sha256 := _digest(place)):
        return None, f"{root} was made with the plug-in {words}, which is not there. Give its file with --plugin FILE."
    place = place.resolve()
    if _is_loaded(place, sha256):
        return place, ""
    places = trust.places_of(sha256)
    trusted = place if place in places else next((p for p in places if _digest(p) == sha256), None)
    if trusted is None:
        return None, (
            f"{root} names the plug-in {words} (SHA-256 {sha256}), which you have never given in this state, and what a run "
            f"folder names is not run: look at the file, and add --plugin {shlex.quote(words)} to this command if you trust it."
        )
    registry.load_plugin(str(trusted), sha256)
    return trusted, ""


def _is_loaded(file: Path, sha256: str) -> bool:
    here = registry.loaded(file)
    return here is not None and here.sha256 == sha256


def _digest(file: Path) -> str:
    """SHA-256 of what may be a plug-in; "" for what is none: pipes, devices, files beyond any sensible size."""
    try:
        about = file.stat()
        plain = stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST
        return hashlib.sha256(file.read_bytes()).hexdigest() if plain else ""
    except (OSError, ValueError):  # a name that no file can have
        return ""


def _lacking(methods: Iterable[str], metrics: Iterable[str]) -> str:
    """The first thing whose code is not here, in a sentence; ""."""
    try:
        for id in methods:
            registry.methods.get(id)
        for label in metrics:
            if "*" not in label and "?" not in label:
                build(label)
    except SpecError as error:
        return str(error)
    return ""


def handed(plugins: Iterable[str]) -> list[tuple[str, str]]:
    """Plug-in files of a run with the digests of the bytes that this process has loaded."""
    found = [(path, registry.loaded(Path(path))) for path in plugins]
    return [(path, here.sha256) for path, here in found if here]


def load_handed(files: Iterable[tuple[str, str]]) -> None:
    """Load in another process what ``handed`` names.

    Raises:
        SpecError: for a file that was changed since.
    """
    for path, sha256 in files:
        if not _is_loaded(Path(path), sha256):
            registry.load_plugin(path, sha256)


def as_environment(plugins: Iterable[str]) -> dict[str, str]:
    """What ``handed`` names, as a worker's environment has it."""
    return {VARIABLE: json.dumps(handed(plugins))}


def keep_traits(store: Store, config: RunConfig, metrics: Sequence[str]) -> None:
    """Write what tables need of the plug-ins into the folder, which we hold.

    Raises:
        SpecError: for one that says of itself what cannot be (unit, decimals ...).
    """
    known = store.traits()
    if (found := traits_of(config, metrics).over(known)) != known:
        store.keep_traits(found)


def traits_of(config: RunConfig, metrics: Sequence[str]) -> Traits:
    """Of the methods and metrics of a run that are not built in and whose code is here.

    Raises:
        SpecError: as ``keep_traits``.
    """
    methods = {m.method: m.params for m in config.methods if m.method in _registered("methods")}
    labels = [label for label in metrics if name_of(label) in _registered("metrics")]
    return Traits(
        plugins={path: here for path in config.plugins if (here := registry.loaded(Path(path)))},
        methods={id: _method(id, params) for id, params in methods.items()},
        metrics={label: _metric(label, config) for label in labels},
    )


def _registered(kind: str) -> set[str]:
    return set(getattr(registry, kind).names()) - BUILTIN[kind].keys()


def states(config: RunConfig) -> list[str]:
    """For each method of a run the state of its code, "" where no file of the user's takes part in it, or where the file has
    another version than the run's, which makes none of its videos."""
    found = [(m, edited_method(m.method, m.params)) for m in config.methods]
    return [code if code and registry.methods.get(m.method).version_of(m.params) == m.version else "" for m, code in found]


def said_of_stale(there: Scan, keep_old: bool) -> list[str]:
    """A sentence for each method and metric whose code has changed since it was used."""
    done = "are kept (--keep-old)" if keep_old else "are made again (--keep-old keeps them; old videos lie in quarantine/)"
    return [f"{label}: its code has changed since; {n} of its results {done}." for label, n in sorted(there.stale.items())]


def refuse_other_code(store: Store, config: RunConfig) -> None:
    """Before helping with a run that somebody else has started.

    Raises:
        SpecError: when the code of a method or metric is in another state here.
    """
    theirs, ours = store.traits(), traits_of(config, config.metrics)
    for whose, was, now in (("method", theirs.methods, ours.methods), ("metric", theirs.metrics, ours.metrics)):
        for name, found in now.items():
            if name in was and other_code(was[name].code, found.code):
                raise SpecError(
                    f"{store.root}: the code of the {whose} '{name}' is in another state here than where the run was started. "
                    "Give the same file with --plugin FILE, or start the run again with yours."
                )


def _method(id: str, params: dict[str, Any]) -> MethodTraits:
    cls, card = registry.methods.get(id), None
    with suppress(SpecError):  # a damaged card is no reason to make no video
        card = card_of(cls)
    with in_words(f"Method '{id}'"):
        return MethodTraits(
            summary=cls.summary, source=cls.source, role=cls.role, trains=trains(cls), ablations=dict(cls.study.ablations),
            ladder=cls.study.ladder, card=card.model_dump(mode="json") if card else None, code=edited_method(id, params),
        )  # fmt: skip


def _metric(label: str, config: RunConfig) -> MetricTraits:
    metric = build(label)
    facts: dict[str, Any] = {k: getattr(metric, k) for k in FACTS}
    with in_words(f"Metric '{label}'"):
        without = tuple(case.id for case in config.suite.cases if not applies(metric, case))
        return MetricTraits(bounds=bounds_of(metric), without=without, code=edited_metric(metric), **facts)
