"""A catalogue of one's own: an OpenAPI file becomes a table, the table a plugin, the plugin what the
compiler knows of the API."""
import json
import os
import subprocess
import sys

from lib import command

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
API = {
    "openapi": "3.0.3", "info": {"title": "Ledger */ API", "version": "2.1"},
    "servers": [{"url": "https://api.ledger.example/v2"}],
    "components": {"schemas": {"Entry": {"type": "object", "properties": {
        "amount": {"type": "integer"}, "currency": {"type": "string"}, "odd name": {"type": "string"}}}}},
    "paths": {
        "/books/{book}/entries": {
            "parameters": [{"in": "query", "name": "dry_run", "schema": {"type": "boolean"}}],
            "get": {"operationId": "entries list"},
            "post": {"operationId": "entries.create", "requestBody": {"content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Entry"}}}}}},
        "/webhooks": {"post": {}, "get": {"operationId": "webhooks.list"}},
        "/graphql": {"post": {"operationId": "graphql"}},
    },
}
ESCALATES = "# what gives power away\n* /webhooks   sends events elsewhere\n* graphql     does everything\n"
PLUGIN = """#include <sallyport/catalogue.h>
#define E SALLYPORT_ACTION_ESCALATES
SALLYPORT_PLUGIN_NOTE;
static const struct sallyport_row rows[] = {
#include "actions.h"
};
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_field key = {.size = sizeof key, .type = SALLYPORT_FIELD_SECRET,
        .flags = SALLYPORT_FIELD_REQUIRED, .name = SALLYPORT_TEXT("api_key")};
    static const struct sallyport_manifest manifest = {.size = sizeof manifest,
        .id = SALLYPORT_TEXT("ledger"), .version = SALLYPORT_TEXT("1")};
    int32_t status = host->push_manifest(host, call, &manifest);
    status = status ? status : sallyport_host_name(host, call, "api.ledger.example");
    status = status ? status : host->push_field(host, call, &key);
    return status ? status : sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
}
static int32_t open_it(const struct sallyport_host *host, uint64_t call, const struct sallyport_key *key,
                       void **ret)
{
    return (void)host, (void)call, (void)key, (void)ret, SALLYPORT_OK;
}
static void close_it(const struct sallyport_host *host, void *it) { (void)host; (void)it; }
static int32_t check(const struct sallyport_host *host, uint64_t call, void *it)
{
    return (void)it, sallyport_host_name(host, call, "api.ledger.example");
}
static int32_t plan(const struct sallyport_host *host, uint64_t call, void *it)
{
    return (void)it, sallyport_place_header(host, call, "x-key", "", "{api_key}", 0);
}
static const void *extension(const char *id) { return (void)id, (const void *)0; }
const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    static const struct sallyport_plugin plugin = {sizeof plugin, SALLYPORT_ABI_MINOR, describe, open_it,
                                                   close_it, check, plan, extension};
    return (void)host, &plugin;
}
"""
POLICY = """sallyport 1
scope s {
  key ledger-1
  ttl 1h
  allow * https://api.ledger.example/v2/**
  allow POST https://api.ledger.example/v2/books/main/entries
    where body.amount in 1..5 budget sum(body.amount) <= 50 per day
}
"""


def generate(folder, api=API, escalates=ESCALATES, expect=0):
    (folder / "api.json").write_text(json.dumps(api))
    (folder / "own.escalates").write_text(escalates)
    done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "plugins/catalogue/generate"), "own",
                           folder / "api.json", folder / "own.escalates", folder / "actions.h"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode != 0) == bool(expect), done.stderr
    return done.stderr


def test_the_table_says_what_the_description_says(tmp_path):
    generate(tmp_path)
    text = (tmp_path / "actions.h").read_text()
    assert text.splitlines()[0].count("*/") == 0  # a title does not end the comment
    assert [line for line in text.splitlines() if line.startswith("{")] == [
        '{"entries-list", "GET", "/v2/books/{book}/entries", "query.dry_run:boolean", 0},',
        '{"entries.create", "POST", "/v2/books/{book}/entries", '
        '"query.dry_run:boolean body.amount:integer body.currency:string", 0},',
        '{"graphql", "POST", "/v2/graphql", "", E},',
        '{"webhooks.list", "GET", "/v2/webhooks", "", 0},',
        '{"post/webhooks", "POST", "/v2/webhooks", "", E},']


def test_a_pattern_that_matches_nothing_and_a_name_twice_stop_it(tmp_path):
    assert "/nowhere matches nothing" in generate(tmp_path, escalates="* /nowhere x\n", expect=1)
    twice = json.loads(json.dumps(API))
    twice["paths"]["/webhooks"]["post"]["operationId"] = "graphql"
    assert "two operations are called graphql" in generate(tmp_path, twice, expect=1)


def test_the_compiler_knows_the_api_by_the_plugin(tmp_path):
    generate(tmp_path)
    (tmp_path / "ledger.c").write_text(PLUGIN.replace("catalogue.h>", "catalogue.h>\n#include <sallyport/help.h>", 1))
    subprocess.run(["cc", "-std=c11", "-fPIC", "-shared", "-Wl,-z,noexecstack", "-I",
                    os.path.join(ROOT, "plugins/sdk/include"), tmp_path / "ledger.c", "-o",
                    tmp_path / "ledger.so"], check=True, timeout=60)
    (tmp_path / "ledger.so").chmod(0o644)
    (tmp_path / "p.scope").write_text(POLICY)
    plugin = ["--plugin", tmp_path / "ledger.so"]
    out, _ = command("--json", "policy", "blast", tmp_path / "p.scope", "--scope", "s", *plugin)
    found = json.loads(out)
    assert found["actions"] == 4  # graphql is told apart
    assert sorted({item["action"] for item in found["reach"]}) == [
        "entries-list", "entries.create", "webhooks.list"]
    out, complained = command("policy", "check", tmp_path / "p.scope", *plugin)
    assert "W183" in out + complained and "W192" in out + complained
    (tmp_path / "p.scope").write_text(POLICY.replace("v2/**", "v2/graphql").replace("allow *", "allow POST"))
    out, complained = command("policy", "check", tmp_path / "p.scope", *plugin, expect=2)
    assert "E193" in out + complained
