"""Several runners on one folder: who works on what, who has gone, and how one joins."""
