"""All jobs of a run without holding them: a number stands for a job, and the job is made when somebody needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import overload

from fastvmt.core.content_address import KEY_FORMAT, canonical_json
from fastvmt.model import Case, Job, MethodSpec, Setting


class JobGrid(Sequence[Job]):
    """Methods x cases x seeds in the order of a run: cases outermost, then seeds, then methods.

    Numbers are stable within a run folder, whose methods, cases and seeds are frozen. 100,000 jobs cost what their cases cost.
    """

    def __init__(self, methods: Sequence[MethodSpec], cases: Sequence[Case], seeds: Sequence[int], setting: Setting) -> None:
        self.methods, self.cases, self.seeds, self.setting = tuple(methods), tuple(cases), tuple(seeds), setting
        self._identities = [canonical_json(m.identity()) for m in methods]
        self._shared = canonical_json(setting.identity())

    def __len__(self) -> int:
        return len(self.cases) * len(self.seeds) * len(self.methods)

    @overload
    def __getitem__(self, n: int) -> Job: ...
    @overload
    def __getitem__(self, n: slice) -> list[Job]: ...
    def __getitem__(self, n: int | slice) -> Job | list[Job]:
        if isinstance(n, slice):
            return [self[k] for k in range(*n.indices(len(self)))]
        if not -len(self) <= n < len(self):
            raise IndexError(n)
        case, seed, method = self.parts(n % len(self))
        what = case.digest()
        key = self._key(what, seed, self._identities[n % len(self.methods)])
        return Job(key=key, method=method, case_id=case.id, case_digest=what, seed=seed)

    def parts(self, n: int) -> tuple[Case, int, MethodSpec]:
        """Case, seed and method of a job's number."""
        rest, method = divmod(n, len(self.methods))
        case, seed = divmod(rest, len(self.seeds))
        return self.cases[case], self.seeds[seed], self.methods[method]

    def keys(self) -> Iterator[str]:
        """The jobs' keys in order, without the jobs."""
        for case in self.cases:
            what = case.digest()
            for seed in self.seeds:
                for identity in self._identities:
                    yield self._key(what, seed, identity)

    def names(self) -> Iterator[tuple[str, str]]:
        """Key of each job in order, and the name of its artefact's folder."""
        slugs = [slug(m.label) for m in self.methods]
        keys = self.keys()
        for case in self.cases:
            for seed in self.seeds:
                for label in slugs:
                    key = next(keys)
                    yield key, folder_name(case.id, label, seed, key)

    def _key(self, case: str, seed: int, identity: str) -> str:
        """``keys.joined_digest`` of the job's parts, written out: names in order, no spaces."""
        text = f'{{"case":"{case}","format":{KEY_FORMAT},"method":{identity},"seed":{seed},"setting":{self._shared}}}'
        return sha256(text.encode()).hexdigest()


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def folder_name(case_id: str, label_slug: str, seed: int, key: str) -> str:
    """Of an artefact: readable, and its last 12 characters are the beginning of the job's key."""
    return f"{case_id}--{label_slug}--s{seed}--{key[:12]}"
