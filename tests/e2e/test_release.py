"""What a release is made of: the bill of materials, the signed archive, binaries without a past.
tests/release/ has what takes longer."""
import hashlib
import json
import os
import re
import subprocess
import tarfile

import pytest
from lib import BUILD, build_file, is_sanitized

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ("sallyportd", "sallyport", "sallyport-worker")
# The schema of SPDX 2.3 requires these.
DOCUMENT = {"SPDXID", "creationInfo", "dataLicense", "name", "spdxVersion", "documentNamespace"}
PACKAGE = {"SPDXID", "name", "downloadLocation"}
RELATIONSHIP = {"spdxElementId", "relatedSpdxElement", "relationshipType"}
REFERENCE = {"referenceCategory", "referenceLocator", "referenceType"}


def run(*argv, expect=0, **more):
    done = subprocess.run([str(word) for word in argv], capture_output=True, timeout=120, check=False,
                          **more)
    assert done.returncode == expect, (argv, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode()


def bill(path, programs=PROGRAMS, epoch="1700000000"):
    run(os.path.join(ROOT, "host/install/sbom"), "--version", "1.2.3", "--out", path,
        "--compiled-in", "node-llhttp", *(build_file("host", name) for name in programs),
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch})
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def faults(document):
    """Where it is not what the schema of SPDX 2.3 asks for."""
    ids = {"SPDXRef-DOCUMENT"} | {package.get("SPDXID") for package in document.get("packages", [])}
    yield from ("document: no %s" % name for name in DOCUMENT - document.keys())
    info = document.get("creationInfo", {})
    if not re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z", info.get("created", "")):
        yield "creationInfo.created"
    if not all(re.match(r"(Tool|Person|Organization): ?\S", one)
               for one in info.get("creators") or [""]):
        yield "creationInfo.creators"
    if document.get("spdxVersion") != "SPDX-2.3" or document.get("dataLicense") != "CC0-1.0":
        yield "version or licence of the document"
    for package in document.get("packages", []):
        yield from ("package %s: no %s" % (package.get("name"), name)
                    for name in PACKAGE - package.keys())
        if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", package.get("SPDXID", "")):
            yield "package %s: SPDXID" % package.get("name")
        for reference in package.get("externalRefs", []):
            yield from ("reference: no %s" % name for name in REFERENCE - reference.keys())
    for relation in document.get("relationships", []):
        yield from ("relationship: no %s" % name for name in RELATIONSHIP - relation.keys())
        if not {relation.get("spdxElementId"), relation.get("relatedSpdxElement")} <= ids:
            yield "a relationship with something that is not there"
    if len(ids) != len(document.get("packages", [])) + 1:
        yield "two elements of one id"


def test_the_bill_of_materials_is_spdx_and_names_what_is_linked(tmp_path):
    document = bill(tmp_path / "a.json")
    assert not list(faults(document))
    # The same faults are found where there are some.
    for name in sorted(DOCUMENT | {"packages"}):
        assert list(faults({k: v for k, v in document.items() if k != name})), name
    versions = {package["name"]: package["versionInfo"] for package in document["packages"]}
    assert versions["sallyport"] == "1.2.3"
    for name in set(versions) - {"sallyport"}:
        assert run("dpkg-query", "-W", "-f=${Version}\n", name).split("\n")[0] == versions[name]
    # Asked in another way: what the linker will load for the host by name.
    for library, package in (("libsodium", "libsodium23"), ("libcurl", "libcurl4"),
                             ("libzmq", "libzmq5"), ("libsqlite3", "libsqlite3-0")):
        assert library in run("objdump", "-p", build_file("host", "sallyportd"))
        assert package in versions
    assert "node-llhttp" in versions and "libseccomp2" in versions
    # It is of what is linked, and not a list that somebody keeps.
    alone = {one["name"] for one in bill(tmp_path / "b.json", ["sallyport-worker"])["packages"]}
    assert "libcurl4" not in alone and "libseccomp2" in alone
    assert bill(tmp_path / "c.json") == document


in_checkout = pytest.mark.skipif(
    subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=False,
                   capture_output=True).returncode != 0, reason="no checkout")


@pytest.mark.slow
@in_checkout
def test_a_release_is_the_same_each_time_and_a_changed_one_does_not_verify(tmp_path):
    key = tmp_path / "release.key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "release", "-f", key)
    (tmp_path / "more.txt").write_text("more\n", encoding="utf-8")
    sums = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        out = tmp_path / name
        run(os.path.join(ROOT, "host/install/release"), out, key, tmp_path / "more.txt",
            cwd=tmp_path, umask=umask)
        sums.append((out / "SHA256SUMS").read_text(encoding="utf-8"))
    assert sums[0] == sums[1] and "more.txt" in sums[0]
    archive = next((tmp_path / "one").glob("sallyport-*.tar.gz"))
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in sums[0]
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        assert archive.name[:-len(".tar.gz")] + "/CMakeLists.txt" in names
        assert {member.uid for member in tar.getmembers()} == {0}
    allowed = tmp_path / "allowed_signers"
    public = (tmp_path / "release.key.pub").read_text(encoding="utf-8")
    allowed.write_text('release namespaces="sallyport-release" ' + public, encoding="utf-8")
    verify = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "release", "-n",
              "sallyport-release", "-s", "SHA256SUMS.sig"]
    where = {"cwd": tmp_path / "one"}
    run(*verify, input=sums[0].encode(), **where)
    run("sha256sum", "--strict", "-c", "SHA256SUMS", **where)
    run(*verify, input=sums[0].replace("more", "less").encode(), expect=255, **where)
    archive.write_bytes(archive.read_bytes()[:-1] + b"\x7f")
    run("sha256sum", "--strict", "-c", "SHA256SUMS", expect=1, **where)


def is_released():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        text = file.read()
    return re.search(r"^CMAKE_BUILD_TYPE:\w+=Rel", text, re.M) and not is_sanitized() and \
        not re.search(r"^SALLYPORT_COVERAGE:BOOL=ON", text, re.M)


@pytest.mark.skipif(not is_released(), reason="a build for tests may tell where it was built")
def test_nothing_that_is_installed_tells_where_or_when_it_was_built(tmp_path):
    run("cmake", "--install", BUILD, env={**os.environ, "DESTDIR": str(tmp_path)})
    paths = [ROOT.encode(), os.path.realpath(BUILD).encode()]
    seen = set()
    for folder, _, names in os.walk(tmp_path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            seen.add(name)
            assert not any(path in content for path in paths), os.path.join(folder, name)
            if content.startswith(b"\x7fELF"):
                dynamic = run("readelf", "-d", os.path.join(folder, name))
                assert "RPATH" not in dynamic and "RUNPATH" not in dynamic, name
    assert {"sallyportd", "stripe.so", "sallyport-plugin.pc", "sallyport-worker",
            "SallyportPluginTargets.cmake", "sallyportd.service"} <= seen


@in_checkout
def test_no_source_asks_for_the_time_of_its_build():
    files = run("git", "-C", ROOT, "ls-files", "*.c", "*.h", "*.in", "*.cmake",
                "*CMakeLists.txt").split()
    assert len(files) > 100
    words = re.compile(r"__(DATE|TIME|TIMESTAMP)__|string\(TIMESTAMP")
    assert words.search("int x = __DATE__;")
    for name in files:
        with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
            assert not words.search(file.read()), name
