"""The order in which routes are matched with a request."""

from app.main import create_app
from tests.support.built_application import routes_of


def test_polled_routes_come_first() -> None:
    """Each route before the matching one costs some microseconds; sixty pages took a sixth of a poll's time."""
    paths = [str(route.path) for route in routes_of(create_app())]
    pages = [index for index, path in enumerate(paths) if path.startswith(("/r/", "/ops", "/static/"))]
    assert min(pages) > max(index for index, path in enumerate(paths) if path.startswith("/v1/"))
    assert paths.index("/v1/digests/{task_id}") < 10
