#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_CAP = 64 << 20, REPLY_CAP = 4 << 20 };

static const struct sp_text no_id = {NULL, 0};
static const uint8_t root[SP_TOKEN_ID_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                8, 9, 10, 11, 12, 13, 14, 15};
#define ROOT "000102030405060708090a0b0c0d0e0f"

/* A reply as it was written, and read back by the strict reader. */
struct reply {
    struct sp_buf buf;
    struct sp_arena arena;
    struct sp_wire_value map;
};

static struct reply *reply_new(void)
{
    struct reply *reply = calloc(1, sizeof *reply);
    assert_non_null(reply);
    sp_buf_init(&reply->buf, REPLY_CAP);
    sp_arena_init(&reply->arena, ARENA_CAP);
    return reply;
}

static void reply_read(struct reply *reply)
{
    struct sp_error err = {""};
    assert_false(reply->buf.failed);
    if (sp_wire_read(&reply->arena, sp_buf_text(&reply->buf), &reply->map, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(sp_wire_get(&reply->map, "v")->as.integer, 1);
}

static void reply_free(struct reply *reply)
{
    sp_arena_done(&reply->arena);
    sp_buf_done(&reply->buf);
    free(reply);
}

static const struct sp_wire_value *at(const struct sp_wire_value *map, const char *name,
                                      enum sp_wire_kind kind)
{
    const struct sp_wire_value *value = sp_wire_get(map, name);
    if (!value || value->kind != kind) {
        fail_msg("%s is missing or of another type", name);
    }
    return value;
}

static void assert_str(const struct sp_wire_value *map, const char *name, const char *text)
{
    struct sp_text found = at(map, name, SP_WIRE_STR)->as.text;
    if (!sp_text_is(found, text)) {
        fail_msg("%s is '%.*s', not '%s'", name, (int)found.len, found.ptr, text);
    }
}

static void assert_int(const struct sp_wire_value *map, const char *name, int64_t integer)
{
    assert_true(at(map, name, SP_WIRE_INT)->as.integer == integer);
}

static void assert_bool(const struct sp_wire_value *map, const char *name, bool boolean)
{
    assert_int_equal(at(map, name, SP_WIRE_BOOL)->as.boolean, boolean);
}

/* Whether a list such as "status, body, replayed?" has that name; optional: with a '?'. */
static bool listed(const char *list, struct sp_text name, bool *ret_optional)
{
    while (*list) {
        size_t len = strcspn(list, ", ?");
        *ret_optional = list[len] == '?';
        if (sp_text_eq((struct sp_text){list, len}, name)) {
            return true;
        }
        list += len;
        list += strspn(list, ", ?");
    }
    return false;
}

/* The fields are those that the table of operations promises, no more and no less. */
static void assert_as_documented(const struct reply *reply, enum sp_op op)
{
    const char *list = sp_message_ops[op].reply;
    bool optional;
    for (size_t i = 0; i < reply->map.as.map.n; i++) {
        struct sp_text name = reply->map.as.map.pairs[i].name;
        if (!listed("v, ok, id", name, &optional) && !listed(list, name, &optional)) {
            fail_msg("%s: %.*s is not documented", sp_message_ops[op].name, (int)name.len,
                     name.ptr);
        }
    }
    for (const char *c = list; *c; c += strspn(c, ", ?")) {
        char name[64];
        size_t len = strcspn(c, ", ?");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, c);
        if (c[len] != '?' && !sp_wire_get(&reply->map, name)) {
            fail_msg("%s: %s is documented and missing", sp_message_ops[op].name, name);
        }
        c += len;
    }
}

static struct sp_decision refusal(void)
{
    return (struct sp_decision){.code = SP_CODE_RATE_LIMITED,
                                .reason = "31 calls in 60 s",
                                .rule = "read",
                                .hint = "wait",
                                .retry_after_ms = 1500};
}

static void an_error_says_all_that_is_known(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_decision decision = refusal();
    sp_message_put_error(&r->buf, SP_TEXT("r-1"), &decision);
    reply_read(r);
    assert_bool(&r->map, "ok", false);
    assert_str(&r->map, "id", "r-1");
    const struct sp_wire_value *error = at(&r->map, "error", SP_WIRE_MAP);
    assert_str(error, "code", "rate_limited");
    assert_str(error, "reason", "31 calls in 60 s");
    assert_str(error, "rule", "read");
    assert_str(error, "hint", "wait");
    assert_bool(error, "retryable", true);
    assert_int(error, "retry_after_ms", 1500);
    assert_int_equal(error->as.map.n, 6);
    reply_free(r);
}

static void an_error_without_an_id_or_a_wait_has_neither(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    sp_message_put_failure(&r->buf, no_id, SP_CODE_TOKEN_INVALID, "no such token", "", no_id);
    reply_read(r);
    assert_null(sp_wire_get(&r->map, "id"));
    assert_int_equal(r->map.as.map.n, 3);
    const struct sp_wire_value *error = at(&r->map, "error", SP_WIRE_MAP);
    assert_int_equal(error->as.map.n, 5);
    assert_str(error, "rule", "");
    assert_str(error, "hint", "");
    assert_bool(error, "retryable", false);
    reply_free(r);
}

static void a_failure_may_carry_the_compilers_diagnostics(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    sp_message_put_failure(&r->buf, no_id, SP_CODE_BAD_REQUEST, "2 errors", "",
                           SP_TEXT("a.scope:1:1: error\n"));
    reply_read(r);
    assert_str(at(&r->map, "error", SP_WIRE_MAP), "detail", "a.scope:1:1: error\n");
    reply_free(r);
}

static void words_cut_inside_a_character_are_still_utf8(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_decision decision = {.code = SP_CODE_BAD_REQUEST, .reason = "caf\xc3"};
    sp_message_put_error(&r->buf, no_id, &decision);
    reply_read(r); /* it would refuse a str that is not UTF-8 */
    assert_str(at(&r->map, "error", SP_WIRE_MAP), "reason", "caf?");
    reply_free(r);
}

static void long_reasons_are_cut_and_not_dropped(void **state)
{
    (void)state;
    char text[1000];
    struct reply *r = reply_new();
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    sp_message_put_failure(&r->buf, no_id, SP_CODE_INTERNAL, text, text, no_id);
    reply_read(r);
    const struct sp_wire_value *error = at(&r->map, "error", SP_WIRE_MAP);
    assert_int_equal(at(error, "reason", SP_WIRE_STR)->as.text.len, 255);
    reply_free(r);
}

static void every_status_has_a_code(void **state)
{
    (void)state;
    assert_int_equal(sp_message_code(SP_OP_KEY_ADD, SP_OK), SP_CODE_OK);
    assert_int_equal(sp_message_code(SP_OP_KEY_ADD, SP_EEXIST), SP_CODE_EXISTS);
    assert_int_equal(sp_message_code(SP_OP_KEY_SHOW, SP_ENOENT), SP_CODE_NOT_FOUND);
    assert_int_equal(sp_message_code(SP_OP_KEY_ADD, SP_ESEALED), SP_CODE_SEALED);
    assert_int_equal(sp_message_code(SP_OP_KEY_ADD, SP_EIO), SP_CODE_AUDIT_UNAVAILABLE);
    assert_int_equal(sp_message_code(SP_OP_KEY_ADD, SP_EBUSY), SP_CODE_BUSY);
    assert_int_equal(sp_message_code(SP_OP_UNSEAL, SP_ECRYPTO), SP_CODE_NOT_PERMITTED);
    assert_int_equal(sp_message_code(SP_OP_REVOKE, SP_ECRYPTO), SP_CODE_TOKEN_INVALID);
    assert_int_equal(sp_message_code(SP_OP_REVOKE, SP_EDENIED), SP_CODE_NOT_PERMITTED);
    assert_int_equal(sp_message_code(SP_OP_ISSUE, SP_ECLOCK), SP_CODE_CLOCK);
    for (sp_status status = SP_EUNSUPPORTED; status < SP_OK; status++) {
        assert_int_not_equal(sp_message_code(SP_OP_STATUS, status), SP_CODE_OK);
    }
    assert_int_equal(sp_message_code(SP_OP_STATUS, -99), SP_CODE_INTERNAL);
}

static void issued_is_as_documented(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_issued issued = {
        .token = SP_TEXT("spt_x"), .expires_ms = 5000, .scope = SP_TEXT("s")};
    memcpy(issued.root, root, sizeof root);
    sp_message_put_issued(&r->buf, SP_TEXT("r"), &issued, 1500);
    reply_read(r);
    assert_as_documented(r, SP_OP_ISSUE);
    assert_bool(&r->map, "ok", true);
    assert_str(&r->map, "token", "spt_x");
    assert_str(&r->map, "root", ROOT);
    assert_str(&r->map, "scope", "s");
    assert_int(&r->map, "expires", 5000);
    assert_int(&r->map, "expires_in_ms", 3500);
    reply_free(r);
}

static void a_verdict_is_ok_whether_allowed_or_not(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_decision decision = refusal();
    sp_message_put_check(&r->buf, no_id, &decision);
    reply_read(r);
    assert_as_documented(r, SP_OP_CHECK);
    assert_bool(&r->map, "ok", true);
    assert_bool(&r->map, "allowed", false);
    assert_str(&r->map, "code", "rate_limited");
    assert_int(&r->map, "retry_after_ms", 1500);
    assert_null(sp_wire_get(&r->map, "observed"));
    reply_free(r);
    r = reply_new();
    decision =
        (struct sp_decision){.code = SP_CODE_OK, .key = "k", .rule = "read", .observed = true};
    sp_message_put_check(&r->buf, no_id, &decision);
    reply_read(r);
    assert_as_documented(r, SP_OP_CHECK);
    assert_bool(&r->map, "allowed", true);
    assert_bool(&r->map, "observed", true);
    assert_str(&r->map, "key", "k");
    reply_free(r);
}

/* ---- proxy: answers, and answers once more
 * --------------------------------------------------- */

static const struct sp_header headers[] = {
    {{"content-type", 12}, {"application/json", 16}},
    {{"set-cookie", 10}, {"a=1", 3}},
    {{"set-cookie", 10}, {"b=\xff", 3}},
};
static const struct sp_text dropped[] = {{"x-debug", 7}};
static const struct sp_reply upstream = {.code = SP_CODE_OK,
                                         .http_status = 201,
                                         .headers = headers,
                                         .n_headers = 3,
                                         .body = {"{\"id\":\"\x00\"}", 10}};

static void an_upstream_answer_is_passed_on_whole(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_decision decision = {.observed = true};
    struct sp_proxied result = {
        .reply = &upstream, .decision = &decision, .dropped = dropped, .n_dropped = 1};
    sp_message_put_proxied(&r->buf, SP_TEXT("r-9"), &result);
    reply_read(r);
    assert_as_documented(r, SP_OP_PROXY);
    assert_int(&r->map, "status", 201);
    assert_str(&r->map, "id", "r-9");
    assert_bool(&r->map, "observed", true);
    const struct sp_wire_value *list = at(&r->map, "headers", SP_WIRE_ARRAY);
    assert_int_equal(list->as.array.n, 3);
    const struct sp_wire_value *last = list->as.array.items[2].as.array.items;
    assert_true(sp_text_is(last[0].as.text, "set-cookie"));
    assert_int_equal(last[1].kind, SP_WIRE_BIN); /* it is not UTF-8 */
    assert_true(sp_text_eq(at(&r->map, "body", SP_WIRE_BIN)->as.text, upstream.body));
    assert_int_equal(at(&r->map, "dropped_headers", SP_WIRE_ARRAY)->as.array.n, 1);
    assert_null(sp_wire_get(&r->map, "replayed"));
    reply_free(r);
}

/* What put_proxied stored, spliced for a repeated request, differs by the id and `replayed`. */
static void check_replay(struct sp_text stored_id, struct sp_text id,
                         const struct sp_proxied *result)
{
    struct reply *first = reply_new(), *again = reply_new();
    sp_message_put_proxied(&first->buf, stored_id, result);
    reply_read(first);
    assert_int_equal(sp_message_put_stored(&again->buf, id, sp_buf_text(&first->buf)), SP_OK);
    reply_read(again);
    assert_bool(&again->map, "replayed", true);
    assert_int_equal(sp_wire_get(&again->map, "id") != NULL, id.len > 0);
    if (id.len) {
        assert_true(sp_text_eq(at(&again->map, "id", SP_WIRE_STR)->as.text, id));
    }
    size_t same = 0;
    for (size_t i = 0; i < first->map.as.map.n; i++) {
        struct sp_text name = first->map.as.map.pairs[i].name;
        char text[64];
        (void)snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
        const struct sp_wire_value *value = sp_wire_get(&again->map, text);
        same += value && value->kind == first->map.as.map.pairs[i].value.kind;
    }
    assert_int_equal(same, first->map.as.map.n - (stored_id.len > 0 && id.len == 0));
    assert_int_equal(again->map.as.map.n,
                     first->map.as.map.n - (stored_id.len > 0) + (id.len > 0) + 1);
    if (result->reply) {
        assert_true(sp_text_eq(at(&again->map, "body", SP_WIRE_BIN)->as.text, upstream.body));
    }
    reply_free(first);
    reply_free(again);
}

static void T9_a_stored_answer_comes_again_with_this_id_and_replayed(void **state)
{
    (void)state;
    static char long_id[SP_MESSAGE_ID_MAX_BYTES];
    memset(long_id, 'i', sizeof long_id);
    struct sp_decision decision = refusal();
    struct sp_text ids[] = {no_id,
                            SP_TEXT("r"),
                            SP_TEXT("0123456789012345678901234567890"),
                            SP_TEXT("01234567890123456789012345678901"),
                            {long_id, sizeof long_id}};
    struct sp_proxied answers[] = {
        {.reply = &upstream},
        {.reply = &upstream, .dropped = dropped, .n_dropped = 1},
        {.refusal = &decision},
    };
    for (size_t a = 0; a < 3; a++) {
        for (size_t i = 0; i < 5; i++) {
            for (size_t j = 0; j < 5; j++) {
                check_replay(ids[i], ids[j], &answers[a]);
            }
        }
    }
}

static void a_stored_answer_that_is_none_of_ours_is_refused(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_buf out;
    sp_buf_init(&out, REPLY_CAP);
    sp_message_put_proxied(&r->buf, SP_TEXT("r-9"), &(struct sp_proxied){.reply = &upstream});
    /* Cut in its head, or in its id. What follows is not looked at: the store sealed it. */
    static const size_t cuts[] = {0, 1, 6, 7, 11, 12, 14};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct sp_text cut = {r->buf.ptr, cuts[i]};
        assert_int_equal(sp_message_put_stored(&out, no_id, cut), SP_ECORRUPT);
    }
    for (size_t bit = 8; bit < 8 * 8; bit++) {
        r->buf.ptr[bit / 8] ^= (char)(1 << bit % 8);
        sp_status status = sp_message_put_stored(&out, no_id, sp_buf_text(&r->buf));
        assert_int_equal(status, bit == 8 * 7 ? SP_OK : SP_ECORRUPT); /* true for false */
        r->buf.ptr[bit / 8] ^= (char)(1 << bit % 8);
        sp_buf_reset(&out);
    }
    assert_int_equal(sp_message_put_stored(&out, no_id, no_id), SP_ECORRUPT);
    assert_int_equal(out.len, 0);
    sp_buf_done(&out);
    reply_free(r);
    r = reply_new();
    sp_message_put_proxied(&r->buf, SP_TEXT("r-9"),
                           &(struct sp_proxied){.stored = SP_TEXT("garbage")});
    reply_read(r);
    assert_str(at(&r->map, "error", SP_WIRE_MAP), "code", "internal");
    reply_free(r);
}

