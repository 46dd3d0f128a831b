"""The scenario against the conformance server: scenario.py ws://HOST:PORT/ws [websockets|aiohttp]"""

import asyncio
import json
import os
import re
import sys
import time
import uuid

from transports import DEADLINE, Aiohttp, Refused, Websockets

STEP_DEADLINE = 30  # seconds for a whole step
URL = sys.argv[1]
TRANSPORT = {"websockets": Websockets, "aiohttp": Aiohttp}[(sys.argv[2:] or ["websockets"])[0]]
ABSENT = object()
steps = []
opened = []


class Failed(Exception):
    """What the server did is not what it should have done."""


class Frame(dict):
    """An envelope, and the text that it came in."""

    def __init__(self, raw):
        super().__init__(json.loads(raw))
        self.raw = raw

    def __missing__(self, field):
        raise Failed(f"no {field} in {self.raw[:500]}")


class Client:
    """One connection. Frames that nobody waits for yet lie in the inbox, in the order of arrival."""

    async def connects(self, query="", origin=None):
        self.inbox, self.waiters, self.last_id, self.end = [], [], 0, None
        self.transport = TRANSPORT()
        await self.transport.open(URL + query, origin)
        self.reader = asyncio.create_task(self.reads())
        opened.append(self)
        self.hello = await self.hears_next()
        same(self.hello["event"], "connected", "the first frame")
        self.id = self.hello["data"]["id"]
        return self

    async def reads(self):
        try:
            async for text in self.transport.texts():
                check(isinstance(text, str), f"not a text frame: {text!r}")
                self.delivers(Frame(text))
            self.end = f"the connection closed with {self.transport.code}"
        except Exception as error:
            self.end = f"an unreadable frame: {error!r}"
        for _, waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(Failed(self.end))

    def delivers(self, frame):
        for wanted, waiter in self.waiters:
            if not waiter.done() and wanted(frame):
                return waiter.set_result(frame)
        self.inbox.append(frame)

    async def takes(self, what, wanted):
        for place, frame in enumerate(self.inbox):
            if wanted(frame):
                return self.inbox.pop(place)
        check(not self.reader.done(), f"{self.end} before {what}")
        entry = (wanted, asyncio.get_running_loop().create_future())
        self.waiters.append(entry)
        try:
            return await asyncio.wait_for(entry[1], DEADLINE)
        except asyncio.TimeoutError:
            unread = [frame.raw[:100] for frame in self.inbox[:5]]
            raise Failed(f"no {what} within {DEADLINE} s, but unread {unread}") from None
        finally:
            self.waiters.remove(entry)

    async def hears(self, event):
        return await self.takes(event, lambda frame: frame["event"] == event)

    async def hears_next(self):
        return await self.takes("next frame", lambda frame: True)

    async def has_heard_no(self, event):
        await self.requests("echo_ack")  # whatever was sent before has arrived then
        check(all(frame["event"] != event for frame in self.inbox), f"{event} came, but not for this socket")

    async def says(self, text):
        await asyncio.wait_for(self.transport.send(text), DEADLINE)

    async def emits(self, event, data=ABSENT, **fields):
        envelope = {"event": event, **({} if data is ABSENT else {"data": data}), **fields}
        await self.says(json.dumps(envelope))

    async def begins(self, event, data=ABSENT):
        """Sends a request, and tells its id."""
        self.last_id += 1
        await self.emits(event, data, id=self.last_id)
        return self.last_id

    async def settles(self, kind, id):
        def answers(frame):
            return frame["event"] in ("ack", "error") and type(frame.get("id")) is type(id) and frame["id"] == id

        frame = await self.takes(f"answer to the request {id!r}", answers)
        check(frame["event"] == kind, f"the request {id!r} wants {kind}, got {frame}")
        return frame["data"]

    async def requests(self, event, data=ABSENT):
        return await self.settles("ack", await self.begins(event, data))

    async def is_refused(self, code, event, data=ABSENT):
        error = await self.settles("error", await self.begins(event, data))
        same(error["code"], code, f"the code that refuses {event}")
        check(isinstance(error["message"], str), f"an error has a message: {error}")
        return error

    async def is_closed(self):
        ended, _ = await asyncio.wait([self.reader], timeout=DEADLINE)
        check(ended, f"no end of the connection within {DEADLINE} s")
        return self.transport.code

    async def leaves(self):
        was_open = not self.reader.done()
        await self.transport.close()
        code = await self.is_closed()
        check(not was_open or code == 1000, f"a client's close was answered with {code}, not 1000")


