"""Measurements: each prints a table and writes JSON under out/bench/; none of them is a test."""
