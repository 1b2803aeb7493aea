"""How do other tools take a run: Parquet, a hub dataset's layout, experiment loggers. Nothing is uploaded."""
