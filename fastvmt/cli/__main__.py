"""``python -m fastvmt.cli``."""

from fastvmt.cli.program import main

main()
