"""Modules that load when something in them is first used: planning needs no torch, which takes seconds and 0.4 GB."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Later(ModuleType):
    """Stands in ``sys.modules`` for a module until the first attribute is asked for, then passes everything on to it."""

    def __getattr__(self, attribute: str) -> Any:
        name = self.__name__
        asker = str(sys._getframe(1).f_globals.get("__name__"))
        if attribute == "Tensor" and asker.startswith("scipy."):  # it asks of every array whether it is one: none is yet
            return _NoTensor
        if sys.modules.get(name) is self:
            del sys.modules[name]
            importlib.import_module(name)
        return getattr(sys.modules[name], attribute)


class _NoTensor:
    """Nothing is an instance of this."""


class _Loaded(MetaPathFinder, Loader):
    """Hands out submodules that came with their package: ``import torch.fft`` asks the stand-in for its path, by which
    everything is loaded, and would then load ``torch.fft`` once more."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        ours = name.startswith(f"{self.package}.") and name in sys.modules
        return ModuleSpec(name, self) if ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = sys.modules[spec.name]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def load_when_used(name: str) -> None:
    """Make ``import name`` cheap until an attribute of it is read. Does nothing for a module that is loaded, or not there."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        module = _Later(name)
        module.__spec__ = spec
        sys.modules[name] = module
        sys.meta_path.insert(0, _Loaded(name))


def no_grad(function: Callable[P, R]) -> Callable[P, R]:
    """``torch.no_grad`` as a decorator that does not load torch where a function is only defined."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        with torch.no_grad():
            return function(*args, **kwargs)

    return call
