"""The one network that the stand-in uses: its address, and ports on it."""

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(OSError):
    """A port that was asked for cannot be had; the text says which and why."""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listen(port: int) -> socket.socket:
    """A socket on `port`, or on a free one for 0. Raises `PortTaken`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise PortTaken(f"port {port} cannot be had ({error.strerror}): use --port with another, or 0") from None
    return listening
