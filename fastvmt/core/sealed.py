"""What is handed to a plug-in and shared with others: readable, and nothing can be written into it.

Who needs it changed makes a copy first (``array.copy()``, ``dict(...)``, ``copy.deepcopy(...)``), which can be written to.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
from typing import Any, NoReturn, TypeVar

import numpy as np
from pydantic import BaseModel

T = TypeVar("T")


class ReadOnlyError(TypeError):
    """Something that is shared was written into."""


def _refuse(self: Any, *given: Any, **named: Any) -> NoReturn:
    raise ReadOnlyError(f"this {'list' if isinstance(self, list) else 'dictionary'} is read-only")


class _Dict(dict[Any, Any]):
    """A dictionary that refuses to be changed; copies of it can be."""

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class _List(list[Any]):
    """A list that refuses to be changed; copies of it can be."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _refuse  # type: ignore[assignment]
    reverse = sort = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return list, (list(self),)


def sealed(value: T) -> T:
    """The same value, read-only throughout: views of arrays, copies of the containers, models and dataclasses around them.

    A torch tensor cannot be read-only and is cloned. What is of another kind is handed on as it is.

    >>> sealed({"a": [1]})["a"].append(2)
    Traceback (most recent call last):
    fastvmt.core.sealed.ReadOnlyError: this list is read-only
    """
    found: Any = value
    if isinstance(value, np.ndarray):
        return _view(value)
    if isinstance(value, dict):
        return _Dict({k: sealed(v) for k, v in value.items()})  # type: ignore[return-value]
    if isinstance(value, list):
        return _List([sealed(v) for v in value])  # type: ignore[return-value]
    if type(value) in (tuple, set, frozenset):
        return type(value)(sealed(v) for v in found)  # type: ignore[call-arg]
    if isinstance(value, BaseModel):
        return value.model_copy(update={k: sealed(v) for k, v in value.__dict__.items()})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(found, field.name, sealed(getattr(value, field.name)))
        return found
    if type(value).__module__ == "torch" and type(value).__name__ == "Tensor":
        return found.detach().clone()
    return value


def _view(array: Any) -> Any:
    """A view that nobody can make writeable again, because the memory behind it was given out read-only."""
    try:
        if type(array) is np.ndarray and array.flags.c_contiguous and array.size:
            return np.frombuffer(memoryview(array.data).cast("B").toreadonly(), dtype=array.dtype).reshape(array.shape)
    except ValueError:  # a kind of number that no buffer knows
        pass
    kept = array.copy()
    kept.setflags(write=False)
    return kept[...]


class Shared(collections.UserDict[Any, Any]):
    """What several keep in common: whatever is put in is copied, and read-only when it is taken out."""

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            self.data[key] = copy.deepcopy(value)
        except Exception:  # noqa: BLE001 - what cannot be copied is shared as it is
            self.data[key] = value

    def __getitem__(self, key: Any) -> Any:
        return sealed(self.data[key])
