"""Measurements: each prints a table and writes JSON under out/bench/; none of them is a test."""

# Importing it is enough: the room sets what numpy must know before it is imported.
import app.ranking  # noqa: F401
