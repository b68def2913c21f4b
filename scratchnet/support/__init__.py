"""Helpers of the core.

Checks of arguments, errors about unknown arguments, settings as JSON, files written as a whole, interrupts, models in several
threads, NumPy's warnings, old names, seeds, optional libraries, Keras's tensors, tables.
"""
