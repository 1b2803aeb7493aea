"""How does a plan become videos and numbers: settings, plan, workers, generation, scoring."""
