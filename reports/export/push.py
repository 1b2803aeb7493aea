"""What an export wrote, to the Hugging Face hub: a data set that is private until its owner opens it."""

from __future__ import annotations

import os
from pathlib import Path

from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError


def check(repo: str) -> None:
    """Whether ``repo`` can be a data set's name.

    Raises:
        SpecError: when it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        fine = repo.count("/") == 1
    except HFValidationError:
        fine = False
    if not fine:
        raise SpecError(
            f"--repo {shown(repo)}: a data set on the hub is named OWNER/NAME, by letters, digits, '-', '_' and '.'."
        )


def token() -> str:
    """The user's token, asked for before anything is written.

    Raises:
        SpecError: when there is none.
    """
    from huggingface_hub import get_token

    if found := get_token():
        return str(found)
    raise SpecError("--push needs a token of the hub that may write; type `hf auth login`, or set HF_TOKEN.")


def address(repo: str) -> str:
    """Where a data set is looked at."""
    from huggingface_hub import constants

    return f"{os.environ.get('HF_ENDPOINT') or constants.ENDPOINT}/datasets/{repo}"


def push(folder: Path, repo: str, secret: str, only: str | None = None) -> None:
    """Upload a folder's files into a data set that is made where there is none.

    Args:
        only: a pattern of the files that go there; all without it.

    Raises:
        SpecError: when the hub refuses or cannot be reached, with what it said.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import logging

    api, loud = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=secret), logging.get_verbosity()
    logging.set_verbosity_error()  # each of its tries has a line of its own
    try:
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repo, repo_type="dataset", folder_path=folder, allow_patterns=only, commit_message="Export of fastvmt-bench"
        )
    except Exception as error:  # of the hub, of the network, of what lies between
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(
            f"--push: {repo} was not written ({said[0][:200]}). What was exported is in {folder}; once that is mended, "
            f"`hf upload {repo} {folder} --repo-type dataset` sends it."
        ) from error
    finally:
        logging.set_verbosity(loud)