/* ---- tokens and administration
 * ---------------------------------------------------------------- */

static const struct sp_text caveats[] = {{"until 2026-11-23T00:00:00Z", 26}};

static struct sp_token_view token_view(bool full)
{
    struct sp_token_view view = {.principal = SP_TEXT("desk"),
                                 .scope_name = SP_TEXT("support"),
                                 .scope = SP_TEXT("scope support {}"),
                                 .caveats = caveats,
                                 .n_caveats = 1,
                                 .issued_ms = 1,
                                 .expires_ms = 2};
    memcpy(view.root, root, sizeof root);
    if (full) {
        view.narrow = SP_TEXT("n");
        view.bind = SP_TEXT("b");
        view.revoked_ms = 3;
        view.guard_hits = 4;
        view.guard_key = SP_TEXT("k");
        view.suspended_ms = 5;
        view.expired = true;
    }
    return view;
}

static void a_token_is_shown_as_documented(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        struct reply *r = reply_new();
        struct sp_token_view view = token_view(full);
        sp_message_put_view(&r->buf, SP_TEXT("r"), &view);
        reply_read(r);
        assert_as_documented(r, SP_OP_INSPECT);
        assert_str(&r->map, "root", ROOT);
        assert_str(&r->map, "scope", "support");
        assert_str(&r->map, "scope_text", "scope support {}");
        assert_bool(&r->map, "expired", full);
        assert_int_equal(sp_wire_get(&r->map, "revoked") != NULL, full);
        assert_int_equal(sp_wire_get(&r->map, "suspended") != NULL, full);
        assert_int_equal(sp_wire_get(&r->map, "guard_hits") != NULL, full);
        assert_int_equal(at(&r->map, "caveats", SP_WIRE_ARRAY)->as.array.n, 1);
        reply_free(r);
    }
}

