"""Every picture, from plain data: arrays, dicts and lists go in, a matplotlib ``Figure`` comes out.

No function here knows a model, and none touches pyplot: a figure is made with its own canvas, so drawing changes no
backend, opens no window and keeps nothing alive. matplotlib is imported when the first picture is drawn, not before.
A history may be the ``History`` that `fit` returns, or the dict in it. Each function takes ``path=``: the picture is
then also written there (PNG, PDF, SVG: what the ending says), whole or not at all.

Colours are those of Okabe and Ito (2008), which readers with any form of colour blindness can tell apart; a line also
has a marker of its own, so that a page printed in grey still reads.
"""

from scratchnet.plotting.answers import confident_mistakes, confusion_matrix, prediction
from scratchnet.plotting.comparison import compare, early_stopping, over_rates
from scratchnet.plotting.curves import history
from scratchnet.plotting.insides import feature_maps, filters
from scratchnet.plotting.sheet import image_sheet
from scratchnet.plotting.speed import growth, ladder, sides

__all__ = [
    "compare",
    "confident_mistakes",
    "confusion_matrix",
    "early_stopping",
    "feature_maps",
    "filters",
    "growth",
    "history",
    "image_sheet",
    "ladder",
    "over_rates",
    "prediction",
    "sides",
]
