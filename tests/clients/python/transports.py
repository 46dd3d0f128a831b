"""Two WebSocket libraries behind one face: `open`, `send`, `texts`, `close`, `code`."""

import asyncio
from contextlib import suppress

DEADLINE = 5  # seconds for any one wait


class Refused(Exception):
    """The server answered the handshake with an HTTP status instead of an upgrade."""

    def __init__(self, status):
        super().__init__(f"the handshake was refused with HTTP {status}")
        self.status = status


class Websockets:
    async def open(self, url, origin):
        import websockets

        self.closed = websockets.ConnectionClosed
        try:
            self.socket = await websockets.connect(
                url, origin=origin, max_size=None, proxy=None, open_timeout=DEADLINE, close_timeout=DEADLINE
            )
        except websockets.InvalidStatus as refusal:
            raise Refused(refusal.response.status_code) from None

    async def send(self, text):
        with suppress(self.closed):
            await self.socket.send(text)

    async def texts(self):
        with suppress(self.closed):
            async for message in self.socket:
                yield message

    async def close(self):
        await self.socket.close(1000)

    @property
    def code(self):
        return self.socket.close_code


class Aiohttp:
    async def open(self, url, origin):
        import aiohttp

        self.session, self.socket = aiohttp.ClientSession(), None
        timeout = aiohttp.ClientWSTimeout(ws_close=DEADLINE)
        opening = self.session.ws_connect(url, origin=origin, max_msg_size=0, timeout=timeout)
        try:
            self.socket = await asyncio.wait_for(opening, DEADLINE)
        except aiohttp.WSServerHandshakeError as refusal:
            raise Refused(refusal.status) from None
        finally:
            if self.socket is None:
                await self.session.close()

    async def send(self, text):
        with suppress(ConnectionError):
            await self.socket.send_str(text)

    async def texts(self):
        async for message in self.socket:
            yield message.data

    async def close(self):
        await self.socket.close(code=1000)
        await self.session.close()

    @property
    def code(self):
        return self.socket.close_code
