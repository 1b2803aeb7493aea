"""Is a run worse than a stored one: baselines, tolerances, verdicts, and how often they cry wolf."""
