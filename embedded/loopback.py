"""The one network that the emulator uses: its address, and ports on it."""

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(OSError):
    """A port that was asked for cannot be had; the text says which and why."""


def free_port() -> int:
    """A port that nobody uses now, and that the system gives to nobody else for the next minute.

    What closes a connection first keeps its port in TIME_WAIT: whoever asks for any port gets another one, whoever
    names this one (with SO_REUSEADDR, as servers do) gets it.
    """
    with socket.create_server((LOOPBACK, 0)) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection((LOOPBACK, port)):
            server.accept()[0].close()
    return port


def listen(port: int) -> socket.socket:
    """A socket on `port`, or on a free one for 0. Raises `PortTaken`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"port {port} cannot be had ({error.strerror}): give another, or 0 for a free one "
            "(make supabase: ARGS='--port 0')"
        ) from None
    return listening


def free_or_other(wanted: int) -> int:
    """`wanted` if it is free, else a free port."""
    try:
        listen(wanted).close()
    except PortTaken:
        return free_port()
    return wanted
