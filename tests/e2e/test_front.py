"""The front end under clients that misbehave, the seal, and the clean end of a host."""
import os
import signal
import threading
import time

import msgpack
import pytest
import zmq
from lib import Curve, Host, NoAnswer, Refused, is_sanitized
from world import CHARGE, world


@pytest.fixture
def w(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    with world(tmp_path, recorder.url) as made:
        made.recorder = recorder
        yield made


def dealer(host, curve, identity=None):
    """A socket that can send frames of any shape."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    if identity:
        socket.identity = identity
    socket.curve_serverkey = host.host_key().encode()
    socket.curve_publickey = curve.public.encode()
    socket.curve_secretkey = curve.secret.encode()
    socket.connect(host.endpoint)
    return context, socket


def status_request():
    return msgpack.packb({"v": 1, "op": "status"})


def rss_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def test_T7_messages_of_another_shape_are_dropped_and_the_next_one_is_answered(w):
    context, socket = dealer(w.host, w.agent)
    for frames in ([status_request()], [b"x", status_request()], [b"", status_request(), b"more"],
                   [b"", b"", status_request()], [b""]):
        socket.send_multipart(frames)
    assert not socket.poll(500)
    socket.send_multipart([b"", status_request()])
    assert socket.poll(10000) and msgpack.unpackb(socket.recv_multipart()[1])["ok"] is True
    socket.close()
    context.term()


def test_T7_twenty_thousand_parts_are_dropped_and_memory_stays(w):
    w.as_agent().ok("status")
    before = rss_kib(w.host.pid)
    context, socket = dealer(w.host, w.agent)
    socket.send_multipart([b""] + [b"x" * 100] * 20000)
    socket.send_multipart([b"", status_request()])
    assert socket.poll(30000) and len(socket.recv_multipart()) == 2
    assert is_sanitized() or rss_kib(w.host.pid) - before < 64 << 10
    socket.close()
    context.term()


def test_T7_two_clients_under_one_routing_id_get_their_own_answers(w):
    desk = dealer(w.host, w.desk, b"same")
    agent = dealer(w.host, w.agent, b"same")
    for _, socket in (desk, agent):
        socket.send_multipart([b"", msgpack.packb({"v": 1, "op": "issue", "scope": "support"})])
    answers = [msgpack.unpackb(socket.recv_multipart()[1]) if socket.poll(2000) else None
               for _, socket in (desk, agent)]
    assert answers[1] is None or answers[1]["ok"] is False
    assert answers[0] is None or answers[0]["ok"] is True
    for context, socket in (desk, agent):
        socket.close()
        context.term()


def test_T8_a_client_that_dies_frees_its_slot(w):
    w.recorder.answer({"*": {"body": "{}", "delay_ms": 500}})
    token = w.issue()
    for _ in range(3):
        with w.as_agent() as agent:
            agent.send(msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET",
                                      "url": CHARGE}))
            time.sleep(0.1)
    time.sleep(1.2)
    with w.host.admin() as admin:
        assert admin.ok("status")["calls_in_flight"] == 0
    assert w.as_agent().ok("status")["state"] == "ready"


@pytest.mark.alone
def test_T52_a_full_host_says_busy_at_once(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}", "delay_ms": 2000}})
    settings = {"limits": {"calls_per_client": 2}}
    with world(tmp_path, recorder.url, settings=settings) as w:
        token = w.issue()
        context, socket = dealer(w.host, w.agent)
        call = msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET",
                              "url": CHARGE})
        for _ in range(3):
            socket.send_multipart([b"", call])
        begun = time.monotonic()
        assert socket.poll(10000)
        first = msgpack.unpackb(socket.recv_multipart()[1])
        assert first["error"]["code"] == "busy" and first["error"]["retryable"] is True
        assert time.monotonic() - begun < 1.5
        socket.close()
        context.term()


def test_T13_nothing_starts_once_a_revocation_is_acknowledged(w):
    token = w.issue()
    stop, late = threading.Event(), []

    def call():
        with w.as_agent() as agent:
            while not stop.is_set():
                begun = time.monotonic()
                reply = agent.ask("proxy", token=token, method="GET", url=CHARGE)
                if reply["ok"]:
                    late.append(begun)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    w.host.client(w.desk).ok("revoke", token=token)
    acknowledged = time.monotonic()
    seen = len(w.recorder.requests())
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(begun <= acknowledged for begun in late)
    # at most the one that each client had under way
    assert len(w.recorder.requests()) - seen <= len(threads)
    w.host.kill9()
    w.host.start()
    error = w.as_agent().refused("proxy", token=token, method="GET", url=CHARGE)
    assert error["code"] == "token_revoked"


def test_T32_a_redirect_is_passed_on_and_never_followed(w):
    w.recorder.answer({"*": {"status": 302, "headers": [["Location", "http://127.0.0.1:1/x"]],
                             "body": ""}})
    reply = w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)
    assert reply["status"] == 302 and len(w.recorder.requests()) == 1


def test_T36_the_environment_cannot_send_a_call_elsewhere(tmp_path, recorder):
    recorder.answer({"*": {"body": "{}"}})
    keylog = str(tmp_path / "keylog")
    env = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1",
           "ALL_PROXY": "http://127.0.0.1:1", "SSLKEYLOGFILE": keylog, "HOME": str(tmp_path)}
    with world(tmp_path, recorder.url, env=env) as w:
        reply = w.as_agent().ok("proxy", token=w.issue(), method="GET", url=CHARGE)
        assert reply["status"] == 200
    assert not os.path.exists(keylog)


def test_a_removed_client_gets_nothing_more_on_its_open_connection(w):
    other = Curve()
    with w.host.admin() as admin:
        admin.ok("client.add", name="other", curve=other.public)
        client = w.host.client(other)
        assert client.ok("status")["ok"]
        admin.ok("client.remove", name="other")
    assert client.refused("status")["code"] == "not_permitted"


def test_the_seal_wipes_and_a_passphrase_opens_it(tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple")
    host = Host(tmp_path / "state")
    host.init("--passphrase-file", secret)
    with host.start("sealed"):
        curve = Curve()
        assert "sealed" in host.cli("status")
        host.cli("key", "list")
        with host.admin() as admin:
            admin.ok("client.add", name="c", curve=curve.public)
            wrong = admin.refused("unseal", secret=b"wrong passphrase")
            assert wrong["code"] != "internal"
        host.cli("unseal", "--file", secret)
        host.await_log(" ready ")
        host.cli("key", "add", "k", "--provider", "stripe", "--secret", "api_key=-",
                 stdin=b"sk_test_0123456789abcdef")
        host.cli("seal")
        with host.admin() as admin:
            assert admin.ok("status")["state"] == "sealed"
            refused = admin.refused("key.add", id="k2", provider="stripe", settings={},
                                    secrets={"api_key": "sk_test_0123456789abcdef"})
            assert refused["code"] == "sealed"
        host.cli("unseal", "--file", secret)
        assert "k" in host.cli("key", "list")


def test_a_term_lets_calls_under_way_end(w):
    w.recorder.answer({"*": {"body": "{}", "delay_ms": 1000}})
    token, agent = w.issue(), w.as_agent()
    agent.send(msgpack.packb({"v": 1, "op": "proxy", "token": token, "method": "GET",
                              "url": CHARGE}))
    time.sleep(0.4)
    w.host.signal(signal.SIGTERM)
    reply = msgpack.unpackb(agent.receive(10))
    assert reply["ok"] is True and reply["status"] == 200
    w.host.stop()
    w.host.cli("audit", "verify")


def test_T65_a_flood_of_refusals_does_not_fill_the_audit(w):
    agent = w.as_agent()
    folder = w.host.dir + "/audit"

    def size():
        return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))

    before = size()
    for _ in range(1000):
        assert agent.refused("proxy", token="spt_forged", method="GET",
                             url=CHARGE)["code"] == "token_invalid"
    assert size() - before < 2000


def test_a_second_host_on_one_folder_is_refused(w):
    second = Host(w.host.dir)
    second.log_path = w.host.log_path + ".second"
    second.launch()
    assert second.process.wait(20) == 2
    assert "another sallyportd" in second.log()


def test_an_audit_that_was_cut_keeps_the_host_sealed(w):
    token = w.issue()
    w.as_agent().ok("proxy", token=token, method="GET", url=CHARGE)
    w.host.stop()
    folder = w.host.dir + "/audit"
    path = os.path.join(folder, sorted(n for n in os.listdir(folder) if n.endswith(".jsonl"))[-1])
    with open(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    with open(path, "wb") as file:
        file.write(b"".join(lines[:-2]))
    w.host.start("failed")
    assert "audit" in w.host.log()
    with pytest.raises((Refused, NoAnswer)):
        w.issue()
