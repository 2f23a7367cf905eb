"""Answers that stream over ZeroMQ: several messages to a DEALER, as they come, under the client's credit;
one message to a REQ; cut where they must not go on, and never to another client."""
import time

import msgpack
import pytest
import upstreams
import zmq
from lib import is_sanitized
from world import CHARGE, world

EVENTS = [["content-type", "text/event-stream"]]
# A sanitized guard may take seconds for what libcurl hands over in one go, while other streams wait.
IDLE_S = 15 if is_sanitized() else 3
SETTINGS = {"limits": {"calls_per_client": "8"},
            "upstream": {"total": "%ds" % (IDLE_S - 1), "stream_idle": "%ds" % IDLE_S,
                         "response_max": "1M"}}
ENDLESS = {"headers": EVENTS, "chunks": [[50, "data: NOW\n\n"]] * 300}


class Dealer:
    """A DEALER whose messages are maps; one connection, any number of streams."""

    def __init__(self, w, curve=None, routing_id=None):
        curve = curve or w.agent
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvhwm = 10
        if routing_id:
            self.socket.routing_id = routing_id
        self.socket.curve_serverkey = w.host.host_key().encode()
        self.socket.curve_publickey = curve.public.encode()
        self.socket.curve_secretkey = curve.secret.encode()
        self.socket.connect(w.host.endpoint)
        self.token = w.token

    def say(self, op, **fields):
        self.socket.send_multipart([b"", msgpack.packb({"v": 1, "op": op, **fields})])

    def proxy(self, id, url=CHARGE, **fields):
        self.say("proxy", id=id, token=self.token, method="GET", url=url, **{"stream": True, **fields})

    def next(self, timeout=30 if is_sanitized() else 10, signs=False):
        """The next message, signs of life aside; None where none comes."""
        end = time.monotonic() + timeout
        while self.socket.poll(max(0, int(1000 * (end - time.monotonic())))):
            frames = self.socket.recv_multipart()
            assert len(frames) == 2 and frames[0] == b""
            message = msgpack.unpackb(frames[1])
            if signs or set(message) != {"v", "ok", "id", "seq"}:
                return message
        return None

    def rest(self, id, grant=16, window=16, seq=0):
        """(data, end) of a stream whose head, and seq parts, have come; the end is the message that ended
        it."""
        data, left = [], window - seq
        while True:
            message = self.next()
            assert message and message["id"] == id, message
            if "data" not in message:
                return b"".join(data), message
            assert message["seq"] == seq and 0 < len(message["data"]) <= 65536
            data.append(message["data"])
            seq, left = seq + 1, left - 1
            if grant and left <= window // 2:
                self.say("credit", id=id, credit=grant)
                left += grant

    def close(self):
        self.socket.close(0)
        self.context.term()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="module")
def w(tmp_path_factory, recorders):
    with world(tmp_path_factory.mktemp("w"), recorders.url, settings=SETTINGS) as made:
        made.recorder = recorders
        made.token = made.issue("open")
        yield made


@pytest.fixture(scope="module")
def recorders(tmp_path_factory):
    with upstreams.Recorder(str(tmp_path_factory.mktemp("up") / "recorder")) as made:
        yield made


def wait_until(check, seconds=5):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def in_flight(w):
    with w.host.admin() as admin:
        return admin.ok("status")["calls_in_flight"]


def rss_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def test_events_come_within_50_ms_of_being_sent(w):
    w.recorder.answer({"*": {"headers": EVENTS,
                             "chunks": [[120, "data: NOW\n\n"]] * 20 + [[0, "data: end\n\n"]]}})
    with Dealer(w) as dealer:
        dealer.proxy("e", credit=100)
        head, late = dealer.next(), []
        assert head["ok"] and head["stream"] is True and head["status"] == 200 and "body" not in head
        assert ["content-type", "text/event-stream"] in head["headers"]
        for seq in range(20):
            part = dealer.next()
            late.append(time.time() - float(part["data"].split()[1]))
            assert part["seq"] == seq
        assert sorted(late)[10] < 0.05, late
        assert dealer.next()["data"] == b"data: end\n\n"
        # 2.4 s in all: longer than a whole answer may take.
        end = dealer.next()
        assert end["end"] is True and end["seq"] == 21 and end["bytes"] > 20 * 10


