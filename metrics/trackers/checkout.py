"""Trackers that run somebody's code, from a checkout and a checkpoint that are already on the machine.

Code and weights are no part of this package, and nothing is ever fetched here: ``missing()`` says what to fetch, once, and how.
Looked for in this order:

    code        the folder in the tracker's variable (any checkout), else $TORCH_HOME/hub/<owner>_<name>_<commit>/
    checkpoint  $TORCH_HOME/hub/checkpoints/<file>, else <checkout>/checkpoints/<file>

Running somebody's code is a matter of trust: a folder of the hub is run only when it is, byte for byte, the pinned commit;
any other state has to be named with the variable. What ran is in the identity either way.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastvmt.core.caches import place, torch_home
from fastvmt.core.disk.file_digests import code_sha256, sha256_of
from fastvmt.errors import MissingWeights, UserError
from fastvmt.plugins.tracker import Tracker


@dataclass(frozen=True)
class Code:
    """Somebody's repository at a pinned commit.

    Attributes:
        repository: owner/name on GitHub; commit: the pinned one.
        sha256: ``digest`` at that commit.
        variable: environment variable that names another checkout.
        files: patterns of the files that run; the first is a plain name and tells whether the checkout is there.
        modules: the names at the top under which Python imports them.
        needs: packages of the package index that they import and this package does not.
    """

    repository: str
    commit: str
    sha256: str
    variable: str
    files: tuple[str, ...]
    modules: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def hub_folder(self) -> Path:
        return torch_home() / "hub" / f"{self.repository.replace('/', '_')}_{self.commit}"

    @property
    def folder(self) -> Path:
        return place(self.variable, str(self.hub_folder))

    def digest(self, folder: Path) -> str:
        """SHA-256 over names and bytes of the files that run."""
        found = {path for pattern in self.files for path in folder.glob(pattern)}
        return code_sha256(folder, sorted(found, key=lambda p: p.as_posix()))

    def lacking(self) -> list[str]:
        """What of the code is not here, in words.

        Raises:
            MissingWeights: where what is here must not be run.
        """
        for name in (self.variable, "TORCH_HOME"):
            if os.environ.get(name) and not Path(os.environ[name]).expanduser().is_absolute():
                raise MissingWeights(
                    f"{name}={os.environ[name]} is not an absolute path, and workers run elsewhere: set it to one."
                )
        folder = self.folder
        if not (folder / self.files[0]).is_file():
            return [f"its code ({self.repository} at {self.commit[:7]}) in {folder}"]
        if not os.environ.get(self.variable) and self.digest(folder) != self.sha256:
            raise MissingWeights(
                f"the code in {folder} is not {self.repository} at {self.commit[:7]}: remove it and fetch it again, or set "
                f"{self.variable} to it if you trust it."
            )
        return []

    def check_origin(self, folder: Path) -> None:
        """Another package of the name may be imported already: then the identity would name code that did not run.

        Raises:
            UserError: where it is.
        """
        for name in self.modules:
            module = sys.modules.get(name)
            places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            origin = Path(next((p for p in places if p), folder / name)).resolve()
            if not origin.is_relative_to(folder.resolve()):
                raise UserError(f"Python already has another package '{name}' ({origin.parent}): remove it to use {folder}.")


class CheckoutTracker(Tracker):
    """Base of the trackers that run from a checkout: what is missing, what ran, and loading.

    Attributes:
        code: the pinned repository.
        file, megabytes: the checkpoint, and about how much there is to fetch.
        terms: the licence, with what it asks of the user.
    """

    code: ClassVar[Code]
    file: ClassVar[str]
    megabytes: ClassVar[int]
    terms: ClassVar[str]

    def __init__(self, device: str = "") -> None:
        self._device = device
        self._loaded: Any = None

    def fetching(self) -> str:
        """The command that fetches code and checkpoint."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The tracker's own part of its identity."""
        raise NotImplementedError

    def build(self, folder: Path) -> Any:
        """Their network, with weights yet to be filled in."""
        raise NotImplementedError

    def fill(self, network: Any, state: dict[str, Any]) -> None:
        """The checkpoint's weights into the network."""
        network.load_state_dict(state)

    @property
    def weights(self) -> Path:
        usual, beside = torch_home() / "hub" / "checkpoints" / self.file, self.code.folder / "checkpoints" / self.file
        return beside if beside.is_file() and not usual.is_file() else usual

    def missing(self) -> str:
        try:
            lacks = self.code.lacking()
        except MissingWeights as error:
            return str(error)
        lacks += [] if self.weights.is_file() else [f"its checkpoint {self.file} in {self.weights.parent}"]
        if lacks:
            return (
                f"{self.id} lacks {' and '.join(lacks)}: fetch both (about {self.megabytes} MB, licence {self.terms}) with "
                f"`{self.fetching()}`, or set {self.code.variable} to a checkout that has the file under checkpoints/."
            )
        absent = [name for name in self.code.needs if importlib.util.find_spec(name) is None]
        return f"{self.id}'s code imports {' and '.join(absent)}: `uv pip install {' '.join(absent)}`." if absent else ""

    def identity(self) -> dict[str, Any]:
        here = not self.missing()
        code = self.code.digest(self.code.folder) if here else "unfetched"
        return {
            "tracker": self.id,
            "commit": self.code.commit if code == self.code.sha256 else "not the pinned one",
            "code_sha256": code,
            "checkpoint": self.file,
            "checkpoint_sha256": sha256_of([self.weights])[0] if here else "unfetched",
            **self.settings(),
            "device": self.device,
        }

    @property
    def device(self) -> str:
        if not self._device:
            import torch

            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        return self._device

    def _predictor(self) -> Any:
        if self._loaded is None:
            sentence = self.missing()
            if sentence:
                raise MissingWeights(sentence)
            self._loaded = self._load(self.code.folder, self.weights)
        return self._loaded

    def _load(self, folder: Path, weights: Path) -> Any:
        import torch

        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            network = self.build(folder)
            self.code.check_origin(folder)
            self.fill(network, state)
        except UserError:
            raise
        except Exception as error:
            self.code.check_origin(folder)
            first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise UserError(
                f"{self.id}: {weights} cannot be loaded into the code of {folder} ({type(error).__name__}: {first}); "
                "fetch both again."
            ) from error
        return network.to(self.device).eval()


def cloning(code: Code, url: str) -> str:
    """The command that fetches a checkout, and a checkpoint to lie beside it."""
    folder = code.hub_folder
    return (
        f"git clone https://github.com/{code.repository} {folder} && git -C {folder} checkout -q {code.commit} && "
        f"curl -fL --create-dirs -o {folder}/checkpoints/{url.rpartition('/')[2]} {url}"
    )


def imported(folder: Path, module: str) -> Any:
    """A module of a checkout, which is not left on Python's path."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))


@contextmanager
def own_randomness() -> Iterator[None]:
    """Importing or running their code may seed or draw globally (CoTracker: ``torch.manual_seed(0)``): give all back."""
    import torch

    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
