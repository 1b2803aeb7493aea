"""Keep one comment of the gate on a pull request up to date; used by action.yml.

The gate's verdict is its exit code, so a comment that cannot be written is a warning and never turns a build red or green.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MARKER = "<!-- fastvmt-bench: gate -->"
"""First line of every comment of `bench check --comment`."""
A_PAGE = 100


def main(file: Path) -> None:
    log = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(os.environ)
    # Without a file there was nothing to compare, and what an earlier push has earned must not stand there.
    body = file.read_text("utf-8") if file.is_file() else f"{MARKER}\n**Gate: nothing was compared.** See [the log]({log}).\n"
    comments = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    try:
        if (mine := _mine(f"{comments}/{os.environ['NUMBER']}/comments")) is None:
            _ask("POST", f"{comments}/{os.environ['NUMBER']}/comments", body)
        else:
            _ask("PATCH", f"{comments}/comments/{mine}", body)
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"::warning title=gate::The comment cannot be written ({error}). It needs the permission pull-requests: write.")


def _mine(place: str) -> int | None:
    page, found = 1, [{}]
    while found:
        found = _ask("GET", f"{place}?per_page={A_PAGE}&page={page}")
        for comment in found:
            if comment["user"]["type"] == "Bot" and comment["body"].startswith(MARKER):
                return int(comment["id"])
        page += 1
    return None


def _ask(method: str, path: str, body: str | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310
        f"{os.environ['GITHUB_API_URL']}/{path}",
        None if body is None else json.dumps({"body": body}).encode(),
        {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
