"""One file for each command; ``scratchnet.cli`` parses and calls ``run(args)`` of one of them."""
