"""The queue worker: claims tasks, runs their handlers and reports the outcomes."""
