#!/usr/bin/python3
"""A small HTTP/1.1 upstream on loopback that writes down every request as it came.

Each request becomes one JSON line in the log: the raw head and the body in base64, and, for
reading, its method, target and headers in order. It is a server of bytes, not of an HTTP library,
so that what the log says is what was on the wire.

What it answers is up to the test, by headers the *upstream* sees or by a script file:
    {"status": 200, "reason": "OK", "headers": [["a", "b"]], "body": "text", "delay_ms": 0,
     "echo": false, "close": false, "stop_after": N, "chunks": [[delay_ms, "text"]…], "fill": N,
     "trailers": [["a", "b"]]}
The script is a JSON object from "METHOD /path" (or "*") to such an answer; it is read anew for each
request, so a test may change it at any time. `echo` answers with the request itself, head and
body; `stop_after` closes the connection after N bytes of the answer; `chunks` are sent one by one,
each after its delay, as chunks of HTTP, with `trailers` behind the last one, and `fill` sends N bytes
of "a" after the head. NOW in a body or a chunk is the time in seconds.

Usage: recorder.py LOG [--port N] [--script FILE] [--cert PEM --key PEM]
Prints "listening PORT" when it answers.
"""
import argparse
import base64
import json
import os
import socketserver
import ssl
import threading
import time

BODY_MAX_BYTES = 64 << 20


class Handler(socketserver.StreamRequestHandler):
    timeout = 120

    def handle(self):
        try:
            while self.one_request():
                pass
        except (OSError, ValueError):
            pass

    def read_head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(65537)
            if not line:
                return None
            head += line
            if len(head) > 1 << 20:
                raise ValueError("head too large")
        return head

    def read_body(self, headers):
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body
        length = int(headers.get("content-length", "0"))
        if length > BODY_MAX_BYTES:
            raise ValueError("body too large")
        return self.rfile.read(length)

    def one_request(self):
        head = self.read_head()
        if head is None:
            return False
        lines = head.decode("latin-1").split("\r\n")
        method, target = lines[0].split(" ")[:2]
        pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        body = self.read_body(headers)
        self.server.record({
            "method": method, "target": target, "headers": pairs,
            "head": base64.b64encode(head).decode(), "body": base64.b64encode(body).decode(),
            "peer": "%s:%d" % self.client_address[:2], "at": time.time(),
        })
        return self.answer(method, target, head, body, headers)

    def answer(self, method, target, head, body, headers):
        plan = self.server.plan(method, target)
        time.sleep(plan.get("delay_ms", 0) / 1000)
        payload = head + body if plan.get("echo") else \
            plan.get("body", "{}").replace("NOW", "%.6f" % time.time()).encode()
        given = plan.get("headers", [["content-type", "application/json"]])
        lines = ["HTTP/1.1 %d %s" % (plan.get("status", 200), plan.get("reason", "OK"))]
        lines += ["%s: %s" % (name, value) for name, value in given]
        if "chunks" in plan:
            return self.send_chunks(lines, plan["chunks"], plan.get("trailers", []))
        if "fill" in plan:
            return self.send_fill(lines, plan["fill"])
        names = {name.lower() for name, _ in given}
        if not names & {"content-length", "transfer-encoding"}:
            lines.append("content-length: %d" % len(payload))
        close = plan.get("close", False) or headers.get("connection", "").lower() == "close"
        if close:
            lines.append("connection: close")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        data += b"" if method == "HEAD" else payload
        if "stop_after" in plan:
            data, close = data[:plan["stop_after"]], True
        self.wfile.write(data)
        return not close


    def send_head(self, lines):
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def send_chunks(self, lines, chunks, trailers):
        self.send_head(lines + ["transfer-encoding: chunked"])
        for delay_ms, text in chunks:
            time.sleep(delay_ms / 1000)
            data = text.replace("NOW", "%.6f" % time.time()).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        tail = "".join("%s: %s\r\n" % tuple(pair) for pair in trailers)
        self.wfile.write(("0\r\n%s\r\n" % tail).encode("latin-1"))
        return True

    def send_fill(self, lines, left):
        self.send_head(lines + ["content-length: %d" % left])
        block = b"a" * (1 << 20)
        while left > 0:
            self.wfile.write(block[:left])
            left -= min(left, len(block))
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, log, script, context):
        self.log = open(log, "a", encoding="ascii")
        self.lock = threading.Lock()
        self.script = script
        self.context = context
        super().__init__(("127.0.0.1", port), Handler)

    def finish_request(self, request, client_address):
        # In the connection's own thread: a slow handshake must not stop the others.
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def record(self, entry):
        with self.lock:
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()

    def plan(self, method, target):
        if not self.script or not os.path.exists(self.script):
            return {}
        with open(self.script, encoding="utf-8") as file:
            script = json.load(file)
        path = target.split("?")[0]
        return script.get("%s %s" % (method, path), script.get("*", {}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    args = parser.parse_args()
    context = None
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
    with Server(args.port, args.log, args.script, context) as server:
        print("listening %d" % server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