static void a_revocation_names_the_root(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    sp_message_put_revoked(&r->buf, no_id, root);
    reply_read(r);
    assert_as_documented(r, SP_OP_REVOKE);
    assert_as_documented(r, SP_OP_TOKEN_REVOKE);
    assert_as_documented(r, SP_OP_TOKEN_RESUME);
    assert_str(&r->map, "root", ROOT);
    reply_free(r);
}

static void clients_are_told_little_of_the_hosts_state(void **state)
{
    (void)state;
    struct sp_engine_status engine = {.state = SP_ENGINE_READY,
                                      .seal = SP_SEAL_KEY_FILE,
                                      .writes = true,
                                      .n_keys = 3,
                                      .audit_seq = UINT64_MAX};
    struct sp_message_status status = {.version = "0.1.0", .engine = &engine, .started_ms = 7};
    struct reply *r = reply_new();
    sp_message_put_status(&r->buf, SP_TEXT("r"), SP_DOOR_CLIENT, &status);
    reply_read(r);
    assert_as_documented(r, SP_OP_STATUS);
    assert_int_equal(r->map.as.map.n, 7); /* v, ok, id, version, protocol, state, ready */
    assert_bool(&r->map, "ready", true);
    assert_str(&r->map, "state", "ready");
    reply_free(r);
    r = reply_new();
    sp_message_put_status(&r->buf, no_id, SP_DOOR_ADMIN, &status);
    reply_read(r);
    assert_as_documented(r, SP_OP_STATUS);
    assert_str(&r->map, "seal", "key_file");
    assert_int(&r->map, "keys", 3);
    assert_int(&r->map, "audit_seq", INT64_MAX);
    assert_str(&r->map, "policy_error", "");
    assert_int_equal(r->map.as.map.n, 2 + 24);
    reply_free(r);
}