async def connect(query="", origin=None):
    return await Client().connects(query, origin)


def check(holds, otherwise):
    if not holds:
        raise Failed(otherwise)


def same(got, wanted, what):
    got, wanted = (json.dumps(value, sort_keys=True) for value in (got, wanted))
    start = max(0, len(os.path.commonprefix([got, wanted])) - 80)
    check(got == wanted, f"{what}: wanted {wanted[start:][:200]}, got {got[start:][:200]}")


def step(name):
    return lambda run: steps.append((name, run))


@step("connected is the first frame")
async def _():
    data = (await connect()).hello["data"]
    same(str(uuid.UUID(data["id"])), data["id"].lower(), "id")
    same([data["protocol"], data["session"], data["recovered"]], [1, None, False], "protocol, session, recovered")
    check(type(data["pingInterval"]) is int and data["pingInterval"] > 0, f"pingInterval: {data}")
    check(type(data["maxMessage"]) is int and data["maxMessage"] > 0, f"maxMessage: {data}")


@step("echo keeps text, escapes, digits and null")
async def _():
    ann = await connect()
    text = 'tab\t quote" backslash\\ nul\0 é 漢字 😀 \u2028 </script>'
    await ann.emits("echo", {"text": text, "ключ": [True, None]})
    same((await ann.hears("echo"))["data"], {"text": text, "ключ": [True, None]}, "escaped text")
    await ann.says(json.dumps({"event": "echo", "data": text}, ensure_ascii=False))
    same((await ann.hears("echo"))["data"], text, "text as UTF-8")
    await ann.says(r'{"event":"\u0065ch\u006f","data":"escaped name"}')
    same((await ann.hears("echo"))["data"], "escaped name", "an event whose name is escaped")
    digits = "[12345678901234567890123456789,9007199254740993,-0.12345678901234567890,1.50e+3,1E400]"
    await ann.says('{"event":"echo","data":' + digits + "}")
    raw = (await ann.hears("echo")).raw
    check(digits in raw, f"every digit stays: wanted {digits}, got {raw}")
    await ann.emits("echo")
    same((await ann.hears("echo"))["data"], None, "absent data")


@step("echo_ack answers with the id it got")
async def _():
    ann = await connect()
    for id in (7, 0, 2**53 - 1, "7", "a-β", "x" * 64):
        await ann.emits("echo_ack", {"for": id}, id=id)
        same(await ann.settles("ack", id), {"for": id}, f"the ack of {id!r}")
    await ann.emits("echo_ack", id="absent")
    same(await ann.settles("ack", "absent"), None, "the ack of absent data")


@step("typed data, and the path to what is wrong")
async def _():
    ann = await connect()
    same(await ann.requests("typed", {"n": 1, "s": "abc"}), {"n": 2, "s": "cba"}, "typed")
    error = await ann.is_refused("invalid_payload", "typed", {"n": "one", "s": "abc"})
    check(re.search(r"\bn\b", json.dumps(error["details"])), f"details name the path n: {error}")


