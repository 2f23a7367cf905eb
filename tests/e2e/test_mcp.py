"""MCP servers, unmodified, driven by MCP's own SDK, with the scope files of docs/mcp.md: a command that
takes a base URL, a command whose host is hard-coded, and a remote server over streamable HTTP."""
import base64
import json
import os
import re
import subprocess
import time

import pytest
import requests
import upstreams
from lib import Curve, Host, build_file, canary

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.path.join(HERE, "..", "node", "node_modules", "@modelcontextprotocol")
GITHUB_KEY = "ghp_sallyportLoopbackToken000000000000"
SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "prefixed"},
            "http proxy": {"listen": "127.0.0.1:0", "mode": "forward"},
            "http mcp": {"listen": "127.0.0.1:0", "mode": "provider rest"}}
JSON = "application/json"


def manual():
    with open(os.path.join(HERE, "..", "..", "docs", "mcp.md"), encoding="utf-8") as file:
        return file.read()


def scope_of_manual(scope, desk):
    """The first file with this scope in docs/mcp.md, with its principal's curve put in."""
    blocks = re.findall(r"^```scope\n(.*?)^```", manual(), re.S | re.M)
    text = next(block for block in blocks if "\nscope %s " % scope in block)
    found = re.subn(r'curve ".{40}"', lambda _: 'curve "%s"' % desk.public, text)
    assert found[1] == 1
    return found[0]


def client(script, given):
    done = subprocess.run([upstreams.NODE, os.path.join(HERE, "node", script)], check=False,
                          input=json.dumps(given).encode(), capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout), (done.stdout + done.stderr).decode()


