"""Reads a form with a file (multipart/form-data, RFC 7578) as it arrives: nothing of the file is kept."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import BroadsheetError

FILE_FIELD: Final = "file"
MAX_PARTS: Final = 10
MAX_FIELD_BYTES: Final = 10_000
"""For all fields besides the file."""
_MAX_HEADER_BYTES: Final = 4_000


class InvalidUploadForm(BroadsheetError):
    """The body is not a form with a file, or is incomplete."""

    status = HTTPStatus.BAD_REQUEST
    title = "Invalid form"

    def __init__(self) -> None:
        super().__init__("The form did not arrive completely. Choose the file again.")


class UploadForm:
    """A form that arrives in chunks: `feed` returns the file's bytes, `fields` has the values of the other fields."""

    def __init__(self, content_type: str) -> None:
        self._file: list[bytes] = []
        self._fields: dict[str, bytearray] = {}
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._parts = self._field_bytes = 0
        self._ended = False
        media_type, options = parse_options_header(content_type)
        if media_type != b"multipart/form-data" or b"boundary" not in options:
            raise InvalidUploadForm
        try:
            self._parser = self._build_parser(options[b"boundary"])
        except FormParserError:
            raise InvalidUploadForm from None

    @property
    def fields(self) -> dict[str, str]:
        """The values of the fields besides the file, so far."""
        return {name: bytes(value).decode("utf-8", "replace") for name, value in self._fields.items()}

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Read on; return the parts of the file in this chunk. Raises `InvalidUploadForm`."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise InvalidUploadForm from None
        found, self._file = self._file, []
        return found

    def require_complete(self) -> None:
        """Raise `InvalidUploadForm` unless the form's last boundary has arrived."""
        if not self._ended:
            raise InvalidUploadForm

    def _build_parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_header_field": self._take_header,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_end": self._end,
            },
            max_header_size=_MAX_HEADER_BYTES,
        )

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidUploadForm
        self._name = None

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE_FIELD:
            self._file.append(data[start:end])
        elif self._name is not None:
            self._field_bytes += end - start
            if self._field_bytes > MAX_FIELD_BYTES:
                raise InvalidUploadForm
            self._fields.setdefault(self._name, bytearray()).extend(data[start:end])

    def _end(self) -> None:
        self._ended = True
