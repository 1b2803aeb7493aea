"""What CLIP says: a video against its prompt, and its frames against each other."""
