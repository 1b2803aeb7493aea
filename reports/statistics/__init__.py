"""How sure are we: intervals over reference clips, paired tests, ranks."""
