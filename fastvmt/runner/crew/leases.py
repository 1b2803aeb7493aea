"""Who does which job of a run folder, when several runners share it: claim files, and a heartbeat of their owner.

    leases/KEY.0           the first claim on a job: the token of its holder
    leases/KEY.1           who took it over when that holder fell silent, and so on; the highest number counts
    leases/KEY.failed      the job, or preparation, failed since the run was last started
    leases/holders/TOKEN   a runner: machine, process, and a counter that it raises every ``BEAT`` seconds

A claim is a file that is made exclusively, so one runner wins it. Other runners watch its holder's counter. Each reads its own
monotonic clock alone, no other machine's and no file's time. When the counter has stood still for ``silence`` seconds, another
runner may take the claim over and remove the holder's card. A holder that was only held up writes its card anew with its next
beat. A holder of the same machine whose process is gone is dead at once. A claim that is torn or forged has no counter, so it
is taken over in the same way.

Leases keep work from being done twice. Results do not depend on them: equal keys hold equal content, whoever makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fastvmt.core.caches import seconds
from fastvmt.core.disk.atomic import own_file, touch
from fastvmt.core.spelling import shown
from fastvmt.model.fields import Count, Line
from fastvmt.store.layout import HOLDERS, LEASES

BEAT = 5.0
SILENCE = 30.0
"""Seconds; ``FASTVMT_LEASE_SILENCE`` sets another number."""
PARTING = 5.0
"""So long the last beat may take when a runner leaves."""
_TOKEN = re.compile(r"[0-9a-f]{16}")


def patience() -> float:
    """Seconds of silence after which a claim may be taken over."""
    try:
        return max(1.0, seconds("FASTVMT_LEASE_SILENCE", SILENCE))
    except ValueError:
        return SILENCE


class Leases:
    """The claims of one runner. ``start`` before the first claim, ``close`` at the end."""

    def __init__(self, root: Path, silence: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = root / LEASES
        self.token = secrets.token_hex(8)
        self.silence = patience() if silence is None else silence
        self._clock = clock
        self._held: dict[str, int] = {}
        self._seen: dict[str, tuple[tuple[str, bytes | None], float]] = {}
        self._buried: set[str] = set()
        self._end = threading.Event()
        self._beating: threading.Thread | None = None
        self._card = self.folder / HOLDERS / self.token

    # --- being alive -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Say who we are, and begin to beat."""
        self._card.parent.mkdir(parents=True, exist_ok=True)
        self._facts = json.dumps(_identity()).encode() + b"\n"
        self._beat(0)
        self._beating = threading.Thread(target=self._live, daemon=True)
        self._beating.start()

    def _live(self) -> None:
        count = 0
        while not self._end.wait(min(BEAT, self.silence / 4)):
            count += 1
            with contextlib.suppress(OSError):  # a full disk for a moment is no reason to die
                self._beat(count)

    def _beat(self, count: int) -> None:
        """Written in place, opened and closed each time: a network file system shows others a new content then."""
        handle = own_file(str(self._card), os.O_WRONLY | os.O_CREAT)
        try:
            os.write(handle, self._facts + b"%012d\n" % count)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Give back everything."""
        for key in list(self._held):
            self.release(key)
        self._end.set()
        if self._beating is not None:
            self._beating.join(PARTING)  # or its last beat might put the card back
        self._card.unlink(missing_ok=True)

    # --- claims ------------------------------------------------------------------------------------------------------

    def claim(self, key: str) -> bool:
        """Whether the job is ours now. A claim of a holder that is gone is taken over."""
        if key in self._held:
            return True
        below = ""
        for number in range(10_000):
            if self._create(key, number):
                stands = number == 0 or self._read(key, number - 1) == below  # else it was given back meanwhile
                if stands and not self._path(key, number + 1).exists():
                    self._held[key] = number
                    return True
                self._path(key, number).unlink(missing_ok=True)
                return False
            found = self._read(key, number)
            if found is None:
                return False  # given back this moment; the next look will tell
            if not self._path(key, number + 1).exists() and not self._gone(f"{key}.{number}", found):
                return False
            below = found
        return False

    def release(self, key: str) -> None:
        """Give a claim back, with those of the dead below it."""
        number = self._held.pop(key, None)
        if number is None or self._read(key, number) != self.token:
            return  # we were silent for too long, and somebody else has begun anew
        for n in range(number + 1):
            self._path(key, n).unlink(missing_ok=True)

    def _path(self, key: str, number: int) -> Path:
        return self.folder / f"{key}.{number}"

    def _create(self, key: str, number: int) -> bool:
        try:
            with open(self._path(key, number), "x") as file:
                file.write(self.token)
        except FileExistsError:
            return False
        return True

    def _read(self, key: str, number: int) -> str | None:
        try:
            with open(self._path(key, number), "rb") as file:
                return file.read(64).decode("ascii", errors="replace")
        except FileNotFoundError:
            return None
        except OSError:
            return ""

    def _gone(self, name: str, token: str) -> bool:
        """Whether a holder has fallen silent, or is known to be dead."""
        card = self._read_card(token)
        if _dead(card) if card is not None else token in self._buried:
            return True
        state, now = (token, card), self._clock()
        before = self._seen.get(name)
        vanished = before is not None and card is None and before[0][0] == token  # another runner has removed the card: no beat
        if before is None or (before[0] != state and not vanished):
            self._seen[name] = (state, now)
            return False
        return now - before[1] > self.silence

    def _read_card(self, token: str) -> bytes | None:
        if not _TOKEN.fullmatch(token):
            return None
        try:
            with open(self.folder / HOLDERS / token, "rb") as file:
                return file.read(4096)
        except OSError:
            return None

    # --- what others left --------------------------------------------------------------------------------------------

    def lives(self, token: str) -> bool:
        """Whether a holder may still be at work: it has a card, and is not known to be dead."""
        card = self._read_card(token)
        return card is not None and not _dead(card) and not self._gone(f"holders/{token}", token)

    def name(self, token: str) -> str:
        """A holder in words: ``process 12 on host``."""
        card = _facts(self._read_card(token) or b"")
        return f"process {card.pid} on {card.host}" if card and card.host else f"runner {shown(token)}"

    def is_here(self, token: str) -> bool:
        """Whether a holder is, or was, a process of this machine, so that one look tells whether it lives."""
        return _is_ours(_facts(self._read_card(token) or b""))

    def listen(self, tokens: Iterable[str], pause: float = 0.2) -> str:
        """The first of these holders that is heard to beat; "" when all were silent for ``silence`` seconds: they are gone."""
        cards = {t: self._read_card(t) for t in tokens}
        until = self._clock() + self.silence
        while cards and self._clock() <= until:
            time.sleep(pause)
            for token, card in cards.items():
                if (now := self._read_card(token)) is not None and now != card:
                    return token
        return ""

    def sweep(self) -> None:
        """Remove the claims and cards of holders that are known to be dead, or that we have seen silent for so long."""
        self.sweep_cards()
        keys = {p.name.rpartition(".")[0] for p in self.folder.glob("*.[0-9]*")}
        for key in keys - set(self._held):
            if self.claim(key):
                self.release(key)

    def sweep_cards(self) -> bool:
        """Remove cards alone; whether there was one to remove."""
        place = self.folder / HOLDERS
        names = {p.name for p in place.iterdir()} if place.is_dir() else set()
        over = {n for n in names - {self.token} if self._read_card(n) is not None and not self.lives(n)}
        self.bury(over)
        return bool(over)

    def bury(self, tokens: Iterable[str]) -> None:
        """Remove the cards of holders that are gone; what they had claimed is then free."""
        for token in tokens:
            (self.folder / HOLDERS / token).unlink(missing_ok=True)
            self._buried.add(token)

    def mark_failed(self, key: str) -> None:
        """Say that a job failed, so that no other runner tries it again before the run is started anew."""
        touch(self.folder / f"{key}.failed")

    def failed(self) -> set[str]:
        """Jobs that failed since the run was last started."""
        return {p.stem for p in self.folder.glob("*.failed")}

    def forget_failures(self) -> None:
        """A new start: what failed is tried again."""
        for path in self.folder.glob("*.failed"):
            path.unlink(missing_ok=True)


# --- machines and processes ----------------------------------------------------------------------------------------------


def _identity() -> dict[str, Any]:
    return _machine() | {"pid": os.getpid(), "born": _born(os.getpid())}


def _machine() -> dict[str, str]:
    """This boot of this machine, and its table of processes: within it a process id means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link to no file
    except OSError:
        boot = space = ""
    return {"host": socket.gethostname(), "boot": boot, "space": space}


def _born(pid: int) -> str:
    """When a process started, in ticks of this boot; "" when it is gone, or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _dead(card: bytes) -> bool:
    """Whether a holder's process was on this machine and is no more. Nothing can be said of other machines."""
    facts = _facts(card)
    return facts is not None and _is_ours(facts) and (not facts.born or _born(facts.pid) != facts.born)


def _is_ours(card: Card | None) -> bool:
    return card is not None and bool(card.boot) and _machine().items() <= card.model_dump().items()


class Card(BaseModel):
    """The first line of a holder's card: which process of which machine it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: Count
    born: Line = ""
    host: Line = ""
    boot: Line = ""
    space: Line = ""


def _facts(card: bytes) -> Card | None:
    """What a card says; None where it says nothing that can be used."""
    try:
        return Card.model_validate_json(card.partition(b"\n")[0])
    except ValueError:
        return None
