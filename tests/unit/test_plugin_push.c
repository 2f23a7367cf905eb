/* What plugins push, called here as a plugin calls it: through the host's table (T49). */
#include "plugin_host.h"

#include <sallyport/catalogue.h>
#include <sallyport/help.h>
#include <sallyport/sign.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct sp_plugin_host host;
    struct sp_arena arena;
    struct sp_key_view key;
    struct sp_setting settings[2];
    struct sp_text secrets[2];
    uint64_t call;
};

static int make(void **state)
{
    static const struct sp_plugin_rules rules = {.dev = true};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    sp_plugin_host_init(&fixture->host, "/plugins/hostile.so", &rules);
    sp_arena_init(&fixture->arena, 16 << 20);
    fixture->secrets[0] = SP_TEXT("api_key");
    fixture->secrets[1] = SP_TEXT("other");
    fixture->key.secrets = fixture->secrets;
    fixture->key.n_secrets = 2;
    *state = fixture;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *fixture = *state;
    sp_arena_done(&fixture->arena);
    free(fixture);
    return 0;
}

static const struct sallyport_host *begin(struct fixture *fixture, enum sp_hook hook)
{
    fixture->call = sp_hook_begin(&fixture->host, hook, &fixture->arena, &fixture->key);
    return &fixture->host.table;
}

/* The call that has just been spoiled fails, with these words, though the hook returns OK. */
static void assert_call_fails(struct fixture *fixture, const char *words)
{
    struct sp_error err = {""};
    assert_int_not_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, &err), SP_OK);
    if (!strstr(err.text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    }
    for (const char *at = err.text; *at; at++) {
        assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
    }
}

static struct sallyport_text text_of(const char *bytes, size_t len)
{
    struct sallyport_text text = {bytes, len};
    return text;
}

#define BYTES(literal) text_of((literal), sizeof(literal) - 1)

static char *long_text(char c, size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}

/* ---- headers and placements ------------------------------------------------------------- */

static void refuse_header(struct fixture *fixture, struct sallyport_text name,
                          struct sallyport_text value, const char *words)
{
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    struct sallyport_header header = {.size = sizeof header, .name = name, .value = value};
    assert_true(host->push_header(host, fixture->call, &header) < 0);
    assert_int_equal(fixture->host.headers.n, 0);
    assert_call_fails(fixture, words);
}

static void T49_line_breaks_and_nul_in_a_header_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sallyport_text name = BYTES("x-a"), value = BYTES("v");
    refuse_header(fixture, name, BYTES("v\r\nx-evil: 1"), "bad header value");
    refuse_header(fixture, name, BYTES("v\n"), "bad header value");
    refuse_header(fixture, name, BYTES("v\r"), "bad header value");
    refuse_header(fixture, name, BYTES("v\0w"), "bad header value");
    refuse_header(fixture, name, BYTES("v\x7f"), "bad header value");
    refuse_header(fixture, name, BYTES("v\xc3\xa4"), "bad header value");
    refuse_header(fixture, name, BYTES(" v"), "bad header value");
    refuse_header(fixture, name, BYTES(""), "bad header value");
    refuse_header(fixture, BYTES("x-a\r\nx-b"), value, "bad header name");
    refuse_header(fixture, BYTES("x-a\0"), value, "bad header name");
    refuse_header(fixture, BYTES("x-a:"), value, "bad header name");
    refuse_header(fixture, BYTES("x a"), value, "bad header name");
    refuse_header(fixture, BYTES("X-Upper"), value, "bad header name");
    refuse_header(fixture, BYTES(""), value, "bad header name");
}

static void T49_oversize_texts_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char *text = long_text('a', 70000);
    refuse_header(fixture, BYTES("x-a"), text_of(text, 1025), "more than 1024 bytes");
    refuse_header(fixture, text_of(text, 129), BYTES("v"), "more than 128 bytes");
    /* A length that nobody could have: it must not be believed far enough to be read. */
    refuse_header(fixture, BYTES("x-a"), text_of(text, UINT64_MAX), "more than 1024 bytes");
    refuse_header(fixture, BYTES("x-a"), text_of(NULL, 5), "no header value");
    free(text);
}

