"""A folder of random weights in the layout of a backbone that has a card, with few blocks, to try everything but quality on.

    python tools/backbones/random_backbone.py wan2.2-t2v-a14b /tmp/a14b --blocks 2            # a megabyte
    python tools/backbones/random_backbone.py wan2.2-ti2v-5b /tmp/ti2v --blocks 2 --wide      # the model's own widths: 5 GB
    bench run --backbone /tmp/a14b --methods fastvmt --suite shapes --limit 1

Parts, configs and file names are those of the published diffusers folder. Texts are those of the checks' small tokenizer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fastvmt.backbones import card as cards
from fastvmt.testing import random_wan
from fastvmt.testing.layouts import layout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[name for name in cards.known() if name != "tiny"])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--blocks", type=int, default=3, help="of each transformer")
    parser.add_argument("--wide", action="store_true", help="the model's own widths, VAE too; the text encoder stays small")
    asked = parser.parse_args()
    if asked.folder.exists():
        parser.error(f"{asked.folder} is there already")
    random_wan(asked.folder, **layout(asked.name, asked.blocks, asked.wide))
    card = cards.load(str(asked.folder.resolve()))
    print(f"{asked.folder}: {card.blocks} blocks, {card.heads} heads, sizes in multiples of {card.multiple} px")


if __name__ == "__main__":
    main()
