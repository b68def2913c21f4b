"""Interrupts forced at every bytecode of a function: what a signal does rarely, a trace function does at a chosen place."""

import inspect
import signal
import sys
from itertools import count


def functions_of(owner):
    """Return the code objects of the functions of a module or class, and of the methods of a module's own classes."""
    codes = set()
    for value in vars(owner).values():
        value = inspect.unwrap(value) if callable(value) else value
        if inspect.isfunction(value):
            codes.add(value.__code__)
        elif inspect.isclass(value) and value.__module__ == owner.__name__:
            codes |= functions_of(value)
    return codes


class Forced(KeyboardInterrupt):
    """The interrupt that a trace function raises."""


def call_at_bytecode(place, action, codes, call):
    """Call `call`, and before the bytecode number `place` that runs in a function of `codes`, call `action`.

    Returns whether there were so many bytecodes.
    """
    seen, before = 0, sys.gettrace()

    def trace(frame, event, arg):
        nonlocal seen
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            if seen == place:
                seen += 1
                sys.settrace(before)
                frame.f_trace = None
                action()
            else:
                seen += 1
        return trace if seen <= place else None

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen > place


def interrupt():
    """Raise a forced interrupt."""
    raise Forced


def press_ctrl_c():
    """Send this process the signal of Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def interruptions(codes, call, action=interrupt):
    """Call `call` again and again, each time interrupted at the next bytecode of `codes`; yield the number of the bytecode."""
    for place in count():
        try:
            if not call_at_bytecode(place, action, codes, call):
                return
            lost = True
        except KeyboardInterrupt:
            lost = False
        assert not lost, f"the interrupt at bytecode {place} was lost"
        yield place             # outside `except`, so that nothing keeps the interrupted frames alive
