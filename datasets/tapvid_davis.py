"""TAP-Vid-DAVIS: 30 clips with annotated point tracks, for validating trackers. It has no prompts, so no run can take it."""

from __future__ import annotations

from fastvmt.errors import SuiteError
from fastvmt.suites.cases import ClipEntry, Wanted


class TapVidDavis:
    """The tracks that `bench doctor --tracker NAME --tapvid FILE` compares a tracker with (256 x 256 px, first visible frame).

    The file is a pickle; it is read without running anything that is in it (``metrics/trackers/tapvid.py``).
    """

    name = "tapvid-davis"
    summary = "30 clips with annotated point tracks: validates trackers, not methods"
    size = "about 2.5 GB unpacked"
    licence = "annotations CC-BY-4.0; the videos under their creators' Creative Commons licences"
    how = (
        "download https://storage.googleapis.com/dm-tapnet/tapvid_davis.zip, unpack it, and run "
        "`bench doctor --tracker lk --tapvid tapvid_davis.pkl`"
    )

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """Nothing to run.

        Raises:
            SuiteError: always; it says what the data set is for.
        """
        raise SuiteError(
            "tapvid-davis has tracks and no prompts, so there is nothing to generate. It validates trackers: "
            "`bench doctor --tracker lk --tapvid tapvid_davis.pkl` (`bench describe tapvid-davis` says how to get it)."
        )
