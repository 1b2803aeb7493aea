"""Does a stranger's submission hold? Nothing of it is run, followed or changed.

files     every file has the digest that was given, and there is none beside them
rows      the method's row, the controls, each with every case, its video's facts and its numbers
verify    all of it, the recipe against suites and backbones of this machine, and scores computed again from the videos
"""
