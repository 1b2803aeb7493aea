# The whole fault list with its figures: 17 minutes on two cores, 40 on older ones. FAULTS="NAME ..." for some of them, --list for names.
faults:
	uv run python scripts/faults.py $(FAULTS)

.PHONY: faults
