"""The programs of the ``scratchnet`` command.

Each command has a module of its name with two functions: ``add_arguments(parser)`` adds its description and its options to an
argparse parser, and ``run(args)`` does the work and returns the exit code. `scratchnet.cli` imports the module and calls both.
"""
