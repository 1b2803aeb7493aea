"""What is one unit of work, what is its key, and what do all jobs of a run have in common."""
