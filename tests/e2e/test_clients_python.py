"""The Python library: built as a wheel, installed into a venv, and run against a real host."""
import asyncio
import importlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import msgpack
import pytest
from client_world import (CLIENTS, SLOW, TRAILERS, TRAILING, client_world, codes_of_the_protocol, events,
                          example, free_port, mute_host, not_status, upstream, vectors)
from lib import Curve, is_sanitized
from world import CHARGE, FORM, REFUNDS

BUILD_WHEEL = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
PYTHON = "/usr/bin/python3"
# Nothing new runs in the host here: it need not be done under every sanitizer.
pytestmark = pytest.mark.slow


def run(argv, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, timeout=120, check=False,
                          **options)
    assert done.returncode == 0, (argv, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """A venv with the wheel in it; pyzmq and msgpack are the system's. No network."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(os.path.join(CLIENTS, "python"), folder / "source")
    run([PYTHON, "-c", BUILD_WHEEL, folder], cwd=folder / "source")
    wheel, = folder.glob("sallyport-*-py3-none-any.whl")
    run([PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", folder / "venv"])
    python = folder / "venv" / "bin" / "python"
    run([PYTHON, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", wheel])
    return python


@pytest.fixture(scope="module")
def sallyport(venv):
    where = run([venv, "-c", "import sallyport; print(sallyport.__file__)"], cwd="/").strip()
    assert where.startswith(str(venv.parent.parent)), where
    sys.path.insert(0, os.path.dirname(os.path.dirname(where)))
    yield importlib.import_module("sallyport")
    sys.path.pop(0)


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    with client_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def desk(sallyport, w):
    with sallyport.Client(env=w.env, timeout=20) as made:
        yield made


def effects(w, path):
    return sum(request["target"] == path for request in w.recorder.requests())


def test_the_ten_lines_of_the_readme_run_from_the_wheel(venv, w, tmp_path):
    out = run([venv, "-c", example("python", "python")], cwd=tmp_path, env={**os.environ, **w.env})
    assert out == "{'id': 'ch_1'}\nnot_allowed\n"


def test_every_operation_answers_what_the_protocol_says(sallyport, w, desk):
    status = desk.status()
    assert (status.state, status.ready, status.protocol) == ("ready", True, 1)
    issued = desk.issue("support", ttl=600, narrow="allow GET https://api.stripe.com/**",
                        bind=w.agent.public)
    assert issued.scope == "support" and 0 < issued.expires_in_ms <= 600000
    assert issued.token not in repr(issued)
    with pytest.raises(sallyport.Refused) as bound:
        desk.proxy(issued.token, "GET", CHARGE)
    assert bound.value.code == "token_binding" and bound.value.retryable is False
    with sallyport.Client(env=w.env, key_file=w.agent_key, timeout=20) as agent:
        found = agent.inspect(issued.token)
        assert (found.root, found.principal, found.bind) == (issued.root, "desk", w.agent.public)
        assert len(found.caveats) == 1 and found.expired is False and found.revoked is None
        assert agent.check(issued.token, "GET", CHARGE).rule == "read"
        assert agent.check(issued.token, "POST", REFUNDS, body=b"{}").allowed is False
        got = agent.proxy(issued.token, "GET", CHARGE, headers={"Accept": "application/json",
                                                                "X-Other": "1"})
        assert desk.revoke(root=issued.root).root == issued.root
        assert agent.inspect(issued.token).revoked is not None
    assert (got.status, got.json(), got.header("Content-Type")) == (
        200, {"id": "ch_1"}, "application/json")
    assert got.dropped_headers == ("x-other",) and got.replayed is False
    json_form = desk.issue({"allowedKeyIds": ["stripe-main"], "allowedMethods": ["GET"],
                            "allowedDomains": ["api.stripe.com"], "expiresIn": "10m"})
    assert desk.proxy(json_form.token, "GET", CHARGE).status == 200
    assert desk.revoke(json_form.token).root == json_form.root


def test_a_refusal_says_which_rule_and_what_to_do(sallyport, w, desk):
    token = desk.issue("support").token
    with pytest.raises(sallyport.Refused) as caught:
        desk.proxy(token, "POST", REFUNDS, headers=FORM, body="charge=ch_1&amount=5001")
    assert caught.value.code == "not_allowed" and caught.value.rule == "refund"
    assert "5001" in caught.value.reason and not caught.value.retryable
    with pytest.raises(sallyport.Refused) as caught:
        desk.issue("no-such-scope")
    assert caught.value.code in ("scope_unknown", "not_granted")


def test_another_request_under_the_same_id_is_a_conflict(sallyport, desk):
    token = desk.issue("open").token
    first = desk.proxy(token, "GET", CHARGE, id="python-1")
    again = desk.proxy(token, "GET", CHARGE, id="python-1")
    assert (first.replayed, again.replayed, again.request_id) == (False, True, "python-1")
    with pytest.raises(sallyport.Refused) as caught:
        desk.proxy(token, "GET", CHARGE + "2", id="python-1")
    assert caught.value.code == "conflict"


def test_no_host_and_wrong_keys_are_told_within_the_connect_timeout(sallyport, w, tmp_path):
    stranger = Curve().write(tmp_path / "stranger.key")
    for wrong in ({"key_file": stranger}, {"host_key": Curve().public},
                  {"endpoint": "tcp://127.0.0.1:%d" % free_port()}):
        begun = time.monotonic()
        with sallyport.Client(env=w.env, connect_timeout=0.4, **wrong) as client:
            with pytest.raises(sallyport.NotConnected, match="(?s)client key.*Nothing was sent"):
                client.issue("support")
        assert time.monotonic() - begun < 5


def test_a_repeated_call_has_one_effect(sallyport, w):
    before = effects(w, "/v1/slow")
    with sallyport.Client(env=w.env, timeout=0.4, attempts=1) as hasty:
        token = w.issue("open")
        with pytest.raises(sallyport.NoAnswer) as caught:
            hasty.proxy(token, "POST", SLOW)
        hasty.attempts = 20
        got = hasty.proxy(token, "POST", SLOW, id=caught.value.request_id)
    assert got.json() == {"id": "slow"} and effects(w, "/v1/slow") == before + 1


def test_the_library_repeats_by_itself_with_one_effect(sallyport, w):
    before = effects(w, "/v1/slow")
    with sallyport.Client(env=w.env, timeout=0.4, attempts=20) as hasty:
        assert hasty.proxy(w.issue("open"), "POST", SLOW).json() == {"id": "slow"}
    assert effects(w, "/v1/slow") == before + 1


def test_what_is_repeated_is_the_same_bytes_and_issuing_is_never_repeated(sallyport, w):
    with mute_host() as (endpoint, host_key, asked):
        with sallyport.Client(env=w.env, endpoint=endpoint, host_key=host_key, timeout=0.3,
                              attempts=3) as client:
            assert client.status().ready
            with pytest.raises(sallyport.NoAnswer):
                client.issue("support")
            assert len(not_status(asked)) == 1
            with pytest.raises(sallyport.NoAnswer) as caught:
                client.proxy("spt_x", "GET", CHARGE)
        calls = not_status(asked)[1:]
    assert len(calls) == 3 and len(set(calls)) == 1
    assert msgpack.unpackb(calls[0])["id"] == caught.value.request_id


def test_a_host_that_restarts_is_found_again(sallyport, w):
    with sallyport.Client(env=w.env, timeout=1, attempts=20, connect_timeout=20) as client:
        token = client.issue("open").token
        w.host.restart()
        assert client.proxy(token, "GET", CHARGE).status == 200


def test_a_host_killed_in_the_middle_gives_outcome_unknown_and_no_second_effect(sallyport, w):
    before = effects(w, "/v1/slow")
    caught = []

    def call(token):
        with sallyport.Client(env=w.env, timeout=1, attempts=40, connect_timeout=30) as client:
            try:
                caught.append(client.proxy(token, "POST", SLOW))
            except sallyport.SallyportError as error:
                caught.append(error)

    thread = threading.Thread(target=call, args=(w.issue("open"),))
    thread.start()
    end = time.monotonic() + 20
    while effects(w, "/v1/slow") == before and time.monotonic() < end:
        time.sleep(0.02)
    w.host.kill9()
    w.host.start()
    thread.join(60)
    assert isinstance(caught[0], sallyport.OutcomeUnknown), caught
    assert caught[0].code == "outcome_unknown" and effects(w, "/v1/slow") == before + 1


def test_tasks_and_threads_share_a_client(sallyport, w, desk):
    token = desk.issue("open").token
    statuses = []

    async def many():
        async with sallyport.AsyncClient(env=w.env, timeout=20) as client:
            found = await asyncio.gather(*(client.proxy(token, "GET", CHARGE) for _ in range(12)))
            with pytest.raises(sallyport.Refused):
                await client.issue("no-such-scope")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.proxy(token, "POST", SLOW), 0.2)
            assert (await client.status()).ready
            return [one.status for one in found]

    assert asyncio.run(many()) == [200] * 12
    threads = [threading.Thread(target=lambda: statuses.append(
        desk.proxy(token, "GET", CHARGE).status)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 12


def test_settings_are_found_as_the_command_finds_them(sallyport, w, tmp_path):
    found = sallyport.Settings.find(env=w.env)
    assert (found.endpoint, found.host_key) == (w.host.endpoint, w.host.host_key())
    assert found.keys.public == w.desk.public and found.keys.secret not in repr(found)
    made = tmp_path / "made.key"
    w.host.cli("client", "keygen", made)
    assert sallyport.KeyPair.read(made) == sallyport.KeyPair(*vars(Curve.read(made)).values())
    made.chmod(0o644)
    for env, said in (({}, "which client"),
                      ({**w.env, "SALLYPORT_KEY_FILE": str(made)}, "others may read"),
                      ({**w.env, "SALLYPORT_HOST_KEY": "/dev/null"}, "no host key"),
                      ({**w.env, "SALLYPORT_DIR": str(tmp_path)}, "sallyport.conf")):
        with pytest.raises(sallyport.SettingsError, match=said):
            sallyport.Settings.find(env=env)


def test_the_codes_are_those_of_the_protocol(sallyport):
    assert sallyport.CODES == codes_of_the_protocol() and len(sallyport.CODES) > 30


def test_T14_narrowing_offline_agrees_with_the_command(sallyport, w, desk):
    for one in vectors()["good"]:
        assert sallyport.narrow(one["token"], one["caveat"]) == one["narrowed"]
    for one in vectors()["bad"]:
        with pytest.raises(sallyport.SettingsError):
            sallyport.narrow(one["token"], one["caveat"])
    token = sallyport.narrow(desk.issue("open").token, "allow GET https://api.stripe.com/v1/balance")
    assert desk.check(token, "GET", "https://api.stripe.com/v1/balance").allowed
    assert not desk.check(token, "GET", CHARGE).allowed


def lateness(piece):
    return time.time() - float(piece.split()[1])


@pytest.mark.alone
def test_events_come_as_they_are_sent(sallyport, w, desk):
    token = desk.issue("open").token
    with upstream(w, events(12, 100)), desk.stream(token, "GET", CHARGE) as stream:
        assert stream.status == 200 and stream.header("Content-Type") == "text/event-stream"
        late = [lateness(piece) for piece in stream]
        assert len(late) == 12 and sorted(late)[6] < 0.05, late
        assert list(stream) == []

    async def main():
        async with sallyport.AsyncClient(env=w.env, timeout=20) as client:
            async with await client.stream(token, "GET", CHARGE) as stream:
                return [lateness(piece) async for piece in stream]

    with upstream(w, events(12, 100)):
        late = asyncio.run(main())
    assert len(late) == 12 and sorted(late)[6] < 0.05, late


def test_a_large_download_takes_little_memory(venv, w, desk):
    """In a process of its own: the peak is of this download."""
    program = """if True:
        import resource, sallyport, sys
        with sallyport.Client() as desk, desk.stream(sys.argv[1], "GET", sys.argv[2]) as stream:
            first = len(next(stream))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            n = first + sum(len(piece) for piece in stream)
            print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    size = (16 if is_sanitized() else 128) << 20
    with upstream(w, {"fill": size}):
        out = run([venv, "-c", program, desk.issue("open").token, CHARGE], env={**os.environ, **w.env})
    n, grown_kib = map(int, out.split())
    assert n == size and grown_kib < 12 << 10


def test_a_stream_that_is_cut_raises_a_typed_error_every_time(sallyport, w, desk):
    issued = desk.issue("open")
    with upstream(w, events(200, 50)), desk.stream(issued.token, "GET", CHARGE) as stream:
        next(stream)
        desk.revoke(root=issued.root)
        with pytest.raises(sallyport.StreamBroken) as cut:
            list(stream)
        assert cut.value.code == "token_revoked" and cut.value.request_id == stream.request_id
        with pytest.raises(sallyport.StreamBroken):
            next(stream)


def test_trailers_are_there_once_a_stream_is_over(sallyport, w, desk):
    async def trailing():
        async with sallyport.AsyncClient(env=w.env) as client:
            async with await client.stream(issued.token, "GET", CHARGE) as stream:
                before = stream.trailers
                async for _ in stream:
                    pass
                return before, stream.trailers
    issued = desk.issue("open")
    with upstream(w, TRAILING):
        with desk.stream(issued.token, "GET", CHARGE) as stream:
            assert stream.trailers == []
            assert b"".join(stream) == b"data: 1\n\n"
        assert stream.trailers == [tuple(pair) for pair in TRAILERS]
        assert stream.trailer("X-Checksum") == "12ab" and stream.trailer("x-none", "no") == "no"
        assert asyncio.run(trailing()) == ([], stream.trailers)
    with desk.stream(issued.token, "GET", CHARGE) as short:
        assert list(short) and short.trailers == []
    end = {"v": 1, "ok": True, "id": "i", "seq": 0, "bytes": 0, "end": True}
    for wrong in ({"a": "b"}, [["a"]], [[1, "b"]], "x"):
        with pytest.raises(sallyport.BadReply):
            sallyport.replies.read_streamed(msgpack.packb({**end, "trailers": wrong}), "i")


def test_a_stream_whose_host_dies_is_cut(sallyport, w, desk):
    with upstream(w, events(400, 50)), desk.stream(desk.issue("open").token, "GET", CHARGE) as stream:
        next(stream)
        w.host.kill9()
        try:
            with pytest.raises(sallyport.StreamBroken) as cut:
                list(stream)
        finally:
            w.host.start()
        assert cut.value.code is None


def test_streams_that_are_short_refused_left_or_repeated(sallyport, w, desk):
    token = desk.issue("open").token
    assert list(desk.stream(token, "GET", CHARGE)) == [b'{"id": "ch_1"}']
    with pytest.raises(sallyport.Refused) as refused:
        desk.stream("spt_nonsense", "GET", CHARGE)
    assert refused.value.code == "token_invalid"
    with upstream(w, events(400, 50)):
        with desk.stream(token, "GET", CHARGE, id="left") as stream:
            next(stream)
        with w.host.admin() as admin:
            end = time.monotonic() + 3
            while admin.ok("status")["calls_in_flight"]:
                assert time.monotonic() < end
                time.sleep(0.05)
        with pytest.raises(sallyport.Refused) as again:
            desk.stream(token, "GET", CHARGE, id="left")
        assert again.value.code == "answer_dropped"
    with sallyport.Client(env=w.env, endpoint="tcp://127.0.0.1:%d" % free_port(),
                          connect_timeout=0.3) as nobody:
        with pytest.raises(sallyport.NotConnected):
            nobody.stream(token, "GET", CHARGE)


GOOD = {"v": 1, "ok": True, "id": "i", "status": 200, "headers": [["a", "b"]], "body": b""}
BAD = [{**GOOD, "v": 2}, {**GOOD, "v": True}, {**GOOD, "ok": 1}, {**GOOD, "id": "j"},
       {**GOOD, "status": True}, {**GOOD, "body": "text"}, {**GOOD, "headers": {"a": "b"}},
       {**GOOD, "headers": [["a"]]}, {**GOOD, "replayed": 1}, [1], {"v": 1, "ok": False, "id": "i"},
       {"v": 1, "ok": False, "id": "i", "error": {"code": "busy"}},
       {**GOOD, "dropped_headers": [1]}, {**GOOD, "x": msgpack.ExtType(1, b"a")},
       {name: value for name, value in GOOD.items() if name != "id"}]


def test_answers_that_are_none_are_told_from_refusals(sallyport):
    read, kind = sallyport.replies.read, sallyport.Answer
    assert read(msgpack.packb({**GOOD, "newer": [1]}), kind, "i").headers == [("a", "b")]
    packed = [msgpack.packb(one) for one in BAD]
    good = msgpack.packb(GOOD)
    packed += [good + b"\xc0", good[:-1], b"", b"\x82\xa1v\x01\xa1v\x01", b"\x91" * 5000, b"\xc1",
               good.replace(b"\xa1a", b"\xa1\xff")]
    for data in packed:
        with pytest.raises(sallyport.BadReply):
            read(data, kind, "i")
    seed = random.Random(7)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(seed.randint(1, 4)):
            data[seed.randrange(len(data))] = seed.randrange(256)
        try:
            read(bytes(data), kind, "i")
        except (sallyport.BadReply, sallyport.Refused):
            pass
