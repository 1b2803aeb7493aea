"""Archives that mean harm: nothing leaves the folder, nothing grows without bound."""

from __future__ import annotations

import io
import random
import stat
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import refused_in_a_line

from fastvmt.errors import UserError
from fastvmt.suites import data_sets


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


def open_up(data: bytes, into: Path) -> list[dict[str, Any]]:
    return data_sets.unpack(io.BytesIO(data), "h.zip", into)


HOSTILE = [
    "../x", "a/../../x", "a/..", "/x", "//x", "C:x", "C:/x", "a/C:/x", "..\\x", "a\\..\\..\\x", "\\\\host\\x", "a\0/../x",
    "x\0", "a\nb", "\x1b[2J", "a" * 256, "/".join(["abcdefgh"] * 200),
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_refuses_the_whole_archive(tmp_path: Path, name: str) -> None:
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    said = refused_in_a_line(lambda: open_up(zip_of([("good.txt", b"x"), (name, b"x")]), into))
    assert repr(name[:200]) in said and "nothing of the archive was kept" in said
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []  # names are judged before the first is written


fragments = st.sampled_from(
    ["..", ".", "", "a", "b", "A", "é", "e\u0301", "c:", "C:x", "\\", "..\\", "\0", "\n", " ", "...", "~", "-rf", "__MACOSX",
     "._a", ".DS_Store", "con", "ß", "SS", "\u202e", "$HOME", "x" * 300]
)  # fmt: skip
hostile = st.lists(fragments, min_size=1, max_size=6).map("/".join) | st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=5), st.booleans())
def test_nothing_ever_leaves_the_folder(names: list[str], absolute: bool) -> None:
    """Whatever the names: refused with a sentence, or every file is inside, under a name of its own."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        into, outside = base / "in" / "to", base / "escaped"
        into.mkdir(parents=True)
        try:
            stored = open_up(zip_of([(n, b"evil") for n in [*names, *([str(outside)] if absolute else [])]]), into)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            files = [p.relative_to(into).as_posix() for p in base.rglob("*") if p.is_file()]
            assert sorted(files) == sorted(f["path"] for f in stored) and not absolute
            assert not [p for p in base.rglob("*") if p.is_symlink() or "__MACOSX" in p.parts[:-1]]
        assert {p.name for p in base.iterdir()} == {"in"} and {p.name for p in (base / "in").iterdir()} == {"to"}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_damaged_archive_ends_in_a_sentence(flips: list[tuple[float, int]]) -> None:
    data = bytearray(zip_of([("a/b.txt", b"some words " * 9), ("c.txt", b"more")]))
    for place, change in flips:
        data[min(len(data) - 1, int(place * len(data)))] ^= change
    with tempfile.TemporaryDirectory() as name:
        try:
            open_up(bytes(data), Path(name))
        except UserError as error:
            assert "h.zip" in str(error)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    assert "is a link, a device" in refused_in_a_line(lambda: open_up(zip_of([("d", b"/etc")], kind | 0o777), tmp_path))
    assert not list(tmp_path.iterdir())


def test_rights_of_an_archive_are_not_taken_over(tmp_path: Path) -> None:
    open_up(zip_of([("run", b"x")], stat.S_IFREG | 0o6777), tmp_path)
    assert (tmp_path / "run").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b", "a"]])
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, names: list[str]) -> None:
    assert "the archive is damaged" in refused_in_a_line(lambda: open_up(zip_of([(n, b"x") for n in names]), tmp_path))


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    zeros = [("zeros", bytes(20_000_000))]
    assert "to 20,000,000, more than 200 times" in refused_in_a_line(lambda: open_up(zip_of(zeros), tmp_path))
    assert "packed in a way" in refused_in_a_line(lambda: open_up(zip_of(zeros, method=zipfile.ZIP_LZMA), tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "most"), [("MEMBERS", 9), ("TOTAL", 99)])
def test_limits_hold_for_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    monkeypatch.setattr(data_sets, limit, most)
    data = zip_of([(f"{n}.txt", b"0123456789") for n in range(10)])
    assert "This is not the data it should be" in refused_in_a_line(lambda: open_up(data, tmp_path))
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
    assert "overlap" in refused_in_a_line(lambda: open_up(raw.getvalue(), tmp_path))


@pytest.mark.parametrize("change", [-40, 40])
def test_a_size_that_lies_is_seen_while_reading(tmp_path: Path, change: int) -> None:
    """The directory at the end announces fewer, or more, bytes than the entry gives."""
    data = bytearray(zip_of([("a.txt", b"some words " * 9)]))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (99 + change).to_bytes(4, "little")
    assert "damaged" in refused_in_a_line(lambda: open_up(bytes(data), tmp_path))
    assert all(p.stat().st_size <= 99 for p in tmp_path.iterdir())


@pytest.mark.parametrize("data", [b"<html>", b"", b"x" * 2000])
def test_what_is_no_zip_is_told(tmp_path: Path, data: bytes) -> None:
    assert "no zip" in refused_in_a_line(lambda: open_up(data, tmp_path))
