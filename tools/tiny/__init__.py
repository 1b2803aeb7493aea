"""How was the embedded model made: the training of the backbone ``tiny`` and of its CLIP. Not in the wheel."""
