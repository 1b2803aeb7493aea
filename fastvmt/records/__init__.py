"""What was measured, and is it the same thing: a record's identity, what is missing, runs of one setting."""
