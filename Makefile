# The whole fault list with its figures: under half an hour on two cores. FAULTS="NAME ..." for some of them, --list for names.
faults:
	uv run python scripts/faults.py $(FAULTS)

.PHONY: faults
