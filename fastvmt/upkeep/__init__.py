"""Is this machine well, and what can go."""
