"""Helpers of the core: checks of arguments, settings as JSON, files written as a whole, interrupts, old names, tables."""
