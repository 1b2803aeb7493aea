"""The nouns of the chain: Suite, Case, MethodSpec, Setting, Job, Artefact, MetricRecord, Failure.

All are frozen and refuse unknown keys, so that a file of another version is named instead of half understood.
Sizes are pixels, times are seconds, digests are hex SHA-256.
"""

from fastvmt.model.artefact import COPIES, Artefact, Conditions, Failure, FileInfo, MetricRecord
from fastvmt.model.case import CATEGORIES, IMPORTED, REFERENCE, Case, Frozen, Reference, Suite
from fastvmt.model.job import Job, MethodSpec, Setting
from fastvmt.model.profile import Profile

__all__ = [
    "CATEGORIES", "COPIES", "IMPORTED", "REFERENCE", "Artefact", "Case", "Conditions", "Failure", "FileInfo", "Frozen", "Job",
    "MethodSpec", "MetricRecord", "Profile", "Reference", "Setting", "Suite",
]  # fmt: skip
