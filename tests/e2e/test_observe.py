"""What an operator sees of the calls: W3C trace context from end to end, and Prometheus metrics, read
by the parser of Prometheus' own client library."""
import os
import re
import signal
import time

import pytest
import requests
from lib import Curve, canary, exposition
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


# ---- metrics ------------------------------------------------------------------------------------


def scrape(host):
    answer = requests.get(host.http_at("health") + "/metrics", timeout=20)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


class Figures:
    def __init__(self, host):
        self.text = scrape(host)
        self.all = exposition.read(self.text)

    def __call__(self, name, **labels):
        """The sum of the samples with that name and at least these labels."""
        hits = [value for (one, given), value in self.all.items()
                if one == "sallyport_" + name and labels.items() <= dict(given).items()]
        assert hits, (name, labels, self.text)
        return sum(hits)


def wait_until(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


PLAIN = "# HELP a_total b\n# TYPE a_total counter\na_total 1\n"
TIMES = ("# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} %d\na_bucket{le=\"+Inf\"} 2\n"
         "a_sum 3\na_count %d\n")


@pytest.mark.parametrize("text", [
    PLAIN[:-1], PLAIN.replace("\n", "\r\n"), PLAIN + PLAIN, PLAIN + "a_total 2\n", "a_total 1\n",
    PLAIN.replace("# HELP a_total b\n", ""), PLAIN.replace(" counter", " count"),
    PLAIN.replace("a_total 1", "a_total{x=1} 1"), PLAIN.replace("a_total 1", 'a_total{x="\\y"} 1'),
    PLAIN.replace("a_total 1", 'a_total{x="a"b"} 1'), PLAIN.replace("a_total", "a"),
    PLAIN.replace("a_total 1", 'a_total{x="1",x="2"} 1'), PLAIN + "\n", PLAIN + "b 1\n",
    PLAIN.replace("a_total 1", "a_total one"), TIMES % (3, 2), TIMES % (1, 1),
    (TIMES % (1, 2)).replace("a_sum 3\n", ""), (TIMES % (1, 2)).replace('a_bucket{le="+Inf"} 2\n', "")])
def test_the_reader_of_metrics_finds_each_fault(text):
    assert len(exposition.read(PLAIN)) == 1 and len(exposition.read(TIMES % (1, 2))) == 4
    with pytest.raises((exposition.Fault, ValueError)):
        exposition.read(text)


def test_metrics_count_calls_by_provider_rule_and_verdict(w):
    for _ in range(3):
        assert get(w).status_code == 200
    assert get(w, method="DELETE").status_code == 403
    assert requests.get(w.url, timeout=20).status_code == 401
    with w.as_agent() as agent:
        assert agent.ok("proxy", token=w.token, method="GET", url=CHARGE)["status"] == 200
    w.recorder.answer({"*": {"stop_after": 3}})
    assert get(w).status_code == 502
    figures = Figures(w.host)
    stripe = {"provider": "stripe", "scope": "support"}
    assert figures("requests_total", **stripe, rule="read", verdict="allowed", code="ok") == 4
    assert figures("requests_total", **stripe, verdict="denied", code="not_allowed") == 1
    assert figures("requests_total", verdict="denied", code="token_invalid") == 1
    assert figures("requests_total", **stripe, verdict="failed", code="upstream_failed") == 1
    assert figures("requests_total") == 7
    assert figures("upstream_seconds_count", provider="stripe") == 4
    assert figures("added_seconds_count", provider="stripe", verdict="allowed") == 4
    assert figures("added_seconds_count", provider="stripe", verdict="denied") == 1
    assert 0 < figures("added_seconds_sum", verdict="allowed") < 5
    assert figures("ready") == 1 and figures("keys") == 2
    assert w.token not in figures.text and w.key not in figures.text


@pytest.mark.alone
def test_the_times_of_a_stream_end_with_its_head(w):
    w.recorder.answer({"*": {"headers": [["content-type", "text/event-stream"]], "delay_ms": 300,
                             "chunks": [[0, "data: 1\n\n"], [1200, "data: 2\n\n"]]}})
    assert get(w).text == "data: 1\n\ndata: 2\n\n"
    figures = Figures(w.host)
    assert figures("upstream_seconds_count", provider="stripe") == 1
    assert 0.3 <= figures("upstream_seconds_sum", provider="stripe") < 1
    assert 0 < figures("added_seconds_sum", provider="stripe", verdict="allowed") < 0.3
    took = int(re.search(r' call .* us="(\d+)"', w.host.log()).group(1))
    assert took >= 1400000  # the log tells of all of it


def test_the_manual_names_each_metric_and_no_other(w):
    assert get(w).status_code == 200
    told = set(re.findall(r"^# TYPE (\S+)", scrape(w.host), re.M))
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "http.md"),
              encoding="utf-8") as file:
        named = set(re.findall(r"`(sallyport_[a-z_]+)", file.read()))
    assert named == told


