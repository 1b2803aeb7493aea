"""What does a run look like in a browser: static pages with clips, charts and tables."""
