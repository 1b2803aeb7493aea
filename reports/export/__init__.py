"""How do other tools take a run or a suite: Parquet, the hub's formats, Croissant, records, loggers. Only a push uploads."""