static void T49_headers_that_are_the_hosts_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"host",
                                        "content-length",
                                        "transfer-encoding",
                                        "connection",
                                        "keep-alive",
                                        "te",
                                        "trailer",
                                        "upgrade",
                                        "proxy-connection",
                                        "proxy-authorization",
                                        "expect",
                                        "forwarded",
                                        "x-forwarded-for",
                                        "x-forwarded-host",
                                        "x-original-url",
                                        "x-rewrite-url",
                                        "x-http-method-override",
                                        "via",
                                        "set-cookie"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        refuse_header(fixture, sallyport_text_of(names[i]), BYTES("v"), "which is the host's");
        const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
        assert_int_equal(
            sallyport_place_header(host, fixture->call, names[i], "", "{api_key}", 0),
            SALLYPORT_E_DENIED);
        assert_call_fails(fixture, "which is the host's");
        struct sallyport_text name = sallyport_text_of(names[i]);
        host = begin(fixture, SP_HOOK_DESCRIBE);
        assert_int_equal(host->push_request_header(host, fixture->call, &name),
                         SALLYPORT_E_DENIED);
        assert_call_fails(fixture, "never a client's");
    }
}

static void T49_credentials_go_by_placement_alone(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"authorization", "cookie"};
    for (size_t i = 0; i < 2; i++) {
        refuse_header(fixture, sallyport_text_of(names[i]), BYTES("v"), "which is the host's");
        struct sallyport_text name = sallyport_text_of(names[i]);
        const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
        assert_int_equal(host->push_request_header(host, fixture->call, &name),
                         SALLYPORT_E_DENIED);
        assert_call_fails(fixture, "never a client's");
        host = begin(fixture, SP_HOOK_PLAN);
        assert_int_equal(
            sallyport_place_header(host, fixture->call, names[i], "", "{api_key}", 0),
            SALLYPORT_OK);
        assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
    }
}

static void T49_templates_name_secrets_of_this_key_alone(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *template, *words; /* words NULL: fine */
    } rows[] = {
        {"{api_key}", NULL},
        {"{api_key}:{other}", NULL},
        {"{{{api_key}}}", NULL},
        {"{password}", "does not have"},
        {"{api_key}{password}", "does not have"},
        {"{API_KEY}", "does not have"},
        {"{}", "does not have"},
        {"{api_key", "brace without"},
        {"api_key}", "brace without"},
        {"{api_key}}", "brace without"},
        {"{{api_key}}", "names no secret"},
        {"constant", "names no secret"},
        {"", "names no secret"},
        {"{api_key}\r\n", "bad template"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
        int32_t status =
            sallyport_place_header(host, fixture->call, "x-key", "", rows[i].template, 0);
        if (rows[i].words) {
            assert_int_equal(status, SALLYPORT_E_INVALID);
            assert_call_fails(fixture, rows[i].words);
        } else {
            assert_int_equal(status, SALLYPORT_OK);
            assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
        }
    }
}

static void T49_counts_are_capped(void **state)
{
    struct fixture *fixture = *state;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    char name[32];
    int32_t status = SALLYPORT_OK;
    unsigned n = 0;
    for (; !status && n < 100; n++) {
        (void)snprintf(name, sizeof name, "x-%u", n);
        status = sallyport_place_header(host, fixture->call, name, "", "{api_key}", 0);
    }
    assert_int_equal(status, SALLYPORT_E_LIMIT);
    assert_int_equal(n, 9);
    assert_call_fails(fixture, "more than 8 placements");
    host = begin(fixture, SP_HOOK_PLAN);
    for (n = 0, status = SALLYPORT_OK; !status && n < 100; n++) {
        (void)snprintf(name, sizeof name, "x-%u", n);
        status = sallyport_set_header(host, fixture->call, SALLYPORT_HEADER_FIXED, name,
                                      sallyport_text_of("v"));
    }
    assert_int_equal(n, 33);
    assert_call_fails(fixture, "more than 32 headers");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    for (n = 0, status = SALLYPORT_OK; !status && n < 10000; n++) {
        (void)snprintf(name, sizeof name, "a%u.example.com", n);
        status = sallyport_host_name(host, fixture->call, name);
    }
    assert_int_equal(n, 65);
    assert_call_fails(fixture, "more than 64 hosts");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    struct sallyport_row row = {name, "GET", "/x", "body.a:string", 0};
    for (n = 0, status = SALLYPORT_OK; !status && n < 10000; n++) {
        (void)snprintf(name, sizeof name, "a%u", n);
        status = sallyport_push_rows(host, fixture->call, &row, 1);
    }
    assert_int_equal(n, 8193);
    assert_call_fails(fixture, "more than 8192 actions");
}

