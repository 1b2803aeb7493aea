"""``python -m fastvmt.cli``."""

from fastvmt.cli import main

main()
