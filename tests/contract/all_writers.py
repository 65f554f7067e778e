"""All kinds of writers, which the tests run in pairs, by their names."""

from typing import Final

from tests.contract.reader_writers import READER_WRITERS
from tests.contract.service_writers import SERVICE_WRITERS
from tests.contract.writers import WRITERS, Writer

ALL_WRITERS: Final[dict[str, Writer]] = {
    writer.__name__: writer for writer in (*WRITERS, *READER_WRITERS, *SERVICE_WRITERS)
}