@step("refused frames, and the connection goes on")
async def _():
    ann = await connect()
    for name in ("nobody-listens", "__proto__", "имя"):
        await ann.is_refused("unknown_event", name, 1)
    await ann.emits("имя", 1)
    error = (await ann.hears("error"))["data"]
    same([error["code"], error["event"]], ["unknown_event", "имя"], "without an id the event is named")
    await ann.is_refused("forbidden", "connected", {})
    await ann.emits("connected", {})
    error = (await ann.hears("error"))["data"]
    same([error["code"], error["event"]], ["forbidden", "connected"], "a reserved event without an id")
    for text in ("[]", "no json", '{"data":1}', '{"event":7}', '{"event":"echo","id":-1}'):
        await ann.says(text)
        same((await ann.hears("error"))["data"]["code"], "invalid_envelope", text)
    same(await ann.requests("echo_ack", "still here"), "still here", "echo_ack afterwards")


@step("rooms carry messages to their members")
async def _():
    ann, ben = await connect(), await connect()
    room = f"public:{ann.id}"
    for client in (ann, ben):
        same(await client.requests("subscribe", room), {"room": room}, "subscribe")
    id = await ann.begins("publish", {"room": room, "payload": {"n": 1}})
    same((await ann.hears_next())["event"], "message", "what a handler emits comes before its ack")
    same(await ann.settles("ack", id), 2, "members reached")
    same(await ben.hears("message"), {"event": "message", "data": {"n": 1}, "room": room}, "message")
    await ann.requests("except", {"room": room, "payload": "others"})
    same((await ben.hears("message"))["data"], "others", "except")
    await ann.has_heard_no("message")
    same(await ben.requests("unsubscribe", room), {"room": room}, "unsubscribe")
    same(await ann.requests("publish", {"room": room, "payload": "alone"}), 1, "members left")
    same((await ann.hears("message"))["data"], "alone", "message to the one left")
    await ben.has_heard_no("message")
    await ben.requests("join", {"room": "hall"})
    same((await ben.requests("whoami"))["rooms"], ["hall"], "rooms after a server-side join")
    await ben.requests("leave", {"room": "hall"})
    same((await ben.requests("whoami"))["rooms"], [], "rooms after a server-side leave")


@step("rules guard rooms")
async def _():
    guest, ann = await connect(), await connect("?token=ann")
    first, second = await guest.requests("subscribe", ["public:y", "secret:x"])
    same(first, {"room": "public:y"}, "the allowed one of a list")
    refused = second.get("error", {}).get("code")
    same([second["room"], refused], ["secret:x", "forbidden"], "the refused one of a list")
    await guest.is_refused("forbidden", "subscribe", "secret:x")
    await guest.is_refused("forbidden", "subscribe", "public:no spaces")
    await guest.is_refused("forbidden", "subscribe", "member:x")
    same(await ann.requests("subscribe", "member:x"), {"room": "member:x"}, "a member subscribes")
    same(await guest.requests("whoami"), {"id": guest.id, "rooms": ["public:y"], "user": None}, "the guest")
    same(await ann.requests("whoami"), {"id": ann.id, "rooms": ["member:x"], "user": "ann"}, "the member")


@step("events are handled in order")
async def _():
    ann = await connect()
    for id in range(1, 201):
        await ann.emits("order", {"sent": id}, id=id)
    acks = [await ann.hears("ack") for _ in range(200)]
    same([[ack["id"], ack["data"]] for ack in acks], [[n, n] for n in range(1, 201)], "id and count")


@step("concurrent handlers do not queue")
async def _():
    ann, start = await connect(), time.monotonic()
    ids = [await ann.begins("sleep_concurrent", {"ms": 100}) for _ in range(20)]
    for id in ids:
        await ann.settles("ack", id)
    took = time.monotonic() - start
    check(0.09 < took < 1.5, f"20 sleeps of 100 ms took {took:.2f} s")


