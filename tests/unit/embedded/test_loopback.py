"""Free ports: each is handed out once and can be bound."""

from embedded.loopback import free_port, listen


def test_ports_are_unique_and_can_be_bound() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)
    for port in ports[::50]:
        listen(port).close()