def test_nothing_that_a_client_sends_becomes_a_label(w):
    before = len(Figures(w.host).all)
    for number in range(30):
        word = "evil%d\\\"}" % number
        requests.request("GET", w.url + "x%d" % number, timeout=20, headers={
            "authorization": "Bearer " + w.token, "user-agent": word, "host": "h%d" % number,
            "sallyport-key": "k%d" % number, "traceparent": PARENT, "x-%d" % number: word})
        requests.get(w.url, timeout=20, headers={"authorization": "Bearer spt_%d" % number})
    figures = Figures(w.host)
    assert "evil" not in figures.text and "k29" not in figures.text and ID not in figures.text
    assert len(figures.all) - before < 50


def test_the_audits_figures_tell_of_fsyncs_queue_and_lag(w):
    began = Figures(w.host)
    for _ in range(5):
        assert get(w).status_code == 200
    figures = Figures(w.host)
    assert figures("audit_up") == 1
    assert figures("audit_records_total") >= began("audit_records_total") + 5  # five intents
    assert figures("audit_fsync_seconds_count") >= began("audit_fsync_seconds_count") + 5
    assert figures("audit_fsync_seconds_sum") > began("audit_fsync_seconds_sum")
    # The last outcome is durable within a second; until then it is the lag.
    assert 0 <= figures("audit_lag_seconds") < 3 and figures("audit_queue") < 5
    wait_until(lambda: Figures(w.host)("audit_lag_seconds") == 0)
    assert Figures(w.host)("audit_queue") == 0


def test_tokens_count_as_live_until_they_are_revoked_or_over(w):
    # the one of the fixture, and three more
    tokens = [w.issue() for _ in range(2)] + [w.issue(ttl="1s")]
    assert Figures(w.host)("tokens_live") == 4
    with w.host.client(w.desk) as desk:
        desk.ok("revoke", token=tokens[0])
    assert Figures(w.host)("tokens_live") == 3
    wait_until(lambda: Figures(w.host)("tokens_live") == 2)
    assert Figures(w.host)("tokens") == 4


def test_a_workers_end_and_its_return_are_counted(w):
    def pid_of(name):
        with open("/proc/%d/task/%d/children" % (w.host.pid, w.host.pid), encoding="ascii") as file:
            for pid in file.read().split():
                with open("/proc/%s/cmdline" % pid, "rb") as command:
                    if name in command.read():
                        return int(pid)
        return None

    stripe = {"provider": "stripe"}
    figures = Figures(w.host)
    assert [figures("worker_" + name, **stripe) for name in (
        "up", "restarts_total", "failures_total", "queue")] == [1, 0, 0, 0]
    os.kill(pid_of(b"stripe.so"), signal.SIGKILL)
    wait_until(lambda: Figures(w.host)("worker_up", **stripe) == 0)
    figures = Figures(w.host)
    assert figures("worker_failures_total", **stripe) == 1
    assert figures("worker_up", provider="github") == 1
    time.sleep(0.2)  # it rests for a moment
    w.host.key_add("another", "stripe", {}, {"api_key": "sk_test_abcdefghijklmnop"})
    figures = Figures(w.host)
    assert [figures("worker_" + name, **stripe) for name in ("up", "restarts_total")] == [1, 1]


OAUTH = """sallyport 1
scope crm { key crm ttl 1h @all allow GET https://api.example.com/** }
principal clerk { curve "%s" may issue crm for 1h }
"""


def test_leases_are_counted_by_what_became_of_them(w, recorder):
    recorder.answer({"POST /oauth/token": {"body": '{"access_token": "at-%s", "expires_in": 3600}'
                                           % ("x" * 20)}, "*": {"body": "{}"}})
    clerk = Curve()
    w.host.write_policy("crm.scope", OAUTH % clerk.public)
    w.host.key_add("crm", "rest", {
        "host": "api.example.com", "style": "oauth2", "client_id": "desk",
        "token_url": "https://api.example.com/oauth/token", "upstream": recorder.url},
        {"client_secret": canary("cs-")})
    w.host.reload()
    with w.host.client(clerk) as client:
        token = client.ok("issue", scope="crm")["token"]
        call = {"token": token, "method": "GET", "url": "https://api.example.com/v1/x"}
        assert Figures(w.host)("leases_live") == 0
        assert client.ok("proxy", **call)["status"] == 200
        figures = Figures(w.host)
        assert figures("leases_live") == 1
        assert figures("lease_events_total", event="minted") == 1
        client.ok("revoke", token=token)
        wait_until(lambda: Figures(w.host)("lease_events_total", event="ended") == 1)
        assert Figures(w.host)("leases_live") == 0
        recorder.answer({"*": {"status": 400, "body": '{"error": "invalid_client"}'}})
        call["token"] = client.ok("issue", scope="crm")["token"]
        assert client.refused("proxy", **call)["code"] == "upstream_failed"
    assert Figures(w.host)("lease_events_total", event="not_minted") == 1
    assert Figures(w.host)("lease_events_total", event="renewed") == 0
