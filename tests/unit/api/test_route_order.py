"""The order of the routes, which is the order in which a request is matched with them."""

from app.main import create_app
from tests.support.built_application import routes_of


def test_polled_routes_come_first() -> None:
    """Every route before its own costs a request some microseconds; sixty pages had taken a sixth of a poll."""
    paths = [str(route.path) for route in routes_of(create_app())]
    pages = [index for index, path in enumerate(paths) if path.startswith(("/r/", "/ops", "/static/"))]
    assert min(pages) > max(index for index, path in enumerate(paths) if path.startswith("/v1/"))
    assert paths.index("/v1/digests/{task_id}") < 10
