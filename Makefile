# The whole fault list with its figures: 17 minutes on two cores and 20 of strange_places (docs/explanation/promises.md). FAULTS="NAME ..." for some of them, --list for names.
faults:
	uv run python scripts/faults.py $(FAULTS)

# Our own gate on `tiny`, and its baseline anew: after the weights, the score or the suite have changed (gate.toml says what is asked).
MADE := $(shell mktemp -d)/gate
GATE = uv run bench run --suite shapes --steps 2 --methods fastvmt,ditflow,none --no-controls \
  --workers 2 --threads 1 --metrics trajectory,time,forwards --no-reuse --out $(MADE)
gate:
	$(GATE)
	uv run bench check $(MADE) --baseline tests/data/gate-tiny.json --tolerances gate.toml --strict
gate-baseline:
	$(GATE)
	uv run bench baseline write $(MADE) --out tests/data/gate-tiny.json
	uv run bench check $(MADE) --baseline tests/data/gate-tiny.json --tolerances gate.toml --strict

.PHONY: faults gate gate-baseline
