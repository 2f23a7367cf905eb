"""Real clients, unchanged, through the HTTP front door: each changes its base URL and its key, and
nothing else. Allowed and refused calls, against upstreams that check the real key."""
import json
import os
import subprocess

import pytest
import requests
import upstreams
from lib import Curve, Host, canary

HERE = os.path.dirname(os.path.abspath(__file__))
GITHUB_KEY = "ghp_" + "Aa1" * 12
POLICY = """sallyport 1

scope shop {
  key stripe-main
  ttl 1h

  @charge  allow POST https://api.stripe.com/v1/charges
  @read    allow GET  https://api.stripe.com/v1/charges
  @one     allow GET  https://api.stripe.com/v1/charges/*
  @refund  allow POST https://api.stripe.com/v1/refunds
             where body.charge starts "ch_" and body.amount in 1..5000
               and body only {charge, amount}
}

scope triage {
  key bot
  ttl 1h

  @issues  allow {GET POST} https://api.github.com/repos/acme/site/issues
}

principal desk {
  curve "%s"
  may issue shop for 1h
  may issue triage for 1h
}
"""
SETTINGS = {"http local": {"listen": "127.0.0.1:0"},
            "http stripe": {"listen": "127.0.0.1:0", "mode": "provider stripe"},
            "http github": {"listen": "unix:github.sock", "mode": "provider github"}}


def node(script, given):
    done = subprocess.run([upstreams.NODE, os.path.join(HERE, "node", script)], check=False,
                          input=json.dumps(given).encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout), done.stdout + done.stderr


@pytest.fixture
def shop(tmp_path):
    log = tmp_path / "github.log"
    with upstreams.stripe() as stripe, upstreams.github(GITHUB_KEY, log) as github:
        with Host(tmp_path / "state", settings=SETTINGS) as host:
            desk = Curve()
            host.write_policy("shop.scope", POLICY % desk.public)
            host.start()
            host.stripe_key = canary("sk_test_")
            host.key_add("stripe-main", "stripe", {"upstream": stripe.url},
                         {"api_key": host.stripe_key})
            host.key_add("bot", "github", {"upstream": github.url}, {"token": GITHUB_KEY})
            host.reload()
            host.issue = lambda scope: host.client(desk).ok("issue", scope=scope)["token"]
            host.github_log = lambda: log.read_text().splitlines()
            host.github_url = github.url
            yield host


def test_stripe_node_creates_lists_refunds_and_is_refused_once(shop):
    at = shop.http_at("stripe")
    out, said = node("stripe_sdk.mjs", {"host": "127.0.0.1", "port": int(at.rsplit(":", 1)[1]),
                                        "token": "rk_test_" + shop.issue("shop")})
    assert sorted(out["listed"]) == sorted(out["created"]) and len(out["created"]) == 5
    assert out["refund"] == {"amount": 4000, "charge": out["created"][0]}
    # A refusal is an error to the SDK, and the SDK knows why.
    assert out["over"]["status"] == 403 and "amount" in out["over"]["message"]
    assert out["over"]["name"] == "StripePermissionError"
    assert out["other"]["status"] == 403 and "not_allowed" in out["other"]["message"]
    assert out["missing"]["status"] == 404 and out["missing"]["name"] == "StripeInvalidRequestError"
    shop.stop()
    records = shop.audit_records()
    # One request each, not three: two refusals, and nothing of them upstream.
    assert [record["type"] for record in records].count("denied") == 2
    pages = [record for record in records if record["type"] == "intent"
             and record["rule"] == "read"]
    assert len(pages) == 3
    assert shop.stripe_key.encode() not in said


def test_octokit_follows_the_links_of_three_pages_through_the_front_door(shop):
    base = shop.http_at("local") + "/github"
    out, said = node("octokit.mjs", {"baseUrl": base, "token": shop.issue("triage")})
    assert out["titles"] == ["issue %d" % i for i in range(1, 8)]
    assert out["links"] and all(shop.github_url not in link for link in out["links"])
    assert all("<%s/repos/acme/site/issues?" % base in link for link in out["links"])
    assert out["refusal"]["status"] == 403 and "not_allowed" in out["refusal"]["message"]
    # The upstream saw each page once, and took the key of each: none of them came past us with
    # a token, which it answers 401.
    pages = [line for line in shop.github_log() if line.startswith("GET ")]
    assert len(pages) == 3 and all(line.endswith(" 200") for line in pages)
    assert all("401" not in line and "DELETE" not in line for line in shop.github_log())
    shop.stop()
    types = [record["type"] for record in shop.audit_records()]
    assert types.count("intent") == 3 + 7 and types.count("denied") == 1
    assert GITHUB_KEY.encode() not in said


def test_curl_through_the_unix_socket_by_the_upstreams_own_name(shop):
    argv = ["curl", "-sSi", "--max-time", "20", "--unix-socket", shop.http_at("github")[5:],
            "-H", "Authorization: token " + shop.issue("triage")]
    done = subprocess.run([*argv, "http://api.github.com/repos/acme/site/issues"], check=True,
                          capture_output=True, timeout=30)
    assert done.stdout.startswith(b"HTTP/1.1 200") and done.stdout.endswith(b"[]")
    done = subprocess.run([*argv, "http://api.github.com/user"], check=True, capture_output=True,
                          timeout=30)
    assert done.stdout.startswith(b"HTTP/1.1 403") and b'"code":"not_allowed"' in done.stdout


def test_python_requests_with_a_session_and_basic_auth(shop):
    with requests.Session() as session:
        session.auth = (shop.issue("shop"), "")
        session.trust_env = False
        url = shop.http_at("stripe") + "/v1/"
        made = session.post(url + "charges", data={"amount": 1000, "currency": "usd",
                                                   "source": "tok_visa"})
        assert made.status_code == 200 and made.json()["amount"] == 1000
        good = session.post(url + "refunds", data={"charge": made.json()["id"], "amount": 500})
        assert good.status_code == 200 and good.json()["amount"] == 500
        bad = session.post(url + "refunds", data={"charge": made.json()["id"], "amount": 500,
                                                  "metadata[x]": "1"})
        assert bad.status_code == 403 and bad.json()["rule"] == "refund"
        assert session.get(url + "charges", stream=True).json()["data"]


def test_gh_api_through_the_unix_socket(shop, tmp_path):
    """GitHub's own command; it asks for the upstream's own name on the socket it is given."""
    config = tmp_path / "gh"
    config.mkdir()
    (config / "config.yml").write_text("http_unix_socket: %s\nversion: 1\n"
                                       % shop.http_at("github")[5:])
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GH_CONFIG_DIR": str(config),
           "GH_TOKEN": shop.issue("triage"), "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}

    def gh(*args):
        return subprocess.run(["gh", "api", *args], env=env, capture_output=True, timeout=30,
                              check=False)

    for number in range(1, 5):
        made = gh("repos/acme/site/issues", "-f", "title=issue %d" % number)
        assert made.returncode == 0, made.stderr.decode()
    listed = gh("--paginate", "repos/acme/site/issues?per_page=2", "--jq", ".[].title")
    assert listed.returncode == 0, listed.stderr.decode()
    assert sorted(listed.stdout.decode().split("\n")[:-1]) == ["issue %d" % n for n in range(1, 5)]
    refused = gh("user")
    assert refused.returncode == 1 and b"403" in refused.stderr
    assert not any(" 401" in line or "/user" in line for line in shop.github_log())
