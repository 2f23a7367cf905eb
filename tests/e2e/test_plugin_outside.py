"""A plugin of somebody else's: built in an empty folder from what `cmake --install` gave and nothing
else, by the steps of docs/plugins.md, and then a provider like any other."""
import json
import os
import re
import shutil
import subprocess

import pytest
from lib import BUILD, Curve, Host, build_file, canary
from lib.host import ROOT
from test_workers import workers

# The pkg-config one is `bolt`, so that both can be in one host.
HOSTS = {"acme": "api.acme.test", "bolt": "api.bolt.test"}
POLICY = """sallyport 1
scope acme { key k-acme ttl 1h allow GET https://api.acme.test/v1/things }
scope bolt { key k-bolt ttl 1h allow GET https://api.bolt.test/v1/things }
principal desk {
  curve "%s"
  may issue acme for 1h
  may issue bolt for 1h
}
"""
# What the first comment of fake_host.h shows, made a program for `acme`.
UNIT_TEST = """#undef NDEBUG
#include <assert.h>
#include <sallyport/fake_host.h>

const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host);

static struct sallyport_fake_host fake;

int main(void)
{
    sallyport_fake_host_init(&fake);
    const struct sallyport_plugin *plugin = sallyport_plugin_v1(&fake.table);
    assert(sallyport_fake_describe(&fake, plugin) == SALLYPORT_OK);
    assert(sallyport_fake_pushed(&fake, "host api.acme.test"));
    sallyport_fake_secret(&fake, "api_key");
    assert(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN) == SALLYPORT_OK);
    assert(sallyport_fake_pushed(&fake, "place header x-api-key {api_key}"));
    return !sallyport_fake_pushed(&fake, "place header %s {api_key}");
}
"""


def run(*argv, expect=0, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, timeout=120, check=False,
                          **options)
    if done.returncode != expect:
        raise AssertionError("%s: %s" % (argv, (done.stdout + done.stderr).decode()))
    return done.stdout.decode()


class Outside:
    """The SDK in a prefix, and `acme.so` and `bolt.so` built against it."""

    def __init__(self, folder):
        self.folder, self.prefix = folder, folder / "prefix"
        run("cmake", "--install", BUILD, "--component", "plugin_dev", "--prefix", self.prefix)
        (package,) = self.prefix.glob("**/SallyportPluginConfig.cmake")
        # Those of a user who has the package and no checkout.
        self.env = {"PATH": os.environ["PATH"],
                    "PKG_CONFIG_PATH": str(package.parents[2] / "pkgconfig")}
        (template,) = self.prefix.glob("share/doc/**/examples/plugin/template")
        self.plugins = folder / "plugins"
        self.plugins.mkdir(mode=0o755)
        self.commands = []
        for name, build in (("acme", self.by_cmake), ("bolt", self.by_pkg_config)):
            mine = folder / name
            shutil.copytree(template, mine)
            self.make_mine(mine, name)
            installed = self.plugins / (name + ".so")
            shutil.copy(build(mine, name), installed)
            os.chmod(installed, 0o644)

    @staticmethod
    def make_mine(mine, name):
        """Steps 1 to 3."""
        (mine / "template.c").rename(mine / (name + ".c"))
        for file, changes in {
                name + ".c": {'SALLYPORT_TEXT("template")': 'SALLYPORT_TEXT("%s")' % name,
                              "api.example.com": HOSTS[name]},
                "CMakeLists.txt": {"sallyport_template": "sallyport_" + name,
                                   "(template template.c)": "(%s %s.c)" % (name, name)}}.items():
            text = (mine / file).read_text()
            for old, new in changes.items():
                assert old in text
                text = text.replace(old, new)
            (mine / file).write_text(text)

    def by_cmake(self, mine, name):
        run("cmake", "-S", mine, "-B", mine / "build", "-DCMAKE_PREFIX_PATH=%s" % self.prefix,
            "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", env=self.env)
        run("cmake", "--build", mine / "build", env=self.env)
        self.commands += [(mine / "build" / "compile_commands.json").read_text(),
                          (mine / "build" / "CMakeCache.txt").read_text()]
        return mine / "build" / (name + ".so")

    def pkg_config(self, what):
        return run("pkg-config", what, "sallyport-plugin", env=self.env).split()

    def by_pkg_config(self, mine, name):
        argv = ["cc", *self.pkg_config("--cflags"), name + ".c", *self.pkg_config("--libs"),
                "-o", name + ".so"]
        run(*argv, cwd=mine, env=self.env)
        self.commands.append(" ".join(argv))
        return mine / (name + ".so")


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    return Outside(tmp_path_factory.mktemp("outside"))