static void ready_means_unsealed_and_writing(void **state)
{
    (void)state;
    static const struct {
        enum sp_engine_state state;
        bool writes, ready;
        const char *name;
    } cases[] = {{SP_ENGINE_READY, true, true, "ready"},
                 {SP_ENGINE_READY, false, false, "ready"},
                 {SP_ENGINE_SEALED, true, false, "sealed"},
                 {SP_ENGINE_FAILED, true, false, "failed"}};
    for (size_t i = 0; i < 4; i++) {
        struct sp_engine_status engine = {.state = cases[i].state, .writes = cases[i].writes};
        struct sp_message_status status = {.version = "0.1.0", .engine = &engine};
        struct reply *r = reply_new();
        sp_message_put_status(&r->buf, no_id, SP_DOOR_CLIENT, &status);
        reply_read(r);
        assert_bool(&r->map, "ready", cases[i].ready);
        assert_str(&r->map, "state", cases[i].name);
        reply_free(r);
    }
}

static void a_key_is_shown_without_its_secrets(void **state)
{
    (void)state;
    static unsigned char canary[] = "sk_test_canary";
    const struct sp_text hosts[] = {SP_TEXT("api.stripe.com")};
    const struct sp_key_setting settings[] = {{SP_TEXT("mode"), SP_TEXT("live")}};
    const struct sp_key_secret secrets[] = {
        {SP_TEXT("api_key"), {NULL, canary, sizeof canary - 1}}};
    const struct sp_key key = {.id = SP_TEXT("stripe-prod-001"),
                               .provider = SP_TEXT("stripe"),
                               .version = 2,
                               .hosts = hosts,
                               .n_hosts = 1,
                               .settings = settings,
                               .n_settings = 1,
                               .secrets = secrets,
                               .n_secrets = 1,
                               .created_ms = 1,
                               .rotated_ms = 2};
    struct reply *r = reply_new();
    sp_message_put_key(&r->buf, &key);
    reply_read(r);
    assert_as_documented(r, SP_OP_KEY_SHOW);
    assert_int(&r->map, "version", 2);
    assert_str(at(&r->map, "settings", SP_WIRE_MAP), "mode", "live");
    assert_true(sp_text_is(at(&r->map, "secrets", SP_WIRE_ARRAY)->as.array.items[0].as.text,
                           "api_key"));
    assert_null(memmem(r->buf.ptr, r->buf.len, canary, sizeof canary - 1));
    reply_free(r);

    struct sp_message_list list;
    r = reply_new();
    sp_message_list_init(&list, REPLY_CAP);
    sp_message_list_key(&list, &key);
    sp_message_list_key(&list, &key);
    sp_message_list_end(&list, &r->buf, "keys");
    reply_read(r);
    assert_as_documented(r, SP_OP_KEY_LIST);
    assert_int_equal(at(&r->map, "keys", SP_WIRE_ARRAY)->as.array.n, 2);
    assert_null(memmem(r->buf.ptr, r->buf.len, canary, sizeof canary - 1));
    reply_free(r);
}

