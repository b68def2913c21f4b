"""Helpers of the core: checks of arguments, settings as JSON, atomic writing of files, interrupts, old names, tables."""
