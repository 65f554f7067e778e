"""A PostgreSQL server of the emulator's own: its programs, its folder, its life, and what a project brings."""
