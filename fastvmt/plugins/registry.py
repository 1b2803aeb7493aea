"""Names to plug-ins: our own (lazy), installed packages' (entry points), and single files given by ``--plugin``.

Core imports a plug-in only here, and only when its name is asked for. A broken plug-in is listed with its cause and
breaks nothing else; nobody can take over a built-in name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any

from pydantic import Field

from fastvmt.core.choices import hint
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.model import Frozen
from fastvmt.plugins import trust
from fastvmt.plugins.blame import blamed, is_ours, place, words
from fastvmt.plugins.vetting import vet

_PLACES: dict[str, dict[str, dict[str, str]]] = {
    "methods": {
        "methods.controls": {"none": "NoTransfer", "sdedit": "SDEdit", "reference": "TheReference"},
        "methods.ditflow": {"ditflow": "DiTFlow"},
        "methods.fastvmt": {"fastvmt": "FastVMT"},
        "methods.flowstep": {"flowstep": "FlowStep"},
        "methods.moft": {"moft": "MOFT"},
        "methods.motionclone": {"motionclone": "MotionClone"},
        "methods.smm": {"smm": "SMM"},
        "methods.flowmotion": {"flowmotion": "FlowMotion"},
        "methods.ropecraft": {"ropecraft": "RoPECraft"},
        "methods.ttm": {"ttm": "TTM"},
        "methods.vace": {"vace": "VACE"},
        "methods.motion_inversion": {"motion_inversion": "MotionInversion"},
        "methods.motion_director": {"motion_director": "MotionDirector"},
        "methods.det": {"det": "DeT"},
        "methods.imported": {"imported": "Imported"},
        "methods.toys": {"oracle": "Oracle", "copy": "Copy", "shuffled": "Shuffled", "frozen": "Frozen"},
    },
    "metrics": {
        "metrics.motion.fidelity": {
            "motion_fidelity": "MotionFidelity", "motion_fidelity@smm-script": "MotionFidelityScript",
            "motion_fidelity_backward": "MotionFidelityBackward", "motion_fidelity_both": "MotionFidelityBoth",
            "motion_fidelity_local": "MotionFidelityLocal", "motion_fidelity_moving": "MotionFidelityMoving",
            "motion_fidelity_wrong": "MotionFidelityWrong", "motion_fidelity_moving_wrong": "MotionFidelityMovingWrong",
            "motion_fidelity_frozen": "MotionFidelityFrozen",
        },
        "metrics.motion.tracked": {
            "motion_fidelity_tracked": "MotionFidelityTracked", "motion_fidelity_tracked_wrong": "MotionFidelityTrackedWrong",
        },
        "metrics.motion.camera_agreement": {
            "camera_agreement": "CameraAgreement", "camera_agreement_wrong": "CameraAgreementWrong",
            "object_agreement": "ObjectAgreement", "object_agreement_wrong": "ObjectAgreementWrong",
        },
        "metrics.motion.det_hybrid": {
            "motion_fidelity@det": "MotionFidelityDeTDefault", "motion_fidelity@det-hybrid": "MotionFidelityDeT",
        },
        "metrics.motion.ftd": {"ftd": "FTD", "ftd@ropecraft-script": "FTDScript"},
        "metrics.motion.ivebench": {"motion_fidelity@ivebench": "MotionFidelityIVEBench"},
        "metrics.vbench.dimensions": {
            "vbench:subject_consistency": "SubjectConsistency", "vbench:background_consistency": "BackgroundConsistency",
            "vbench:motion_smoothness": "MotionSmoothness", "vbench:dynamic_degree": "DynamicDegree",
            "vbench:aesthetic_quality": "AestheticQuality", "vbench:imaging_quality": "ImagingQuality",
            "vbench:temporal_flickering": "TemporalFlickering",
        },
        "metrics.text.clip": {"text_similarity": "TextSimilarity", "temporal_consistency": "TemporalConsistency"},
        "metrics.motion.trajectory": {"trajectory": "Trajectory", "trajectory_wrong": "TrajectoryWrong"},
        "metrics.looks": {
            "subject_colour": "SubjectColour", "subject_shape": "SubjectShape", "ground_colour": "GroundColour",
            "ground_pattern": "GroundPattern", "outline": "Outline",
        },
        "metrics.leakage": {
            "appearance_leakage": "AppearanceLeakage", "appearance_leakage_wrong": "AppearanceLeakageWrong",
        },
        "metrics.cost": {
            "time": "Time", "forwards": "Forwards", "time_amortised": "TimeAmortised", "peak_memory": "PeakMemory",
            "peak_reserved": "PeakReserved", "energy": "Energy",
        },
    },
    "trackers": {
        "metrics.trackers.lk": {"lk": "LK", "lk-live": "LKLive"},
        "metrics.trackers.cotracker": {"cotracker3": "CoTracker3", "cotracker2": "CoTracker2"},
        "metrics.trackers.anchored": {"lk-anchored": "Anchored"},
        "metrics.trackers.tapnext": {"tapnext": "TAPNext"},
        "metrics.trackers.alltracker": {"alltracker": "AllTracker"},
    },
    "environments": {"metrics.vbench.files": {"vbench": "RECIPE"}},
    "suites": {
        "datasets.drawn.suites": {"shapes": "Shapes", "shapes-64": "Shapes64"},
        "datasets.davis": {"davis2016-50": "Davis2016", "davis2017-90": "Davis2017", "ditflow-50": "DiTFlow50"},
        "datasets.mtbench": {"mtbench": "MTBench"},
        "datasets.generated": {"generated": "Generated"},
        "datasets.folder": {"folder": "Folder"},
        "datasets.tapvid_davis": {"tapvid-davis": "TapVidDavis"},
    },
    "archives": {"datasets.archives": {"davis2017": "DAVIS2017"}},
}  # fmt: skip
BUILTIN = {
    kind: {name: f"fastvmt.{module}:{what}" for module, names in modules.items() for name, what in names.items()}
    for kind, modules in _PLACES.items()
}
"""Our own plug-ins by kind and name: where each is imported from."""

BUILT_IN = "built in"


@dataclass(frozen=True)
class Entry:
    """One registered name; ``cause`` says why it cannot be loaded, if it cannot."""

    name: str
    origin: str
    target: str
    cause: str = ""


@dataclass
class Registry:
    """All plug-ins of one kind (``methods``, ``metrics``, ``trackers``, ``suites``)."""

    kind: str
    _found: dict[str, Any] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _scanned: bool = False

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for name, target in BUILTIN[self.kind].items():
            self._entries[name] = Entry(name, BUILT_IN, target)
        for point in sorted(entry_points(group=f"fastvmt.{self.kind}"), key=lambda p: p.name):
            owner = point.dist.name if point.dist else "an installed package"
            entry = Entry(point.name, owner, point.value)
            if (taken := self._entries.setdefault(entry.name, entry)) != entry:
                cause = f"the name is taken by {taken.origin}"
                self._entries[f"{entry.name} ({owner})"] = replace(entry, cause=cause)

    def add_object(self, name: str, value: Any, origin: str) -> None:
        """Register a loaded object, as ``--plugin FILE`` does.

        Raises:
            SpecError: when the name is taken by something else, or the class is not what its kind has to be.
        """
        self._scan()
        taken = self._entries.get(name)
        if taken and taken.origin != origin:
            raise SpecError(f"{origin}: the {self.kind[:-1]} name '{name}' is taken ({taken.origin}); choose another.")
        vet(self.kind, name, value, origin)
        self._entries[name] = Entry(name, origin, f"{value.__module__}:{value.__qualname__}")
        self._found[name] = value

    def forget(self, origin: str) -> None:
        """Names that a plug-in file registered when it was loaded before."""
        for name in [name for name, entry in self._entries.items() if entry.origin == origin]:
            del self._entries[name]
            self._found.pop(name, None)

    def entries(self) -> Iterator[Entry]:
        """Every name with its origin; those that fail to load carry the cause."""
        self._scan()
        for entry in list(self._entries.values()):
            if not entry.cause:
                try:
                    self.get(entry.name)
                except SpecError as error:
                    entry = replace(entry, cause=str(error))
            yield entry

    def names(self) -> list[str]:
        """Registered names, without loading anything."""
        self._scan()
        return [e.name for e in self._entries.values() if not e.cause]

    def get(self, name: str) -> Any:
        """The object behind a name.

        Raises:
            SpecError: for an unknown name (with the nearest ones) or one that cannot be imported (with the cause).
        """
        self._scan()
        if name in self._found:
            return self._found[name]
        entry = self._entries.get(name)
        if entry is None:
            near = hint(name, self.names(), no_list=True)
            said = f"No {self.kind[:-1]} is called '{shown(name)}'.{near and ' '}{near}"
            raise SpecError(f"{said} `bench list {self.kind}` shows all.")
        if _reading.get() and entry.origin != BUILT_IN:
            raise SpecError(f"The {self.kind[:-1]} '{name}' of {entry.origin} is not loaded to read a run.")
        said = f"The {self.kind[:-1]} '{name}' of {entry.origin} cannot be loaded"
        with blamed(None, said):
            value = pkgutil.resolve_name(entry.target)
        if entry.origin != "built in":
            vet(self.kind, name, value, said)
        self._found[name] = value
        return value


methods = Registry("methods")
metrics = Registry("metrics")
suites = Registry("suites")
trackers = Registry("trackers")
environments = Registry("environments")
archives = Registry("archives")
OF_FILES = (methods, metrics, trackers, suites)
"""What a plug-in file may register."""
_MODULE = "fastvmt_plugin_"
_reading: ContextVar[bool] = ContextVar("reading", default=False)


def at_fault(error: BaseException | None) -> str:
    """A sentence for an error that went through a plug-in's own lines, or that such an error led to; "" for any other."""
    classes = [v for r in OF_FILES for v in r._found.values() if isinstance(v, type)]
    files = {str(getattr(sys.modules.get(cls.__module__), "__file__", "")) for cls in classes if not is_ours(cls)}
    while error is not None:
        for file in sorted(files):
            if place(error, Path(file)):
                return f"a plug-in cannot go on: {words(error, Path(file))}."
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def reading() -> Iterator[None]:
    """While a run folder is read: what its records name is not imported, though an installed package may offer it."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


class PluginFile(Frozen):
    """A file of plug-ins: the SHA-256 of its bytes, and the names that it registers."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    names: tuple[str, ...] = ()


