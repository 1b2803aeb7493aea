"""Data sets from a file of the user's, and folders that are not what they were."""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict
from pathlib import Path

from test_fetch import a_zip, archive_of, check_complete, refused, zip_of

from fastvmt.suites.download import Report
from fastvmt.suites.fetch import MANIFEST, Archive, fetch, find


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
    from fastvmt.plugins import registry

    found = registry.archives.get("davis2017")
    assert found.bytes == 832_766_765 and len(bytes.fromhex(found.sha256)) == 32
    assert found.url.endswith("/DAVIS-2017-trainval-480p.zip")
