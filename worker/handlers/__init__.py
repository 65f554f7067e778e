"""The task handlers: one module for each kind of task."""
