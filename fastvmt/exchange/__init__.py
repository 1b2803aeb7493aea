"""How do runs and videos from elsewhere come in."""
