"""One file over HTTP, in as many tries as it takes: what has arrived stays on the disk and the next try goes on from there.

Beside ``NAME.part`` lies ``NAME.part.json`` with the address and the marks (ETag, Last-Modified) of the version the bytes
belong to; bytes of two versions are never joined.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from fastvmt.core.atomic import write_atomic
from fastvmt.errors import UserError

CHUNK = 1 << 18
WORTH = 1 << 20
"""A try that brought so many bytes counts as a success: the tries that may fail in a row start anew."""
MAX_PAUSE = 30.0
PASSING = (408, 425, 429)
"""Refusals (beside 5xx) that another try may not meet."""


@dataclass(frozen=True)
class Patience:
    """timeout: s without a byte; tries: how many may fail in a row; pause: s before the second, doubled each time."""

    timeout: float = 30.0
    tries: int = 5
    pause: float = 1.0


@dataclass
class Report:
    """What the user sees: a line rewritten in place on a terminal, elsewhere a line at most every ``every`` seconds."""

    stream: TextIO | None = field(default_factory=lambda: sys.stderr)
    every: float = 10.0
    _what: str = ""
    _unit: str = "bytes"
    _total: int = 1
    _first: int = 0
    _began: float = 0.0
    _shown: float = 0.0
    _open: bool = False

    def begin(self, what: str, total: int, have: int = 0, unit: str = "bytes") -> None:
        self._what, self._total, self._first, self._unit = what, max(1, total), have, unit
        self._began = self._shown = time.monotonic()

    def at(self, have: int) -> None:
        """So much is done; shown when it is time again, and always when it is all."""
        now = time.monotonic()
        live = self.stream is not None and self.stream.isatty()
        if self.stream is None or (have < self._total and now - self._shown < (0.2 if live else self.every)):
            return
        self._shown = now
        rate = (have - self._first) / max(1e-3, now - self._began)
        speed = f"{rate / 1e6:.1f} MB/s" if self._unit == "bytes" else f"{rate:.0f}/s"
        text = f"{self._what}: {have:,} of {self._total:,} {self._unit}, {have / self._total:.0%}, {speed}"
        self.stream.write(f"\r\x1b[K{text}" if live else f"{text}\n")
        self.stream.flush()
        self._open = live
        if have >= self._total:
            self.end()

    def note(self, text: str) -> None:
        """A line of its own."""
        self.end()
        if self.stream is not None:
            print(text, file=self.stream, flush=True)

    def end(self) -> None:
        if self._open and self.stream is not None:
            print(file=self.stream, flush=True)
        self._open = False


class _Lost(Exception):
    """This try ended early, for a reason that the next may not meet."""


@dataclass
class _Part:
    """What is on the disk of a download, and its digest so far."""

    path: Path
    url: str
    etag: str | None = None
    modified: str | None = None
    have: int = 0

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()

    @property
    def marks(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def open(self, size: int, report: Report) -> None:
        """Take over what an earlier call left, if it is known to come from the same address."""
        try:
            marks = json.loads(self.marks.read_text())
            known = marks["url"] == self.url
            self.etag, self.modified = marks["etag"], marks["modified"]
            there = self.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return
        if not known or there > size:
            self.etag = self.modified = None
            return
        report.begin("checking what is there", there)
        with open(self.path, "rb") as file:
            while data := file.read(CHUNK):
                self.digest.update(data)
                self.have += len(data)
                report.at(self.have)

    def restart(self, etag: str | None = None, modified: str | None = None) -> None:
        """Nothing of what is there counts; the bytes that come belong to the version with these marks."""
        self.path.unlink(missing_ok=True)  # first, or a kill in between would give old bytes new marks
        self.etag, self.modified, self.have, self.digest = etag, modified, 0, hashlib.sha256()
        write_atomic(self.marks, json.dumps({"url": self.url, "etag": etag, "modified": modified}))

    def headers(self) -> dict[str, str]:
        found = {"Accept-Encoding": "identity", "User-Agent": "fastvmt-bench"}
        if self.have:
            found["Range"] = f"bytes={self.have}-"
            # A weak ETag does not promise equal bytes, and may not stand in If-Range.
            strong = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
            if strong:
                found["If-Range"] = strong
        return found


def remove_part(part: Path) -> None:
    """Remove a download and what is known about it."""
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def download(url: str, size: int, sha256: str, part: Path, patience: Patience, report: Report) -> None:
    """Bring ``part`` to ``size`` bytes with that digest, starting from what is there.

    Raises:
        UserError: when the host cannot be reached or keeps failing, or what it gives is not that file.
        OSError: when the disk is full or the folder cannot be written.
    """
    state = _Part(part, url)
    state.open(size, report)
    if 0 < state.have < size:
        report.note(f"going on from {state.have:,} of {size:,} bytes")
    _until_whole(state, size, patience, report)
    found = state.digest.hexdigest()
    if found != sha256:
        remove_part(part)
        raise UserError(
            f"{file_name(url)}: sha256 is {found}, expected {sha256}: not the file this version knows; the .part was "
            "removed. Run it again, and if that gives the same, get the file elsewhere and pass it with --from FILE."
        )


def file_name(url: str) -> str:
    return urlsplit(url).path.rsplit("/", 1)[-1] or url


def _until_whole(state: _Part, size: int, patience: Patience, report: Report) -> None:
    failed = 0
    while state.have < size:
        before = state.have
        report.begin(file_name(state.url), size, state.have)
        try:
            _one_try(state, size, patience.timeout, report.at)
            reason = "the connection ended early"
        except _Lost as error:
            reason = str(error)
        if state.have >= size:
            return
        failed = 1 if state.have - before >= WORTH else failed + 1
        if failed >= patience.tries:
            raise UserError(_gave_up(state, size, failed, reason))
        pause = min(MAX_PAUSE, patience.pause * 2 ** (failed - 1))
        report.note(f"{reason} at {state.have:,} bytes; going on in {pause:g} s")
        time.sleep(pause)


def _gave_up(state: _Part, size: int, failed: int, reason: str) -> str:
    host, tries = urlsplit(state.url).netloc, "1 try" if failed == 1 else f"{failed} tries"
    if state.have:
        return (
            f"{host} failed {tries} in a row at {state.have:,} of {size:,} bytes ({reason}). Run the same command again: "
            "it goes on from there."
        )
    what = "does not give the file" if reason.startswith("HTTP") else "cannot be reached"
    return (
        f"{host} {what}, {tries} failed ({reason}). Check the network and run it again, or get {state.url} on another "
        "machine and pass it with --from FILE."
    )


def _one_try(state: _Part, size: int, timeout: float, at: Callable[[int], None]) -> None:
    """Ask for what is missing and append it until it is all there or the connection ends."""
    with _ask(state, timeout) as response:
        _check_start(response, state, size)
        with open(state.path, "ab") as file:
            while state.have < size:
                try:
                    data = response.read1(CHUNK)
                except (OSError, HTTPException) as error:
                    raise _Lost(_reason(error)) from None
                if not data:
                    return
                data = data[: size - state.have]
                file.write(data)
                file.flush()
                state.digest.update(data)
                state.have += len(data)
                at(state.have)


def _ask(state: _Part, timeout: float) -> HTTPResponse:
    if urlsplit(state.url).scheme not in ("http", "https"):
        raise UserError(f"'{state.url}' is not an http or https address.")
    request = urllib.request.Request(state.url, headers=state.headers())  # noqa: S310 - the scheme was checked
    try:
        found: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310 - the same
        return found
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                state.restart()
                raise _Lost("the host does not have the rest of what is there, so it starts anew (HTTP 416)") from None
            if error.code >= 500 or error.code in PASSING:
                raise _Lost(f"HTTP {error.code}") from None
            raise UserError(
                f"{state.url} answers HTTP {error.code} ({error.reason}): it is not given out there any more. Get "
                f"{file_name(state.url)} elsewhere and pass it with --from FILE."
            ) from None
    except (OSError, HTTPException) as error:
        raise _Lost(_reason(error)) from None


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return str(getattr(inner, "strerror", None) or inner).rstrip(".") or type(inner).__name__


def _check_start(response: HTTPResponse, state: _Part, size: int) -> None:
    """Where the answer's bytes belong: at the end of what is there, or at the start of a new file."""
    etag, modified = response.headers["ETag"], response.headers["Last-Modified"]
    if response.status == 206:
        span, _, total = (response.headers["Content-Range"] or "").removeprefix("bytes ").partition("/")
        changed = any(old and new and old != new for old, new in ((state.etag, etag), (state.modified, modified)))
        if changed or not span.startswith(f"{state.have}-"):
            state.restart()
            raise _Lost("the file on the host has changed, so it starts anew")
        length = int(total) if total.isdigit() else size
    else:
        length = int(response.headers["Content-Length"] or size)
    if length != size:
        raise UserError(
            f"{file_name(state.url)}: {urlsplit(state.url).netloc} offers {length:,} bytes, expected {size:,}: not the file "
            "this version knows. Get that file elsewhere and pass it with --from FILE."
        )
    if response.status != 206:
        state.restart(etag, modified)
