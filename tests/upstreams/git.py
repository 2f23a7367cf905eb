#!/usr/bin/python3
"""A loopback git server over smart HTTP: git's own http-backend, behind a door that answers 401 to
every credential but one (HTTP Basic: any user name, the key as password).

Usage: git.py ROOT KEY LOG        ROOT: the folder with bare repositories
Prints "listening PORT" when it answers. LOG gets one line for each request, "METHOD TARGET STATUS".
"""
import base64
import http.server
import os
import subprocess
import sys

BODY_MAX_BYTES = 16 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(min(length, BODY_MAX_BYTES))
        if not self.may_pass():
            self.answer(401, [("www-authenticate", 'Basic realm="git"')], b"")
            return
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, timeout=30, check=True,
            env={"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.server.root,
                 "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command, "PATH_INFO": path,
                 "QUERY_STRING": query, "REMOTE_USER": "git", "REMOTE_ADDR": "127.0.0.1",
                 "CONTENT_TYPE": self.headers.get("content-type", ""),
                 "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                 "GIT_PROTOCOL": self.headers.get("git-protocol", "")})
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        pairs = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(value[:3]) for name, value in pairs if name == "Status"), 200)
        self.answer(status, [(name, value) for name, value in pairs if name != "Status"], body)

    do_POST = do_GET

    def may_pass(self):
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        given = base64.b64decode(rest).decode() if scheme == "Basic" else ""
        return given.partition(":")[2] == self.server.key

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with open(self.server.log, "a", encoding="ascii") as file:
            file.write("%s %s %d\n" % (self.command, self.path, status))

    def log_message(self, *_):
        pass


def main():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.root, server.key, server.log = sys.argv[1:]
        print("listening %d" % server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
