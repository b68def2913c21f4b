"""What a network computed for one image, as numbers, and as a web page in which each number can be followed."""

from scratchnet.explain.inside import Inside, look_inside
from scratchnet.explain.sheet import as_html

__all__ = ["Inside", "as_html", "look_inside"]
