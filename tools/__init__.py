"""What does a checkout need beside the package: training the embedded backbone, vectors of the original Wan to compare with."""
