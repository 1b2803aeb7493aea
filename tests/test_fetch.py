"""The downloader against a host that misbehaves, and against being killed."""

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
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastvmt.errors import UserError
from fastvmt.suites.download import Patience, Report
from fastvmt.suites.fetch import MANIFEST, Archive, fetch, find

SOON = Patience(timeout=5.0, tries=3, pause=0.0)


# --- a host -----------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """How one request is met. ``cut``: the connection ends after so many bytes; ``stall``: it falls silent there."""

    status: int = 200
    cut: int | None = None
    stall: bool = False
    ranges: bool = True
    if_range: bool = True
    etag: str | None = '"one"'
    data: bytes | None = None
    length: bool = True


@dataclass
class Host:
    data: bytes
    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default_factory=Answer)
    asked: list[dict[str, str]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def meet(self, request: BaseHTTPRequestHandler) -> None:
        answer = self.answers.pop(0) if self.answers else self.otherwise
        headers = dict(request.headers.items())
        self.asked.append(headers)
        self.served.append(0)
        number = len(self.served) - 1
        if answer.status != 200:
            request.send_error(answer.status)
            return
        data, start = self.data if answer.data is None else answer.data, 0
        same = not answer.if_range or headers.get("If-Range", answer.etag) == answer.etag
        if "Range" in headers and answer.ranges and same:
            start = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        if answer.etag:
            request.send_header("ETag", answer.etag)
        if answer.length:
            request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        piece = data[start:] if answer.cut is None else data[start : start + answer.cut]
        self.served[number] = len(piece)  # before, since the client may be done first
        request.wfile.write(piece)
        if answer.stall:
            self.release.wait(20)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is part of these tests."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
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
    rng = random.Random(0)
    files = {f"D/Frames/bear/{n:05}.jpg": rng.randbytes(30_000) for n in range(10)}
    return zip_of([*files.items(), ("D/list.txt", b"bear\n"), ("__MACOSX/D/._list.txt", b"x"), ("D/.DS_Store", b"x")])


def zip_of(members: list[tuple[str, bytes]], mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with exactly these names, also those that ``zipfile`` would make harmless."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of names that are there twice
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type, info.external_attr = name, method, mode << 16
            archive.writestr(info, data)
    return raw.getvalue()


def archive_of(url: str, data: bytes) -> Archive:
    return Archive("small", url, len(data), hashlib.sha256(data).hexdigest(), "ten pictures", "free", "D/Frames")


def get(host: Host, to: Path, patience: Patience = SOON, data: bytes | None = None) -> Path:
    return fetch(archive_of(host.url, data or host.data), to, report=Report(None), patience=patience)


def refused(call: Callable[[], Any]) -> str:
    """The sentence, which is one line and no traceback."""
    with pytest.raises(UserError) as caught:
        call()
    assert caught.value.__cause__ is None and "\n" not in str(caught.value)
    return str(caught.value)


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
    said = io.StringIO()
    again = fetch(archive_of(host.url, host.data), tmp_path / "a" / "new", report=Report(said))
    assert again == folder and len(host.asked) == 1
    assert "already there" in said.getvalue() and str(folder) in said.getvalue()
    assert not (folder.parent / ".small.lock").exists()  # nothing is written: the folder may be read-only
    other = get(host, tmp_path / "b")
    assert (other / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()  # no date, no path


@pytest.mark.parametrize("etag", ['"one"', None])
def test_a_cut_connection_goes_on_and_fetches_only_the_rest(host: Host, tmp_path: Path, etag: str | None) -> None:
    host.answers = [Answer(cut=100_000, etag=etag), Answer(cut=50_000, etag=etag)]
    host.otherwise = Answer(etag=etag)
    check_complete(get(host, tmp_path), host.data)
    assert host.served == [100_000, 50_000, len(host.data) - 150_000]
    assert [a.get("Range") for a in host.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert [a.get("If-Range") for a in host.asked] == [None, etag, etag]


def test_silence_counts_as_a_lost_connection(host: Host, tmp_path: Path) -> None:
    host.answers = [Answer(cut=100_000, stall=True)]
    began = time.monotonic()
    check_complete(get(host, tmp_path, Patience(timeout=3.0, tries=3, pause=0.0)), host.data)
    assert host.served == [100_000, len(host.data) - 100_000] and time.monotonic() - began < 60


def test_a_host_without_ranges_starts_anew(host: Host, tmp_path: Path) -> None:
    host.answers = [Answer(cut=100_000, ranges=False)]
    host.otherwise = Answer(ranges=False)
    check_complete(get(host, tmp_path), host.data)
    assert host.served == [100_000, len(host.data)]


@pytest.mark.parametrize("if_range", [True, False])
def test_bytes_of_two_versions_are_never_joined(host: Host, tmp_path: Path, if_range: bool) -> None:
    """The second host (``if_range`` False) sends the rest of the new version although the old one was asked for."""
    old = bytes(reversed(host.data))
    host.answers = [Answer(cut=100_000, data=old, etag='"old"')]
    host.otherwise = Answer(if_range=if_range)
    check_complete(get(host, tmp_path), host.data)
    assert host.served[-1] == len(host.data)


def test_a_part_of_another_address_or_unknown_origin_is_not_used(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".small.part").write_bytes(b"from elsewhere")
    check_complete(get(host, tmp_path), host.data)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".small.part").write_bytes(b"from elsewhere")
    marks = {"url": "http://127.0.0.1/other", "etag": '"one"', "modified": None}
    (tmp_path / "b" / ".small.part.json").write_text(json.dumps(marks))
    check_complete(get(host, tmp_path / "b"), host.data)
    assert [a.get("Range") for a in host.asked] == [None, None]


def test_tries_are_bounded_and_what_came_is_kept(host: Host, tmp_path: Path) -> None:
    host.otherwise = Answer(cut=1000)
    said = refused(lambda: get(host, tmp_path))
    assert len(host.asked) == 3 and "3 tries in a row at 3,000 of" in said and "goes on from there" in said
    assert find(archive_of(host.url, host.data), tmp_path) is None
    host.otherwise = Answer()
    check_complete(get(host, tmp_path), host.data)
    assert host.served[-1] == len(host.data) - 3000


def test_pauses_double(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fastvmt.suites.download.time.sleep", pauses.append)
    host.otherwise = Answer(status=503)
    said = refused(lambda: get(host, tmp_path, Patience(tries=4, pause=0.5)))
    assert pauses == [0.5, 1.0, 2.0] and "does not give the file, 4 tries failed (HTTP 503)" in said


def test_a_passing_refusal_is_tried_again_and_a_final_one_is_not(host: Host, tmp_path: Path) -> None:
    host.answers = [Answer(status=503)]
    check_complete(get(host, tmp_path), host.data)
    host.otherwise = Answer(status=404)
    said = refused(lambda: get(host, tmp_path / "b"))
    assert len(host.asked) == 3 and "HTTP 404" in said and host.url in said and "--from FILE" in said


def test_a_closed_port_is_told_with_its_host_and_the_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it either
        port = taken.getsockname()[1]
        archive = archive_of(f"http://127.0.0.1:{port}/x.zip", b"x")
        said = refused(lambda: fetch(archive, tmp_path, report=Report(None), patience=SOON))
    assert said.startswith(f"127.0.0.1:{port} cannot be reached, 3 tries failed (Connection refused).")
    assert archive.url in said and "--from FILE" in said


def test_wrong_bytes_name_both_digests_and_leave_nothing(host: Host, tmp_path: Path) -> None:
    wrong = host.data[:-1] + bytes([host.data[-1] ^ 1])
    host.otherwise = Answer(data=wrong)
    said = refused(lambda: get(host, tmp_path))
    for data in (wrong, host.data):
        assert hashlib.sha256(data).hexdigest() in said
    assert "the .part was removed" in said and "small-480p.zip" in said
    assert {p.name for p in tmp_path.iterdir()} == {".small.lock"}


@pytest.mark.parametrize("length", [True, False])
def test_a_file_of_another_length_is_refused(host: Host, tmp_path: Path, length: bool) -> None:
    host.otherwise = Answer(data=b"<html>please log in</html>", length=length)
    said = refused(lambda: get(host, tmp_path))
    if length:
        assert f"offers 26 bytes, expected {len(host.data):,}" in said and len(host.asked) == 1
    else:  # the host does not say how long it is, so that it looks like a lost connection
        assert "tries in a row at 26 of" in said or "does not have the rest" in said
    assert find(archive_of(host.url, host.data), tmp_path) is None


def test_a_host_that_sends_without_end_is_cut_off(host: Host, tmp_path: Path) -> None:
    host.otherwise = Answer(data=host.data + bytes(3_000_000), length=False)
    check_complete(get(host, tmp_path), host.data)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_is_told(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("fastvmt.suites.download.open", lambda *a: Full(), raising=False)
        said = refused(lambda: get(host, tmp_path))
    assert str(tmp_path) in said and ("no room left" if code == errno.ENOSPC else "Permission denied") in said


def test_too_little_room_is_told_before_a_byte_comes(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("fastvmt.suites.fetch.shutil.disk_usage", lambda path: usage)
    assert f"has 1,000 bytes free, {len(host.data):,} needed" in refused(lambda: get(host, tmp_path))
    assert not host.asked


def test_two_at_once_do_not_write_into_each_other(host: Host, tmp_path: Path) -> None:
    with open(tmp_path / ".small.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert "Another `bench fetch small` is at work" in refused(lambda: get(host, tmp_path))
    check_complete(get(host, tmp_path), host.data)


# --- killed, interrupted ----------------------------------------------------------------------------------------------

CHILD = """
import json, os, sys, typer
from fastvmt import cli, fetch, fetch_cli, registry
class Archives:
    def get(self, name): return fetch.Archive(**json.loads(os.environ["ARCHIVE"]))
registry.archives = Archives()
if "DIE_AT" in os.environ: setattr(fetch, os.environ["DIE_AT"], lambda *a: os.kill(os.getpid(), 9))
app = typer.Typer()
app.command()(fetch_cli.fetch)
cli.guarded(app)
"""


def child(archive: Archive, *args: str | Path, **env: str) -> subprocess.Popen[str]:
    surroundings = os.environ | {"ARCHIVE": json.dumps(asdict(archive))} | env
    command = [sys.executable, "-c", CHILD, "small", *map(str, args)]
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_interrupted_process_goes_on_where_it_was(host: Host, tmp_path: Path, sent: signal.Signals) -> None:
    host.answers = [Answer(cut=100_000, stall=True)]
    archive, part = archive_of(host.url, host.data), tmp_path / ".small.part"
    process = child(archive, "--to", tmp_path)
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size == 100_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (-9 if sent == signal.SIGKILL else 130) and "Traceback" not in err, err
    assert ("the same command goes on" in err) == (sent == signal.SIGINT)
    assert find(archive, tmp_path) is None and part.stat().st_size == 100_000
    check_complete(get(host, tmp_path), host.data)
    assert host.served == [100_000, len(host.data) - 100_000] and host.asked[1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize("where", ["_manifest", "publish_folder"])
def test_killed_before_the_manifest_is_not_complete_and_costs_no_second_download(
    host: Host, tmp_path: Path, where: str
) -> None:  # fmt: skip
    archive = archive_of(host.url, host.data)
    process = child(archive, "--to", tmp_path, DIE_AT=where)
    process.communicate(timeout=120)
    assert process.returncode == -9
    assert (tmp_path / ".small.unpacking" / "D" / "list.txt").exists()  # it did get that far
    assert not (tmp_path / "small").exists() and find(archive, tmp_path) is None
    check_complete(get(host, tmp_path), host.data)
    assert len(host.asked) == 1


def test_the_command_prints_the_folder_or_one_object_and_ends_with_2_on_an_error(host: Host, tmp_path: Path) -> None:
    archive = archive_of(host.url, host.data)
    process = child(archive, "--json", "--to", tmp_path)
    out, err = process.communicate(timeout=120)
    found = json.loads(out)
    assert process.returncode == 0 and found["folder"] == str(tmp_path / "small") and not found["already_there"], err
    assert (found["files"], found["bytes"]) == (11, 300_005) and "free" in err and "100%" in err
    process = child(archive, FASTVMT_DATA=str(tmp_path))
    out, err = process.communicate(timeout=120)
    assert out == f"{tmp_path / 'small'}\n" and "already there" in err and len(host.asked) == 1
    process = child(archive, "--to", tmp_path / "b", "--from", tmp_path / "none.zip")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "") and "there is no such file" in err and "Traceback" not in err
