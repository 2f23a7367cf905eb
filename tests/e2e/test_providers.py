"""What the providers that come with sallyport do, through a whole host: GraphQL and an Enterprise
server for github, cookies and events for rest, the account of a Stripe key."""
import json

import pytest
from lib import Curve, Host, canary

DOCUMENT = "query($n: Int!) { viewer { repositories(first: $n) { totalCount } } }"
POLICY = """sallyport 1
let documents = { "%(document)s", "query { rateLimit { remaining } }" }
scope wide {
  key cloud, ghe
  ttl 1h
  allow * https://api.github.com/**
  allow * https://ghe.example.com/**
}
scope facts {
  key cloud, ghe
  ttl 1h
  allow * https://api.github.com/**
  allow POST https://api.github.com/graphql
    where body.query in documents and body.variables.n in 1..10
    escalates
  allow POST https://ghe.example.com/api/graphql where body.query in documents
    escalates
  allow GET https://ghe.example.com/api/v3/user
}
scope others {
  key jar, stripe-main
  ttl 1h
  allow GET https://jar.example/**
  allow POST https://api.stripe.com/v1/refunds where body.amount in 1..5
  allow POST https://api.stripe.com/v1/payouts where header.stripe-account = "acct_7" escalates
}
scope issues { key cloud ttl 1h allow GET https://api.github.com/repos/acme/site/issues }
principal desk {
  curve "%(desk)s"
  may issue wide for 1h may issue facts for 1h may issue others for 1h may issue issues for 1h
}
"""


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    import upstreams
    folder = tmp_path_factory.mktemp("providers")
    with upstreams.Recorder(str(folder / "recorder")) as recorder, \
            Host(folder / "state", settings={"http front": {
                "listen": "127.0.0.1:0", "mode": "prefixed"}}) as host:
        recorder.answer({"*": {"body": "{}"}, "GET /events": {
            "headers": [["content-type", "text/event-stream"]],
            "chunks": [[0, "data: 1\n\n"], [50, "data: 2\n\n"]]}})
        host.start()
        desk, here = Curve(), {"upstream": recorder.url}
        host.secret = canary("sid")
        host.key_add("cloud", "github", here, {"token": canary("github_pat_")})
        host.key_add("ghe", "github", {"enterprise_host": "ghe.example.com", **here},
                     {"token": canary("ghs_")})
        host.key_add("jar", "rest", {"host": "jar.example", "style": "cookie", "name": "session", **here},
                     {"api_key": host.secret})
        host.key_add("stripe-main", "stripe", here, {"api_key": canary("rk_test_")})
        host.write_policy("providers.scope", POLICY % {
            "document": DOCUMENT.replace('"', '\\"'), "desk": desk.public})
        host.reload()
        host.recorder, host.desk = recorder, host.client(desk)
        host.tokens = {name: host.desk.ok("issue", scope=name)["token"]
                       for name in ("wide", "facts", "others", "issues")}
        yield host


