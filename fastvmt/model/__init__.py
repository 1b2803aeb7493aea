"""The nouns of the chain: Suite, Case, MethodSpec, Setting, Job, Artefact, MetricRecord, Failure.

All are frozen and refuse unknown keys, so that a file of another version is named instead of half understood.
Sizes are pixels, times are seconds, digests are hex SHA-256.
"""

from fastvmt.model.artefact import Artefact, FileInfo
from fastvmt.model.case import CATEGORIES, Case, Reference, Suite
from fastvmt.model.frozen import IMPORTED, Frozen
from fastvmt.model.job import Job, MethodSpec, Setting
from fastvmt.model.record import Failure, MetricRecord

__all__ = [
    "CATEGORIES", "IMPORTED", "Artefact", "Case", "Failure", "FileInfo", "Frozen", "Job", "MethodSpec", "MetricRecord",
    "Reference", "Setting", "Suite",
]  # fmt: skip