class _Read(SourceFileLoader):
    """Executes the bytes that were read, and neither the file once more nor a compiled copy that lies beside it."""

    def __init__(self, name: str, path: str, raw: bytes) -> None:
        super().__init__(name, path)
        self.raw = raw

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.raw, self.path)

    def get_data(self, path: str) -> bytes:
        return self.raw if path == self.path else super().get_data(path)


def source_of(module: str) -> bytes:
    """The bytes of a module's source as it was loaded, for a plug-in file; of its file as it is now, for any other.

    Raises:
        KeyError, TypeError, OSError: where there is none.
    """
    found = sys.modules[module]
    loader = getattr(found, "__loader__", None)
    return loader.raw if isinstance(loader, _Read) else Path(inspect.getfile(found)).read_bytes()


def loaded(file: Path) -> PluginFile | None:
    """A plug-in file as it was last loaded in this process, by its resolved path."""
    names = [name for registry in OF_FILES for name, entry in registry._entries.items() if entry.origin == str(file)]
    if not names:
        return None
    return PluginFile(sha256=hashlib.sha256(source_of(_module_name(file))).hexdigest(), names=tuple(names))


def file_of(kind: str, name: str) -> str:
    """The plug-in file that registered a name of a kind; "" for what is built in or came with an installed package."""
    registry = next(r for r in OF_FILES if r.kind == kind)
    entry = registry._entries.get(name)
    return entry.origin if entry and Path(entry.origin).is_absolute() else ""


