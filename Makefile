# The whole fault list with its figures: 17 minutes on two cores and 20 of strange_places (docs/explanation/promises.md). FAULTS="NAME ..." for some of them, --list for names.
faults:
	uv run python scripts/faults.py $(FAULTS)

.PHONY: faults
