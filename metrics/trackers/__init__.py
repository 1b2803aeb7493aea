"""Where do points of a video go: trackers, and how well they follow known tracks."""
