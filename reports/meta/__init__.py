"""Which metric agrees with truth: metrics of motion ranked by their correlation with a motion that is known."""
