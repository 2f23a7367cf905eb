"""`redact`: fields are cut out of every answer of a scope, at both front ends, and what cannot be
redacted is withheld."""
import threading

import pytest
from test_http import bearer, curl
from test_http_stream import EVENTS
from world import CHARGE, World, world

SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "upstream": {"response_max": "1M"}}
BODY = '{"id": 7.50, "\\u0065mail": "a@b.c", "customer": {"Phone": "1", "name": "x"}, "n": 1e400}'
KEPT = b'{"id": 7.50, "customer": {"name": "x"}, "n": 1e400}'
REDACTING = """
scope careful {
  key    stripe-main
  redact {email, customer.phone}
  ttl    4h
  rate   1000/min

  @any   allow {GET POST HEAD} https://api.stripe.com/** where header.range = "bytes=0-3" or not has header.range
  @again allow GET https://api.stripe.com/v1/charges/*
}

scope watched {
  key    stripe-main
  redact {email, customer.phone}
  ttl    4h
  rate   1000/min
  mode   observe
  allow  GET https://api.stripe.com/v1/nothing
}
"""


class Redacting(World):
    POLICY = World.POLICY.replace("principal desk {", REDACTING + "\nprincipal desk {").replace(
        "  may issue open for 4h", "  may issue open for 4h\n  may issue careful for 4h\n"
                                   "  may issue watched for 4h")
    SCOPE = "careful"


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    import upstreams
    folder = tmp_path_factory.mktemp("redact")
    with upstreams.Recorder(str(folder / "recorder")) as recorder, \
            world(folder, recorder.url, settings=SETTINGS, kind=Redacting) as made:
        made.recorder = recorder
        yield made


def get(w, token, *options, path="/v1/charges/ch_1"):
    return curl(w.host.http_at("local") + path, *bearer(token), *options)


def proxied(w, token, **more):
    with w.as_agent() as agent:
        return agent.ask("proxy", **{"token": token, "method": "GET", "url": CHARGE, **more})


def answers(w, **answer):
    w.recorder.answer({"*": answer})


def both(w, token):
    """The same over HTTP and over ZeroMQ: status and body, or the code of the refusal."""
    over_http = get(w, token)
    over_zmq = proxied(w, token)
    if not over_zmq["ok"]:
        assert over_http.json()["code"] == over_zmq["error"]["code"]
        return over_http.status, over_zmq["error"]["code"]
    assert (over_zmq["status"], over_zmq["body"]) == (over_http.status, over_http.body)
    return over_http.status, over_http.body


def test_fields_are_gone_at_every_status_and_all_else_is_byte_for_byte(w):
    token = w.issue()
    for status in (200, 201, 302, 402, 500):
        answers(w, body=BODY, status=status)
        assert both(w, token) == (status, KEPT)
    answers(w, body=BODY)
    assert both(w, w.issue("watched")) == (200, KEPT)  # `mode observe` lets through, not back in
    assert both(w, w.issue("open")) == (200, BODY.encode())


def test_what_cannot_be_redacted_is_withheld(w):
    token = w.issue()
    for body in ("<p>a@b.c</p>", "email=a@b.c", BODY + "x", '{"email": 1,}', "\ufeff{}", "data: {}\n\n"):
        answers(w, body=body)
        assert both(w, token) == (502, "response_blocked"), body
    answers(w, body='"a@b.c"', status=206)
    assert both(w, token) == (502, "response_blocked")
    answers(w, body=BODY, headers=[["content-encoding", "x-unknown"]])
    assert both(w, token)[0] == 502
    answers(w, fill=4 << 20)  # would stream, elsewhere
    assert both(w, token) == (502, "response_too_large")
    answers(w, headers=EVENTS, chunks=[[0, "data: {}\n\n"], [20000, "data: {}\n\n"]])
    assert both(w, token) == (502, "response_blocked")  # at its head, not when it ends


