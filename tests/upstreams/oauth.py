#!/usr/bin/python3
"""A loopback OAuth 2.0 server that rotates refresh tokens, and the API behind it.

Each refresh gives another refresh token and voids the old one; one that is used again revokes the
whole family, its access tokens too (RFC 9700, section 4.14.2). The API takes access tokens that
live. POST /control takes a JSON object: {"delay_ms": how long the token endpoint waits with its
answer once it has rotated, "same": it gives the same refresh token again, "life": expires_in,
"bare": answer with a refresh token and nothing else}. GET /control says what happened.

Usage: oauth.py CLIENT_ID CLIENT_SECRET REFRESH_TOKEN [--port N]
Prints "listening PORT" when it answers.
"""
import argparse
import base64
import json
import secrets
import threading
import time
import urllib.parse
from http.server import ThreadingHTTPServer

from answers import JsonHandler


class Server:
    def __init__(self, client, secret, refresh):
        self.basic = base64.b64encode(("%s:%s" % (client, secret)).encode()).decode()
        self.lock = threading.Lock()
        self.current = refresh
        self.void, self.access = set(), set()
        self.control = {"delay_ms": 0, "same": False, "life": 3600, "bare": False}
        self.refreshed = self.reused = 0
        self.sent = []  # every refresh token that came, in order

    def refresh(self, token):
        """The answer to a refresh, and how long to wait with it."""
        with self.lock:
            self.sent.append(token)
            if token in self.void:
                self.reused += 1
                self.current = None
                self.access.clear()
            if token != self.current or token is None:
                return 400, {"error": "invalid_grant"}, 0
            self.refreshed += 1
            access = "at-" + secrets.token_urlsafe(24)
            self.access.add(access)
            if not self.control["same"]:
                self.void.add(token)
                self.current = "rt-" + secrets.token_urlsafe(24)
            answer = {"access_token": access, "token_type": "Bearer",
                      "expires_in": self.control["life"], "refresh_token": self.current}
            if self.control["bare"]:
                del answer["access_token"]
            return 200, answer, self.control["delay_ms"]

    def state(self):
        with self.lock:
            return {"refreshed": self.refreshed, "reused": self.reused, "sent": self.sent,
                    "current": self.current}


class Handler(JsonHandler):
    def do_GET(self):
        if self.path == "/control":
            self.answer(200, self.server.state.state())
            return
        with self.server.state.lock:
            good = self.given() in self.server.state.access
        self.answer(200 if good else 401, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.path == "/control":
            self.server.state.control.update(json.loads(body))
            self.answer(200, {})
            return
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if self.headers.get("authorization") != "Basic " + self.server.state.basic:
            self.answer(401, {"error": "invalid_client"})
            return
        if self.path == "/oauth/revoke":
            with self.server.state.lock:
                self.server.state.access.discard(form.get("token"))
            self.answer(200, {})
            return
        status, value, delay_ms = self.server.state.refresh(form.get("refresh_token"))
        time.sleep(delay_ms / 1000)
        self.answer(status, value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client")
    parser.add_argument("secret")
    parser.add_argument("refresh")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    server.state = Server(args.client, args.secret, args.refresh)
    print("listening %d" % server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
