"""What do the numbers look like: figures as PNG, SVG and PDF, and the picture of a run."""
