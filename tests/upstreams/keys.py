#!/usr/bin/python3
"""A loopback API whose keys replace themselves: POST /keys with a key gives another one, POST
/keys/revoke ends the one in its form (404 where it is gone), and GET takes those that live.

POST /control takes a JSON object: {"delay_ms": how long /keys waits with its answer once it has made
the key, "stillborn": make keys that are refused, "prefix": how they begin, "revokes": false lets
/keys/revoke fail, "answers": false lets GET fail}. GET /control says which keys live, and what was
asked.

Usage: keys.py KEY
Prints "listening PORT" when it answers.
"""
import json
import secrets
import sys
import threading
import time
import urllib.parse
from http.server import ThreadingHTTPServer

from answers import JsonHandler

LOCK = threading.Lock()
LIVE, DEAD = set(), set()
CONTROL = {"delay_ms": 0, "stillborn": False, "prefix": "test_", "revokes": True, "answers": True}
ASKED = []


class Handler(JsonHandler):
    def do_GET(self):
        if self.path == "/control":
            with LOCK:
                self.answer(200, {"live": sorted(LIVE), "dead": sorted(DEAD), "asked": ASKED})
            return
        with LOCK:
            ASKED.append("GET " + self.path)
            status = 200 if self.given() in LIVE else 401
        if CONTROL["answers"]:
            self.answer(status, {})
        else:
            self.close_connection = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.path == "/control":
            CONTROL.update(json.loads(body))
            self.answer(200, {})
            return
        with LOCK:
            ASKED.append("POST " + self.path)
            status, value, delay_ms = self.post(dict(urllib.parse.parse_qsl(body.decode())))
        time.sleep(delay_ms / 1000)
        self.answer(status, value)

    def post(self, form):
        if self.given() not in LIVE:
            return 401, {}, 0
        if self.path == "/keys/revoke":
            if not CONTROL["revokes"]:
                return 500, {}, 0
            found = form.get("key") in LIVE or form.get("key") in DEAD
            LIVE.discard(form.get("key"))
            DEAD.discard(form.get("key"))
            return (200 if found else 404), {}, 0
        made = CONTROL["prefix"] + secrets.token_urlsafe(24)
        (DEAD if CONTROL["stillborn"] else LIVE).add(made)
        return 200, {"secret": made}, CONTROL["delay_ms"]


def main():
    LIVE.add(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print("listening %d" % server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
