"""A PostgreSQL server of the stand-in's own: its programs, its folder, its life, and what a project brings."""
