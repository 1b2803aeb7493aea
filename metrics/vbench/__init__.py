"""Seven of VBench's dimensions, by its package, by our formulas on its weights, or on embedded features."""