def wait_until(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def host(tmp_path):
    with Host(tmp_path / "state", settings=SETTINGS) as made:
        made.desk = Curve()
        made.start()
        made.issue = lambda scope: made.client(made.desk).ok("issue", scope=scope)["token"]
        yield made


def test_the_manuals_client_configurations_are_json_and_hold_no_key():
    servers = []
    for block in re.findall(r"^    \{\n(?:    .*\n|\n)*?    \}$", manual(), re.M):
        (server,) = json.loads(block)["mcpServers"].values()
        servers.append(server)
    command, run, remote = servers
    assert command["env"]["GITLAB_PERSONAL_ACCESS_TOKEN"].startswith("spt_")
    assert run["command"] == "sallyport" and run["args"][2] == "run" and "--" in run["args"]
    assert remote["headers"]["Authorization"].startswith("Bearer spt_")


# ---- a command that takes a base URL ------------------------------------------------------------


def test_a_command_that_takes_a_base_url(host, recorder):
    key = canary("glpat-")
    host.key_add("gitlab-bot", "rest", {"host": "gitlab.com", "upstream": recorder.url},
                 {"api_key": key})
    host.write_policy("mcp.scope", scope_of_manual("site-issues", host.desk))
    host.reload()
    issue = {"id": 1, "iid": 1, "project_id": 4711, "title": "new", "description": "d",
             "state": "opened", "assignees": [], "labels": [], "milestone": None,
             "author": {"id": 1, "name": "Bot", "username": "bot", "avatar_url": "", "web_url": ""},
             "created_at": "", "updated_at": "", "closed_at": None, "web_url": ""}
    readme = {"file_name": "README.md", "file_path": "README.md", "size": 5, "encoding": "base64",
              "content": base64.b64encode(b"hello").decode(), "content_sha256": "", "ref": "main",
              "blob_id": "", "last_commit_id": ""}
    project = "/api/v4/projects/4711/"
    recorder.answer({"GET %srepository/files/README.md" % project: {"body": json.dumps(readme)},
                     "POST %sissues" % project: {"body": json.dumps(issue)}})
    out, said = client("mcp_stdio.mjs", {
        "command": upstreams.NODE,
        "args": [os.path.join(MODULES, "server-gitlab", "dist", "index.js")],
        "env": {"GITLAB_API_URL": host.http_at("local") + "/rest/api/v4",
                "GITLAB_PERSONAL_ACCESS_TOKEN": host.issue("site-issues")},
        "calls": [["get_file_contents", {"project_id": "4711", "file_path": "README.md",
                                         "ref": "main"}],
                  ["create_issue", {"project_id": "4711", "title": "new", "description": "d"}],
                  ["create_issue", {"project_id": "4711", "title": "new", "description": "d",
                                    "labels": ["paid"]}],
                  ["create_branch", {"project_id": "4711", "branch": "x", "ref": "main"}]]})
    read, made, labelled, branched = out["answers"]
    assert not read["failed"] and '"hello"' in read["text"]
    assert not made["failed"] and '"opened"' in made["text"]
    assert labelled["failed"] and branched["failed"]
    seen = recorder.requests()
    assert [entry["method"] for entry in seen] == ["GET", "POST"]
    assert all(dict(entry["headers"])["authorization"] == "Bearer " + key for entry in seen)
    assert key not in said


# ---- a command whose host is hard-coded ---------------------------------------------------------


def test_a_command_whose_host_is_hard_coded_runs_unmodified(host, tmp_path):
    log = tmp_path / "github.log"
    host.desk.write(tmp_path / "desk.key")
    with upstreams.github(GITHUB_KEY, log) as github:
        host.key_add("bot", "github", {"upstream": github.url}, {"token": GITHUB_KEY})
        host.write_policy("mcp.scope", scope_of_manual("triage", host.desk))
        host.reload()
        repository = {"owner": "acme", "repo": "site"}
        out, said = client("mcp_stdio.mjs", {
            "command": build_file("host", "sallyport"),
            "args": ["--dir", host.dir, "--endpoint", host.endpoint, "--key-file",
                     str(tmp_path / "desk.key"), "run", "--scope", "triage", "--proxy",
                     host.http_at("proxy")[len("http://"):], "--token-in",
                     "GITHUB_PERSONAL_ACCESS_TOKEN", "--", upstreams.NODE,
                     os.path.join(MODULES, "server-github", "dist", "index.js")],
            "calls": [["create_issue", {**repository, "title": "from an MCP server"}],
                      ["list_issues", repository], ["list_commits", repository]]})
    assert out["tools"] > 20
    made, listed, refused = out["answers"]
    assert not made["failed"] and "from an MCP server" in made["text"]
    assert not listed["failed"] and "from an MCP server" in listed["text"]
    assert refused["failed"]
    seen = log.read_text().splitlines()
    assert any(line.startswith("POST /repos/acme/site/issues 201") for line in seen)
    assert not any("commits" in line for line in seen)
    assert GITHUB_KEY not in said + host.log()
    with host.admin() as admin:  # the run is over, and so is its token
        wait_until(lambda: all(t.get("revoked") for t in admin.ok("token.list")["tokens"]))


# ---- a remote server ----------------------------------------------------------------------------


class Remote:
    """The host, and what the server behind it saw: requests and events, in order."""

    def __init__(self, host, log, key):
        self.host, self.log, self.key = host, log, key
        self.url = host.http_at("mcp") + "/mcp"
        self.token = host.issue("mcp-tools")

    def seen(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def requests(self):
        return [entry for entry in self.seen() if "method" in entry]

    def n_requests_with(self, word):
        """How many it has seen, once the last of them holds the word: it writes them down behind its answer."""
        end = time.monotonic() + 10
        while word not in self.requests()[-1]["body"] and time.monotonic() < end:
            time.sleep(0.02)
        return len(self.requests())

    def post(self, body, headers=None, **options):
        return requests.post(self.url, data=body if isinstance(body, str) else json.dumps(body),
                             timeout=20, headers={
                                 "authorization": "Bearer " + self.token, "content-type": JSON,
                                 "accept": JSON + ", text/event-stream", **(headers or {})},
                             **options)

    def initialize(self):
        """A session by hand; its id."""
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-03-26", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}}})
        assert answer.status_code == 200, answer.text
        return {"mcp-session-id": answer.headers["mcp-session-id"],
                "mcp-protocol-version": "2025-03-26"}


@pytest.fixture
def remote(host, tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=mcp", "-addext", "subjectAltName=DNS:mcp.example.com"],
                   check=True, capture_output=True, timeout=30)
    bearer = canary("mcp_")
    with upstreams.mcp(bearer, tmp_path / "mcp.log", cert, key) as up:
        host.key_add("remote-mcp", "rest", {"host": "mcp.example.com", "upstream": up.url,
                                            "ca_file": cert}, {"api_key": bearer})
        host.write_policy("mcp.scope", scope_of_manual("mcp-tools", host.desk))
        host.reload()
        yield Remote(host, tmp_path / "mcp.log", bearer)


def test_a_remote_server_is_driven_by_the_sdk_with_another_url_and_key(remote):
    out, said = client("mcp_remote.mjs", {"url": remote.url, "token": remote.token})
    assert out["server"] == "mcp-servers/everything" and "get-env" in out["tools"]
    assert out["echo"] == {"failed": False, "text": "Echo: hello"}
    assert "completed" in out["long"]["text"]
    # Each progress event arrives as it is sent (later ones are those that the server repeats).
    sent = [entry["at"] for entry in remote.seen() if "notifications/progress" in
            entry.get("event", "")][:4]
    assert [number for number, _ in out["progress"]] == [1, 2, 3, 4]
    late = sorted(came - went for went, (_, came) in zip(sent, out["progress"]))
    assert sent[3] - sent[0] > 600 and late[1] < 50, late
    # A refusal is one error that says why, and the session goes on.
    for answer in (out["denied"], out["unknown"]):
        assert answer["failed"] and answer["code"] == 403, answer
        assert answer["kind"] == "StreamableHTTPError" and "not_allowed" in answer["text"]
        assert '"rule":"call"' in answer["text"] and "body.params.name" in answer["text"]
    assert len([text for text in out["errors"] if '"status":403' in text]) == 2
    # What the server asks of the client comes by the GET stream, and the answer goes back.
    assert "file:///srv/site" in out["roots"]["text"]
    assert len(out["logged"]) >= 2 and out["ended"]
    seen = remote.requests()
    assert {entry["status"] for entry in seen} == {200, 202}
    assert all(entry["headers"]["authorization"] == "Bearer " + remote.key for entry in seen)
    assert not any(name in entry["body"] for name in ("get-env", "gzip") for entry in seen)
    first = next(entry for entry in seen if '"initialize"' in entry["body"])
    assert first["headers"]["accept"] == JSON + ", text/event-stream"
    assert "mcp-session-id" not in first["headers"]
    for entry in seen:
        if entry is not first:
            assert entry["headers"]["mcp-session-id"] == out["session"]
            assert entry["headers"]["mcp-protocol-version"]
    streams = [entry for entry in seen if entry["method"] == "GET"]
    assert any(re.fullmatch(r"[0-9a-f-]{36}", entry["headers"].get("last-event-id", ""))
               for entry in streams)
    assert [entry["method"] for entry in seen].count("DELETE") == 1
    assert remote.key not in said
    remote.host.stop()
    types = [record["type"] for record in remote.host.audit_records()]
    assert types.count("denied") == 2


def test_T23_a_batch_is_no_object_and_passes_no_rule_that_reads_one(remote):
    session = remote.initialize()
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo",
                                                                          "arguments": {"message": "x"}}}
    assert remote.post(call, session).status_code == 200
    n = remote.n_requests_with("tools/call")
    for body in ([call], [call, call], [], "[[%s]]" % json.dumps(call), json.dumps(call)[:-1],
                 json.dumps(call)[:-1] + ', "method": "tools/list"}', '"tools/call"', "null",
                 {**call, "Method": "tools/list"}, {**call, "method": ["tools/call"]}):
        answer = remote.post(body, session)
        assert answer.status_code == 403, (body, answer.text)
        assert answer.json()["code"] in ("not_allowed", "denied")
    assert len(remote.requests()) == n
    # Beside an allow that reads nothing, a deny fires on what it cannot judge, unless it asks
    # `has`, which is never unknown: docs/mcp.md warns of that.
    wide = ("sallyport 1 scope mcp-tools { key remote-mcp ttl 12h allow POST "
            "https://mcp.example.com/mcp deny POST https://mcp.example.com/mcp where %s "
            "body.method = \"tools/call\" and body.params.name in {\"get-tiny-image\"} } "
            "principal desk { curve \"%s\" may issue mcp-tools for 12h }")
    image = {**call, "params": {"name": "get-tiny-image"}}
    for words, passes in (("", False), ("has body.method and", True)):
        remote.host.write_policy("mcp.scope", wide % (words, remote.host.desk.public))
        remote.host.reload()
        remote.token = remote.host.issue("mcp-tools")
        assert remote.post(image, session).status_code == 403
        assert (remote.post([image], session).status_code == 200) == passes


