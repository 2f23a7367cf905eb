"""The C library: installed into an empty prefix, built against from an empty folder, and run against a
real host. The sallyport command is built on the same objects."""
import os
import re
import shutil
import subprocess
import time

import msgpack
import pytest
from client_world import (CLIENTS, SLOW, TRAILERS, TRAILING, client_world, codes_of_the_protocol, example,
                          free_port, mute_host, not_status, vectors)
from lib import Curve, is_sanitized
from lib.host import BUILD, build_file
from world import CHARGE, REFUNDS

HERE = os.path.dirname(os.path.abspath(__file__))
REFUSED, NOT_CONNECTED, NO_ANSWER, SETTINGS = -25, -22, -23, -21
BAD_REPLY, BROKEN = -24, -28
NO_HOST, HOST_KEY, CLIENT_KEY, SILENT = 1, 2, 3, 4
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def run(argv, expect=0, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, timeout=60, check=False,
                          **options)
    assert done.returncode == expect, (argv, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


def cached(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        return (re.findall(r"^%s:\w+=(.*)$" % name, file.read(), re.M) or [""])[0]


class Installed:
    """The library in a prefix of its own, and what it takes to build against it."""

    def __init__(self, folder):
        build_file("host", "clients", "c", "libsallyport.so")
        self.prefix, self.folder = folder / "prefix", folder
        run(["cmake", "--install", BUILD, "--component", "client-c", "--prefix", self.prefix])
        self.libs = str(next(self.prefix.glob("**/libsallyport.so")).parent)
        self.env = {**os.environ, "PKG_CONFIG_PATH": self.libs + "/pkgconfig",
                    "LD_LIBRARY_PATH": self.libs}
        kinds = cached("SALLYPORT_SANITIZE").replace(";", ",")
        self.flags = ["-fsanitize=" + kinds] if kinds else []
        self.cc = cached("CMAKE_C_COMPILER")

    def pkg_config(self, *what):
        return run(["pkg-config", *what, "sallyport"], env=self.env).split()

    def build(self, source, name, flags=("-std=c99", *STRICT), libs=None, cc=None):
        out = self.folder / name
        run([cc or self.cc, *flags, *self.flags, *self.pkg_config("--cflags"), source, "-o", out,
             *(libs or self.pkg_config("--libs"))], cwd=self.folder)
        return out


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    with client_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def ask(installed, w):
    """ask(OPERATION, ARGUMENTS…): what the program printed, as a dict."""
    program = installed.build(os.path.join(HERE, "c", "ask.c"), "ask")

    def asked(*args, key=None, timeout=20000, endpoint="-", host_key="-", expect=0):
        out = run([program, w.host.dir, key or w.env["SALLYPORT_KEY_FILE"], timeout, endpoint, host_key,
                   *args], expect=expect, env=installed.env)
        lines = dict(line.split(" ", 1) for line in out.splitlines())
        return {name: int(value) if re.fullmatch(r"-?\d+", value) else value
                for name, value in lines.items()}
    return asked


def effects(w, path):
    return sum(request["target"] == path for request in w.recorder.requests())


def test_the_example_of_the_readme_builds_and_runs_from_the_installed_package_alone(installed, w):
    source = installed.folder / "example.c"
    source.write_text(example("c", "c"))
    shared = installed.build(source, "shared")
    linked = run(["ldd", shared], env=installed.env)
    assert installed.libs + "/libsallyport.so.0" in linked
    static = installed.build(source, "static", libs=[installed.libs + "/libsallyport.a",
                                                     "-lzmq", "-lsodium", "-linih"])
    assert "libsallyport" not in run(["ldd", static], env=installed.env)
    for program in (shared, static):
        argv = [program, w.host.dir, w.env["SALLYPORT_KEY_FILE"]]
        assert run([*argv, w.issue()], env=installed.env) == '200 {"id": "ch_1"}\n'
        assert run([*argv, "spt_nonsense"], env=installed.env).startswith("token_invalid: ")


def test_the_cmake_package_is_enough(installed):
    folder = installed.folder / "by-cmake"
    folder.mkdir()
    (folder / "main.c").write_text(example("c", "c"))
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(mine LANGUAGES C)\n"
        "find_package(Sallyport 0.1 REQUIRED)\nadd_executable(mine main.c)\n"
        "target_link_libraries(mine PRIVATE Sallyport::Client)\n")
    run(["cmake", "-S", folder, "-B", folder / "b", "-DCMAKE_PREFIX_PATH=%s" % installed.prefix,
         "-DCMAKE_C_COMPILER=" + installed.cc, "-DCMAKE_C_FLAGS=" + " ".join(installed.flags)])
    run(["cmake", "--build", folder / "b"])
    run([folder / "b" / "mine"], expect=2)


@pytest.mark.parametrize("words", ["-xc -std=c99", "-xc -std=c11", "-xc -std=c17", "-xc++ -std=c++11",
                                   "-xc++ -std=c++17"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_header_compiles_without_a_warning(installed, words, compiler):
    if not shutil.which(compiler):
        pytest.skip("no " + compiler)
    source = ("#include <sallyport.h>\nstatic struct sallyport_settings s = SALLYPORT_SETTINGS_INIT;\n"
              "static struct sallyport_call c = SALLYPORT_CALL_INIT;\n"
              "static struct sallyport_want i = SALLYPORT_WANT_INIT;\n"
              "int main(void) { return (int)(s.size + c.size + i.size) == 0; }\n")
    run([compiler, *words.split(), *STRICT, "-Wshadow", "-fsyntax-only",
         *installed.pkg_config("--cflags"), "-"], input=source.encode())


def test_the_library_shows_its_own_names_and_needs_few_others(installed):
    names = run(["nm", "-D", "--defined-only", installed.libs + "/libsallyport.so"])
    assert {line.split()[-1].split("@")[0] for line in names.splitlines()} - {"SALLYPORT_0"} == set(
        re.findall(r"\b(sallyport_\w+)\(", re.sub(r"/\*.*?\*/", "", open(
            os.path.join(CLIENTS, "c", "include", "sallyport.h"), encoding="utf-8").read(),
            flags=re.S)))
    in_archive = run(["nm", "-g", "--defined-only", installed.libs + "/libsallyport.a"])
    assert not re.search(r" [TDBR] (?!sallyport_)(?!__(odr_)?asan)\w", in_archive)
    needed = run(["readelf", "-d", installed.libs + "/libsallyport.so"])
    wanted = set(re.findall(r"Shared library: \[lib(\w+)", needed))
    assert wanted <= {"inih", "sodium", "zmq", "c", "m", "asan", "ubsan", "tsan", "clang_rt"}, wanted
    assert "soname: [libsallyport.so.0]" in needed


def test_every_operation_answers_what_the_protocol_says(ask, w):
    status = ask("status")
    assert status["state"] == "ready" and status["ready"] == 1
    issued = ask("issue", "support", "10m")
    assert issued["scope"] == "support" and 0 < issued["expires_in_ms"] <= 600000
    token = ask("narrow", issued["token"], "allow GET https://api.stripe.com/v1/charges/*")["token"]
    answer = ask("proxy", token, "GET", CHARGE)
    assert (answer["http"], answer["body"]) == (200, '{"id": "ch_1"}')
    assert answer["type"] == answer["header-content-type"] == "application/json"
    assert ask("check", token, "GET", CHARGE)["allowed"] == 1
    assert ask("check", token, "POST", REFUNDS)["allowed"] == 0
    assert ask("inspect", token)["principal"] == "desk"
    assert ask("revoke", issued["root"])["root"] == issued["root"]
    refused = ask("proxy", token, "GET", CHARGE, expect=1)
    assert (refused["status"], refused["code"], refused["retryable"]) == (REFUSED, "token_revoked", 0)
    other = ask("issue", "open")
    assert ask("revoke", other["token"])["root"] == other["root"]


def test_a_refusal_says_which_rule_and_a_wrong_argument_sends_nothing(ask):
    token = ask("issue", "support")["token"]
    refused = ask("proxy", token, "POST", REFUNDS, "{}", expect=1)
    assert refused["status"] == REFUSED and refused["code"] == "not_allowed" and refused["id"]
    assert ask("proxy", token, "GET", CHARGE, "", "x" * 65, expect=1)["status"] == SETTINGS
    assert ask("narrow", "spt_nonsense", "allow", expect=1)["status"] == SETTINGS
    assert ask("narrow", token, "allow nonsense", expect=1)["status"] == SETTINGS
    assert ask("status", key="-", expect=1)["status"] == SETTINGS


def test_narrowing_gives_what_the_vectors_say(ask):
    for one in vectors()["good"]:
        assert ask("narrow", one["token"], one["caveat"])["token"] == one["narrowed"], one
    for one in vectors()["bad"]:
        if "\0" not in one["token"] + one["caveat"]:
            assert ask("narrow", one["token"], one["caveat"], expect=1)["status"] == SETTINGS, one


def test_T9_a_repeated_id_has_one_effect_and_another_request_is_a_conflict(ask, w):
    token, path = ask("issue", "open")["token"], "/v1/charges/c-1"
    url = "https://api.stripe.com" + path
    assert ask("proxy", token, "GET", url, "", "c-1")["replayed"] == 0
    assert ask("proxy", token, "GET", url, "", "c-1")["replayed"] == 1
    assert effects(w, path) == 1
    assert ask("proxy", token, "GET", CHARGE, "", "c-1", expect=1)["code"] == "conflict"


def test_T9_a_time_out_is_repeated_under_one_id_with_one_effect(ask, w):
    token, before = ask("issue", "open")["token"], effects(w, "/v1/slow")
    answer = ask("proxy", token, "POST", SLOW, "a=1", timeout=700)
    assert answer["body"] == '{"id": "slow"}' and effects(w, "/v1/slow") == before + 1


def test_nothing_is_sent_where_nobody_is_and_the_cause_is_told(ask, w, installed, tmp_path):
    def cause(**options):
        failed = ask("status", timeout=800, expect=1, **options)
        assert failed["status"] == NOT_CONNECTED and "Nothing was sent" in failed["text"]
        return failed["cause"]
    stranger = Curve().write(tmp_path / "stranger.key")
    assert cause(endpoint="tcp://127.0.0.1:%d" % free_port()) == NO_HOST
    assert cause(host_key=Curve().public) == HOST_KEY
    assert cause(key=stranger) == CLIENT_KEY
    # The command says the same.
    done = subprocess.run([build_file("host", "sallyport"), "--dir", w.host.dir, "--key-file", stranger,
                           "--timeout", "1", "token", "issue", "--scope", "open"],
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 3 and b"not registered" in done.stderr


def test_what_was_sent_and_not_answered_is_told_from_what_was_not_sent(ask):
    with mute_host() as (endpoint, host_key, asked):
        failed = ask("issue", "open", timeout=300, endpoint=endpoint, host_key=host_key, expect=1)
        assert failed["status"] == NO_ANSWER and failed["id"]
        assert len(not_status(asked)) == 1
        failed = ask("proxy", "spt_x", "GET", CHARGE, timeout=300, endpoint=endpoint,
                     host_key=host_key, expect=1)
        assert failed["status"] == NO_ANSWER
        sent = not_status(asked)[1:]
        assert len(sent) == 2 and sent[0] == sent[1]


HEAD = {"v": 1, "ok": True, "id": "i", "status": 200, "headers": [], "stream": True}
PART = {"v": 1, "ok": True, "id": "i", "seq": 0, "data": b"x 1\n"}


@pytest.mark.parametrize("answers", [[{**PART, "seq": 1}], [{**PART, "id": "j"}], [PART, PART],
                                     [PART, {"v": 1, "ok": True, "id": "i", "seq": 2, "end": True}],
                                     [PART, {"v": 1, "ok": False, "id": "i"}], [b"\xc1"], [HEAD]])
def test_a_host_that_breaks_the_protocol_of_streams_is_a_broken_stream(ask, answers):
    packed = [one if isinstance(one, bytes) else msgpack.packb(one) for one in [HEAD, *answers]]
    with mute_host(packed) as (endpoint, host_key, _):
        failed = ask("stream", "t", "GET", CHARGE, "", "i", endpoint=endpoint, host_key=host_key, expect=1)
        assert failed["status"] == BROKEN and failed["code"] == ""


def test_a_host_that_breaks_the_protocol_is_a_bad_reply(ask):
    good = {"v": 1, "ok": True, "id": "i", "status": 200, "headers": [], "body": b""}
    changes = [{"v": 2}, {"v": True}, {"ok": 1}, {"id": "j"}, {"status": True}, {"body": "text"},
               {"headers": {"a": "b"}}, {"x": msgpack.ExtType(1, b"a")}, {"ok": False}, {"error": 1, "ok": False}]
    none = {name: value for name, value in good.items() if name != "id"}
    for bad in [*({**good, **change} for change in changes), none, [1], b"", b"\x83",
                {**HEAD, "stream": 1}]:
        packed = bad if isinstance(bad, bytes) else msgpack.packb(bad)
        with mute_host([packed]) as (endpoint, host_key, _):
            for op in ("proxy", "stream"):
                failed = ask(op, "t", "GET", CHARGE, "", "i", endpoint=endpoint, host_key=host_key, expect=1)
                assert failed["status"] == BAD_REPLY, (bad, failed)


EVENTS = [["content-type", "text/event-stream"]]


@pytest.fixture
def upstream(w):
    """The recorder, which answers as ever afterwards."""
    yield w.recorder
    w.answer()


@pytest.fixture(params=["library", "command"])
def streaming(request, ask, installed, w, tmp_path):
    """start(TOKEN): a process that writes the answer to a GET as it comes."""
    started = []

    def start(token):
        key = w.env["SALLYPORT_KEY_FILE"]
        if request.param == "library":
            argv = [installed.folder / "ask", w.host.dir, key, 20000, "-", "-", "stream", token, "GET",
                    CHARGE]
        else:
            (tmp_path / "token").write_text(token + "\n")
            argv = [build_file("host", "sallyport"), "--dir", w.host.dir, "--key-file", key, "call",
                    "--token-file", tmp_path / "token", "GET", CHARGE]
        started.append(subprocess.Popen([str(word) for word in argv], env=installed.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]
    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.alone
def test_events_are_written_as_they_are_sent(ask, streaming, upstream):
    upstream.answer({"*": {"headers": EVENTS, "chunks": [[100, "data: NOW\n\n"]] * 12}})
    process, late = streaming(ask("issue", "open")["token"]), []
    for _ in range(12):
        late.append(time.time() - float(process.stdout.readline().split()[1]))
        assert process.stdout.readline() == b"\n"
    assert sorted(late)[6] < 0.05, late
    assert process.stdout.read() == b"" and process.wait(10) == 0


def test_trailers_are_there_once_a_stream_is_over(ask, streaming, upstream, request):
    upstream.answer({"*": TRAILING})
    process = streaming(ask("issue", "open")["token"])
    out, err = process.communicate(timeout=10)
    assert (out, process.returncode) == (b"data: 1\n\n", 0)
    if "library" in request.node.name:  # the command writes the body alone
        lines = [line.split(" ", 2)[1:] for line in err.decode().splitlines() if line.startswith("trailer ")]
        assert lines == TRAILERS and b"trailers before 0\n" in err and b"checksum 12ab none 1\n" in err


def test_a_large_download_takes_little_memory_of_the_client(ask, streaming, upstream):
    size = (16 if is_sanitized() else 256) << 20
    upstream.answer({"*": {"fill": size}})
    process, n = streaming(ask("issue", "open")["token"]), 0
    while data := process.stdout.read1(1 << 20):
        if n < size // 2 <= n + len(data):
            with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
                peak_kib = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
        n += len(data)
    assert n == size and process.wait(10) == 0
    assert is_sanitized() or peak_kib < 24 << 10


def test_a_stream_that_is_cut_is_an_error_of_its_own(ask, streaming, upstream, request):
    upstream.answer({"*": {"headers": EVENTS, "chunks": [[50, "data: 1\n\n"]] * 200}})
    issued = ask("issue", "open")
    process = streaming(issued["token"])
    assert process.stdout.readline() == b"data: 1\n"
    ask("revoke", issued["root"])
    out, err = process.communicate(timeout=5)
    assert process.returncode == 1 and b"token_revoked" in out + err
    assert (b"status -28" in out) == (b"broke off" not in err)


def test_a_stream_whose_host_dies_ends(ask, streaming, upstream, w):
    upstream.answer({"*": {"headers": EVENTS, "chunks": [[50, "data: 1\n\n"]] * 600}})
    process = streaming(ask("issue", "open")["token"])
    assert process.stdout.readline() == b"data: 1\n"
    w.host.kill9()
    try:
        out, err = process.communicate(timeout=3)
        assert process.returncode in (1, 3) and b"status -28" in out or b"broke off" in err
    finally:
        w.host.start()


def test_a_refused_stream_and_a_short_one(ask, streaming, upstream):
    process = streaming(ask("issue", "open")["token"])
    assert process.communicate(timeout=10)[0] == b'{"id": "ch_1"}' and process.returncode == 0
    process = streaming("spt_nonsense")
    assert b"token_invalid" in process.communicate(timeout=10)[0] and process.returncode == 1


def test_the_longest_code_of_the_protocol_has_room():
    with open(os.path.join(CLIENTS, "c", "include", "sallyport.h"), encoding="utf-8") as file:
        room = int(re.search(r"char code\[(\d+)\]", file.read()).group(1))
    assert max(map(len, codes_of_the_protocol())) < room
