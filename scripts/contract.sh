#!/usr/bin/env bash
# The order of the folders (pyproject.toml, [tool.importlinter]), checked on an overlay: the package with its links followed and
# every folder a regular package, which the four on the top level are not (a checkout's datasets/ must shadow nobody's).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -rL src/fastvmt "$work/"
for folder in methods metrics datasets reports; do touch "$work/fastvmt/$folder/__init__.py"; done
cp pyproject.toml "$work/"
linter="$PWD/.venv/bin/lint-imports"
cd "$work"
PYTHONPATH="$work" "$linter" pyproject.toml --no-cache "$@"
