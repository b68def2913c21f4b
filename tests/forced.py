"""Interrupts forced at every bytecode of a function: a signal rarely arrives at a given place, these functions interrupt there.

From Python 3.12 on, sys.monitoring calls back at every bytecode. There, a trace function would miss the first call of each
function, because `f_trace_opcodes` takes effect only with the next call. In older versions a trace function is the only way.
"""

import inspect
import signal
import sys
from itertools import count
from threading import get_ident

TOOL = 4        # a tool id that sys.monitoring does not reserve


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
    """The interrupt that is forced at a bytecode."""


def call_at_bytecode(place, action, codes, call):
    """Call `call`, and before the bytecode number `place` that runs in a function of `codes`, call `action`.

    Returns whether there were so many bytecodes.
    """
    return (traced if sys.version_info < (3, 12) else monitored)(place, action, codes, call)


def monitored(place, action, codes, call):
    """Do what `call_at_bytecode` says, with sys.monitoring."""
    monitoring, thread, seen = sys.monitoring, get_ident(), 0
    instruction = monitoring.events.INSTRUCTION

    def at_instruction(code, offset):
        nonlocal seen
        if get_ident() != thread or seen > place:
            return
        seen += 1
        if seen > place:
            action()

    monitoring.use_tool_id(TOOL, "forced")
    monitoring.register_callback(TOOL, instruction, at_instruction)
    for code in codes:
        monitoring.set_local_events(TOOL, code, instruction)
    try:
        call()
    finally:
        for code in codes:
            monitoring.set_local_events(TOOL, code, monitoring.events.NO_EVENTS)
        monitoring.free_tool_id(TOOL)
    return seen > place


def traced(place, action, codes, call):
    """Do what `call_at_bytecode` says, with a trace function."""
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