@pytest.mark.alone
def test_T66_revocation_ends_the_get_stream_and_the_key_guards_the_server(remote):
    session = remote.initialize()
    with requests.get(remote.url, stream=True, timeout=20, headers={
            "authorization": "Bearer " + remote.token, "accept": "text/event-stream",
            **session}) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["mcp-session-id"] == session["mcp-session-id"]
        with remote.host.client(remote.host.desk) as desk:
            desk.ok("revoke", token=remote.token)
        began = time.monotonic()
        with pytest.raises(requests.exceptions.RequestException):
            assert list(stream.iter_content(None)) == []
        assert time.monotonic() - began < 1.5
    assert remote.post({"method": "ping"}, session).json()["code"] == "token_revoked"


def without_expectations(text):
    return re.sub(r"  expect .*?\n}", "}", text, count=1, flags=re.S)


def test_T30_a_tool_that_gives_the_key_away_gives_it_to_nobody(remote):
    text = scope_of_manual("mcp-tools", remote.host.desk)
    remote.host.write_policy("mcp.scope", without_expectations(text).replace(
        '"echo", ', '"echo", "get-env", '))
    remote.host.reload()
    remote.token = remote.host.issue("mcp-tools")
    session, got = remote.initialize(), b""
    with remote.post({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "get-env", "arguments": {}}}, session, stream=True) as answer:
        with pytest.raises(requests.exceptions.RequestException):
            for chunk in answer.iter_content(None):
                got += chunk
    assert remote.key.encode() not in got and remote.key.encode()[:20] not in got
    assert any(remote.key in entry.get("event", "") for entry in remote.seen())  # it did say it
    remote.host.stop()
    assert [record["code"] for record in remote.host.audit_records()
            if record["type"] == "outcome"] == ["ok", "response_blocked"]