def test_answers_without_a_body_are_fine(w):
    token = w.issue()
    for status in (204, 304):
        answers(w, status=status)
        assert get(w, token).status == status
    answers(w, body="")
    assert both(w, token) == (200, b"")
    answers(w, body=BODY, headers=[["etag", '"x"']])
    head = get(w, token, "--head")
    assert head.status == 200 and head.header("etag") is None
    assert head.header("content-length") in (None, "0")


def test_headers_of_the_bytes_that_were_do_not_go_on_and_no_part_is_asked_for(w):
    token = w.issue()
    answers(w, body=BODY, headers=[["ETag", '"x"'], ["Content-MD5", "x"], ["Digest", "x"], ["Repr-Digest", "x"],
                                   ["Content-Digest", "x"], ["Accept-Ranges", "bytes"], ["X-Kept", "yes"]])
    answer = get(w, token, "-H", "Range: bytes=0-3")
    assert answer.body == KEPT and answer.header("x-kept") == "yes"
    assert answer.header("content-length") == str(len(KEPT))
    names = {name.lower() for name, _ in answer.headers}
    assert not names & {"etag", "content-md5", "digest", "repr-digest", "content-digest", "accept-ranges"}
    assert "range" not in {name.lower() for name, _ in w.recorder.requests()[-1]["headers"]}


def test_a_caveat_takes_more_out_and_nothing_back(w):
    answers(w, body=BODY)
    child = w.host.cli("token", "narrow", "--with", "redact {customer}", stdin=w.issue("open").encode()).strip()
    assert both(w, child) == (200, b'{"id": 7.50, "\\u0065mail": "a@b.c", "n": 1e400}')
    child = w.host.cli("token", "narrow", "--with", "redact {n}", stdin=w.issue().encode()).strip()
    assert both(w, child) == (200, b'{"id": 7.50, "customer": {"name": "x"}}')
    narrowed = w.issue(narrow="redact {id}")
    assert both(w, narrowed) == (200, b'{"customer": {"name": "x"}, "n": 1e400}')


def test_a_stored_answer_is_the_redacted_one_and_not_for_a_child_that_may_see_less(w):
    token = w.issue()
    answers(w, body=BODY)
    assert proxied(w, token, id="one")["body"] == KEPT
    answers(w, body="{}")
    again = proxied(w, token, id="one")
    assert again["body"] == KEPT and again["replayed"]
    child = w.host.cli("token", "narrow", "--with", "redact {id}", stdin=token.encode()).strip()
    assert proxied(w, child, id="one")["error"]["code"] == "conflict"


def test_answers_beside_each_other_do_not_mix(w):
    answers(w, body=BODY)
    tokens, seen = [w.issue(), w.issue("open")], []
    threads = [threading.Thread(target=lambda t=t: seen.append(get(w, t).body)) for t in tokens * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen.count(KEPT) == 20 and seen.count(BODY.encode()) == 20


def test_explain_says_what_is_taken_out(w):
    path = w.host.dir + "/policy/world.scope"
    said = w.host.cli("policy", "explain", path, "--scope", "careful", "GET", CHARGE)
    assert "out of its answer: email, customer.phone\n" in said
    said = w.host.cli_json("policy", "explain", path, "--scope", "careful", "GET", CHARGE)
    assert said["redacts"] == ["email", "customer.phone"]


def test_fewer_redactions_are_wider(w, tmp_path):
    paths = []
    for i, redact in enumerate(("redact {email, a.b}", "redact {EMAIL, a}", "redact {email}")):
        paths.append(tmp_path / ("p%d.scope" % i))
        paths[-1].write_text("sallyport 1\n\nscope s {\n  key k\n  %s\n  ttl 1h\n  allow GET https://x.example/a\n}\n"
                             % redact)
    diff = lambda a, b: w.host.cli("policy", "diff", paths[a], paths[b], expect=None)
    assert "narrower" in diff(0, 1)
    for wider in (diff(1, 0), diff(0, 2)):
        assert "newly allows: it does not redact all" in wider
