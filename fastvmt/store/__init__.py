"""What is on the disk, whatever happens: a run folder's layout, logs and locks."""
