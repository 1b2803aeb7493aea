"""Drawn scenes with known motion: what moves and where, its exact picture, and the suites made of them."""
