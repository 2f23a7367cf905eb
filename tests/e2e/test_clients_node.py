"""The Node library: packed by npm, installed into an empty folder, and run against a real host."""
import base64
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time

import msgpack
import pytest
import upstreams
from client_world import (CLIENTS, SLOW, TRAILERS, TRAILING, client_world, codes_of_the_protocol, events,
                          example, free_port, mute_host, not_status, upstream, vectors)
from lib import Curve, is_sanitized
from lib.host import ROOT
from test_clients_python import BAD, GOOD, effects, run
from world import CHARGE, FORM, REFUNDS

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "library.mjs")
STREAM = os.path.join(os.path.dirname(DRIVER), "stream.mjs")
MODULES = os.path.join(ROOT, "tests", "node", "node_modules")
# What the package depends on, and what that depends on; no registry is asked.
DEPENDENCIES = ("zeromq", "cmake-ts", "node-addon-api")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the tarball installed in it."""
    folder = tmp_path_factory.mktemp("npm")
    shutil.copytree(os.path.join(CLIENTS, "node"), folder / "source")
    run(["npm", "pack", "--silent", "--pack-destination", folder], cwd=folder / "source")
    tarball, = folder.glob("sallyport-*.tgz")
    app = folder / "app"
    for name in DEPENDENCIES:
        shutil.copytree(os.path.join(MODULES, name), app / "node_modules" / name, symlinks=True)
    (app / "package.json").write_text('{"private": true, "type": "module"}')
    run(["npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", tarball], cwd=app)
    assert not (app / "node_modules" / "sallyport").is_symlink()
    return app


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    with client_world(tmp_path_factory.mktemp("world")) as made:
        yield made


def drive(package, **given):
    done = subprocess.run([upstreams.NODE, DRIVER, package], input=json.dumps(given).encode(),
                          capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def one(package, w, calls, **options):
    """The outcomes of calls by one client."""
    given = {"env": w.env, "timeoutMs": 20000, **options}
    return drive(package, steps=[{"options": given, "calls": calls}])["steps"][0]


def values(outcomes):
    assert all("value" in item for item in outcomes), outcomes
    return [item["value"] for item in outcomes]


def test_the_ten_lines_of_the_readme_run_from_the_tarball(package, w):
    (package / "app.mjs").write_text(example("node", "js"))
    out = run([upstreams.NODE, "app.mjs"], cwd=package, env={**os.environ, **w.env})
    assert out == "{ id: 'ch_1' }\nnot_allowed\n"


def test_every_operation_answers_what_the_protocol_says(package, w):
    json_form = {"allowedKeyIds": ["stripe-main"], "allowedMethods": ["GET"],
                 "allowedDomains": ["api.stripe.com"], "expiresIn": 600}
    status, issued, by_form = values(one(package, w, [
        ["status"], ["issue", "support", {"ttl": "10m", "bind": w.agent.public,
                                          "narrow": "allow GET https://api.stripe.com/**"}],
        ["issue", json_form]]))
    assert (status["state"], status["ready"], status["protocol"]) == ("ready", True, 1)
    assert 0 < issued["expiresInMs"] <= 600000
    token = issued["token"]
    found, checked, refused, got = values(one(package, w, [
        ["inspect", token], ["check", token, "GET", CHARGE],
        ["check", token, "POST", REFUNDS, {"body": "{}"}],
        ["proxy", token, "GET", CHARGE, {"headers": {"Accept": "a/b", "X-Other": "1"}}]],
        keyFile=w.agent_key))
    assert (found["root"], found["bind"], len(found["caveats"])) == (issued["root"], w.agent.public, 1)
    assert checked["rule"] == "read" and refused["allowed"] is False
    assert (got["status"], base64.b64decode(got["body"])) == (200, b'{"id": "ch_1"}')
    assert got["droppedHeaders"] == ["x-other"] and ["content-type", "application/json"] in got["headers"]
    by_root, by_token, wrong_client = one(package, w, [
        ["revoke", {"root": issued["root"]}], ["revoke", {"token": by_form["token"]}],
        ["proxy", token, "GET", CHARGE]])
    assert by_root["value"] == {"root": issued["root"]} and by_token["value"]["root"] == by_form["root"]
    assert wrong_client["error"]["code"] in ("token_binding", "token_revoked")


def test_a_refusal_is_a_typed_error(package, w):
    token = w.issue()
    over, none = (item["error"] for item in one(package, w, [
        ["proxy", token, "POST", REFUNDS, {"headers": FORM, "body": "charge=ch_1&amount=5001"}],
        ["issue", "no-such-scope"]]))
    assert (over["name"], over["code"], over["rule"], over["retryable"]) == (
        "Refused", "not_allowed", "refund", False)
    assert "5001" in over["reason"] and over["ours"] and none["code"] in ("scope_unknown", "not_granted")


def stream(package, w, token, **given):
    """The lines of tests/e2e/node/stream.mjs, as they come."""
    given = {"token": token, "url": CHARGE, "options": {"env": w.env, "timeoutMs": 20000}, **given}
    with subprocess.Popen([upstreams.NODE, STREAM, package, json.dumps(given)],
                          stdout=subprocess.PIPE) as process:
        try:
            for line in process.stdout:
                yield json.loads(line)
        finally:
            process.kill()


@pytest.mark.alone
def test_events_come_as_they_are_sent(package, w):
    with upstream(w, events(12, 100)):
        head, *pieces, end = stream(package, w, w.issue("open"))
    assert (head["status"], head["type"]) == (200, "text/event-stream") and end["end"]
    late = sorted(piece["at"] - float(piece["text"].split()[1]) for piece in pieces)
    assert len(late) == 12 and late[6] < 0.05, late


def test_a_large_download_takes_little_memory(package, w):
    size = (16 if is_sanitized() else 128) << 20
    with upstream(w, {"fill": size}):
        *_, end = stream(package, w, w.issue("open"), large=True)
    # What its collector has not come round to yet is not kept.
    assert end["bytes"] == size and (is_sanitized() or end["grownKib"] < 96 << 10), end


def test_a_stream_that_is_cut_is_a_typed_error(package, w):
    token = w.issue("open")
    with upstream(w, events(200, 50)):
        lines = stream(package, w, token)
        assert next(lines)["status"] == 200 and "text" in next(lines)
        with w.host.client(w.desk) as desk:
            desk.ok("revoke", token=token)
        *_, last = lines
    assert last == {"error": "StreamBroken", "code": "token_revoked", "broken": True}


def test_trailers_are_there_once_a_stream_is_over(package, w):
    with upstream(w, TRAILING):
        head, piece, end = stream(package, w, w.issue("open"))
    assert head["trailers"] == piece["trailers"] == []
    assert (end["trailers"], end["checksum"], end["none"]) == (TRAILERS, "12ab", True)
    *_, end = stream(package, w, w.issue("open"))  # a short one
    assert end["trailers"] == []


def test_streams_that_are_short_refused_or_left(package, w):
    head, piece, end = stream(package, w, w.issue("open"))
    assert head["status"] == 200 and piece["text"] == '{"id": "ch_1"}' and end["bytes"] == 14
    assert list(stream(package, w, "spt_nonsense")) == [
        {"error": "Refused", "code": "token_invalid", "broken": False}]
    with upstream(w, events(400, 50)):
        *_, end = stream(package, w, w.issue("open"), stopAfter=2)
    assert end["end"]


def test_another_request_under_the_same_id_is_a_conflict(package, w):
    token = w.issue("open")
    first, = values(one(package, w, [["proxy", token, "GET", CHARGE, {"id": "node-1"}]]))
    again, = one(package, w, [["proxy", token, "GET", CHARGE, {"id": "node-1"}]])
    other, = one(package, w, [["proxy", token, "GET", CHARGE + "2", {"id": "node-1"}]])
    assert (first["replayed"], values([again])[0]["replayed"]) == (False, True)
    assert other["error"]["code"] == "conflict"


def test_no_host_and_wrong_keys_are_told_within_the_connect_timeout(package, w, tmp_path):
    stranger = Curve().write(tmp_path / "stranger.key")
    begun = time.monotonic()
    wrong = ({"keyFile": stranger}, {"hostKey": Curve().public},
             {"endpoint": "tcp://127.0.0.1:%d" % free_port()})
    steps = [{"options": {"env": w.env, "connectTimeoutMs": 400, **options},
              "calls": [["issue", "support"]]} for options in wrong]
    for failed, in drive(package, steps=steps)["steps"]:
        assert failed["error"]["name"] == "NotConnected", failed
        assert "client key" in failed["error"]["message"]
    assert time.monotonic() - begun < 15


def test_a_repeated_call_has_one_effect(package, w):
    before, token = effects(w, "/v1/slow"), w.issue("open")
    hasty = {"env": w.env, "timeoutMs": 400}
    lost = drive(package, steps=[{"options": {**hasty, "attempts": 1},
                                  "calls": [["proxy", token, "POST", SLOW]]}])["steps"][0][0]["error"]
    assert lost["name"] == "NoAnswer"
    got, = values(one(package, w, [["proxy", token, "POST", SLOW, {"id": lost["requestId"]}]],
                      timeoutMs=400, attempts=20))
    assert base64.b64decode(got["body"]) == b'{"id": "slow"}' and effects(w, "/v1/slow") == before + 1
    got, = values(one(package, w, [["proxy", token, "POST", SLOW]], timeoutMs=400, attempts=20))
    assert got["status"] == 200 and effects(w, "/v1/slow") == before + 2


def test_what_is_repeated_is_the_same_bytes_and_issuing_is_never_repeated(package, w):
    with mute_host() as (endpoint, host_key, asked):
        options = {"endpoint": endpoint, "hostKey": host_key, "timeoutMs": 300, "attempts": 3}
        issued, = one(package, w, [["issue", "support"]], **options)
        assert issued["error"]["name"] == "NoAnswer" and len(not_status(asked)) == 1
        called, = one(package, w, [["proxy", "spt_x", "GET", CHARGE]], **options)
        calls = not_status(asked)[1:]
    assert len(calls) == 3 and len(set(calls)) == 1
    assert msgpack.unpackb(calls[0])["id"] == called["error"]["requestId"]


def test_many_calls_are_under_way_at_once(package, w):
    begun, token = time.monotonic(), w.issue("open")
    got = values(one(package, w, [["proxy", token, "POST", SLOW]] * 12))
    assert [item["status"] for item in got] == [200] * 12
    assert time.monotonic() - begun < 12 * 2


def test_a_host_killed_in_the_middle_gives_outcome_unknown_and_no_second_effect(package, w):
    before, token, caught = effects(w, "/v1/slow"), w.issue("open"), []
    thread = threading.Thread(target=lambda: caught.extend(one(
        package, w, [["proxy", token, "POST", SLOW]], timeoutMs=1000, attempts=40,
        connectTimeoutMs=30000)))
    thread.start()
    end = time.monotonic() + 20
    while effects(w, "/v1/slow") == before and time.monotonic() < end:
        time.sleep(0.02)
    w.host.kill9()
    w.host.start()
    thread.join(80)
    assert caught[0]["error"]["name"] == "OutcomeUnknown", caught
    assert caught[0]["error"]["code"] == "outcome_unknown" and effects(w, "/v1/slow") == before + 1


def test_settings_are_found_as_the_command_finds_them(package, w, tmp_path):
    made = tmp_path / "made.key"
    w.host.cli("client", "keygen", made)
    made.chmod(0o644)
    for env, said in (({}, "which client"), ({**w.env, "SALLYPORT_KEY_FILE": str(made)}, "others may"),
                      ({**w.env, "SALLYPORT_HOST_KEY": "/dev/null"}, "no host key"),
                      ({**w.env, "SALLYPORT_DIR": str(tmp_path)}, "sallyport.conf")):
        failed, = one(package, w, [["status"]], env=env)
        assert failed["error"]["name"] == "SettingsError" and said in failed["error"]["message"], failed


def test_the_codes_and_the_types_are_those_of_the_protocol(package):
    codes = codes_of_the_protocol()
    said = drive(package)
    types = (package / "node_modules" / "sallyport" / "index.d.ts").read_text()
    union = re.search(r"export type Code =(.*?);", types, re.S).group(1)
    assert said["codes"] == codes and set(re.findall(r'"(\w+)"', union)) == set(codes)
    declared = re.findall(r"^export (?:class|const|function) (\w+)", types, re.M)
    assert sorted(declared) == sorted(said["names"])


def test_T14_narrowing_offline_agrees_with_the_command(package):
    good, bad = vectors()["good"], vectors()["bad"]
    found = drive(package, narrow=good + bad)["narrow"]
    assert values(found[:len(good)]) == [item["narrowed"] for item in good]
    assert all(item["error"]["name"] == "SettingsError" for item in found[len(good):])


def test_answers_that_are_none_are_told_from_refusals(package):
    good, seed = msgpack.packb(GOOD), random.Random(7)
    wrong = [msgpack.packb(item) for item in BAD]
    wrong += [good + b"\xc0", good[:-1], b"", b"\x82\xa1v\x01\xa1v\x01", b"\x91" * 5000, b"\xc1",
              good.replace(b"\xa1a", b"\xa1\xff")]
    mutated = []
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(seed.randint(1, 4)):
            data[seed.randrange(len(data))] = seed.randrange(256)
        mutated.append(bytes(data))
    found = drive(package, read=[base64.b64encode(data).decode() for data in [good, *wrong, *mutated]])
    first, *rest = found["read"]
    assert first["value"]["headers"] == [["a", "b"]]
    assert all(item["error"]["name"] == "BadReply" for item in rest[:len(wrong)])
    names = {item["error"]["name"] for item in rest[len(wrong):] if "error" in item}
    assert names <= {"BadReply", "Refused", "OutcomeUnknown"}
