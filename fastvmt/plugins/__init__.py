"""What may an outsider write: the contracts of methods, metrics, trackers and suites, and the registry of their names."""
