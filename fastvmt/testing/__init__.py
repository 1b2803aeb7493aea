"""What a method, metric, tracker or suite has to hold, as checks that a plug-in's author calls.

    from fastvmt.testing import check_method
    print(check_method(Mine))        # AssertionError names the hook, what it returned and what was expected

They need no weights: methods run on ``random_wan``, a WanPipeline of a few kilobytes with random ones.
"""

from fastvmt.testing.checked import Checked
from fastvmt.testing.method import CHECKS, Trial, check_method, small
from fastvmt.testing.metric import check_metric
from fastvmt.testing.suite import check_suite
from fastvmt.testing.tracker import check_tracker
from fastvmt.testing.wan import make_context, random_wan

__all__ = [
    "CHECKS", "Checked", "Trial", "check_method", "check_metric", "check_suite", "check_tracker", "make_context", "random_wan",
    "small",
]  # fmt: skip
