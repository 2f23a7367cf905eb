"""Whom the host runs as, and where it can be reached: nobody's root, and this machine alone."""
import grp
import os
import pwd
import re
import subprocess

import pytest
from lib import BUILD, Host

OTHER = "nobody"


def may_reach_the_build():
    return subprocess.run(["setpriv", "--reuid", OTHER, "--clear-groups", "test", "-x",
                           os.path.join(BUILD, "host", "sallyportd")],
                          timeout=20, check=False).returncode == 0


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(name="folder")
def folder_fixture(tmp_path):
    """pytest's own are closed to the user that the host becomes."""
    if os.geteuid() == 0:
        if not may_reach_the_build():
            pytest.skip("%s cannot reach the build folder" % OTHER)
        for closed in [tmp_path, *tmp_path.parents]:
            if closed.stat().st_uid == 0 and str(closed).startswith("/tmp/"):
                closed.chmod(0o711)
    return tmp_path / "state"


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def refusal(host):
    """What it says, where it does not start."""
    host.launch()
    assert host.process.wait(30) == 2
    host.process = None
    return host.log()


def say(host, line):
    """Another `user = …` in the settings."""
    path = os.path.join(host.dir, "sallyport.conf")
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^user = .*$", line, file.read(), flags=re.M)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@as_root
def test_root_starts_it_and_it_is_its_own_user_for_good(folder):
    with Host(folder) as host:
        host.init("--user", OTHER)
        uid, gid = pwd.getpwnam(OTHER).pw_uid, pwd.getpwnam(OTHER).pw_gid
        for name in (".", "store.db", "unseal.key", "host.key", "policy", "plugins.pins"):
            assert os.lstat(os.path.join(host.dir, name)).st_uid == uid, name
        host.start()
        status = status_of(host.pid)
        assert set(status["Uid"].split()) == {str(uid)}
        assert set(status["Gid"].split()) == {str(gid)}
        groups = {str(g.gr_gid) for g in grp.getgrall() if OTHER in g.gr_mem} | {str(gid)}
        assert set(status["Groups"].split()) <= groups
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert "privilege.root" not in host.log()
        # What root does in its folder afterwards is the host's, too.
        host.cli("plugin", "pin", os.path.join(BUILD, "lib", "sallyport", "plugins", "rest.so"))
        assert os.lstat(os.path.join(host.dir, "plugins.pins")).st_uid == uid
        for worker in [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]:
            try:
                theirs = status_of(worker)
            except OSError:
                continue
            if theirs.get("PPid") == str(host.pid):
                assert set(theirs["Uid"].split()) == {str(uid)}, theirs["Name"]


@as_root
def test_root_is_refused_unless_it_is_said_and_then_it_is_loud(folder):
    with Host(folder) as host:
        host.init()
        host.start()
        assert "privilege.root" in host.log() and "warning" in host.log()
        host.stop()
        say(host, "user = no-such-user-here")
        assert "there is no user 'no-such-user-here'" in refusal(host)
        say(host, "user =")
        try:
            pwd.getpwnam("sallyport")
        except KeyError:
            said = refusal(host)
            assert "nothing needs root" in said and "user = NAME" in said


@as_root
def test_somebody_else_than_the_settings_name_cannot_start_it(folder):
    with Host(folder) as host:
        host.init("--user", OTHER)
        host.wrapper = ["setpriv", "--reuid", OTHER, "--clear-groups"]
        host.start()
        host.stop()
        say(host, "user = root")
        assert "somebody else started it" in refusal(host)


def listening(pid):
    """(protocol, address) of every socket that waits for somebody; a Unix socket's path."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        found = re.match(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        if found:
            inodes.add(found.group(1))
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        with open("/proc/%d/net/%s" % (pid, protocol), encoding="utf-8") as file:
            for line in file.readlines()[1:]:
                words = line.split()
                if words[9] in inodes and (words[3] == "0A" or not protocol.startswith("tcp")):
                    found.append((protocol, words[1].split(":")[0]))
    with open("/proc/%d/net/unix" % pid, encoding="utf-8") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if words[6] in inodes and int(words[3], 16) & 0x10000:  # __SO_ACCEPTCON
                found.append(("unix", words[7] if len(words) > 7 else ""))
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="a host shows its sockets to root alone")
def test_nothing_listens_by_default_but_loopback_and_a_unix_socket(tmp_path):
    with Host(tmp_path / "state") as host:
        host.start()
        assert sorted(listening(host.pid)) == [("tcp", "0100007F"),
                                               ("unix", os.path.join(host.dir, "admin.sock"))]
        assert os.lstat(os.path.join(host.dir, "admin.sock")).st_mode & 0o077 == 0
        with open(os.path.join(host.dir, "sallyport.conf"), encoding="utf-8") as file:
            assert "\n#client_endpoint = tcp://127.0.0.1:7250\n" in file.read()


@as_root
def test_what_root_restores_is_the_hosts(folder):
    with Host(folder) as host:
        host.init("--user", OTHER)
        host.start()
        copy = os.path.join(host.dir, "copy")
        host.cli("backup", copy)
        host.stop()
        host.cli("restore", copy)
        assert os.lstat(os.path.join(host.dir, "store.db")).st_uid == pwd.getpwnam(OTHER).pw_uid
        host.start()


@as_root
def test_init_takes_settings_that_are_there_and_no_user_who_is_not(folder):
    host = Host(folder)
    assert "there is no user 'no-such-user-here'" in host.cli(
        "init", "--user", "no-such-user-here", expect=2)
    assert "absolute" in host.cli("init", "--settings", "some.conf", expect=2)
    assert not os.path.exists(host.dir)
    settings, policy = folder.parent / "settings.conf", folder.parent / "policy"
    policy.mkdir()
    settings.write_text("[host]\nuser = %s\nstate_dir = %s\npolicy_dir = %s\nkey_file = %s/unseal.key\n"
                        "client_endpoint = tcp://127.0.0.1:*\nplugin_dir = %s\n"
                        % (OTHER, host.dir, policy, host.dir,
                           os.path.join(BUILD, "lib", "sallyport", "plugins")), encoding="utf-8")
    for path in (settings, policy):
        path.chmod(0o755)
    with host:
        host.cli("init", "--settings", settings)
        assert os.readlink(os.path.join(host.dir, "sallyport.conf")) == str(settings)
        assert not os.path.exists(os.path.join(host.dir, "policy"))
        host.start()
        assert status_of(host.pid)["Uid"].split()[0] == str(pwd.getpwnam(OTHER).pw_uid)
        other = Host(folder)
        assert "nothing was changed" in other.cli("init", "--settings", settings, expect=2)
