#!/usr/bin/env bash
# mypy --strict on the built wheel, where every import resolves (in a checkout the four folders lie beside fastvmt/).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv build --quiet --wheel --out-dir "$work/dist" .
uv pip install --quiet --python .venv/bin/python --no-deps --target "$work/site" "$work"/dist/*.whl
cp pyproject.toml "$work/"
cd "$work"
MYPYPATH="$work/site" "$OLDPWD/.venv/bin/python" -m mypy --config-file pyproject.toml -p fastvmt
