"""What an operator sees of the calls: W3C trace context from end to end, and Prometheus metrics, read
by the parser of Prometheus' own client library."""
import re

import pytest
import requests
from world import CHARGE, world

ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "00-%s-b7ad6b7169203331-01" % ID
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
SETTINGS = {"http local": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "http health": {"listen": "127.0.0.1:0", "mode": "health"},
            "log": {"level": "debug"}}


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": '{"id": "ch_1"}'}})
    with world(tmp_path, recorder.url, settings=SETTINGS) as made:
        made.recorder, made.token = recorder, made.issue()
        made.url = made.host.http_at("local") + "/v1/charges/ch_1"
        yield made


def get(w, headers=None, method="GET"):
    return requests.request(method, w.url, timeout=20, headers={
        "authorization": "Bearer " + w.token, **(headers or {})})


def seen(w):
    return dict(w.recorder.requests()[-1]["headers"])


# ---- traces -------------------------------------------------------------------------------------


def test_a_trace_context_passes_as_it_came_by_either_door(w):
    given = {"traceparent": PARENT, "tracestate": STATE}
    assert get(w, given).status_code == 200
    assert given.items() <= seen(w).items()
    with w.as_agent() as agent:
        agent.ok("proxy", token=w.token, method="GET", url=CHARGE, headers=list(given.items()))
    assert given.items() <= seen(w).items()
    # A later version of the header is not ours to judge.
    later = {"traceparent": "cc" + PARENT[2:] + "-more"}
    assert get(w, later).status_code == 200 and later.items() <= seen(w).items()


def test_an_invalid_trace_context_is_dropped_and_the_call_goes_on(w):
    for parent in (PARENT.upper(), PARENT[:-1], PARENT + "-x", "ff" + PARENT[2:], "00-%s-%s-01" % (
            "0" * 32, "b7ad6b7169203331"), "x"):
        assert get(w, {"traceparent": parent, "tracestate": STATE}).status_code == 200
        assert not {"traceparent", "tracestate"} & set(seen(w)), parent
    assert get(w, {"traceparent": PARENT, "tracestate": "a=1,a=2"}).status_code == 200
    assert seen(w)["traceparent"] == PARENT and "tracestate" not in seen(w)
    assert get(w, {"tracestate": STATE}).status_code == 200
    assert "tracestate" not in seen(w)
    with w.as_agent() as agent:  # over ZeroMQ the client is told what was left behind
        answer = agent.ok("proxy", token=w.token, method="GET", url=CHARGE,
                          headers=[["traceparent", "x"]])
        assert answer["dropped_headers"] == ["traceparent"]


def test_the_trace_id_stands_in_the_audit_and_in_the_log(w):
    other = "1" * 32
    assert get(w, {"traceparent": PARENT}).status_code == 200
    assert get(w, {"traceparent": PARENT.replace(ID, other)}, "DELETE").status_code == 403
    assert get(w, {"traceparent": "00-x"}).status_code == 200
    w.host.stop()
    records = [(r["type"], r.get("trace")) for r in w.host.audit_records()
               if r["type"] in ("intent", "denied")]
    assert records == [("intent", ID), ("denied", other), ("intent", None)]
    lines = re.findall(r"debug call .*", w.host.log())
    assert len(lines) == 3
    assert 'provider="stripe"' in lines[0] and 'code="ok"' in lines[0] and ID in lines[0]
    assert 'code="not_allowed"' in lines[1] and other in lines[1]
    assert w.token not in w.host.log() and w.key not in w.host.log()