def test_what_headers_repeat_of_a_body_stays_here_unless_a_rule_reads_it(host, recorder):
    host.key_add("remote-mcp", "rest", {"host": "mcp.example.com", "upstream": recorder.url},
                 {"api_key": canary("mcp_")})
    text = scope_of_manual("mcp-tools", host.desk)
    host.write_policy("mcp.scope", text)
    host.reload()
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}}
    names = {"mcp-method": "tools/call", "mcp-name": "echo"}

    def post(headers):
        answer = requests.post(host.http_at("mcp") + "/mcp", json=body, timeout=20, headers={
            "authorization": "Bearer " + token, **headers})
        return answer.status_code, dict(recorder.requests()[-1]["headers"])

    token = host.issue("mcp-tools")
    assert post({**names, "mcp-name": "get-env"})[0] == 200
    assert not {"mcp-method", "mcp-name"} & set(dict(recorder.requests()[-1]["headers"]))
    both = text.replace('body.params.name in tools', 'body.params.name in tools and '
                        'header.mcp-method = "tools/call" and header.mcp-name in tools')
    host.write_policy("mcp.scope", without_expectations(both))
    host.reload()
    token = host.issue("mcp-tools")
    status, seen = post(names)
    assert status == 200 and names.items() <= seen.items()
    for headers in ({}, {"mcp-name": "echo"}, {**names, "mcp-name": "get-env"},
                    {**names, "mcp-method": "tools/list"}):
        assert post(headers)[0] == 403
