"""How do results reach others and come from them: runs merged, imported and exported; recipes and submissions."""
