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
from .errors import JobError as JobError
from .errors import MissingWeights as MissingWeights
from .errors import NonFinite as NonFinite
from .errors import SpecError as SpecError
from .errors import SuiteError as SuiteError
from .errors import UserError as UserError
from .exchange.imports.videos import Claim as Claim
from .exchange.merge.merge import merge as merge
from .model import Case as Case
from .model import Reference as Reference
from .plugins.listing import describe as describe
from .plugins.listing import listing as listing
from .plugins.method import Context as Context
from .plugins.method import Method as Method
from .plugins.method import Params as Params
from .plugins.method import Protocols as Protocols
from .plugins.method import Shape as Shape
from .plugins.method import Study as Study
from .plugins.metric import Metric as Metric
from .plugins.metric import Scored as Scored
from .plugins.metric import Value as Value
from .plugins.tracker import Tracker as Tracker
from .plugins.tracker import Tracks as Tracks
from .plugins.workspace import Workspace as Workspace
from .reports.export.write import export as export
from .reports.tables.comparison import Comparison as Comparison
from .runner.scoring.score import score_clip as score_clip
from .runner.settings import Options as Options
from .runner.settings import Request as Request
from .suites.cases import ClipEntry as ClipEntry
from .suites.cases import Target as Target
from .suites.cases import Wanted as Wanted
from .suites.cases import case_of_frames as case_of_frames

__version__: str
