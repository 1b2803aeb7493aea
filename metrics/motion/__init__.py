"""How well does the motion of one video follow another's."""
