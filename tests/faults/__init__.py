"""The fault list: everything that is done to the software on purpose, with the figure each has to reach."""

from faults import crews, damage, disk, formats, hostile_input, kills, misbehave, races, same, strange  # noqa: F401
from faults.fault import FAULTS, Fault, Figure, Impossible

__all__ = ["FAULTS", "Fault", "Figure", "Impossible"]
