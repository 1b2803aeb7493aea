"""What of a row can be handed to a stranger: the recipe that makes it again, and the submission that shows how it came out.

recipe       one TOML file: method, parameters, suite, backbone, metrics, versions, the command, and the row's cells
submission   a folder: recipe, run folder, a sample of its videos or all, claims, the digests of all files
agreement    cell by cell, whether a row that was made again agrees with its recipe
"""

from fastvmt.reports.share.claims import Claim, claims_of
from fastvmt.reports.share.recipe import Recipe
from fastvmt.reports.share.submission import RECIPE, RUN, SUBMISSION, Submission, read, write

__all__ = ["RECIPE", "RUN", "SUBMISSION", "Claim", "Recipe", "Submission", "claims_of", "read", "write"]