/* A plugin within every count can still ask for more memory than there is to have. */
static void T49_memory_is_capped(void **state)
{
    struct fixture *fixture = *state;
    struct sp_arena small;
    sp_arena_init(&small, 64 << 10);
    fixture->call = sp_hook_begin(&fixture->host, SP_HOOK_DESCRIBE, &small, NULL);
    const struct sallyport_host *host = &fixture->host.table;
    char *path = long_text('p', 500), name[32];
    path[0] = '/';
    struct sallyport_row row = {name, "GET", path, "", 0};
    int32_t status = SALLYPORT_OK;
    for (unsigned n = 0; !status && n < 1000; n++) {
        (void)snprintf(name, sizeof name, "a%u", n);
        status = sallyport_push_rows(host, fixture->call, &row, 1);
    }
    assert_int_equal(status, SALLYPORT_E_LIMIT);
    assert_call_fails(fixture, "memory");
    assert_true(small.used_bytes <= 64 << 10);
    sp_arena_done(&small);
    free(path);
}

static void T49_one_place_is_filled_once(void **state)
{
    struct fixture *fixture = *state;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(sallyport_place_header(host, fixture->call, "x-a", "", "{api_key}", 0), 0);
    assert_int_equal(sallyport_set_header(host, fixture->call, SALLYPORT_HEADER_DEFAULT, "x-a",
                                          sallyport_text_of("v")),
                     SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "fills x-a twice");
    host = begin(fixture, SP_HOOK_PLAN);
    struct sallyport_placement placement = {.size = sizeof placement,
                                            .place = SALLYPORT_PLACE_QUERY,
                                            .name = SALLYPORT_TEXT("key"),
                                            .template_text = SALLYPORT_TEXT("{api_key}")};
    assert_int_equal(host->push_placement(host, fixture->call, &placement), 0);
    assert_int_equal(host->push_placement(host, fixture->call, &placement),
                     SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "fills key twice");
}

/* ---- structures ------------------------------------------------------------------------- */

static void T49_structures_that_are_short_or_unknown_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sallyport_placement good = {.size = sizeof good,
                                       .name = SALLYPORT_TEXT("x-a"),
                                       .template_text = SALLYPORT_TEXT("{api_key}")},
                               bad[4] = {good, good, good, good};
    bad[0].size = offsetof(struct sallyport_placement, template_text);
    bad[1].place = 2;
    bad[2].flags = 2;
    bad[3].reserved = 1;
    for (size_t i = 0; i < 4; i++) {
        const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
        assert_int_equal(host->push_placement(host, fixture->call, &bad[i]),
                         SALLYPORT_E_INVALID);
        assert_call_fails(fixture, "wrong size, or with a kind or flag");
    }
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(host->push_placement(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_int_equal(host->push_placement(host, fixture->call, &good), SALLYPORT_E_FAILED);
    assert_call_fails(fixture, "placement");
    host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(host->push_header(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "header");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_manifest(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "manifest");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_field(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "field");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_action(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "action");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_host(host, fixture->call, NULL), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "host name");
}

static void refuse_field(struct fixture *fixture, const struct sallyport_field *field,
                         const char *words)
{
    const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_true(host->push_field(host, fixture->call, field) < 0);
    assert_call_fails(fixture, words);
}

static void T49_fields_that_make_no_sense_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct sallyport_field good = {.size = sizeof good, .name = SALLYPORT_TEXT("a")};
    const struct sallyport_prefix prefix = {.size = sizeof prefix,
                                            .prefix = SALLYPORT_TEXT("sk_")};
    const struct sallyport_prefix *prefixes[] = {&prefix, NULL};
    struct sallyport_field bad = good;
    bad.name = BYTES("A");
    refuse_field(fixture, &bad, "bad field name");
    bad = good;
    bad.type = 5;
    refuse_field(fixture, &bad, "kind or flag");
    bad = good;
    bad.prefixes = prefixes;
    bad.n_prefixes = 1;
    refuse_field(fixture, &bad, "is no secret");
    bad.type = SALLYPORT_FIELD_SECRET;
    bad.n_prefixes = 2;
    refuse_field(fixture, &bad, "prefix");
    bad.n_prefixes = UINT32_MAX;
    refuse_field(fixture, &bad, "more than 32 prefixes");
    bad.n_prefixes = 1;
    bad.prefixes = NULL;
    refuse_field(fixture, &bad, "prefixes");
    bad = good;
    bad.type = SALLYPORT_FIELD_SECRET;
    bad.fallback = BYTES("hunter2");
    refuse_field(fixture, &bad, "secret with a fallback");
    bad = good;
    bad.min_bytes = 5;
    bad.max_bytes = 4;
    refuse_field(fixture, &bad, "least length");
    bad = good;
    bad.type = SALLYPORT_FIELD_BOOLEAN;
    bad.fallback = BYTES("maybe");
    refuse_field(fixture, &bad, "would not take itself");
    bad = good;
    bad.description = BYTES("two\nlines");
    refuse_field(fixture, &bad, "bad field description");
    const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_field(host, fixture->call, &good), SALLYPORT_OK);
    assert_int_equal(host->push_field(host, fixture->call, &good), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "pushed before");
    /* A derived setting is a name like any other: it can be taken once. */
    struct sallyport_field secret = good;
    secret.type = SALLYPORT_FIELD_SECRET;
    secret.name = BYTES("s");
    secret.derives = BYTES("a");
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_field(host, fixture->call, &secret), SALLYPORT_OK);
    assert_int_equal(host->push_field(host, fixture->call, &good), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "pushed before");
}

