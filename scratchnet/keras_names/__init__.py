"""Keras's names for what exists here, so that a script runs with only its import line changed: `import scratchnet as keras`.

    models, utils, activations, backend     the namespaces that only rename
    aliases.py                              other names in namespaces that exist: layers.MaxPool2D, layers.add([a, b])
    attributes.py                           attributes of layers and models: layer.kernel, model.weights, layer.output
    unknown.py                              the sentence for a name that does not exist
    imports.py                              scratchnet.keras, which is scratchnet itself, and the sentence in `from ... import`

Nothing of a network is computed here. `install` is called once, when scratchnet is imported, after all namespaces exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from scratchnet.keras_names import aliases, attributes, imports, unknown


def install(namespaces: Mapping[str, ModuleType]) -> None:
    """Add the aliases, and the answers to unknown names, to these namespaces.

    Parameters
    ----------
    namespaces : dict of str to module
        The namespaces by their names after "scratchnet"; "" is scratchnet itself.
    """
    aliases.install(namespaces)
    attributes.install()
    unknown.install(namespaces)
    imports.install(namespaces)
