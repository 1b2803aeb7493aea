# The whole fault list with its figures: about 40 minutes on two cores. FAULTS="NAME ..." for some of them, --list for names.
faults:
	uv run python scripts/faults.py $(FAULTS)

.PHONY: faults
