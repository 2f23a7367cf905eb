"""sallyport policy lsp, asked by a real editor's library (npm's vscode-languageserver-protocol), and
what it does with input that is no editor's."""
import json
import os
import re
import subprocess

import pytest
import upstreams
from lib import build_file

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "lsp.mjs")
with open(SCRIPT, encoding="utf-8") as script:
    SCENARIOS = re.findall(r"^  async (\w+)\(\) \{$", script.read().split("const scenarios")[1], re.M)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lsp(scenario, tmp_path):
    done = subprocess.run([upstreams.NODE, SCRIPT, build_file("host", "sallyport"), tmp_path, scenario],
                          capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()


def server(data):
    return subprocess.run([build_file("host", "sallyport"), "policy", "lsp"], input=data, timeout=60,
                          capture_output=True, check=False)


def message(value):
    body = json.dumps(value).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_all_scenarios_are_run():
    assert len(SCENARIOS) == 9


@pytest.mark.parametrize("garbage", [
    b"hello\n", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"Content-Length: x\r\n\r\n", b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 99999999\r\n\r\n",
    b"Content-Length: 10\r\n\r\nabc", b"Content-Length: 2\n\n{}", b"A: " + b"x" * 300,
    b"A: b\r\n" * 2000, b"Content-Length: 2"])
def test_input_that_is_no_editors_ends_with_status_2_and_says_so(garbage):
    done = server(garbage)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"sallyport: lsp: ") and len(done.stderr) < 400


def test_an_editor_that_goes_without_exit_is_status_1():
    assert server(b"").returncode == 1
    exit_only = server(message({"jsonrpc": "2.0", "method": "exit"}))
    assert exit_only.returncode == 1 and exit_only.stdout == b""


def test_messages_that_are_wrong_are_answered_and_the_next_one_is_read():
    wrong = [b"Content-Length: 1\r\nContent-Type: x\r\n\r\n{", message(5), message([1]), message({"id": 1}),
             message({"id": {}, "method": "initialize"}), message({"id": 2, "method": "nothing"}),
             message({"id": 3, "method": "initialize", "params": {}}),
             message({"id": 4, "method": "textDocument/hover", "params": [1]}),
             message({"method": "textDocument/didOpen", "params": {"textDocument": 5}}),
             message({"method": "textDocument/didChange"}),
             message({"id": 5, "method": "shutdown"}), message({"method": "exit"})]
    done = server(b"".join(wrong))
    codes = [answer.get("error", {}).get("code") for answer in
             map(json.loads, re.findall(rb"Content-Length: \d+\r\n\r\n(\{.*?\})(?=Content|\Z)", done.stdout))]
    assert codes == [-32700, -32700, -32600, -32600, -32600, -32002, None, -32602, None]
    assert done.returncode == 0
