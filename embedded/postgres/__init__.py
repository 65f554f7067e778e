"""A PostgreSQL server of the stand-in own making: its programs, its folder, its life."""