@step("the server asks the client")
async def _():
    ann = await connect()
    id = await ann.begins("ask", {"event": "question", "data": {"n": 1}, "timeoutMs": 4000})
    question = await ann.hears("question")
    same(question["data"], {"n": 1}, "the question")
    await ann.emits("ack", {"n": 2}, id=question["id"])
    same(await ann.settles("ack", id), {"n": 2}, "the answer")
    id = await ann.begins("ask", {"event": "question", "timeoutMs": 4000})
    refusal = {"code": "shy", "message": "ask someone else"}
    await ann.emits("error", refusal, id=(await ann.hears("question"))["id"])
    error = await ann.settles("error", id)
    same([error["code"], error["message"]], ["shy", "ask someone else"], "an answer by error")
    await ann.is_refused("timeout", "ask", {"event": "question", "data": 3, "timeoutMs": 200})


@step("failures and panics are answers")
async def _():
    ann = await connect()
    error = await ann.is_refused("out_of_tea", "fail", {"code": "out_of_tea", "message": "no tea"})
    same(error["message"], "no tea", "message")
    await ann.is_refused("internal", "panic")
    same(await ann.requests("echo_ack", "still here"), "still here", "echo_ack afterwards")


@step("a paced burst loses nothing")
async def _():
    ann, ben = await connect(), await connect()
    room = f"public:{ann.id}"
    for client in (ann, ben):
        await client.requests("subscribe", room)
    id = await ann.begins("burst", {"room": room, "lines": 3000, "bytes": 200})
    for client in (ann, ben):
        for n in range(3000):
            same((await client.hears("message"))["data"], f"@@0000{n:08x}{'0' * 16}".ljust(200, "x"), f"line {n}")
    same(await ann.settles("ack", id), {"lines": 3000}, "burst")


@step("ping is answered")
async def _():
    ann = await connect()
    await ann.emits("ping", {"t": 12.5})
    same((await ann.hears("pong"))["data"], {"t": 12.5}, "pong")
    same(await ann.requests("ping", "now"), "now", "the ack of a ping")


@step("tell another socket, then be kicked")
async def _():
    ann, ben = await connect(), await connect()
    await ann.requests("tell", {"id": ben.id, "data": {"from": "ann"}})
    same(await ben.hears("told"), {"event": "told", "data": {"from": "ann"}}, "told")
    await ann.emits("kick", {"event": "bye", "data": "out"})
    bye, closing = await ann.hears_next(), await ann.hears_next()
    same([bye["event"], bye["data"]], ["bye", "out"], "what was emitted before")
    same(closing["event"], "closing", "the last event")
    data = closing["data"]
    same([data["code"], data["reconnect"], data["after"]], ["disconnect", False, 0], "closing")
    same(await ann.is_closed(), 1000, "close code")


@step("the door refuses bad tokens and other origins")
async def _():
    for query, origin, status in (
        ("?token=bad", None, 401),
        ("?token=", None, 401),
        ("", "http://elsewhere.example", 403),
    ):
        try:
            await connect(query, origin)
        except Refused as refusal:
            same(refusal.status, status, f"{query} {origin}")
        else:
            raise Failed(f"{query} {origin} was let in")


@step("a message too large closes with 1009")
async def _():
    ann = await connect()
    envelope = '{"event":"echo_ack","id":1,"data":"%s"}'
    fill = ann.hello["data"]["maxMessage"] - len(envelope % "")
    await ann.says(envelope % ("x" * fill))
    same(len(await ann.settles("ack", 1)), fill, "the largest message")
    await ann.says(envelope % ("x" * (fill + 1)))
    same(await ann.is_closed(), 1009, "close code")


async def main():
    for passed, (name, run) in enumerate(steps):
        try:
            await asyncio.wait_for(run(), STEP_DEADLINE)
            while opened:
                await opened.pop().leaves()
        except Exception as error:
            reason = error if isinstance(error, (Failed, Refused)) else repr(error)
            await asyncio.gather(*(client.transport.close() for client in opened), return_exceptions=True)
            print(f"FAILED {name}: {reason}\n{passed} passed, 1 failed")
            return 1
        print(f"ok {name}", flush=True)
    print(f"{len(steps)} passed, 0 failed")
    return 0


sys.exit(asyncio.run(main()))
