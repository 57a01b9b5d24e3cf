# SPDX-License-Identifier: ISC
"""Sockets at the ends of xids-vchan, for vchan-tool.sh.

usage: vchan_ends.py echo ADDRESS              gives every connection back what it says, until killed
       vchan_ends.py crowd ADDRESS N BYTES     N connections at once, each says BYTES, ends, and expects them back
       vchan_ends.py exact ADDRESS N BYTES     the same, one after the other, each ending when it has them back
       vchan_ends.py leave ADDRESS N           N connections that say a word and go
       vchan_ends.py mute PATH DOMID           a xenstore for that domain which has nothing but its number, and which
                                               answers the first connection only

ADDRESS is a path, or a port of 127.0.0.1; echo with port 0 takes any, and prints it.
"""
import asyncio
import random
import struct
import sys


def connect(address):
    if "/" in address:
        return asyncio.open_unix_connection(address)
    return asyncio.open_connection("127.0.0.1", int(address))


async def give_back(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        await writer.drain()
    except OSError:
        pass
    writer.close()


async def echo(address):
    if "/" in address:
        server = await asyncio.start_unix_server(give_back, address, backlog=200)
    else:
        server = await asyncio.start_server(give_back, "127.0.0.1", int(address), backlog=200)
        print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def say(writer, data, ends):
    for at in range(0, len(data), 50000):
        writer.write(data[at : at + 50000])
        await writer.drain()
    if ends:
        writer.write_eof()


async def one(address, seed, size, ends):
    data = random.Random(seed).randbytes(size)
    reader, writer = await connect(address)
    speaker = asyncio.create_task(say(writer, data, ends))
    got = await reader.readexactly(size)
    await speaker
    rest = await reader.read() if ends else b""
    writer.close()
    await writer.wait_closed()
    if got != data or rest:
        sys.exit(f"connection {seed} got something else back")


async def mute(path, domid):
    connections = 0

    async def answer(reader, writer):
        nonlocal connections
        connections += 1
        if connections > 1:
            await reader.read()
            return
        while head := await reader.read(16):
            kind, request, tx, size = struct.unpack("<4I", head)
            body = await reader.readexactly(size)
            if (kind, body) == (2, b"domid\0"):
                body = domid.encode()
            else:
                kind, body = 16, b"ENOENT\0"
            writer.write(struct.pack("<4I", kind, request, tx, len(body)) + body)
            await writer.drain()

    server = await asyncio.start_unix_server(answer, path)
    await server.serve_forever()


async def main(duty, address, count="1", size="0"):
    if duty == "echo":
        await echo(address)
    elif duty == "mute":
        await mute(address, count)
    elif duty == "crowd":
        await asyncio.gather(*(one(address, i, int(size), True) for i in range(int(count))))
    elif duty == "exact":
        for i in range(int(count)):
            await one(address, i, int(size), False)
    elif duty == "leave":
        for _ in range(int(count)):
            _, writer = await connect(address)
            writer.write(b"word")
            writer.close()
            await writer.wait_closed()


asyncio.run(main(*sys.argv[1:]))
