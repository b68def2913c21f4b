"""All pictures: each function takes arrays, dicts and lists, and returns a matplotlib ``Figure``.

Two functions take something else: `plot_model` a model, and `diagnosis` what was measured of one. No function uses pyplot:
each figure has its own canvas, so drawing changes no backend, opens no window and keeps no figure in memory. matplotlib is
imported when the first picture is drawn. A history may be the ``History`` that `fit` returns, or the dict in it. With ``path=``
(``to_file=`` for `plot_model`), the picture is also written to a file, completely or not at all; the suffix chooses the format
(PNG, PDF, SVG).

The colours of curves are those of Okabe and Ito (2008), which readers with any form of colour blindness can distinguish. Except in
`small_panels`, each curve also has its own marker, so that it is recognizable when printed in grey.
"""

from scratchnet.plotting.answers import confident_mistakes, confusion_matrix, prediction
from scratchnet.plotting.comparison import compare, early_stopping, over_rates, small_panels
from scratchnet.plotting.curves import history
from scratchnet.plotting.diagnosis import diagnosis
from scratchnet.plotting.graph import plot_model
from scratchnet.plotting.insides import feature_maps, filters
from scratchnet.plotting.sheet import image_sheet
from scratchnet.plotting.speed import growth, ladder, sides
from scratchnet.plotting.variations import variations

__all__ = [
    "compare",
    "confident_mistakes",
    "confusion_matrix",
    "diagnosis",
    "early_stopping",
    "feature_maps",
    "filters",
    "growth",
    "history",
    "image_sheet",
    "ladder",
    "over_rates",
    "plot_model",
    "prediction",
    "sides",
    "small_panels",
    "variations",
]
