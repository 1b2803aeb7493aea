"""What somebody else made: a line of the table whose parameters are claims and whose videos nobody here can make again."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from fastvmt.errors import SpecError
from fastvmt.model import IMPORTED
from fastvmt.plugins.method import Context, Method, Params, Shape


class ImportedParams(Params):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="of the method, as its people call it")
    claims: dict[str, Any] = Field({}, description="settings as they were claimed")
    source: str = Field("", description="where the videos come from")
    files: str = Field("", description="digest over case, seed and content of every file")
    fitted: str = Field("", description="how size and length were brought to the run's, where they were")
    lossy: bool = Field(False, description="read from files that do not hold every pixel as it was made")


class Imported(Method):
    """Videos brought in by ``bench import``; asked for by name, it says so."""

    id = IMPORTED
    summary = "made elsewhere and imported; its settings are claims, and no seconds of it are ours"
    source = "whoever made the videos; see the parameters"
    role = "imported"
    Params = ImportedParams

    @classmethod
    def resolve(cls, params: Any, shape: Shape) -> Any:
        raise SpecError("Videos of 'imported' cannot be made here; `bench import VIDEOS --method NAME` brings them in.")

    @classmethod
    def cost(cls, params: Any, shape: Shape) -> float:
        return 0.0

    def fit(self, ctx: Context) -> Any:
        raise SpecError("this video was imported and is gone; import it again with `bench import`")
