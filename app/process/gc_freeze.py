"""Excludes objects that live as long as the process from garbage collection."""

import gc


def freeze_loaded_objects() -> None:
    """Exclude all existing objects from garbage collection; called once, after start-up. See `gc.freeze`.

    Libraries and schemas are about 200,000 objects. Scanning them takes an eighth of a worker's CPU time for small
    tasks, and blocks the event loop each time.
    """
    gc.collect()
    gc.freeze()
