"""WebSocket with the websockets module: websocket.py serve prints its port, websocket.py ask URL CA talks to a server of the same behaviour.
Exit status 77: the module is not here."""
import asyncio
import os
import ssl
import sys

try:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve as listen
    from websockets.exceptions import ConnectionClosed
except ImportError:
    sys.exit(77)


async def echo(c):
    async for message in c:
        if message == "close":
            await c.close(4001, "enough")
        else:
            await c.send(message)


async def serve():
    async with listen(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def ask(url, ca):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with connect(url, subprotocols=["chat"], ssl=context, max_size=None, proxy=None) as c:
        assert c.subprotocol == "chat", c.subprotocol
        extensions = c.response.headers.get("Sec-WebSocket-Extensions", "")
        assert "permessage-deflate" in extensions, extensions
        for sent in ["h\u00e9llo", "again and " * 50000, os.urandom(300000), b""]:
            await c.send(sent)
            got = await c.recv()
            assert got == sent, (len(got), len(sent))
        await c.send(["one ", "two ", "three"])
        assert await c.recv() == "one two three"
        await (await c.ping("there?"))
        await c.send("close")
        try:
            await c.recv()
            raise AssertionError("it is still open")
        except ConnectionClosed as e:
            assert (e.rcvd.code, e.rcvd.reason) == (4001, "enough"), e
    print("ok")

if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(ask(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
