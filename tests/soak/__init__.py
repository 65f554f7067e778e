"""`make soak`: everything at the same time under faults, and then an account of everything that was acknowledged."""
