"""Helpers of the core.

Checks of arguments and errors about unknown ones, settings as JSON, files written as a whole, interrupts, models in several
threads, NumPy's warnings, old names, tables.
"""