def defined_in(kind: str, files: Iterable[str]) -> tuple[str, ...]:
    """Names of a kind that these plug-in files have registered."""
    places = {str(Path(file).resolve()) for file in files}
    registry = next(r for r in OF_FILES if r.kind == kind)
    return tuple(name for name, entry in registry._entries.items() if entry.origin in places)


def _module_name(file: Path) -> str:
    """By the whole path: two files of one name are two modules, each with its own source for digests of code."""
    return f"{_MODULE}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"


def load_plugin(path: str, sha256: str = "") -> list[str]:
    """Import one Python file and register what it lists in ``METHODS``, ``METRICS``, ``TRACKERS`` and ``SUITES``
    (name to class). The user gave the file, and trusts it in this state from now on.

    Args:
        sha256: of the bytes that may run, where somebody else has read and trusted them; nothing is remembered then.

    Returns:
        The registered names.

    Raises:
        SpecError: when the file is missing, raises, or registers nothing, has other bytes than ``sha256`` says, or a name is
            not its class's own.
    """
    file = Path(path)
    if not file.is_file():
        raise SpecError(f"--plugin {path}: there is no such file.")
    file = file.resolve()
    if file.suffix != ".py":
        raise SpecError(f"--plugin {path}: a Python file is needed, whose name ends in .py.")
    raw = file.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if sha256 and found != sha256:
        raise SpecError(f"--plugin {path}: the file has changed since the run was started. Start the run again.")
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file, loader=_Read(name, str(file), raw))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with blamed(file, f"--plugin {path}"):
        spec.loader.exec_module(module)
    added = []
    for registry in OF_FILES:
        registry.forget(str(file))  # as it was before it was edited
        listed = getattr(module, registry.kind.upper(), {})
        if not isinstance(listed, Mapping):
            raise SpecError(f"--plugin {path}: {registry.kind.upper()} must be a dictionary of name to class.")
        with blamed(file, f"--plugin {path}"):
            listed = dict(listed)
        for key, value in listed.items():
            registry.add_object(key, value, str(file))
            added.append(key)
    if not added:
        raise SpecError(
            f"--plugin {path}: it defines none of METHODS, METRICS, TRACKERS, SUITES (dictionaries of name to class)."
        )
    if not sha256:
        trust.remember(file, found)
    return added
