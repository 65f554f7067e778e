"""Reads a port of the command line. A separate file: the emulator starts without the libraries of the terminal."""

import argparse

MAX_PORT = 65_535


def port(text: str) -> int:
    """Read a port. Raises `argparse.ArgumentTypeError`."""
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: use a number from 0 to {MAX_PORT}, 0 for a free port"
        )
    return int(text)
