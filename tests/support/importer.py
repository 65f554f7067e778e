"""The real handler of imports, in a worker of the test."""

from supabase import AsyncClient

from app.persistence.imports import Imports
from app.persistence.items import Items
from worker.handlers.library_import import ImportHandler


def import_handler(client: AsyncClient, *, imports: Imports | None = None) -> ImportHandler:
    return ImportHandler(imports or Imports(client), Items(client), code_version="tested")
