"""Somebody else's videos of a method, scored beside ours and marked as imported everywhere.

claims    the settings that are claimed, as plain data
matching  which file is which case and seed
frames    from a file to frames of the run's size, and whether the file lost pixels
videos    the whole of it, as one call
"""
