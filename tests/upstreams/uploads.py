#!/usr/bin/python3
"""An HTTP/1.1 upstream on loopback for bodies that are too large to be kept: it hashes them.

    uploads.py LOG [--cert PEM --key PEM]

Prints "listening PORT". Each request becomes one JSON line in LOG when its body is over, or broke
off: method, target, headers, framing ("length", "chunked", "none"), bytes, sha256, whole. What it does
is up to the query, or to the path's last segment where there is none:

    wait=S      read nothing of the body for S seconds
    after=N     answer when N bytes of the body came, whatever follows
    close=S     and close, with the rest unread, after S seconds
    bye=1       and say so: Connection: close
    pad=N       with N bytes more in the answer
    status=N    of the answer (200)
    events=N    answer with N events of an event stream, one each 50 ms, beside the body
    trailers=1  answer in chunks, with trailers
    cut=1       but without the last chunk
    echo=1      and the request's Authorization among them
"""
import argparse
import hashlib
import json
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse

PIECE = 1 << 18
TRAILERS = b"X-Checksum: 12ab\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\nServer-Timing: db;dur=1\r\n"


class Body:
    """The body of one request, piece by piece."""

    def __init__(self, file, headers):
        self.file, self.n, self.hash, self.whole = file, 0, hashlib.sha256(), False
        self.chunked = "chunked" in headers.get("transfer-encoding", "")
        self.left = int(headers.get("content-length", "0"))
        self.framing = ("chunked" if self.chunked else
                        "length" if "content-length" in headers else "none")

    def read(self):
        """The next piece; b"" at its end, or where it broke off."""
        if self.whole:
            return b""
        if self.chunked and self.left == 0:
            line = self.file.readline()
            self.left = int(line, 16) if line.endswith(b"\r\n") else -1
            if self.left == 0:
                self.file.readline()
                self.whole = True
        if not self.chunked and self.left == 0:
            self.whole = True
        if self.left <= 0:
            return b""
        data = self.file.read1(min(self.left, PIECE))
        self.left -= len(data)
        if self.chunked and self.left == 0:
            self.file.readline()
        self.n += len(data)
        self.hash.update(data)
        return data


class Handler(socketserver.StreamRequestHandler):
    timeout = 60
    disable_nagle_algorithm = True

    def handle(self):
        try:
            while self.one_request():
                pass
        except OSError:
            pass

    def one_request(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(65537)
            if not line:
                return False
            head += line
        lines = head.decode("latin-1").split("\r\n")
        method, target = lines[0].split(" ")[:2]
        pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        fields = {name.lower(): value for name, value in pairs}
        body = Body(self.rfile, fields)
        path, _, query = target.partition("?")
        plan = dict(urllib.parse.parse_qsl(query or path.rpartition("/")[2]))
        self.trailers = TRAILERS if plan.get("trailers") else b""
        if plan.get("echo"):
            self.trailers += b"X-Echo: %s\r\n" % fields.get("authorization", "").encode()
        time.sleep(float(plan.get("wait", 0)))
        try:
            return self.take(plan, body)
        finally:
            self.server.note({"method": method, "target": target, "headers": pairs,
                              "framing": body.framing, "bytes": body.n, "whole": body.whole,
                              "sha256": body.hash.hexdigest()})

    def take(self, plan, body):
        beside = None
        if "events" in plan:
            beside = threading.Thread(target=self.send_events, args=(int(plan["events"]),))
            beside.start()
        early = int(plan.get("after", -1))
        while early < 0 or body.n < early:
            if not body.read():
                break
        if beside:
            beside.join()
            return body.whole
        if not body.whole and early < 0:
            return False
        self.answer(plan, body)
        if "close" in plan:
            self.hang_up(float(plan["close"]))
            return False
        while body.read():
            pass
        return body.whole

    def answer(self, plan, body):
        text = json.dumps({"bytes": body.n, "sha256": body.hash.hexdigest()}).encode()
        text += b" " * int(plan.get("pad", 0))
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\n" % int(plan.get("status", 200))
        head += b"Connection: close\r\n" if plan.get("bye") else b""
        if plan.get("trailers"):
            self.wfile.write(head + b"Trailer: x-checksum\r\nTransfer-Encoding: chunked\r\n\r\n"
                             + b"%x\r\n%s\r\n" % (len(text), text)
                             + (b"" if plan.get("cut") else b"0\r\n" + self.trailers + b"\r\n"))
        else:
            self.wfile.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(text), text))

    def hang_up(self, seconds):
        """As servers do that know what a reset takes away: what they have to say is said, for a while."""
        if seconds > 0:
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            time.sleep(seconds)

    def send_events(self, n):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
        for i in range(n):
            data = b"data: %d\n\n" % i
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            time.sleep(0.05)
        self.wfile.write(b"0\r\n" + self.trailers + b"\r\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, log, context):
        self.log = open(log, "a", encoding="ascii")
        self.lock = threading.Lock()
        self.context = context
        super().__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request, client_address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def note(self, entry):
        with self.lock:
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    args = parser.parse_args()
    context = None
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
    with Server(args.log, context) as server:
        print("listening %d" % server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
