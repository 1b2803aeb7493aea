"""Names to plug-ins: our own (lazy), installed packages' (entry points), and single files given by ``--plugin``.

Core imports a plug-in only here, and only when its name is asked for. A broken plug-in is listed with its cause and
breaks nothing else; nobody can take over a built-in name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from fastvmt.core.choices import hint
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError

_PLACES: dict[str, dict[str, dict[str, str]]] = {
    "methods": {
        "methods.controls": {"none": "NoTransfer", "sdedit": "SDEdit"},
        "methods.ditflow": {"ditflow": "DiTFlow"},
        "methods.fastvmt": {"fastvmt": "FastVMT"},
        "methods.moft": {"moft": "MOFT"},
        "methods.motionclone": {"motionclone": "MotionClone"},
        "methods.smm": {"smm": "SMM"},
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
        "metrics.motion.det_hybrid": {"motion_fidelity@det-hybrid": "MotionFidelityDeT"},
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
        "metrics.cost": {
            "time": "Time", "forwards": "Forwards", "time_amortised": "TimeAmortised", "peak_memory": "PeakMemory",
            "peak_reserved": "PeakReserved", "energy": "Energy",
        },
    },
    "trackers": {
        "metrics.trackers.lk": {"lk": "LK"},
        "metrics.trackers.cotracker": {"cotracker3": "CoTracker3", "cotracker2": "CoTracker2"},
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
            self._entries[name] = Entry(name, "built in", target)
        for point in sorted(entry_points(group=f"fastvmt.{self.kind}"), key=lambda p: p.name):
            owner = point.dist.name if point.dist else "an installed package"
            entry = Entry(point.name, owner, point.value)
            if (taken := self._entries.setdefault(entry.name, entry)) != entry:
                cause = f"the name is taken by {taken.origin}"
                self._entries[f"{entry.name} ({owner})"] = replace(entry, cause=cause)

    def add_object(self, name: str, value: Any, origin: str) -> None:
        """Register a loaded object, as ``--plugin FILE`` does.

        Raises:
            SpecError: when the name is taken by something else, or not what the class calls itself.
        """
        self._scan()
        taken = self._entries.get(name)
        if taken and taken.origin != origin:
            raise SpecError(f"{origin}: the {self.kind[:-1]} name '{name}' is taken ({taken.origin}); choose another.")
        own = getattr(value, "name" if self.kind == "suites" else "id", name)
        if own != name:
            raise SpecError(
                f"{origin}: {self.kind.upper()} lists {value.__name__} as '{name}' and the class calls itself '{own}'; "
                "give both the same name."
            )
        self._entries[name] = Entry(name, origin, f"{value.__module__}:{value.__qualname__}")
        self._found[name] = value

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
        try:
            value = pkgutil.resolve_name(entry.target)
        except (Exception, SystemExit) as error:
            raise SpecError(
                f"The {self.kind[:-1]} '{name}' of {entry.origin} cannot be loaded: {type(error).__name__}: {error}."
            ) from error
        self._found[name] = value
        return value


methods = Registry("methods")
metrics = Registry("metrics")
suites = Registry("suites")
trackers = Registry("trackers")
environments = Registry("environments")
archives = Registry("archives")


def load_own_plugins(root: Path, plugins: Iterable[str]) -> None:
    """Load the plug-ins that a run folder's configuration names, which ``bench run`` writes as absolute paths outside of it.

    A run folder may be somebody else's. Code that came with it is not run.

    Raises:
        SpecError: for a path that is relative or leads into the folder, or a plug-in that cannot be loaded.
    """
    for plugin in plugins:
        file = Path(plugin)
        if not file.is_absolute() or file.resolve().is_relative_to(root.resolve()):
            raise SpecError(
                f"{root}: its configuration names a plug-in that lies in the run folder ({plugin}); code that comes with a run "
                "is not executed. Use `bench merge RUN --out NEW --plugin FILE`, with a file that you trust."
            )
        load_plugin(plugin)


def load_plugin(path: str) -> list[str]:
    """Import one Python file and register what it lists in ``METHODS``, ``METRICS``, ``TRACKERS`` and ``SUITES``
    (name to class).

    Returns:
        The registered names.

    Raises:
        SpecError: when the file is missing, raises, or registers nothing, or a name is not its class's own.
    """
    file = Path(path)
    if not file.is_file():
        raise SpecError(f"--plugin {path}: there is no such file.")
    file = file.resolve()
    # By the whole path: two files of one name are two modules, each with its own source for digests of code.
    name = f"fastvmt_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SpecError(f"--plugin {path}: a Python file is needed, whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise SpecError(f"--plugin {path}{_line_of(error, file)}: {type(error).__name__}: {error}.") from error
    added = []
    for registry in (methods, metrics, trackers, suites):
        listed = getattr(module, registry.kind.upper(), {})
        if not isinstance(listed, Mapping) or not all(isinstance(value, type) for value in listed.values()):
            raise SpecError(f"--plugin {path}: {registry.kind.upper()} must be a dictionary of name to class.")
        for key, value in listed.items():
            registry.add_object(key, value, str(file))
            added.append(key)
    if not added:
        raise SpecError(
            f"--plugin {path}: it defines none of METHODS, METRICS, TRACKERS, SUITES (dictionaries of name to class)."
        )
    return added


def _line_of(error: BaseException, file: Path) -> str:
    """``, line 12``: the last place in a file that an error went through, or where its syntax ends; "" for no such place."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines else ""
