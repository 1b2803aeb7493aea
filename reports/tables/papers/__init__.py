"""What papers printed: their tables as data (TOML), and a reader of them."""
