"""The capped GET, against servers that misbehave."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from app.errors import SourceError
from app.sources.fetcher import FetchFailed, FetchSettings, HttpFetcher
from app.sources.redirects import RedirectPolicy

Server = Any
Reply = Any


def small(outside: httpx.AsyncClient, **changes: Any) -> HttpFetcher:
    return HttpFetcher(outside, FetchSettings(**changes), RedirectPolicy())
