"""The public face: what users import, and nothing else. ``__init__.py`` loads each name from here when it is first used."""

from .api import Result as Result
from .api import compare as compare
from .api import frame as frame
from .api import import_videos as import_videos
from .api import plan as plan
from .api import report as report
from .api import resume as resume
from .api import run as run
from .api import score as score
from .api import table as table
from .errors import BenchError as BenchError
from .exchange.imports.videos import Claim as Claim
from .exchange.merge.merge import merge as merge
from .plugins.listing import describe as describe
from .plugins.listing import listing as listing
from .plugins.method import Context as Context
from .plugins.method import Method as Method
from .plugins.method import Params as Params
from .plugins.method import Shape as Shape
from .plugins.metric import Metric as Metric
from .plugins.metric import Scored as Scored
from .plugins.metric import Value as Value
from .reports.export.write import export as export
from .runner.score import score_clip as score_clip
from .runner.settings import Options as Options
from .runner.settings import Request as Request

__version__: str
