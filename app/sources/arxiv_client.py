"""Sends requests to arXiv's hosts: one at a time and three seconds apart, whatever host they go to."""

import asyncio
from collections.abc import Mapping

from app.sources.arxiv_path import busy_or, pause_of
from app.sources.fetcher import Fetched, FetchFailed, HttpFetcher
from app.sources.rate_limiter import MAX_WAIT, RateLimiter, Sleep


class ArxivClient:
    """Downloads documents of arXiv. A pause that one host requires does not stop requests to the others."""

    def __init__(self, fetcher: HttpFetcher, rate_limiter: RateLimiter, *, sleep: Sleep = asyncio.sleep) -> None:
        self._fetcher = fetcher
        self._rate_limiter = rate_limiter
        self._sleep = sleep

    async def get(
        self,
        host: str,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        max_bytes: int | None = None,
        seconds: float | None = None,
        patience: float = MAX_WAIT,
    ) -> Fetched:
        """Send one request. Raises FetchFailed; SourceBusy if the host is paused for more than `patience` seconds."""
        async with self._rate_limiter.permit(host, patience=patience) as permit:
            try:
                return await self._fetcher.get(url, params=params, max_bytes=max_bytes, seconds=seconds)
            except FetchFailed as error:
                permit.pause = pause_of(error)
                raise

    async def pause_before_retry(self, error: FetchFailed, attempt: int, patience: float) -> None:
        """Wait before the next attempt of a request; a busy host's pause is part of its next permit.

        Raises the error, or SourceBusy, if it will not go away within `patience` seconds.
        """
        if not error.transient or pause_of(error) > patience:
            raise busy_or(error) from error
        if not error.busy:
            await self._sleep(3.0 * 2**attempt)

    async def pause(self, host: str, seconds: float) -> None:
        """Let no process send a request to this host for some seconds."""
        await self._rate_limiter.pause(host, seconds)
