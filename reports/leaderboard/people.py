"""What people said in a study of pairs, on a board of the suite that they saw: whether its scores order methods as they did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from fastvmt.core.reading import check_json
from fastvmt.core.validation import first_problem
from fastvmt.errors import UserError
from fastvmt.model import Frozen
from fastvmt.model.fields import Hex, Label, Line
from fastvmt.reports.tidy import Tidy

Tau = Annotated[float, Field(ge=-1, le=1)]


class Correlation(Frozen):
    """Kendall's tau of a metric with people's strengths, and the ends of its interval."""

    tau: Tau
    low: Tau
    high: Tau


class People(Frozen, extra="ignore"):
    """Of what ``bench study import --against RUN --json`` prints: who was asked about which suite, and how metrics agree."""

    suite_digest: Hex
    raters: tuple[Line, ...]
    kendall: dict[Label, dict[Label, Correlation]]

    def said(self, tidy: Tidy) -> tuple[str, ...]:
        """Sentences for a board's metrics; none where people saw another suite."""
        if tidy.suite.digest() != self.suite_digest:
            return ()
        asked = f"People ({len(self.raters)} rater{'s' * (len(self.raters) != 1)}, in pairs)"
        found = []
        for metric in tidy.metrics:
            tau = self.kendall.get(metric, {}).get("overall")
            if tau is None:
                continue
            how = "disagree with" if tau.high < 0 else "agree with" if tau.low > 0 else "neither confirm nor contradict"
            found.append(f"{asked} {how} {metric}: Kendall's tau {tau.tau:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}].")
        return tuple(found)


def read_people(path: Path) -> People:
    """
    Raises:
        UserError: when the file is not that of a study that was held against a run.
    """
    try:
        return People.model_validate_json(check_json(path.read_bytes()))
    except OSError as error:
        raise UserError(f"--study {path}: cannot be read ({error.strerror}); `bench study import --json` prints it.") from None
    except ValueError as error:
        why = first_problem(error) if isinstance(error, ValidationError) else error
        raise UserError(f"--study {path}: is not what `bench study import --against RUN --json` prints ({why}).") from None
