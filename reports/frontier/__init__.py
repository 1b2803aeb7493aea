"""What does following the motion cost: which rows are dominated, which cannot be told from a cheaper one."""
