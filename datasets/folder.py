"""The suite ``folder``: clips and prompts of the user's own, by ``--root``; the same cases as ``--suite FOLDER``."""

from __future__ import annotations

from pathlib import Path

from fastvmt.errors import SuiteError


class Folder:
    """Video files and folders of images that lie directly in one folder, with their target prompts beside them.

    Prompts: prompts.txt (lines 'clip: prompt', or one prompt for all clips), prompts.csv or prompts.jsonl (clip, prompt,
    caption, category, negative, start), manifest.json, or suite.toml with [[case]]; --prompt TEXT serves all clips. A folder
    that `bench suite make` wrote is read by its own lists. A folder's name as --suite says the same without --root.
    """

    name = "folder"
    summary = "your own clips and prompts in one folder"
    size = "that of your folder; nothing is fetched"
    licence = "that of your clips; `bench suite make FOLDER --licence TEXT` records it"
    how = "pass --suite FOLDER, or --suite folder --root FOLDER; `bench suite check FOLDER` says what is wrong with it"

    def path(self, root: Path | None) -> Path:
        """The user's folder.

        Raises:
            SuiteError: when none was named or it is not there.
        """
        if root is None:
            raise SuiteError("folder: no folder of clips was named. Pass --root FOLDER, or FOLDER itself as --suite.")
        if not root.is_dir():
            raise SuiteError(f"folder: '{root}' is no folder. Correct --root.")
        return root
