"""One model in several threads: calls that only read it may run at once; while one thread trains it, other threads get an error.

A layer keeps what its forward computed for its backward. A second thread's forward in between would replace it, and the gradients
would be wrong without an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

F = TypeVar("F", bound=Callable[..., Any])

_users: WeakKeyDictionary[Any, dict[int, bool]] = WeakKeyDictionary()       # model -> thread -> whether it trains


def exclusive(trains: bool) -> Callable[[F], F]:
    """Decorate a function of a model, which trains it or only reads it. Calls of the same thread may be nested.

    Raises
    ------
    RuntimeError
        When another thread is using the model, and one of the two trains it.
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def call(model: Any, *args: Any, **kwargs: Any) -> Any:
            me, users = threading.get_ident(), _users.setdefault(model, {})
            before = users.get(me)
            try:
                users[me] = trains or bool(before)
                refuse_conflict(function.__name__, users, me)
                return function(model, *args, **kwargs)
            finally:
                if before is None:
                    users.pop(me, None)
                else:
                    users[me] = before

        return call  # type: ignore[return-value]

    return decorate


def refuse_conflict(name: str, users: dict[int, bool], me: int) -> None:
    """Raise RuntimeError if a thread that came before this one trains, or reads what this one is about to train.

    A dict keeps the order in which threads were added, and adding and copying are atomic, so of two threads that begin at the
    same moment exactly one comes first, without a lock that an interrupt could leave locked.
    """
    order = list(users.items())
    earlier = order[: order.index((me, users[me]))]
    if not earlier:             # the usual case, in every call of train_on_batch
        return
    names = {thread.ident: thread.name for thread in threading.enumerate()}     # a forked process has one thread
    for other, trains in earlier:
        if other in names and (trains or users[me]):
            what = "is training" if trains else "is using"
            raise RuntimeError(
                f"{name}: expected a model that no other thread uses, got one that thread {names[other]!r} {what}. Wait until it"
                " has finished, or make a model for each thread"
            )
