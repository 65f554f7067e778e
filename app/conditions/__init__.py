"""The conditions that an operator must know about, and the report of those that hold now."""
