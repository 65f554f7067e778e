"""A real SMTP server that draws the fate of each mail at random, and records what it did."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from weakref import WeakKeyDictionary

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.smtp_server import Hook, Postbox, break_off, hang


class Fate(StrEnum):
    """What the server does with one attempt to send a mail."""

    TAKEN = "accepts the mail"
    LATER = "refuses temporarily, at RCPT"
    LATER_AT_END = "refuses temporarily, after the dot"
    REFUSED = "refuses permanently, at RCPT"
    REFUSED_AT_END = "refuses permanently, after the dot"
    UNKNOWN = "does not know the address"
    BREAK = "disconnects at RCPT"
    HANG = "hangs at RCPT"
    BREAK_IN_CONTENT = "disconnects in the content"
    BREAK_AT_END = "disconnects after the dot"
    TAKEN_AND_BREAK = "accepts the mail and disconnects"
    HANG_AT_END = "hangs after the dot"
    TAKEN_AND_HANG = "accepts the mail and hangs"


ANSWERS: Final = {
    Fate.LATER: "451 4.7.1 come back later",
    Fate.LATER_AT_END: "452 4.3.1 no space now",
    Fate.REFUSED: "550 5.7.1 not from you",
    Fate.REFUSED_AT_END: "554 5.6.0 not this",
    Fate.UNKNOWN: "550 5.1.1 no such user here",
}
AT_ADDRESS: Final = {Fate.LATER, Fate.REFUSED, Fate.UNKNOWN, Fate.BREAK, Fate.HANG}
REFUSALS: Final = {Fate.REFUSED, Fate.REFUSED_AT_END, Fate.UNKNOWN}
TAKEN: Final = {Fate.TAKEN, Fate.TAKEN_AND_BREAK, Fate.TAKEN_AND_HANG}
DOUBTS: Final = {Fate.BREAK_AT_END, Fate.TAKEN_AND_BREAK, Fate.HANG_AT_END, Fate.TAKEN_AND_HANG}
"""After these, only the server knows the result; also after a break in content that the client sent completely."""

QUICK: Final = {
    Fate.TAKEN: 60.0,
    Fate.LATER: 8.0,
    Fate.LATER_AT_END: 8.0,
    Fate.REFUSED: 3.0,
    Fate.REFUSED_AT_END: 3.0,
    Fate.UNKNOWN: 3.0,
    Fate.BREAK: 4.0,
    Fate.BREAK_IN_CONTENT: 3.0,
    Fate.BREAK_AT_END: 4.0,
    Fate.TAKEN_AND_BREAK: 4.0,
}
"""The probability of each fate in percent, without those that wait for the client's timeout."""
ALL: Final = QUICK | {Fate.HANG: 1.0, Fate.HANG_AT_END: 0.3, Fate.TAKEN_AND_HANG: 0.3}


class FlakyServer(Postbox):
    """Draws the fate of each attempt at RCPT, and waits up to `thinks` seconds before each response.

    Fates that have not occurred are drawn first, so that all of them occur, whenever a worker is killed.
    """

    def __init__(self, chance: random.Random, weights: Mapping[Fate, float], *, thinks: float) -> None:
        super().__init__()
        self.happened: defaultdict[str, list[Fate]] = defaultdict(list)
        """What the server did, by address; recorded before the response, as is an accepted mail."""
        self._attempts = self._dots = 0
        self._sender = ""
        self._chance = chance
        self._weights = weights
        self._thinks = thinks
        self._fates: WeakKeyDictionary[SMTP, Fate] = WeakKeyDictionary()
        self._news = asyncio.Condition()

    async def until_attempt(self, number: int) -> str:
        """Wait until `number` attempts have begun; returns the sender of the latest."""
        async with self._news:
            await self._news.wait_for(lambda: self._attempts >= max(number, 1))
            return self._sender

    async def until_dot(self) -> str:
        """Wait until the next mail has arrived completely and has no response yet; returns its sender."""
        async with self._news:
            before = self._dots
            await self._news.wait_for(lambda: self._dots > before)
            return self._sender

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fate = self._fates[server] = self._draw()
        if fate in AT_ADDRESS:
            self.happened[address].append(fate)
        await self._heard(envelope, dots=0)
        if fate in AT_ADDRESS:
            return await self._answer(fate, server)
        return await super().handle_RCPT(server, session, envelope, address, options)

    def _draw(self) -> Fate:
        met = {fate for fates in self.happened.values() for fate in fates}
        weights = {fate: weight for fate, weight in self._weights.items() if fate not in met} or self._weights
        return self._chance.choices(list(weights), list(weights.values()))[0]

    def before_content(self, server: SMTP) -> Hook | None:
        if self._fates[server] is not Fate.BREAK_IN_CONTENT:
            return None

        async def cut(_box: Postbox, server: SMTP) -> str:
            assert server.envelope is not None
            self.happened[server.envelope.rcpt_tos[0]].append(Fate.BREAK_IN_CONTENT)
            return await self._answer(Fate.BREAK_IN_CONTENT, server)

        return cut

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        fate = self._fates[server]
        self.happened[envelope.rcpt_tos[0]].append(fate)
        if fate in TAKEN:
            assert isinstance(envelope.content, bytes)
            self.taken.append(envelope.content)
        await self._heard(envelope, dots=1)
        return await self._answer(fate, server)

    async def _heard(self, envelope: Envelope, *, dots: int) -> None:
        async with self._news:
            self._dots += dots
            self._attempts += 1 - dots
            self._sender = str(envelope.mail_from)
            self._news.notify_all()
        await asyncio.sleep(self._chance.uniform(0, self._thinks))

    async def _answer(self, fate: Fate, server: SMTP) -> str:
        if fate in {Fate.BREAK, Fate.BREAK_IN_CONTENT, Fate.BREAK_AT_END, Fate.TAKEN_AND_BREAK}:
            return await break_off(self, server)
        if fate in {Fate.HANG, Fate.HANG_AT_END, Fate.TAKEN_AND_HANG}:
            return await hang(self, server)
        return ANSWERS.get(fate, "250 2.0.0 taken")
