"""The style sheet and the script, under names that change with their content, so that browsers may keep them."""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Response

_FOLDER: Final = Path(__file__).parent / "static"
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class StaticFiles:
    """Every file of the folder, read once; they are few and small, so nothing is read while a request waits."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._served: dict[str, tuple[bytes, str]] = {}
        for file in sorted(_FOLDER.iterdir()):
            content = file.read_bytes()
            served = f"{file.stem}.{blake2b(content, digest_size=8).hexdigest()}{file.suffix}"
            self._paths[file.name] = f"/static/{served}"
            self._served[served] = (content, _KINDS[file.suffix])

    def path(self, name: str) -> str:
        """Where the file `name` is served, as long as its content is this. Raises `KeyError`: there is none."""
        return self._paths[name]

    def router(self) -> APIRouter:
        """The route that serves them."""
        router = APIRouter(include_in_schema=False)

        @router.get("/static/{name}", name="static file")
        async def static_file(name: str) -> Response:
            if name not in self._served:
                raise HTTPException(404)
            content, media_type = self._served[name]
            return Response(content, media_type=media_type, headers=_HEADERS)

        return router