def test_the_head_comes_before_the_first_event_and_signs_of_life_in_between(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[2600, "data: 1\n\n"]]}})
    with Dealer(w) as dealer:
        dealer.proxy("h")
        began = time.monotonic()
        assert dealer.next()["stream"] and time.monotonic() - began < 1
        assert dealer.next(2, signs=True) == {"v": 1, "ok": True, "id": "h", "seq": 0}
        assert dealer.rest("h") == (b"data: 1\n\n",
                                    {"v": 1, "ok": True, "id": "h", "seq": 1, "end": True, "bytes": 9})


def test_a_short_answer_comes_whole(w):
    w.recorder.answer({"*": {"body": "{}"}})
    with Dealer(w) as dealer:
        dealer.proxy("s")
        answer = dealer.next()
        assert answer["body"] == b"{}" and "stream" not in answer
        # Under the same id it is the stored one, without a second effect.
        dealer.proxy("s")
        assert dealer.next()["replayed"] is True
        dealer.say("proxy", id="n", token="spt_nonsense", method="GET", url=CHARGE, stream=True)
        assert dealer.next()["error"]["code"] == "token_invalid"


def test_T9_a_stream_is_made_once_and_not_kept(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"]]}})
    before = len(w.recorder.requests())
    with Dealer(w) as dealer:
        dealer.proxy("once")
        assert dealer.next()["stream"] and dealer.rest("once")[1]["end"]
        dealer.proxy("once")
        assert dealer.next()["error"]["code"] == "answer_dropped"
    assert len(w.recorder.requests()) == before + 1


def test_req_clients_and_those_with_a_routing_id_of_their_own_get_it_whole(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[50, "data: 1\n\n"]] * 3}})
    with w.as_agent() as agent:
        answer = agent.ok("proxy", id="req", token=w.token, method="GET", url=CHARGE, stream=True)
        assert answer["body"] == b"data: 1\n\n" * 3 and "stream" not in answer
    with Dealer(w, routing_id=b"mine") as dealer:
        dealer.proxy("own")
        assert dealer.next()["body"] == b"data: 1\n\n" * 3


@pytest.mark.parametrize("fields", [{"id": "i", "stream": 1}, {"stream": True}, {"id": "i", "credit": 4},
                                    {"id": "i", "stream": True, "credit": 0},
                                    {"id": "i", "stream": True, "credit": 4097}])
def test_what_makes_no_sense_is_a_bad_request(w, fields):
    with w.as_agent() as agent:
        error = agent.refused("proxy", token=w.token, method="GET", url=CHARGE, **fields)
        assert error["code"] == "bad_request"
        assert agent.refused("credit", id="x")["code"] == "bad_request"
        assert agent.refused("cancel")["code"] == "bad_request"
        assert agent.refused("check", token=w.token, method="GET", url=CHARGE,
                             stream=True)["code"] == "bad_request"


def test_a_large_answer_streams_in_constant_memory(w):
    size = (16 if is_sanitized() else 256) << 20
    w.recorder.answer({"*": {"fill": size}})
    before = rss_kib(w.host.pid)
    with Dealer(w) as dealer:
        dealer.proxy("l")
        assert dealer.next()["stream"]
        data, end = dealer.rest("l")
        assert len(data) == size and end["end"] and end["bytes"] == size
    assert is_sanitized() or rss_kib(w.host.pid) - before < (48 << 10)


def test_not_a_part_comes_without_credit_and_the_upstream_is_held_back(w):
    w.recorder.answer({"*": {"fill": 16 << 20}})
    before = rss_kib(w.host.pid)
    with Dealer(w) as dealer:
        dealer.proxy("c", credit=3)
        assert dealer.next()["stream"]
        got = [dealer.next() for _ in range(3)]
        assert [message["seq"] for message in got] == [0, 1, 2]
        assert dealer.next(1) is None
        assert is_sanitized() or rss_kib(w.host.pid) - before < (16 << 10)
        dealer.say("credit", id="c", credit=1)
        assert dealer.next()["seq"] == 3 and dealer.next(0.3) is None
        dealer.say("credit", id="c", credit=4096)
        n = 4
        while "data" in (message := dealer.next()):
            assert message["seq"] == n
            n += 1
        assert message["end"] and message["seq"] == n and message["bytes"] == 16 << 20


