"""Data sets: from a host that misbehaves, from a file of the user's, killed on the way, and no longer what they were."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.cli import refused_in_a_line

from fastvmt.suites import data_sets
from fastvmt.suites.data_sets import MANIFEST, Archive, fetch, find

# --- a host -----------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """How one request is met. ``cut``: the connection ends after so many bytes; ``stall``: it falls silent there."""

    status: int = 200
    cut: int | None = None
    stall: bool = False
    ranges: bool = True
    data: bytes = b""
    length: bool = True


@dataclass
class Host:
    data: bytes
    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default_factory=Answer)
    asked: list[int | None] = field(default_factory=list)
    """First byte of every range that was asked for."""
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def meet(self, request: BaseHTTPRequestHandler) -> None:
        answer = self.answers.pop(0) if self.answers else self.otherwise
        wanted = request.headers["Range"]
        self.asked.append(int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else None)
        if answer.status != 200:
            request.send_error(answer.status)
            return
        data, start = answer.data or self.data, (answer.ranges and self.asked[-1]) or 0
        request.send_response(206 if start else 200)
        if answer.length:
            request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start:] if answer.cut is None else data[start : start + answer.cut])
        if answer.stall:
            self.release.wait(20)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is part of these tests."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(data_sets, "PAUSE", 0.0)
    found = Host(a_zip())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.meet(self)

        def log_message(self, format: str, *args: Any) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/share/small-480p.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def a_zip() -> bytes:
    """A data set in small: 300 kB that do not compress, so that a cut lies inside a picture."""
    rng, raw = random.Random(0), io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for n in range(10):
            archive.writestr(f"D/Frames/bear/{n:05}.jpg", rng.randbytes(30_000))
        for name in ("D/list.txt", "__MACOSX/D/._list.txt", "D/.DS_Store"):
            archive.writestr(name, b"bear\n")
    return raw.getvalue()


def archive_of(data: bytes, url: str = "http://host.invalid/small-480p.zip") -> Archive:
    return Archive("small", url, len(data), hashlib.sha256(data).hexdigest(), "ten pictures", "free", "D/Frames")


def get(host: Host, to: Path) -> Path:
    return fetch(archive_of(host.data, host.url), to)


def check_complete(folder: Path, data: bytes) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest() and manifest["bytes"] == len(data)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    assert there == {f["path"] for f in manifest["files"]}
    assert there == {f"D/Frames/bear/{n:05}.jpg" for n in range(10)} | {"D/list.txt"}  # and no __MACOSX, no .DS_Store
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for f in manifest["files"]:
            content = (folder / f["path"]).read_bytes()
            assert content == archive.read(f["path"])
            assert (f["bytes"], f["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {p.name for p in folder.parent.iterdir()} <= {"small", ".small.lock"}


# --- downloading ------------------------------------------------------------------------------------------------------


def test_a_download_is_checked_unpacked_listed_and_not_repeated(host: Host, tmp_path: Path) -> None:
    folder = get(host, tmp_path / "a" / "new")
    assert folder == tmp_path / "a" / "new" / "small"
    check_complete(folder, host.data)
    (folder.parent / ".small.lock").unlink()
    assert get(host, tmp_path / "a" / "new") == folder and len(host.asked) == 1
    assert not (folder.parent / ".small.lock").exists()  # nothing is written: the folder may be read-only
    other = get(host, tmp_path / "b")
    assert (other / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()  # no date, no path


@pytest.mark.parametrize("stall", [False, True])
def test_a_lost_connection_goes_on_and_fetches_only_the_rest(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stall: bool
) -> None:
    monkeypatch.setattr(data_sets, "TIMEOUT", 1.0)
    host.answers = [Answer(cut=100_000, stall=stall), Answer(status=503), Answer(cut=100_000)]
    check_complete(get(host, tmp_path), host.data)
    assert host.asked[0] is None and host.asked[1] == host.asked[2] and 0 < (host.asked[1] or 0) < (host.asked[3] or 0)


def test_a_host_without_ranges_starts_anew_and_one_without_end_is_cut_off(host: Host, tmp_path: Path) -> None:
    host.answers = [Answer(cut=100_000)]
    host.otherwise = Answer(ranges=False, data=host.data + bytes(3_000_000), length=False)
    check_complete(get(host, tmp_path), host.data)
    assert len(host.asked) == 2


def test_bytes_of_two_versions_are_not_taken_for_the_file_and_the_next_call_gets_it(host: Host, tmp_path: Path) -> None:
    mixed = bytes(reversed(host.data))
    host.answers = [Answer(cut=100_000, data=mixed)]
    said = refused_in_a_line(lambda: get(host, tmp_path))
    assert hashlib.sha256(host.data).hexdigest() in said and "small-480p.zip" in said and "was removed" in said
    assert find(archive_of(host.data), tmp_path) is None
    check_complete(get(host, tmp_path), host.data)
    assert host.asked[-1] is None


def test_tries_are_bounded_their_pauses_double_and_what_came_is_kept(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(data_sets, "PAUSE", 1.0)
    monkeypatch.setattr(data_sets.time, "sleep", pauses.append)
    host.answers, host.otherwise = [Answer(cut=200_000)], Answer(status=503)
    said = refused_in_a_line(lambda: get(host, tmp_path))
    assert pauses == [1, 2, 4, 8] and len(host.asked) == 5
    assert "5 tries in a row at" in said and "(HTTP 503)" in said and "goes on from there" in said
    assert find(archive_of(host.data), tmp_path) is None
    host.otherwise = Answer()
    check_complete(get(host, tmp_path), host.data)
    assert (host.asked[-1] or 0) > 100_000


@pytest.mark.parametrize("answer", [Answer(status=404), Answer(data=b"<html>please log in</html>")])
def test_what_another_try_does_not_mend_is_told_at_once(host: Host, tmp_path: Path, answer: Answer) -> None:
    host.otherwise = answer
    said = refused_in_a_line(lambda: get(host, tmp_path))
    assert len(host.asked) == 1 and host.url in said and "--from FILE" in said
    assert ("answers HTTP 404" if answer.status == 404 else f"offers 26 bytes, expected {len(host.data):,}") in said


def test_a_closed_port_is_told_with_its_host_and_the_way_round(host: Host, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it either
        archive = archive_of(b"x", f"http://127.0.0.1:{taken.getsockname()[1]}/x.zip")
        said = refused_in_a_line(lambda: fetch(archive, tmp_path))
    assert said.startswith("127.0.0.1:") and "(Connection refused)" in said
    assert archive.url in said and "--from FILE" in said


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_is_told(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(path: Path, mode: str) -> Any:
        if path.suffix == ".part":
            raise OSError(code, os.strerror(code))
        return open(path, mode)

    monkeypatch.setattr(data_sets, "open", full, raising=False)
    said = refused_in_a_line(lambda: get(host, tmp_path))
    assert str(tmp_path) in said and ("no room left" if code == errno.ENOSPC else "Permission denied") in said


def test_too_little_room_is_told_before_a_byte_comes(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.suites.data_sets.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert f"has 1,000 bytes free, {len(host.data):,} needed to download" in refused_in_a_line(lambda: get(host, tmp_path))
    assert not host.asked


def test_two_at_once_do_not_write_into_each_other(host: Host, tmp_path: Path) -> None:
    with open(tmp_path / ".small.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert "Another `bench fetch small` is at work" in refused_in_a_line(lambda: get(host, tmp_path))
    check_complete(get(host, tmp_path), host.data)


# --- the command, killed and interrupted ------------------------------------------------------------------------------

CHILD = """
import json, os, sys, typer
from fastvmt.cli import fetch as fetch_cli, program
from fastvmt.plugins import registry
from fastvmt.suites import data_sets
class Archives:
    def get(self, name): return data_sets.Archive(**json.loads(os.environ["ARCHIVE"]))