static void lists_hold_what_was_put_in(void **state)
{
    (void)state;
    struct sp_message_list list;
    struct reply *r = reply_new();
    sp_message_list_init(&list, REPLY_CAP);
    static const enum sp_role roles[] = {SP_ROLE_CLIENT, SP_ROLE_PRINCIPAL, SP_ROLE_ADMIN};
    static const char *const names[] = {"client", "principal", "admin"};
    for (unsigned i = 0; i < 3; i++) {
        struct sp_client_info info = {.name = SP_TEXT("a"),
                                      .curve = SP_TEXT("c"),
                                      .role = roles[i],
                                      .from_policy = i == 1};
        sp_message_list_client(&list, &info);
    }
    sp_message_list_end(&list, &r->buf, "clients");
    reply_read(r);
    assert_as_documented(r, SP_OP_CLIENT_LIST);
    const struct sp_wire_value *items = at(&r->map, "clients", SP_WIRE_ARRAY)->as.array.items;
    for (unsigned i = 0; i < 3; i++) {
        assert_str(&items[i], "role", names[i]);
        assert_str(&items[i], "source", i == 1 ? "policy" : "store");
    }
    reply_free(r);

    r = reply_new();
    sp_message_list_init(&list, REPLY_CAP);
    for (unsigned full = 0; full < 2; full++) {
        struct sp_token_view view = token_view(full);
        sp_message_list_token(&list, &view);
    }
    sp_message_list_end(&list, &r->buf, "tokens");
    reply_read(r);
    items = at(&r->map, "tokens", SP_WIRE_ARRAY)->as.array.items;
    assert_str(&items[0], "root", ROOT);
    assert_null(sp_wire_get(&items[0], "revoked"));
    assert_int(&items[1], "revoked", 3);
    assert_null(sp_wire_get(&items[0], "suspended"));
    assert_int(&items[1], "guard_hits", 4);
    assert_str(&items[1], "guard_key", "k");
    assert_int(&items[1], "suspended", 5);
    reply_free(r);

    r = reply_new();
    struct sp_manifest manifest = {
        .id = SP_TEXT("stripe"), .version = SP_TEXT("1"), .n_actions = 4};
    struct sp_provider provider = {.manifest = &manifest, .hash = {0xab}, .path = "/x.so"};
    sp_message_list_init(&list, REPLY_CAP);
    sp_message_list_plugin(&list, &provider);
    sp_message_list_end(&list, &r->buf, "plugins");
    reply_read(r);
    items = at(&r->map, "plugins", SP_WIRE_ARRAY)->as.array.items;
    assert_int(&items[0], "actions", 4);
    assert_int_equal(at(&items[0], "sha256", SP_WIRE_STR)->as.text.len, 64);
    reply_free(r);

    r = reply_new();
    sp_message_list_init(&list, REPLY_CAP);
    sp_message_list_scope(&list, SP_TEXT("s"), SP_TEXT("scope s {}"));
    sp_message_list_end(&list, &r->buf, "scopes");
    reply_read(r);
    assert_as_documented(r, SP_OP_POLICY_SHOW);
    reply_free(r);
}

