"""What a process has loaded once it is ready stays until its end: the garbage collector need not look at it again."""

import gc


def freeze_loaded_objects() -> None:
    """Take everything there is now out of the collector's sight; called once, when a process is about to work.

    Libraries and schemas are some 200,000 objects. To walk over them now and then is an eighth of a worker's CPU time
    for small tasks, and each time it holds the event loop for as long as it takes. See `gc.freeze`.
    """
    gc.collect()
    gc.freeze()