static void T49_actions_that_make_no_sense_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct sallyport_row row;
        const char *words;
    } rows[] = {
        {{"a b", "GET", "/", "", 0}, "action name"},
        {{"", "GET", "/", "", 0}, "action name"},
        {{"a", "get", "/", "", 0}, "method"},
        {{"a", "BREW", "/", "", 0}, "method"},
        {{"a", "GET", "v1", "", 0}, "action path"},
        {{"a", "GET", "/{", "", 0}, "action path"},
        {{"a", "GET", "/}", "", 0}, "action path"},
        {{"a", "GET", "/{}", "", 0}, "action path"},
        {{"a", "GET", "/{a{b}}", "", 0}, "action path"},
        {{"a", "GET", "/a?b=c", "", 0}, "action path"},
        {{"a", "GET", "/a\r\n", "", 0}, "action path"},
        {{"a", "GET", "/", "", 2}, "kind or flag"},
        {{"a", "GET", "/", "body.a:float", 0}, "type of an action's field"},
        {{"a", "GET", "/", ":string", 0}, "name of an action's field"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
        assert_true(sallyport_push_rows(host, fixture->call, &rows[i].row, 1) < 0);
        assert_call_fails(fixture, rows[i].words);
    }
    const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
    struct sallyport_action action = {.size = sizeof action,
                                      .name = SALLYPORT_TEXT("a"),
                                      .method = SALLYPORT_TEXT("GET"),
                                      .path = SALLYPORT_TEXT("/"),
                                      .n_fields = UINT32_MAX};
    assert_int_equal(host->push_action(host, fixture->call, &action), SALLYPORT_E_LIMIT);
    assert_call_fails(fixture, "more than 512 fields");
    const struct sallyport_action_field *none[] = {NULL};
    action.fields = none;
    action.n_fields = 1;
    host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_action(host, fixture->call, &action), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "field of an action");
}

static void T49_manifest_texts_are_checked(void **state)
{
    struct fixture *fixture = *state;
    struct sallyport_manifest good = {.size = sizeof good,
                                      .id = SALLYPORT_TEXT("fine"),
                                      .version = SALLYPORT_TEXT("1"),
                                      .description = SALLYPORT_TEXT("fine")},
                              bad[6] = {good, good, good, good, good, good};
    bad[0].id = BYTES("../../etc");
    bad[1].id = BYTES("Fine");
    bad[2].version = BYTES("");
    bad[3].description = BYTES("\x1b]0;owned\x07");
    bad[4].description = BYTES("\xed\xa0\x80"); /* a surrogate: no UTF-8 */
    bad[5].flags = 1;
    for (size_t i = 0; i < 6; i++) {
        const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
        assert_true(host->push_manifest(host, fixture->call, &bad[i]) < 0);
        assert_call_fails(fixture, "the plugin pushed a");
    }
    const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(host->push_manifest(host, fixture->call, &good), SALLYPORT_OK);
    assert_int_equal(host->push_manifest(host, fixture->call, &good), SALLYPORT_E_INVALID);
    assert_call_fails(fixture, "two manifests");
}

