"""Archives that mean harm: nothing leaves the folder, nothing grows without bound."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fetch import refused, zip_of

from fastvmt.errors import UserError
from fastvmt.suites.unpack import Limits, unpack


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
    monkeypatch.setattr("fastvmt.suites.unpack.shutil.disk_usage", lambda path: type("Usage", (), {"free": 4}))
    assert "has 4 bytes free, 5 needed to unpack" in refused(lambda: open_up(zip_of([("a", b"12345")]), tmp_path))
    assert not list(tmp_path.iterdir())


def test_other_files_are_called_by_their_first_bytes(tmp_path: Path) -> None:
    for data in (b"<html>", b"", b"x" * 2000):
        said = refused(lambda d=data: open_up(d, tmp_path))  # type: ignore[misc]
        assert "neither a zip nor a tar" in said and repr(data[:6]) in said
