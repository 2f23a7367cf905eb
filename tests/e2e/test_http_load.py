"""What the HTTP front door takes: event streams by the thousand and an answer of a gibibyte, in
memory that does not grow with them.

In the suite these are 200 streams and 128 MiB, under a sanitizer less. The long form is a
command of its own, for a release build: docs/development.md, "Measure".
"""
import asyncio
import os
import resource
import socket
import time

import pytest
import upstreams
from lib import is_sanitized
from world import POLICY, World, world

pytestmark = pytest.mark.alone
LONG = bool(os.environ.get("SALLYPORT_LONG"))
N_STREAMS, N_EVENTS, PERIOD_S = (1000, 5, 2) if LONG else (
    100 if is_sanitized() else 200, 3, 0.5)
# A sanitized guard searches a few MiB a second at best, and this is not about that.
EVENT_BYTES = (1 if is_sanitized() else 16) << 10
# Kept, the events of the short form after each stream's first would be 6 MiB, of the long one 62.
FLAT_KIB = 2 << 10
STREAM_KIB = 96
DOWNLOAD = (1024 if LONG else 16 if is_sanitized() else 128) << 20
EVENTS_PY = os.path.join(upstreams.HERE, "events.py")
SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "limits": {"calls": "1200", "calls_per_client": "1200", "http_connections": "1200"},
            "upstream": {"stream_idle": "60s", "slots": "1600", "slots_per_key": "1600"}}


class Busy(World):
    POLICY = POLICY.replace("rate 1000/min", "rate 5000/min")


def memory_kib(pid, field):
    """VmRSS is what is resident now, VmHWM the most that ever was."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(field + ":")).split()[1])


def request(token):
    return ("GET /v1/charges/ch_1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
            % token).encode()


def port_of(w):
    return int(w.host.http_at("local").rsplit(":", 1)[1])


async def follow(port, token, opened, lags):
    """One stream to its end: how late each of its events came is added to lags."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    opened.append(True)
    text = b""
    while size := int(await reader.readline(), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        while b"\n\n" in text:
            event, text = text.split(b"\n\n", 1)
            lags.append(time.time() - float(event.split()[1]))
    assert not text
    writer.close()


async def follow_all(w, token, lags):
    """The host's memory in KiB, from time to time, with how many events had come by then."""
    opened, samples = [], []
    all_of_them = asyncio.gather(*[follow(port_of(w), token, opened, lags)
                                   for _ in range(N_STREAMS)])
    while not all_of_them.done():
        samples.append((len(lags), memory_kib(w.host.pid, "VmRSS")))
        await asyncio.sleep(0.1)
    await all_of_them
    assert len(opened) == N_STREAMS
    return samples


def test_events_of_many_streams_come_within_50_ms_in_flat_memory(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    up = upstreams.Upstream("events", [
        upstreams.PYTHON, EVENTS_PY, "--streams", str(N_STREAMS), "--events", str(N_EVENTS),
        "--period", str(PERIOD_S), "--size", str(EVENT_BYTES)])
    try:
        with world(tmp_path, up.url, kind=Busy, settings=SETTINGS) as w:
            lags = []
            idle = memory_kib(w.host.pid, "VmRSS")
            samples = asyncio.run(asyncio.wait_for(follow_all(w, w.issue("open"), lags), 90))
    finally:
        up.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(lags) == N_STREAMS * N_EVENTS
    lags.sort()
    median, p99 = lags[len(lags) // 2], lags[len(lags) * 99 // 100]
    # From when each stream had about one event until the last event.
    flowing = [kib for n, kib in samples if N_STREAMS <= n < len(lags)]
    grown = max(flowing) - flowing[0]
    print("%d streams: median %.1f ms, p99 %.1f ms, latest %.1f ms; %d KiB without any, "
          "%d KiB with all, %d KiB more while events flow"
          % (N_STREAMS, median * 1e3, p99 * 1e3, lags[-1] * 1e3, idle, flowing[0], grown))
    # The upstream and the reader are Python on the same cores: in a busy suite only the median
    # speaks of the host.
    assert median < 0.05, lags[-20:]
    assert not LONG or p99 < 0.05, lags[-20:]
    # (A sanitizer keeps what is freed for a while.)
    assert is_sanitized() or grown < FLAT_KIB
    assert is_sanitized() or flowing[0] - idle < N_STREAMS * STREAM_KIB + 4096


def test_a_large_download_stays_under_64_mib_of_memory(tmp_path, recorder):
    with world(tmp_path, recorder.url, settings=SETTINGS) as w:
        recorder.answer({"*": {"fill": DOWNLOAD}})
        n, began = 0, time.monotonic()
        with socket.create_connection(("127.0.0.1", port_of(w)), timeout=20) as sock:
            sock.sendall(request(w.issue("open")).replace(b"\r\n\r\n",
                                                          b"\r\nConnection: close\r\n\r\n"))
            while data := sock.recv(1 << 18):
                n += len(data)
        took = time.monotonic() - began
        peak = memory_kib(w.host.pid, "VmHWM")
    print("%d MiB in %.1f s, at most %d KiB resident" % (DOWNLOAD >> 20, took, peak))
    assert n > DOWNLOAD
    assert is_sanitized() or peak < (64 << 10)
