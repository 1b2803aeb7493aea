"""Which state of a plug-in's code made a video or a number: what ``version`` does not say when somebody forgot to raise it.

It covers the files of the class and of the classes it is made of, not what else they import. What is built in or installed is
told apart by its version alone; what the user gives by ``--plugin`` is edited all day, and is told apart by its code as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fastvmt.plugins import registry
from fastvmt.plugins.method import Method
from fastvmt.plugins.metric import Metric
from fastvmt.plugins.tracker import Tracker


def code_digest(*classes: type[Any]) -> str:
    """Digest of the source files of these classes and of those they are made of, the core's own left out; "" without."""
    return _digest(classes)


@cache
def _digest(classes: tuple[type[Any], ...]) -> str:
    modules = dict.fromkeys(c.__module__ for of in classes for c in of.__mro__ if c not in (Method, Metric, Tracker, object))
    digest = hashlib.sha256()
    for name in modules:
        try:
            digest.update(registry.source_of(name))
        except (KeyError, TypeError, OSError):
            return ""
    return digest.hexdigest()[:16]


def method_code(id: str, params: Mapping[str, Any]) -> str:
    """The state of the code that makes a method's videos now."""
    return code_digest(registry.methods.get(id), *_own_tracker(params.get("tracker")))


def edited_method(id: str, params: Mapping[str, Any]) -> str:
    """The same of a method in which a file of the user's takes part; "" for every other."""
    of_file = registry.file_of("methods", id) or any(_own_tracker(params.get("tracker")))
    return method_code(id, params) if of_file else ""


def edited_metric(metric: Metric) -> str:
    """The state of a metric's code where a file of the user's takes part in it; "" for every other."""
    own = [type(metric)] if registry.file_of("metrics", metric.id) else []
    found = [*own, *_own_tracker(getattr(metric.params, "tracker", None))]
    return code_digest(*found) if found else ""


def other_code(was: object, now: str) -> bool:
    """Whether something was made by another state of the code than ``now``; what says nothing of it counts as the same."""
    return bool(was and now) and was != now


def _own_tracker(name: object) -> Iterator[type[Any]]:
    """The tracker that a parameter names, where it is a file of the user's."""
    if isinstance(name, str) and registry.file_of("trackers", name):
        yield registry.trackers.get(name)