def test_a_queue_that_is_full_loses_nothing(w):
    """More parts than a queue and the network hold, and a client that does not read for a while."""
    size = (10 if is_sanitized() else 24) << 20
    w.recorder.answer({"*": {"fill": size}})
    with Dealer(w) as dealer:
        for id in ("q1", "q2"):
            dealer.proxy(id, credit=4096)
        time.sleep(1)
        n, seqs, ends = {"q1": 0, "q2": 0}, {"q1": 0, "q2": 0}, {}
        while len(ends) < 2:
            message = dealer.next()
            assert message and message["ok"], (message, seqs)
            id = message["id"]
            if "data" in message:
                assert message["seq"] == seqs[id]
                seqs[id] += 1
                n[id] += len(message["data"])
            elif "end" in message:
                ends[id] = message["bytes"]
        assert n == ends == {"q1": size, "q2": size} and sum(seqs.values()) > size >> 14


def test_T29_a_client_that_grants_nothing_and_one_that_reads_nothing_are_cut_off(w):
    w.recorder.answer({"*": {"fill": 48 << 20}})
    with Dealer(w) as dealer, Dealer(w, w.desk) as deaf:
        deaf.proxy("d", credit=4096)
        dealer.proxy("t", credit=1)
        assert dealer.next()["stream"] and dealer.next()["seq"] == 0
        wait_until(lambda: in_flight(w) == 2, IDLE_S + 5)
        end = dealer.next(IDLE_S + 5)
        assert end["error"]["code"] == "upstream_failed" and "too long" in end["error"]["reason"]
        wait_until(lambda: in_flight(w) == 0, IDLE_S + 5)


def test_a_client_that_cancels_is_told_the_end_and_the_upstream_call_ends(w):
    w.recorder.answer({"*": ENDLESS})
    with Dealer(w) as dealer:
        dealer.proxy("x")
        assert dealer.next()["stream"] and dealer.next()["data"]
        dealer.say("cancel", id="x")
        _, end = dealer.rest("x", grant=0, seq=1)
        assert end["error"]["reason"] == "the client cancelled it"
        wait_until(lambda: in_flight(w) == 0, 1)
        # Nothing that names a stream that is over, or another's, has an answer or an effect.
        dealer.say("cancel", id="x")
        dealer.say("credit", id="x", credit=5)
        assert dealer.next(0.5) is None
        # Before its head has come, too.
        w.recorder.answer({"*": {"body": "{}", "delay_ms": 1500}})
        dealer.proxy("y")
        wait_until(lambda: in_flight(w) == 1)
        began = time.monotonic()
        dealer.say("cancel", id="y")
        assert dealer.next()["error"]["code"] == "upstream_failed" and time.monotonic() - began < 1


def test_T7_no_other_client_steers_a_stream_or_gets_a_part_of_it(w):
    w.recorder.answer({"*": ENDLESS})
    with Dealer(w) as dealer, Dealer(w) as same_key, Dealer(w, w.desk) as desk:
        dealer.proxy("z", credit=2)
        assert dealer.next()["stream"] and dealer.next()["seq"] == 0 and dealer.next()["seq"] == 1
        for other in (same_key, desk):
            other.say("credit", id="z", credit=100)
            other.say("cancel", id="z")
            assert other.next(0.3) is None
        assert dealer.next(0.3) is None and in_flight(w) == 1
        dealer.say("credit", id="z", credit=2)
        assert dealer.next()["seq"] == 2
    wait_until(lambda: in_flight(w) == 0, 3)