static void a_list_past_its_cap_is_an_error_and_not_half_a_list(void **state)
{
    (void)state;
    struct sp_message_list list;
    struct reply *r = reply_new();
    sp_message_list_init(&list, 100);
    for (unsigned i = 0; i < 50; i++) {
        sp_message_list_scope(&list, SP_TEXT("name"), SP_TEXT("text"));
    }
    sp_message_list_end(&list, &r->buf, "scopes");
    reply_read(r);
    assert_str(at(&r->map, "error", SP_WIRE_MAP), "code", "too_large");
    reply_free(r);
}

static void the_audit_head_is_hex(void **state)
{
    (void)state;
    struct reply *r = reply_new();
    struct sp_head head = {.seq = 42, .hash = {0xff}};
    sp_message_put_head(&r->buf, &head);
    reply_read(r);
    assert_as_documented(r, SP_OP_AUDIT_HEAD);
    assert_int(&r->map, "seq", 42);
    assert_int_equal(at(&r->map, "hash", SP_WIRE_STR)->as.text.len, 64);
    reply_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_says_all_that_is_known),
        cmocka_unit_test(an_error_without_an_id_or_a_wait_has_neither),
        cmocka_unit_test(a_failure_may_carry_the_compilers_diagnostics),
        cmocka_unit_test(words_cut_inside_a_character_are_still_utf8),
        cmocka_unit_test(long_reasons_are_cut_and_not_dropped),
        cmocka_unit_test(every_status_has_a_code),
        cmocka_unit_test(issued_is_as_documented),
        cmocka_unit_test(a_verdict_is_ok_whether_allowed_or_not),
        cmocka_unit_test(an_upstream_answer_is_passed_on_whole),
        cmocka_unit_test(T9_a_stored_answer_comes_again_with_this_id_and_replayed),
        cmocka_unit_test(a_stored_answer_that_is_none_of_ours_is_refused),
        cmocka_unit_test(a_token_is_shown_as_documented),
        cmocka_unit_test(a_revocation_names_the_root),
        cmocka_unit_test(clients_are_told_little_of_the_hosts_state),
        cmocka_unit_test(ready_means_unsealed_and_writing),
        cmocka_unit_test(a_key_is_shown_without_its_secrets),
        cmocka_unit_test(lists_hold_what_was_put_in),
        cmocka_unit_test(a_list_past_its_cap_is_an_error_and_not_half_a_list),
        cmocka_unit_test(the_audit_head_is_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
