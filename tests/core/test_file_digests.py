"""Digests that are remembered: read once, and never those of another file or of another process's older memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fastvmt.core.disk import file_digests


def test_what_is_remembered_is_read_once_and_what_others_add_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTVMT_CACHE", str(tmp_path))
    read = 0

    def counted(data: bytes) -> object:
        nonlocal read
        read += 1
        return parse_json(data)

    parse_json = file_digests.parse_json
    monkeypatch.setattr(file_digests, "parse_json", counted)
    (file := tmp_path / "weights").write_bytes(b"a")
    for _ in range(5):
        assert file_digests.sha256_of([file]) == [hashlib.sha256(b"a").hexdigest()]
    assert read == 1
    memory = tmp_path / "file-digests.json"
    memory.write_text(memory.read_text().replace(hashlib.sha256(b"a").hexdigest(), "of another process"))
    assert file_digests.sha256_of([file]) == ["of another process"]
    file.write_bytes(b"ab")
    assert file_digests.sha256_of([file]) == [hashlib.sha256(b"ab").hexdigest()]
