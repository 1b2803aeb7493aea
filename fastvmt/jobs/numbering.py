"""All jobs of a run without holding them: a number stands for a job, and the job is made when somebody needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fastvmt.core.content_address import canonical_json, job_key
from fastvmt.model import Case, Job, MethodSpec, Setting

SHOWN = 12
"""Characters of a job's key in a folder's name."""


class JobGrid:
    """Methods x cases x seeds in the order of a run: cases outermost, then seeds, then methods.

    A number is of this grid alone: the run may grow, and its jobs have others then. What is written down is a job's key.
    100,000 jobs cost what their cases cost.
    """

    def __init__(self, methods: Sequence[MethodSpec], cases: Sequence[Case], seeds: Sequence[int], setting: Setting) -> None:
        self.methods, self.cases, self.seeds, self.setting = tuple(methods), tuple(cases), tuple(seeds), setting
        self._identities = [canonical_json(m.identity()) for m in methods]
        self._shared = canonical_json(setting.identity())

    def __len__(self) -> int:
        return len(self.cases) * len(self.seeds) * len(self.methods)

    def __iter__(self) -> Iterator[Job]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> Job:
        case, seed, method = self.parts(n)
        what = case.digest()
        key = job_key(what, self._identities[n % len(self.methods)], seed, self._shared)
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
                    yield job_key(what, identity, seed, self._shared)

    def names(self) -> Iterator[tuple[str, str]]:
        """Key of each job in order, and the name of its artefact's folder."""
        slugs = [slug(m.label) for m in self.methods]
        for n, key in enumerate(self.keys()):
            case, seed, _ = self.parts(n)
            yield key, folder_name(case.id, slugs[n % len(slugs)], seed, key)


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def folder_name(case_id: str, label_slug: str, seed: int, key: str) -> str:
    """Of an artefact: readable, and its end is the beginning of the job's key."""
    return f"{case_id}--{label_slug}--s{seed}--{key[:SHOWN]}"


def beginning(key: str) -> str:
    """Of a job's key, as the name of its artefact has it."""
    return key[:SHOWN]


def key_in(name: str) -> str:
    """The beginning of the key in an artefact's name."""
    return name[-SHOWN:]


def label_in(name: str) -> str | None:
    """The label's slug in an artefact's name; None where the name is another's."""
    parts = name.rsplit("--", 3)
    return parts[1] if len(parts) == 4 else None