static void T49_host_names_are_canonical_or_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {"user@example.com",
                                      "example.com:443",
                                      "127.0.0.1",
                                      "0x7f.1",
                                      "[::1]",
                                      "a b",
                                      "exa\r\nmple.com",
                                      "",
                                      "https://a.com"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
        assert_int_equal(sallyport_host_name(host, fixture->call, bad[i]), SALLYPORT_E_INVALID);
        assert_call_fails(fixture, "bad host name");
    }
    const struct sallyport_host *host = begin(fixture, SP_HOOK_DESCRIBE);
    assert_int_equal(sallyport_host_name(host, fixture->call, "API.Example.COM."), 0);
    assert_int_equal(sallyport_host_name(host, fixture->call, "api.example.com"), 0);
    assert_int_equal(fixture->host.hosts.n, 1);
    const struct sp_text *hosts = fixture->host.hosts.items;
    assert_true(sp_text_is(hosts[0], "api.example.com"));
    assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
}

/* ---- calls ------------------------------------------------------------------------------ */

static void T49_nothing_is_taken_outside_of_a_call(void **state)
{
    struct fixture *fixture = *state;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    struct sallyport_text reason = BYTES("late");
    uint64_t call = fixture->call;
    assert_int_equal(sallyport_place_header(host, call, "x-a", "", "{api_key}", 0), 0);
    assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
    size_t used = fixture->arena.used_bytes;
    assert_int_equal(sallyport_place_header(host, call, "x-b", "", "{api_key}", 0),
                     SALLYPORT_E_CALL);
    assert_int_equal(host->refuse(host, call, &reason), SALLYPORT_E_CALL);
    assert_int_equal(host->log(host, SALLYPORT_LOG_INFO, &reason), SALLYPORT_E_CALL);
    assert_int_equal(fixture->host.placements.n, 1);
    assert_int_equal(fixture->arena.used_bytes, used);
    /* The next call has another number, and the old one does not open it. */
    host = begin(fixture, SP_HOOK_PLAN);
    assert_true(fixture->call != call);
    assert_int_equal(host->refuse(host, call, &reason), SALLYPORT_E_CALL);
    assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
}

static void T49_log_takes_known_levels_and_cuts_long_lines(void **state)
{
    struct fixture *fixture = *state;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_OPEN);
    char *text = long_text('x', 100000);
    struct sallyport_text line = text_of(text, 100000);
    assert_int_equal(host->log(host, SALLYPORT_LOG_DEBUG, &line), SALLYPORT_OK);
    assert_int_equal(host->log(host, SALLYPORT_LOG_ERROR, NULL), SALLYPORT_OK);
    assert_int_equal(host->log(host, SALLYPORT_LOG_ERROR + 1, &line), SALLYPORT_E_INVALID);
    assert_int_equal(host->refuse(host, fixture->call, &line), SALLYPORT_OK);
    assert_call_fails(fixture, "xxxxxxxx");
    free(text);
}

static void failure_of_a_hook_keeps_its_kind(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        int32_t returned;
        sp_status status;
    } rows[] = {{SALLYPORT_E_MEMORY, SP_ENOMEM},
                {SALLYPORT_E_LIMIT, SP_ETOOBIG},
                {SALLYPORT_E_UPSTREAM, SP_EIO},
                {SALLYPORT_E_DENIED, SP_EDENIED},
                {SALLYPORT_E_UNSUPPORTED, SP_EUNSUPPORTED},
                {SALLYPORT_E_CONFIG, SP_EINVAL},
                {INT32_MIN, SP_EINVAL},
                {INT32_MAX, SP_EINVAL}};
    static const enum sp_hook hooks[] = {SP_HOOK_ENTRY, SP_HOOK_DESCRIBE, SP_HOOK_OPEN,
                                         SP_HOOK_CLOSE, SP_HOOK_CHECK,    SP_HOOK_PLAN};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_error err = {""};
        enum sp_hook hook = hooks[i % (sizeof hooks / sizeof *hooks)];
        (void)begin(fixture, hook);
        assert_int_equal(sp_hook_end(&fixture->host, rows[i].returned, &err), rows[i].status);
        assert_non_null(strstr(err.text, sp_hook_name(hook)));
    }
}

