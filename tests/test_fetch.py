"""The downloader against a host that misbehaves, and the unpacker against archives that mean harm."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
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
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvmt.download import Patience, Report
from fastvmt.errors import UserError
from fastvmt.fetch import MANIFEST, Archive, fetch, find
from fastvmt.unpack import Limits, unpack

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
    check_complete(get(host, tmp_path, Patience(timeout=1.0, tries=3, pause=0.0)), host.data)
    assert host.served == [100_000, len(host.data) - 100_000] and time.monotonic() - began < 15


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
    monkeypatch.setattr("fastvmt.download.time.sleep", pauses.append)
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
        patched.setattr("fastvmt.download.open", lambda *a: Full(), raising=False)
        said = refused(lambda: get(host, tmp_path))
    assert str(tmp_path) in said and ("no room left" if code == errno.ENOSPC else "Permission denied") in said


def test_too_little_room_is_told_before_a_byte_comes(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("fastvmt.fetch.shutil.disk_usage", lambda path: usage)
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
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size == 100_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    _, err = process.communicate(timeout=10)
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
    process.communicate(timeout=20)
    assert process.returncode == -9
    assert (tmp_path / ".small.unpacking" / "D" / "list.txt").exists()  # it did get that far
    assert not (tmp_path / "small").exists() and find(archive, tmp_path) is None
    check_complete(get(host, tmp_path), host.data)
    assert len(host.asked) == 1


def test_the_command_prints_the_folder_or_one_object_and_ends_with_2_on_an_error(host: Host, tmp_path: Path) -> None:
    archive = archive_of(host.url, host.data)
    process = child(archive, "--json", "--to", tmp_path)
    out, err = process.communicate(timeout=20)
    found = json.loads(out)
    assert process.returncode == 0 and found["folder"] == str(tmp_path / "small") and not found["already_there"], err
    assert (found["files"], found["bytes"]) == (11, 300_005) and "free" in err and "100%" in err
    process = child(archive, FASTVMT_DATA=str(tmp_path))
    out, err = process.communicate(timeout=20)
    assert out == f"{tmp_path / 'small'}\n" and "already there" in err and len(host.asked) == 1
    process = child(archive, "--to", tmp_path / "b", "--from", tmp_path / "none.zip")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "") and "there is no such file" in err and "Traceback" not in err


# --- from a file ------------------------------------------------------------------------------------------------------


def test_from_a_file_needs_no_network_and_leaves_the_file(tmp_path: Path) -> None:
    data = a_zip()
    archive, file = archive_of("http://host.invalid/small-480p.zip", data), tmp_path / "my copy.zip"
    file.write_bytes(data[:100_000])
    said = refused(lambda: fetch(archive, tmp_path / "to", file, Report(None)))
    assert said.startswith(f"my copy.zip: 100,000 bytes, expected {len(data):,}: incomplete download.") and archive.url in said
    wrong = bytes([data[0] ^ 1]) + data[1:]
    file.write_bytes(wrong)
    said = refused(lambda: fetch(archive, tmp_path / "to", file, Report(None)))
    assert all(hashlib.sha256(d).hexdigest() in said for d in (wrong, data)) and file.read_bytes() == wrong
    assert find(archive, tmp_path / "to") is None
    file.write_bytes(data)
    check_complete(fetch(archive, tmp_path / "to", file, Report(None)), data)
    assert file.read_bytes() == data


def test_a_folder_that_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    data = a_zip()
    archive, file = archive_of("http://host.invalid/s.zip", data), tmp_path / "s.zip"
    file.write_bytes(data)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine.txt").write_text("keep")
    assert "not made by `bench fetch`" in refused(lambda: fetch(archive, tmp_path, file, Report(None)))
    assert (tmp_path / "small" / "mine.txt").read_text() == "keep"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "small").write_text("a file")
    assert "not made by `bench fetch`" in refused(lambda: fetch(archive, tmp_path / "b", file, Report(None)))


def test_a_folder_that_is_no_longer_what_it_was_is_told(tmp_path: Path) -> None:
    data = a_zip()
    archive, file = archive_of("http://host.invalid/s.zip", data), tmp_path / "s.zip"
    file.write_bytes(data)
    folder = fetch(archive, tmp_path, file, Report(None))
    (folder / "D" / "Frames").rename(folder / "D" / "frames-elsewhere")
    assert "has no D/Frames any more" in refused(lambda: find(archive, tmp_path))
    newer = Archive(**(asdict(archive) | {"sha256": "0" * 64}))
    assert "holds another version" in refused(lambda: find(newer, tmp_path))
    (folder / MANIFEST).write_text("{")
    assert "cannot be read" in refused(lambda: find(archive, tmp_path))


def test_an_archive_without_its_folder_or_with_a_manifest_of_its_own_is_not_complete(tmp_path: Path) -> None:
    for members, words in (
        ([("E/x.txt", b"x")], "no folder D/Frames in it"),
        ([("D/Frames/x", b"x"), ("Manifest.JSON", b"{}")], "is the same as 'manifest.json'"),
    ):
        data = zip_of(members)
        (tmp_path / "s.zip").write_bytes(data)
        archive = archive_of("http://host.invalid/s.zip", data)
        assert words in refused(lambda a=archive: fetch(a, tmp_path / "to", tmp_path / "s.zip", Report(None)))  # type: ignore[misc]
        assert {p.name for p in (tmp_path / "to").iterdir()} == {".small.lock"}


# --- hostile archives -------------------------------------------------------------------------------------------------


def open_up(data: bytes, into: Path, **limits: int) -> dict[str, Any]:
    return unpack(io.BytesIO(data), "h.zip", into, Limits(**limits))


HOSTILE = [
    "../x", "a/../../x", "a/..", "/x", "//x", "C:x", "C:/x", "a/C:/x", "..\\x", "a\\..\\..\\x", "\\\\host\\x", "a\0/../x",
    "x\0", "a\nb", "\x1b[2J", "a" * 256, "/".join(["abcdefgh"] * 200),
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_refuses_the_whole_archive(tmp_path: Path, name: str) -> None:
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    said = refused(lambda: open_up(zip_of([("good.txt", b"x"), (name, b"x")]), into))
    assert repr(name[:200]) in said and "nothing of the archive was kept" in said
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []  # names are judged before the first is written


fragments = st.sampled_from(
    ["..", ".", "", "a", "b", "A", "é", "e\u0301", "c:", "C:x", "\\", "..\\", "\0", "\n", " ", "...", "~", "-rf", "__MACOSX",
     "._a", ".DS_Store", "con", "ß", "SS", "\u202e", "$HOME", "\udc80", "x" * 300]
)  # fmt: skip
hostile = st.lists(fragments, min_size=1, max_size=6).map("/".join) | st.text(st.characters(codec="utf-8"), max_size=12)


def encodable(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


@settings(max_examples=300, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_nothing_ever_leaves_the_folder(names: list[str], as_tar: bool, absolute: bool) -> None:
    """Whatever the names: refused with a sentence, or every file is inside, under a name of its own on every disk."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        into, outside = base / "in" / "to", base / "escaped"
        into.mkdir(parents=True)
        names = [n for n in names if as_tar or encodable(n)] + ([str(outside)] if absolute else [])
        data = tar_of([(n, tarfile.REGTYPE, b"evil", "") for n in names]) if as_tar else zip_of([(n, b"evil") for n in names])
        try:
            stored = open_up(data, into)
        except UserError as error:
            assert "\n" not in str(error) and not [p for p in base.rglob("*") if p.is_file()]
        else:
            files = {p.relative_to(into).as_posix() for p in base.rglob("*") if p.is_file()}
            assert files == set(stored) and not absolute
            assert len({f.casefold() for f in files}) == len(files)
            assert not [p for p in base.rglob("*") if p.is_symlink() or "__MACOSX" in p.parts]
        assert {p.name for p in base.iterdir()} == {"in"} and {p.name for p in (base / "in").iterdir()} == {"to"}


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_damaged_archive_ends_in_a_sentence(as_tar: bool, flips: list[tuple[float, int]]) -> None:
    members = [("a/b.txt", b"some words " * 9), ("c.txt", b"more")]
    data = bytearray(tar_of([(n, tarfile.REGTYPE, d, "") for n, d in members], "gz") if as_tar else zip_of(members))
    for place, change in flips:
        data[min(len(data) - 1, int(place * len(data)))] ^= change
    with tempfile.TemporaryDirectory() as name:
        try:
            open_up(bytes(data), Path(name))
        except UserError as error:
            assert "h.zip" in str(error)


