"""The embedded backbone: how it was made, and the folder it lives in."""
