"""What stands in which cell: tables as views of the tidy frame, in every printed form, beside published ones."""