def tar_of(members: list[tuple[str, bytes, bytes, str]], packing: str = "") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, kind, data, link in members:
            info = tarfile.TarInfo()
            info.name, info.type, info.linkname, info.size = name, kind, link, len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_a_tar_unpacks_too(tmp_path: Path, packing: str) -> None:
    data = tar_of([("./d", tarfile.DIRTYPE, b"", ""), ("./d/x.txt", tarfile.REGTYPE, b"words", "")], packing)
    stored = open_up(data, tmp_path)
    assert (tmp_path / "d" / "x.txt").read_bytes() == b"words"
    assert {k: (v.bytes, v.sha256) for k, v in stored.items()} == {"d/x.txt": (5, hashlib.sha256(b"words").hexdigest())}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    data = tar_of([("d", kind, b"", "/etc"), ("d/x", tarfile.REGTYPE, b"evil", "")])
    assert "is a link, a device" in refused(lambda: open_up(data, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    data = zip_of([("d", b"/etc")], kind | 0o777)
    assert "is a link, a device" in refused(lambda: open_up(data, tmp_path))
    assert not list(tmp_path.iterdir())


def test_rights_of_an_archive_are_not_taken_over(tmp_path: Path) -> None:
    open_up(zip_of([("run", b"x")], stat.S_IFREG | 0o6777), tmp_path)
    assert (tmp_path / "run").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize(
    "names", [["a", "a"], ["Bear/x", "bear/y"], ["é", "e\u0301"], ["a", "a/b"], ["a/b", "a"], ["straße", "STRASSE"]]
)
def test_names_that_a_disk_may_merge_are_refused(tmp_path: Path, names: list[str]) -> None:
    said = refused(lambda: open_up(zip_of([(n, b"x") for n in names]), tmp_path))
    assert "is the same as" in said or "is there twice" in said


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    zeros = bytes(20_000_000)
    said = refused(lambda: open_up(zip_of([("zeros", zeros)]), tmp_path))
    assert "to 20,000,000, more than 200 times" in said
    assert "more than it may" in refused(lambda: open_up(tar_of([("zeros", tarfile.REGTYPE, zeros, "")], "gz"), tmp_path))
    assert "packed in a way" in refused(lambda: open_up(zip_of([("zeros", zeros)], method=zipfile.ZIP_LZMA), tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_header_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    """A long name of 30 MB would be read as one piece, before any entry is seen."""
    raw = io.BytesIO()
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 30_000_000
    raw.write(info.tobuf() + bytes(30_000_000 // 512 * 512 + 1024))
    assert "more than it may" in refused(lambda: open_up(raw.getvalue(), tmp_path))


def test_a_packed_tar_is_not_read_past_its_limit(tmp_path: Path) -> None:
    """An entry that announces 1 GB in a file of some bytes: refused where it is announced, not after a gigabyte of reading."""
    info = tarfile.TarInfo("x")
    info.size = 1_000_000_000
    assert "more than it may" in refused(lambda: open_up(gzip.compress(info.tobuf() + bytes(1024)), tmp_path))


@pytest.mark.parametrize("limits", [{"members": 9}, {"total": 99}])
def test_limits_hold_for_the_whole(tmp_path: Path, limits: dict[str, int]) -> None:
    members = [(f"{n}.txt", b"0123456789") for n in range(10)]
    for data in (zip_of(members), tar_of([(n, tarfile.REGTYPE, d, "") for n, d in members])):
        assert "This is not the data it should be" in refused(lambda d=data: open_up(d, tmp_path, **limits))  # type: ignore[misc]
        assert not list(tmp_path.iterdir())


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("0", random.Random(0).randbytes(5000))
        first = archive.filelist[0]
        for n in range(1, 50):
            other = zipfile.ZipInfo(str(n))
            other.header_offset, other.CRC, other.file_size = first.header_offset, first.CRC, first.file_size
            other.compress_size = first.compress_size
            archive.filelist.append(other)
    assert "overlap" in refused(lambda: open_up(raw.getvalue(), tmp_path))


@pytest.mark.parametrize("change", [-40, 40])
def test_a_size_that_lies_is_seen_while_reading(tmp_path: Path, change: int) -> None:
    """The directory at the end announces fewer, or more, bytes than the entry gives."""
    data = bytearray(zip_of([("a.txt", b"some words " * 9)]))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (99 + change).to_bytes(4, "little")
    assert "damaged" in refused(lambda: open_up(bytes(data), tmp_path))
    assert all(p.stat().st_size <= 99 for p in tmp_path.iterdir())


def test_too_little_room_to_unpack_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.unpack.shutil.disk_usage", lambda path: type("Usage", (), {"free": 4}))
    assert "has 4 bytes free, 5 needed to unpack" in refused(lambda: open_up(zip_of([("a", b"12345")]), tmp_path))
    assert not list(tmp_path.iterdir())


def test_other_files_are_called_by_their_first_bytes(tmp_path: Path) -> None:
    for data in (b"<html>", b"", b"x" * 2000):
        said = refused(lambda d=data: open_up(d, tmp_path))  # type: ignore[misc]
        assert "neither a zip nor a tar" in said and repr(data[:6]) in said


# --- what the user sees -----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report_on(stream: io.StringIO, every: float) -> list[str]:
    report = Report(stream, every=every)
    report.begin("x.zip", 2000, have=1000)
    for have in range(1000, 2001):
        report.at(have)
    report.note("done")
    return stream.getvalue().splitlines()


def test_a_terminal_gets_one_line_rewritten_and_a_file_gets_few() -> None:
    lines = report_on(io.StringIO(), every=10.0)
    assert len(lines) == 2 and lines[0].startswith("x.zip: 2,000 of 2,000 bytes, 100%, ") and lines[0].endswith(" MB/s")
    raw = Terminal()
    report_on(raw, every=10.0)
    assert raw.getvalue().startswith("\r") and raw.getvalue().count("\n") == 2
    assert len(report_on(io.StringIO(), every=0.0)) == 1002


def test_the_davis_archive_is_registered_with_a_whole_digest() -> None:
    from fastvmt import registry

    found = registry.archives.get("davis2017")
    assert found.bytes == 832_766_765 and len(bytes.fromhex(found.sha256)) == 32
    assert found.url.endswith("/DAVIS-2017-trainval-480p.zip")
