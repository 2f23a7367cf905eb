#!/usr/bin/python3
"""An upstream of event streams: whoever asks gets the head of one, and once N are open all of them
get their events, each stream at a time of its own within the period.

    events.py --streams N [--events N] [--period SECONDS] [--size BYTES]

Prints "listening PORT". An event is "data: TIME aaa…", with the time at which it was written.
"""
import argparse
import asyncio
import random
import time

HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(args):
    everybody = asyncio.Event()
    n_open = 0

    async def stream(reader, writer):
        nonlocal n_open
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            n_open += 1
            if n_open == args.streams:
                everybody.set()
            await everybody.wait()
            await asyncio.sleep(random.random() * args.period)
            for _ in range(args.events):
                event = b"data: %.6f " % time.time()
                writer.write(chunk(event.ljust(args.size - 2, b"a") + b"\n\n"))
                await asyncio.sleep(args.period)
            writer.write(chunk(b""))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", 0, backlog=args.streams)
    print("listening %d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--events", type=int, default=3)
    parser.add_argument("--period", type=float, default=1)
    parser.add_argument("--size", type=int, default=32)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