static void T49_texts_are_copied_when_they_are_pushed(void **state)
{
    struct fixture *fixture = *state;
    char value[] = "2024-06-20";
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(sallyport_set_header(host, fixture->call, SALLYPORT_HEADER_FIXED,
                                          "stripe-version", sallyport_text_of(value)),
                     SALLYPORT_OK);
    memset(value, 'x', sizeof value - 1);
    const struct sp_setting *headers = fixture->host.headers.items;
    assert_true(sp_text_is(headers[0].value, "2024-06-20"));
    assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
}

/* ---- signatures --------------------------------------------------------------------------
 */

struct signing {
    struct sallyport_signature signature;
    struct sallyport_sign_output output;
    const struct sallyport_sign_output *outputs[1];
    struct sallyport_text step;
    const struct sallyport_text *derive[1];
};

static struct signing *signing(struct signing *s)
{
    *s = (struct signing){
        .signature = {.size = sizeof s->signature,
                      .n_outputs = 1,
                      .secret = SALLYPORT_TEXT("api_key"),
                      .message = SALLYPORT_TEXT("{method}\n{target}"),
                      .derive = s->derive,
                      .outputs = s->outputs},
        .output = {.size = sizeof s->output,
                   .name = SALLYPORT_TEXT("authorization"),
                   .template_text = SALLYPORT_TEXT("HMAC {signature}")},
        .outputs = {&s->output},
        .step = SALLYPORT_TEXT("{date}"),
        .derive = {&s->step},
    };
    return s;
}

static void refuse_signature(struct fixture *fixture, const struct signing *s,
                             const char *words)
{
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    const struct sallyport_sign *sign = host->extension(host, SALLYPORT_SIGN);
    assert_true(sign->push_signature(host, fixture->call, &s->signature) < 0);
    assert_null(fixture->host.signature);
    assert_call_fails(fixture, words);
}

static void a_signature_is_taken_and_is_a_plan(void **state)
{
    struct fixture *fixture = *state;
    struct signing s;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    const struct sallyport_sign *sign = host->extension(host, SALLYPORT_SIGN);
    assert_null(host->extension(host, "sallyport.sign/2"));
    assert_int_equal(sign->push_signature(host, fixture->call, &signing(&s)->signature),
                     SALLYPORT_OK);
    struct sallyport_header header = {
        .size = sizeof header, .name = BYTES("x-a"), .value = BYTES("v")};
    assert_int_equal(host->push_header(host, fixture->call, &header), SALLYPORT_OK);
    assert_int_equal(sp_hook_end(&fixture->host, SALLYPORT_OK, NULL), SP_OK);
    struct sp_plan plan = {.placements = NULL};
    assert_int_equal(sp_plugin_plan_done(&fixture->host, &plan, NULL), SP_OK);
    assert_true(plan.signature->outputs[0].is_signature);
    /* in other hooks, or twice, it is refused */
    host = begin(fixture, SP_HOOK_CHECK);
    assert_int_equal(sign->push_signature(host, fixture->call, &s.signature), SALLYPORT_E_CALL);
    assert_call_fails(fixture, "push_signature in its check hook");
    host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(sign->push_signature(host, fixture->call, &s.signature), SALLYPORT_OK);
    assert_true(sign->push_signature(host, fixture->call, &s.signature) < 0);
    assert_call_fails(fixture, "two signatures");
}

