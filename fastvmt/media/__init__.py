"""Pixels in and out: reading, resizing and writing pictures and videos."""
