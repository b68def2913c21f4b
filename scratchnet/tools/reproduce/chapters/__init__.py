"""The chapters of a report, one file each; a chapter is a function from the page to its Markdown."""

from scratchnet.tools.reproduce.chapters.better import better
from scratchnet.tools.reproduce.chapters.costs import costs
from scratchnet.tools.reproduce.chapters.findings import findings
from scratchnet.tools.reproduce.chapters.order import order
from scratchnet.tools.reproduce.chapters.overfitting import overfitting
from scratchnet.tools.reproduce.chapters.pooling import pooling
from scratchnet.tools.reproduce.chapters.preprocessing import preprocessing
from scratchnet.tools.reproduce.chapters.rates import rates
from scratchnet.tools.reproduce.chapters.study import study

__all__ = ["better", "costs", "findings", "order", "overfitting", "pooling", "preprocessing", "rates", "study"]
