"""Keeps garbage collection away from the objects that a process loads at its start and keeps as long as it lives."""

import gc


def pause_collection() -> None:
    """Stop garbage collection until `freeze_loaded_objects`; called before a program's modules are imported.

    The imports create 150,000 objects and almost no garbage. Collections meanwhile visit all of them repeatedly, which
    takes a fifth of the start's CPU time.
    """
    gc.disable()


def freeze_loaded_objects() -> None:
    """Exclude all existing objects from garbage collection, and start it; called once, after start-up.

    See `gc.freeze`. Scanning these objects takes an eighth of a worker's CPU time for small tasks, and blocks the event
    loop each time. The garbage among them, some two thousand objects, is kept: to find it takes 0.1 s.
    """
    gc.freeze()
    gc.enable()
