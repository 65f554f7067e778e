"""Static files under names with a content hash, so that browsers may cache them without limit."""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Response

_FOLDER: Final = Path(__file__).parent / "static"
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class StaticFiles:
    """Serves the files of the folder from memory. They are few and small."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._served: dict[str, tuple[bytes, str]] = {}
        for file in sorted(_FOLDER.iterdir()):
            content = file.read_bytes()
            served = f"{file.stem}.{blake2b(content, digest_size=8).hexdigest()}{file.suffix}"
            self._paths[file.name] = f"/static/{served}"
            self._served[served] = (content, _KINDS[file.suffix])

    def path(self, name: str) -> str:
        """Return the URL path of file `name`. Raises `KeyError` if there is none."""
        return self._paths[name]

    def router(self) -> APIRouter:
        """Return the router that serves the files."""
        router = APIRouter(include_in_schema=False)

        @router.get("/static/{name}", name="static file")
        async def static_file(name: str) -> Response:
            if name not in self._served:
                raise HTTPException(404)
            content, media_type = self._served[name]
            return Response(content, media_type=media_type, headers=_HEADERS)

        return router
