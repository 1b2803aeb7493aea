"""Runs of several machines and people as one run folder.

source    a run folder read as a stranger's: nothing followed, nothing loaded, nothing changed
union     one configuration out of several, or what forbids it
choose    which video, number and failure of every job; conflicts
folder    the merged run on disk: whole or resumed
merge     the whole of it, as one call
"""
