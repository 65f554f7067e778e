"""Benchmarks: each prints a table and writes JSON under out/bench/; none of them is a test."""

import app.ranking  # noqa: F401  (to import it is enough: it sets what numpy must know before numpy is imported)
