"""What can be made of a backbone from a checkout: random weights in its layout, and vectors of the original implementation."""