def from_folder(host, plugins):
    """The host, set up with that folder of plugins."""
    host.init()
    path = os.path.join(host.dir, "sallyport.conf")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^plugin_dir = .*$", "plugin_dir = %s" % plugins, text, flags=re.M))
    return host


@pytest.fixture(scope="module")
def w(outside, tmp_path_factory):
    import upstreams
    folder = tmp_path_factory.mktemp("host")
    with upstreams.Recorder(str(folder / "recorder")) as recorder, Host(folder / "state") as host:
        recorder.answer({"*": {"body": '{"things":[]}'}})
        from_folder(host, outside.plugins)
        for name in HOSTS:
            host.cli("plugin", "pin", outside.plugins / (name + ".so"))
        desk = Curve()
        host.write_policy("p.scope", POLICY % desk.public)
        host.start()
        host.keys = {name: canary(name) for name in HOSTS}
        for name, key in host.keys.items():
            host.key_add("k-" + name, name, {"upstream": recorder.url}, {"api_key": key})
        host.reload()
        host.recorder, host.desk = recorder, host.client(desk)
        yield host


def test_nothing_of_the_checkout_is_needed_to_build_one(outside):
    for text in outside.commands:
        assert str(outside.prefix) in text
        assert ROOT not in text and BUILD not in text, text


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_it_shows_its_entry_point_and_nothing_else(outside, name):
    names = run("nm", "--dynamic", "--defined-only", outside.plugins / (name + ".so")).split("\n")
    assert [line.split()[-1] for line in names if line] == ["sallyport_plugin_v1"]
    assert "RUNPATH" not in run("readelf", "--dynamic", outside.plugins / (name + ".so"))


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_what_it_lacks_is_told_when_it_is_linked(outside, name, tmp_path):
    mine = tmp_path / name
    shutil.copytree(outside.folder / name, mine, ignore=shutil.ignore_patterns("build", "*.so"))
    with open(mine / (name + ".c"), "a", encoding="utf-8") as file:
        file.write("int nowhere(void);\nint somewhere(void);\nint somewhere(void) { return nowhere(); }\n"
                   "__attribute__((constructor)) static void use(void) { (void)somewhere(); }\n")
    with pytest.raises(AssertionError, match="undefined reference to `nowhere'"):
        (outside.by_cmake if name == "acme" else outside.by_pkg_config)(mine, name)


def test_T47_without_its_pin_it_is_no_provider_but_for_its_author_who_is_told(outside, tmp_path):
    with from_folder(Host(tmp_path / "strict"), outside.plugins) as host:
        host.cli("plugin", "pin", outside.plugins / "acme.so")
        host.start()
        said = host.await_log("plugin.refused.*bolt.so")
        assert "not pinned (SHA-256 " in said and "`sallyport plugin pin " in said
        assert [plugin["id"] for plugin in host.cli_json("plugin", "list")["plugins"]] == ["acme"]
    with from_folder(Host(tmp_path / "author", options=["--dev-plugins"]), outside.plugins) as host:
        host.start()
        assert " warning " in host.await_log("plugin.dev.*hashes are NOT checked; never in production")
        assert sorted(workers(host)) == ["acme.so", "bolt.so"]


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_it_serves_a_call_from_a_worker_of_its_own(w, name):
    assert sorted(workers(w)) == ["acme.so", "bolt.so"]
    assert name in {plugin["id"] for plugin in w.cli_json("plugin", "list")["plugins"]}
    url = "https://%s/v1/things" % HOSTS[name]
    token = w.desk.ok("issue", scope=name)["token"]
    answer = w.desk.ok("proxy", token=token, method="GET", url=url)
    assert (answer["status"], json.loads(answer["body"])) == (200, {"things": []})
    headers = {header.lower(): value for header, value in w.recorder.requests()[-1]["headers"]}
    assert headers["x-api-key"] == w.keys[name] and headers["host"] == HOSTS[name]
    assert token not in str(headers)
    other = w.desk.refused("proxy", token=token, method="GET", url=url + "/1")
    assert other["code"] == "not_allowed"


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_it_passes_the_conformance_tests(outside, name):
    path = outside.plugins / (name + ".so")
    report = json.loads(run(build_file("host", "sallyport"), "plugin", "check", "--json", "--fuzz",
                            "100", path))
    assert report["failed"] == report["warned"] == 0 and report["passed"] > 8, report


@pytest.mark.parametrize("header, expect", [("x-api-key", 0), ("authorization", 1)])
def test_its_author_tests_it_without_sallyport(outside, header, expect):
    source = outside.folder / "unit.c"
    source.write_text(UNIT_TEST % header)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *outside.pkg_config("--cflags")]
    run("cc", *flags, source, outside.folder / "acme" / "acme.c", "-o", outside.folder / "unit",
        env=outside.env)
    run(outside.folder / "unit", expect=expect, env={})
