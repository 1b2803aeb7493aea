"""A word-level tokenizer for a CLIP with few words, called as open_clip's are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.metrics.text.clip_weights import WORD_LIST

if TYPE_CHECKING:
    from torch import Tensor

PAD, UNKNOWN = 0, 1


class WordTokenizer:
    """One id a word, lower case, without punctuation: 0 pads, 1 is any unknown word, the last id ends the text.

    The end has the highest id because open_clip reads a text's feature where the id is highest.
    """

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.words, self.context_length = tuple(words), context_length
        self.ids = {word: n for n, word in enumerate(words, 2)}
        self.end = len(words) + 2

    @property
    def vocab_size(self) -> int:
        return self.end + 1

    @classmethod
    def load(cls, folder: Path, context_length: int) -> WordTokenizer:
        return cls(json.loads((folder / WORD_LIST).read_bytes()), context_length)

    def save(self, folder: Path) -> None:
        (folder / WORD_LIST).write_text(json.dumps(self.words) + "\n")

    def split(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    def unknown(self, text: str) -> list[str]:
        """The words of a text that have no id of their own."""
        return [word for word in dict.fromkeys(self.split(text)) if word not in self.ids]

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Ids (N, context_length), cut to fit, always closed by the end."""
        import torch  # counting words, as a plan does, needs none

        texts, length = [texts] if isinstance(texts, str) else texts, context_length or self.context_length
        out = torch.full((len(texts), length), PAD)
        for row, text in zip(out, texts, strict=True):
            ids = [*[self.ids.get(w, UNKNOWN) for w in self.split(text)][: length - 1], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return out
