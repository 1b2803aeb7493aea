"""JSON and TOML of others: one ValueError with its place for everything that is none, and no number that cannot be reckoned with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastvmt.core.reading import check_json, parse_json, parse_toml

WRONG_JSON: dict[str, tuple[bytes, str]] = {
    "no number": (b'{"a": NaN}', "line 1 column 7"), "infinity": (b"[-Infinity]", "line 1"),
    "beyond a float": (b'{"a": {"b": [0, 1e400]}}', "a.b.1 is too large"), "whole numbers": (b'{"a": 1' + b"0" * 400 + b"}", "a is too"),
    "digits": (b"[" + b"9" * 5000 + b"]", "out of range"), "depth": (b"[" * 100_000, "recursion"),
    "half a character": (b'["\\ud800"]', "line 1"), "no text": (b'"\xff"', "unicode"), "cut": (b'{"a":\n', "line 2"),
    "nothing": (b"", "EOF"), "two of a key": (b'{"a": [{"b": 1, "b": 2}]}', "the key 'b' stands in one object twice"),
}  # fmt: skip
WRONG_TOML: dict[str, tuple[bytes, str]] = {
    "no number": (b"[a]\nb = [nan]", "a.b.0 is no number"), "infinity": (b"a = -inf", "a is too large"), "no text": (b"a = '\xff'", "utf-8"),
    "digits": (b"a = " + b"9" * 5000, "4300 digits"), "depth": (b"a = " + b"[" * 100_000, "too deeply"),
    "tables": (b".".join([b"a"] * 5000) + b" = 1", "too deeply"), "cut": (b"a = ", "Invalid value"), "two of a key": (b"a = 1\na = 2", "overwrite"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        *(pytest.param(parse_json, *v, id=f"json: {k}") for k, v in WRONG_JSON.items()),
        *(pytest.param(parse_toml, *v, id=f"toml: {k}") for k, v in WRONG_TOML.items()),
    ],
)
def test_whatever_is_wrong_is_one_sentence_with_its_place(read: Callable[[bytes], Any], text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        read(text)
    said = str(caught.value)
    assert words in said and "\n" not in said and len(said) < 200


def test_what_is_right_is_read_as_it_was_meant() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, -2.5e-300, "NaN Infinity \\ud83d\\ude00 1e400", null, 1e99]}') == {
        "a": [1, -2.5e-300, "NaN Infinity \U0001f600 1e400", None, 1e99]
    }
    assert parse_toml("\ufeffa = 1\n[b]\nc = [2.5, 'nan']".encode()) == {"a": 1, "b": {"c": [2.5, "nan"]}}
    line = b'{"key": "e400e400", "value": 1e-400}'
    assert check_json(line) is line
    for wrong in (b'{"value":1e400}', b'{"value": -Infinity}', b'{"value":NaN}', b'{"identity":{"a":[1' + b"0" * 300 + b"]}}"):
        with pytest.raises(ValueError, match="."):
            check_json(wrong)
