"""Archives that ``bench fetch`` knows: where they lie and what they must be. Facts only, nothing of their content."""

from __future__ import annotations

from fastvmt.suites.data_sets import Archive

DAVIS2017 = Archive(
    name="davis2017",
    url="https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
    bytes=832_766_765,
    # Not signed by the publisher: the digest that independent users of this address have recorded.
    sha256="e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
    summary="DAVIS 2017 train and val at 480p, 90 clips (all 50 of DAVIS 2016 among them), 6208 frames and as many masks",
    licence=(
        "The toolkit's README puts DAVIS under the BSD licence, TAP-Vid's says that the videos are under Creative Commons "
        "licences of their makers; credit Perazzi et al. 2016 and Pont-Tuset et al. 2017, and do not pass the frames on."
    ),
    holds="DAVIS/JPEGImages/480p",
)
"""Every clip of DAVIS 2016 is in it, so that one download serves both lists."""