registry.archives = Archives()
class Die:
    def __call__(self, *args): os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    sleep = __call__
if "SIGNAL" in os.environ: setattr(data_sets, os.environ["DIE_AT"], Die())
app = typer.Typer()
app.command()(fetch_cli.fetch)
program.guarded(app)
"""


def child(archive: Archive, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    surroundings = os.environ | {"ARCHIVE": json.dumps(asdict(archive))} | env
    command = [sys.executable, "-c", CHILD, "small", *map(str, args)]
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("where", "sent"),
    [("time", signal.SIGKILL), ("time", signal.SIGINT), ("write_atomic", signal.SIGKILL), ("publish_folder", signal.SIGKILL)],
)
def test_a_killed_or_interrupted_process_is_not_complete_and_goes_on_where_it_was(
    host: Host, tmp_path: Path, where: str, sent: signal.Signals
) -> None:
    """``time``: in the pause after a lost connection. The others: all is unpacked, and not yet in its place."""
    host.answers = [Answer(cut=100_000)] if where == "time" else []
    archive = archive_of(host.data, host.url)
    done = child(archive, "--to", tmp_path, DIE_AT=where, SIGNAL=str(int(sent)))
    assert done.returncode == (-9 if sent == signal.SIGKILL else 130) and "Traceback" not in done.stderr, done.stderr
    assert ("the same command goes on" in done.stderr) == (sent == signal.SIGINT)
    assert not (tmp_path / "small").exists() and find(archive, tmp_path) is None
    assert where == "time" or (tmp_path / ".small.work" / "unpacked" / "D" / "list.txt").exists()
    check_complete(get(host, tmp_path), host.data)
    assert len(host.asked) == (2 if where == "time" else 1) and (where != "time" or host.asked[1])


def test_the_command_prints_the_folder_or_one_object_and_ends_with_2_on_an_error(host: Host, tmp_path: Path) -> None:
    archive = archive_of(host.data, host.url)
    done = child(archive, "--json", "--to", tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["folder"] == str(tmp_path / "small") and not found["already_there"]
    assert (found["files"], found["bytes"]) == (11, 300_005) and "free" in done.stderr and "100%" in done.stderr
    done = child(archive, FASTVMT_DATA=str(tmp_path))
    assert done.stdout == f"{tmp_path / 'small'}\n" and "already there" in done.stderr and len(host.asked) == 1
    done = child(archive, "--to", tmp_path / "b", "--from", tmp_path / "none.zip")
    assert (done.returncode, done.stdout) == (2, "") and "there is no such file" in done.stderr
    assert "Traceback" not in done.stderr


# --- files and folders of the user's ----------------------------------------------------------------------------------


def test_from_a_file_needs_no_network_and_leaves_the_file(tmp_path: Path) -> None:
    data = a_zip()
    archive, file = archive_of(data), tmp_path / "my copy.zip"
    wrong = bytes([data[0] ^ 1]) + data[1:]
    for content in (data[:100_000], wrong):
        file.write_bytes(content)
        said = refused_in_a_line(lambda: fetch(archive, tmp_path / "to", file))
        assert said.startswith(f"my copy.zip: {len(content):,} bytes") and archive.url in said
        assert all(hashlib.sha256(d).hexdigest() in said for d in (content, data)) and file.read_bytes() == content
        assert not (tmp_path / "to").exists()
    file.write_bytes(data)
    check_complete(fetch(archive, tmp_path / "to", file), data)
    assert file.read_bytes() == data


def test_a_folder_that_is_not_ours_or_not_what_it_was_is_told_and_never_touched(tmp_path: Path) -> None:
    data = a_zip()
    archive, file = archive_of(data), tmp_path / "s.zip"
    file.write_bytes(data)
    (tmp_path / "a" / "small").mkdir(parents=True)
    (tmp_path / "a" / "small" / "mine.txt").write_text("keep")
    assert "not made by `bench fetch`" in refused_in_a_line(lambda: fetch(archive, tmp_path / "a", file))
    assert (tmp_path / "a" / "small" / "mine.txt").read_text() == "keep"
    folder = fetch(archive, tmp_path, file)
    assert "holds another version" in refused_in_a_line(lambda: find(replace(archive, sha256="0" * 64), tmp_path))
    (folder / "D" / "Frames").rename(folder / "D" / "frames-elsewhere")
    assert "has no D/Frames any more" in refused_in_a_line(lambda: find(archive, tmp_path))
    (folder / MANIFEST).write_text("{")
    assert "cannot be read" in refused_in_a_line(lambda: find(archive, tmp_path))


@pytest.mark.parametrize("names", [["E/x.txt"], ["D/Frames/x", MANIFEST]])
def test_an_archive_without_its_folder_or_with_a_manifest_of_its_own_is_not_complete(tmp_path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as made:
        for name in names:
            made.writestr(name, b"{}")
    archive = archive_of((tmp_path / "s.zip").read_bytes())
    assert "not the data it should be" in refused_in_a_line(lambda: fetch(archive, tmp_path / "to", tmp_path / "s.zip"))
    assert not (tmp_path / "to" / "small").exists()