def test_T8_a_client_that_leaves_ends_the_calls_upstream(w):
    w.recorder.answer({"*": ENDLESS})
    dealer = Dealer(w)
    for n in range(6):
        dealer.proxy("g%d" % n)
    for _ in range(12):
        assert dealer.next()
    assert in_flight(w) == 6
    dealer.close()
    wait_until(lambda: in_flight(w) == 0, 3)


def test_T8_a_client_that_leaves_a_silent_upstream_is_noticed(w):
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [[0, "data: 1\n\n"], [2900, "late"]]}})
    dealer = Dealer(w)
    dealer.proxy("silent")
    assert dealer.next()["stream"] and dealer.next()["data"]
    dealer.close()
    assert in_flight(w) == 1
    wait_until(lambda: in_flight(w) == 0, 2.2)


def test_T52_a_full_client_can_still_grant_credit_and_cancel(w):
    w.recorder.answer({"*": ENDLESS})
    with Dealer(w) as dealer:
        for n in range(8):
            dealer.proxy("f%d" % n, credit=1)
        heads = [dealer.next() for _ in range(16)]
        assert sum("stream" in message for message in heads) == 8
        dealer.say("status", id="no")
        assert dealer.next()["error"]["code"] == "busy"
        dealer.say("credit", id="f3", credit=1)
        message = dealer.next()
        assert message["id"] == "f3" and message["seq"] == 1
        dealer.say("cancel", id="f3")
        assert dealer.next()["error"]["reason"] == "the client cancelled it"
        dealer.say("status", id="yes")
        assert dealer.next()["ok"]


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_T66_a_stream_is_cut_within_a_second(w, how):
    w.recorder.answer({"*": ENDLESS})
    with Dealer(w) as dealer:
        dealer.token = w.issue("open", **({"ttl": "1s"} if how == "expired" else {}))
        began = time.monotonic() + 1
        dealer.proxy("r" + how)
        assert dealer.next()["stream"] and dealer.next()["data"]
        if how == "revoked":
            with w.host.client(w.desk) as desk:
                desk.ok("revoke", token=dealer.token)
            began = time.monotonic()
        _, end = dealer.rest("r" + how, seq=1)
        assert end["error"]["code"] == "token_" + how and time.monotonic() - began < 1.2


def test_T30_the_key_in_a_stream_cuts_it(w):
    half = len(w.key) // 2
    w.recorder.answer({"*": {"headers": EVENTS, "chunks": [
        [0, "data: before\n\n"], [20, w.key[:half]], [20, w.key[half:]], [0, "\n\ndata: after\n\n"]]}})
    with Dealer(w) as dealer:
        dealer.proxy("k")
        assert dealer.next()["stream"]
        data, end = dealer.rest("k")
        assert end["error"]["code"] == "response_blocked"
        assert data.startswith(b"data: before\n\n") and b"after" not in data
        assert w.key.encode() not in data and len(data) < 14 + max(20, half + 3)


def test_an_upstream_that_breaks_off_is_told_by_an_error(w):
    w.recorder.answer({"*": {"headers": [["content-length", "900000"]], "body": "a" * 900000,
                             "stop_after": 500000}})
    with Dealer(w) as dealer:
        dealer.proxy("b")
        assert dealer.next()["stream"]
        data, end = dealer.rest("b")
        assert end["error"]["code"] == "upstream_failed" and set(data) == {ord("a")}


def test_a_stream_leaves_one_intent_and_one_outcome_and_a_stop_drains_it(tmp_path, recorders):
    with world(tmp_path, recorders.url, settings=SETTINGS) as w:
        w.token = w.issue("open")
        recorders.answer({"*": {"headers": EVENTS, "chunks": [[100, "data: 1\n\n"]] * 10}})
        with Dealer(w) as dealer:
            dealer.proxy("a", credit=100)
            assert dealer.next()["stream"]
            dealer.proxy("stuck", credit=1)
            w.host.signal(15)
            ends = {}
            while len(ends) < 2 and (message := dealer.next(3)):
                if "end" in message or "error" in message:
                    ends[message["id"]] = message
            assert ends["a"]["end"] is True, ends
        w.host.stop()
        kinds = [record["type"] for record in w.host.audit_records()]
        assert kinds.count("intent") == kinds.count("outcome") >= 1