static void T49_signatures_that_break_the_rules_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct signing s;
#define REFUSE(change, words)                                                                  \
    do {                                                                                       \
        signing(&s);                                                                           \
        change;                                                                                \
        refuse_signature(fixture, &s, words);                                                  \
    } while (0)
    char *huge = long_text('a', 1025);
    REFUSE(s.signature.size = 8, "wrong size");
    REFUSE(s.signature.algorithm = 2, "wrong size");
    REFUSE(s.signature.flags = 4, "wrong size");
    REFUSE(s.signature.reserved = 1, "wrong size");
    REFUSE(s.signature.n_derive = 9, "wrong size");
    REFUSE(s.signature.n_outputs = 9, "wrong size");
    REFUSE(s.signature.outputs = NULL, "wrong size");
    REFUSE((s.signature.n_derive = 1, s.signature.derive = NULL), "wrong size");
    REFUSE(s.signature.n_outputs = 0, "nowhere");
    REFUSE(s.output.template_text = BYTES("{nonce}"), "nowhere");
    REFUSE(s.output.size = 4, "place of a signature");
    REFUSE(s.output.place = 2, "place of a signature");
    REFUSE(s.outputs[0] = NULL, "place of a signature");
    REFUSE(s.signature.secret = BYTES("nobody"), "does not have");
    REFUSE(s.signature.secret = BYTES("a\nb"), "signing key");
    REFUSE(s.signature.key_prefix = BYTES("a\n"), "prefix of a signing key");
    REFUSE(s.signature.message = BYTES("nothing"), "nothing of the request");
    REFUSE(s.signature.message = BYTES("{signature}"), "not for it");
    REFUSE(s.signature.message = BYTES("{api_key}"), "a name that there is not");
    REFUSE(s.signature.message = BYTES("{method"), "counterpart");
    REFUSE(s.signature.message = BYTES("method}"), "counterpart");
    REFUSE(s.signature.message = BYTES("{method}\r"), "bad message to sign");
    REFUSE(s.signature.message = BYTES("{method}\0"), "bad message to sign");
    REFUSE(s.signature.message = text_of(huge, 1025), "more than 1024 bytes");
    REFUSE(s.signature.canonical = BYTES("{canonical_sha256}"), "not for it");
    REFUSE((s.signature.n_derive = 1, s.step = BYTES("{path}")), "not for it");
    REFUSE((s.signature.n_derive = 1, s.derive[0] = NULL), "no derivation");
    REFUSE(s.output.template_text = BYTES("{signature}\r\nx: y"), "bad value of a signature");
    REFUSE(s.output.template_text = BYTES("{path} {signature}"), "not for it");
    REFUSE(s.output.template_text = BYTES(" {signature}"), "no header has");
    REFUSE(s.output.name = BYTES("Upper"), "bad header name");
    REFUSE(s.output.name = BYTES("host"), "which is the host's");
    REFUSE(s.output.name = BYTES("x-forwarded-for"), "which is the host's");
    const struct sallyport_sign_output *both[] = {&s.output, &s.output};
    REFUSE((s.signature.n_outputs = 2, s.signature.outputs = both),
           "fills authorization twice");
#undef REFUSE
    free(huge);
}

static void T49_what_a_signature_fills_is_filled_once(void **state)
{
    struct fixture *fixture = *state;
    struct signing s;
    const struct sallyport_host *host = begin(fixture, SP_HOOK_PLAN);
    const struct sallyport_sign *sign = host->extension(host, SALLYPORT_SIGN);
    assert_int_equal(
        sallyport_place_header(host, fixture->call, "authorization", "", "{api_key}", 0),
        SALLYPORT_OK);
    assert_true(sign->push_signature(host, fixture->call, &signing(&s)->signature) < 0);
    assert_call_fails(fixture, "fills authorization twice");
    host = begin(fixture, SP_HOOK_PLAN);
    assert_int_equal(sign->push_signature(host, fixture->call, &s.signature), SALLYPORT_OK);
    assert_true(
        sallyport_place_header(host, fixture->call, "authorization", "", "{api_key}", 0) < 0);
    assert_call_fails(fixture, "fills authorization twice");
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(T49_line_breaks_and_nul_in_a_header_are_refused),
        FRESH(T49_oversize_texts_are_refused),
        FRESH(T49_headers_that_are_the_hosts_are_refused),
        FRESH(T49_credentials_go_by_placement_alone),
        FRESH(T49_templates_name_secrets_of_this_key_alone),
        FRESH(T49_counts_are_capped),
        FRESH(T49_memory_is_capped),
        FRESH(T49_one_place_is_filled_once),
        FRESH(a_signature_is_taken_and_is_a_plan),
        FRESH(T49_signatures_that_break_the_rules_are_refused),
        FRESH(T49_what_a_signature_fills_is_filled_once),
        FRESH(T49_structures_that_are_short_or_unknown_are_refused),
        FRESH(T49_fields_that_make_no_sense_are_refused),
        FRESH(T49_actions_that_make_no_sense_are_refused),
        FRESH(T49_manifest_texts_are_checked),
        FRESH(T49_host_names_are_canonical_or_refused),
        FRESH(T49_nothing_is_taken_outside_of_a_call),
        FRESH(T49_log_takes_known_levels_and_cuts_long_lines),
        FRESH(failure_of_a_hook_keeps_its_kind),
        FRESH(T49_texts_are_copied_when_they_are_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