def ask(w, scope, method, url, body=None, headers=(), allowed=True):
    fields = {"token": w.tokens[scope], "method": method, "url": url, "headers": [*map(list, headers)]}
    if body is not None:
        fields["body"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        if not isinstance(body, bytes):
            fields["headers"].append(["content-type", "application/json"])
    before = len(w.recorder.requests())
    if not allowed:
        error = w.desk.refused("proxy", **fields)
        assert len(w.recorder.requests()) == before
        return error
    assert w.desk.ok("proxy", **fields)["status"] == 200
    seen = w.recorder.requests()[-1]
    return {name.lower(): value for name, value in seen["headers"]}


@pytest.mark.parametrize("url", ["https://api.github.com/graphql", "https://api.github.com/GraphQL",
                                 "https://api.github.com/graphql/", "https://ghe.example.com/api/graphql",
                                 "https://ghe.example.com/api/v3/repos/o/r/hooks",
                                 "https://ghe.example.com/api/v3/user/keys"])
def test_T64_a_wildcard_reaches_no_graphql_and_nothing_that_escalates_on_a_server(w, url):
    error = ask(w, "wide", "POST", url, {"query": "query { viewer { login } }"}, allowed=False)
    assert error["code"] == "denied" and error["rule"].startswith("escalates-github-")


def test_a_pinned_document_passes_and_no_other(w):
    url = "https://api.github.com/graphql"
    ask(w, "facts", "POST", url, {"query": DOCUMENT, "variables": {"n": 5}})
    for wrong in ({"query": DOCUMENT, "variables": {"n": 50}}, {"query": DOCUMENT},
                  {"query": DOCUMENT + " ", "variables": {"n": 5}},
                  {"query": "mutation { deleteRef }", "operationName": DOCUMENT, "variables": {"n": 5}},
                  [{"query": DOCUMENT, "variables": {"n": 5}}]):
        ask(w, "facts", "POST", url, wrong, allowed=False)
    twice = b'{"query": %s, "query": "mutation { x }", "variables": {"n": 5}}' % json.dumps(DOCUMENT).encode()
    ask(w, "facts", "POST", url, twice, [("content-type", "application/json")], allowed=False)


def test_an_enterprise_server_is_asked_at_its_own_paths(w):
    headers = ask(w, "facts", "GET", "https://ghe.example.com/api/v3/user")
    assert headers["host"] == "ghe.example.com" and headers["authorization"].startswith("Bearer ghs_")
    ask(w, "facts", "POST", "https://ghe.example.com/api/graphql", {"query": DOCUMENT})
    shown = json.loads(w.cli("--json", "key", "show", "ghe"))
    assert shown["settings"]["token_kind"] == "installation"


def test_a_rule_without_its_document_does_not_compile(w):
    w.write_policy("bad.scope", "sallyport 1\nscope bad { key cloud ttl 1h "
                   "allow POST https://api.github.com/graphql where body.operationName = \"Read\" }\n")
    with w.admin() as admin:
        assert "E193" in admin.refused("policy.reload")["detail"]
    w.write_policy("bad.scope", "sallyport 1\n")
    w.reload()


def test_a_cookie_takes_the_key_and_a_clients_own_is_refused(w):
    headers = ask(w, "others", "GET", "https://jar.example/things")
    assert headers["cookie"] == "session=" + w.secret
    error = ask(w, "others", "GET", "https://jar.example/things", headers=[("Cookie", "session=mine")],
                allowed=False)
    assert error["code"] == "bad_request" and "cookie" in error["reason"].lower()


def test_events_of_a_rest_upstream_stream_over_http(w):
    import urllib.request
    request = urllib.request.Request(w.http_at("front") + "/rest/events",
                                     headers={"authorization": "Bearer " + w.tokens["others"]})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.read() == b"data: 1\n\ndata: 2\n\n"


def test_T61_a_clients_stripe_account_goes_on_only_where_a_rule_reads_it(w):
    form = [("content-type", "application/x-www-form-urlencoded"), ("Stripe-Account", "acct_7"),
            ("Stripe-Version", "1999-01-01")]
    headers = ask(w, "others", "POST", "https://api.stripe.com/v1/payouts", b"amount=1", form)
    assert headers["stripe-account"] == "acct_7" and headers["stripe-version"] == "2024-06-20"
    # the key's own replaces it
    w.cli("key", "set", "stripe-main", "--set", "stripe_account=acct_1")
    headers = ask(w, "others", "POST", "https://api.stripe.com/v1/payouts", b"amount=1", form)
    assert headers["stripe-account"] == "acct_1"
    w.cli("key", "set", "stripe-main", "--unset", "stripe_account")


# What the two really answer (docs/egress.md): status, headers, a word of the body.
REFUSED = [
    ("stripe", 401, {"www-authenticate": 'Bearer realm="Stripe"'}, "invalid_request_error"),
    ("stripe", 402, {"stripe-should-retry": "false"}, "card_error"),
    ("stripe", 403, {}, "more_permissions_required"),
    ("stripe", 409, {"stripe-should-retry": "true", "idempotent-replayed": "true"}, "idempotency_error"),
    ("stripe", 429, {"stripe-should-retry": "true", "retry-after": "3"}, "rate_limit"),
    ("github", 401, {}, "Bad credentials"),
    ("github", 403, {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0",
                     "x-ratelimit-reset": "1767225600", "x-ratelimit-resource": "core"},
     "API rate limit exceeded"),
    ("github", 429, {"retry-after": "60"}, "secondary rate limit"),
    ("github", 404, {"x-accepted-github-permissions": "issues=read"}, "Not Found"),
    ("github", 409, {}, "Git Repository is empty"),
]
URLS = {"stripe": ("others", "POST", "https://api.stripe.com/v1/refunds"),
        "github": ("issues", "GET", "https://api.github.com/repos/acme/site/issues")}


def refusing(w, status, headers, word):
    w.recorder.answer({"*": {"status": status, "headers": [
        ["content-type", "application/json"], *map(list, headers.items())],
        "body": json.dumps({"message": word})}})


@pytest.fixture
def good_again(w):
    yield
    w.recorder.answer({"*": {"body": "{}"}})


@pytest.mark.parametrize("provider, status, headers, word", REFUSED)
def test_what_the_upstream_refuses_passes_with_its_hints(w, good_again, provider, status, headers, word):
    scope, method, url = URLS[provider]
    refusing(w, status, headers, word)
    form = [["content-type", "application/x-www-form-urlencoded"]]
    fields = {"body": b"amount=1", "headers": form} if method == "POST" else {}
    before = len(w.recorder.requests())
    answer = w.desk.ok("proxy", token=w.tokens[scope], method=method, url=url, **fields)
    seen = {name.lower(): value for name, value in answer["headers"]}
    assert answer["status"] == status and json.loads(answer["body"]) == {"message": word}
    assert seen["content-type"] == "application/json" and headers.items() <= seen.items()
    assert len(w.recorder.requests()) == before + 1  # whether to try again is the client's to say


@pytest.mark.parametrize("provider, status, headers, word", REFUSED)
def test_over_http_it_is_no_refusal_of_the_hosts(w, good_again, provider, status, headers, word):
    import urllib.error
    import urllib.request
    scope, method, url = URLS[provider]
    refusing(w, status, headers, word)
    path = "/%s/%s" % (provider, url.split("/", 3)[3])
    form = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    request = urllib.request.Request(w.http_at("front") + path, method=method,
                                     data=b"amount=1" if method == "POST" else None,
                                     headers={"authorization": "Bearer " + w.tokens[scope], **form})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    with refused.value as answer:
        assert answer.status == status and json.loads(answer.read()) == {"message": word}
        # The host's own are problem+json, and tell SDKs not to try again.
        assert answer.headers["content-type"] == "application/json"
        assert "x-should-retry" not in answer.headers
        for name, value in headers.items():
            assert answer.headers[name] == value, name


def test_a_key_that_the_upstream_refuses_is_told_once_to_who_can_mend_it(w, good_again):
    scope, method, url = URLS["github"]

    def told():
        return [line for line in w.log().splitlines() if " key.refused " in line and "cloud" in line]

    def ask_once(status):
        refusing(w, status, {}, "Bad credentials")
        assert w.desk.ok("proxy", token=w.tokens[scope], method=method, url=url)["status"] == status

    for version in range(2):
        w.cli("key", "rotate", "cloud", "--secret", "token", stdin=canary("github_pat_").encode())
        before = len(told())
        for status in (403, 404, 429, 500):
            ask_once(status)
        assert len(told()) == before
        for _ in range(3):
            ask_once(401)
        assert len(told()) == before + 1, version
    assert " warning " in told()[-1] and 'provider="github"' in told()[-1] and "key rotate" in told()[-1]
    with w.admin() as admin:
        assert admin.ok("key.test", id="cloud")["accepted"] is False
