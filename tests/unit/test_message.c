#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_CAP = 64 << 20, MESSAGE_CAP = 1 << 20 };

#define TOKEN "spt_AAECAwQFBgcICQoLDA0ODw"
#define ROOT "000102030405060708090a0b0c0d0e0f"
#define CURVE "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

/* ---- a notation for messages: {v:1, op:'issue', list:['a'], bytes:b'x', on:true, no:nil}
 * ----- */

static const char *put_notation(struct sp_buf *buf, const char *at);

static const char *past_blanks(const char *at)
{
    return at + strspn(at, " ,\n");
}

static const char *put_items(struct sp_buf *buf, const char *at, char end)
{
    struct sp_buf items;
    size_t n = 0;
    sp_buf_init(&items, MESSAGE_CAP);
    for (at = past_blanks(at); *at != end; at = past_blanks(at)) {
        if (end == '}') {
            size_t len = strcspn(at, ":");
            sp_wire_put_str(&items, (struct sp_text){at, len});
            at += len + 1;
        }
        at = put_notation(&items, at);
        n++;
    }
    if (end == '}') {
        sp_wire_put_map(buf, n);
    } else {
        sp_wire_put_array(buf, n);
    }
    sp_buf_add_text(buf, sp_buf_text(&items));
    sp_buf_done(&items);
    return at + 1;
}

static const char *put_notation(struct sp_buf *buf, const char *at)
{
    at = past_blanks(at);
    bool bin = at[0] == 'b' && at[1] == '\'';
    if (*at == '{' || *at == '[') {
        return put_items(buf, at + 1, *at == '{' ? '}' : ']');
    }
    if (*at == '\'' || bin) {
        const char *start = at + 1 + bin, *end = strchr(start, '\'');
        struct sp_text text = {start, (size_t)(end - start)};
        if (bin) {
            sp_wire_put_bin(buf, text);
        } else {
            sp_wire_put_str(buf, text);
        }
        return end + 1;
    }
    if (strncmp(at, "true", 4) == 0 || strncmp(at, "false", 5) == 0) {
        sp_wire_put_bool(buf, *at == 't');
        return at + (*at == 't' ? 4 : 5);
    }
    if (strncmp(at, "nil", 3) == 0) {
        sp_wire_put_nil(buf);
        return at + 3;
    }
    char *end;
    long long number = strtoll(at, &end, 10);
    assert_ptr_not_equal(end, at);
    sp_wire_put_int(buf, number);
    return end;
}

/* ---- one message, read
 * ----------------------------------------------------------------------- */

struct reading {
    struct sp_arena arena;
    struct sp_buf bytes;
    struct sp_message message;
    struct sp_decision refusal;
    bool good;
};

static struct reading *reading_bytes(enum sp_door door, struct sp_text bytes)
{
    struct reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    sp_arena_init(&r->arena, ARENA_CAP);
    sp_buf_init(&r->bytes, MESSAGE_CAP);
    sp_buf_add_text(&r->bytes, bytes);
    r->good =
        sp_message_read(&r->arena, door, sp_buf_text(&r->bytes), &r->message, &r->refusal);
    return r;
}

static struct reading *reading(enum sp_door door, const char *notation)
{
    struct sp_buf bytes;
    sp_buf_init(&bytes, MESSAGE_CAP);
    (void)put_notation(&bytes, notation);
    struct reading *r = reading_bytes(door, sp_buf_text(&bytes));
    sp_buf_done(&bytes);
    return r;
}

static void reading_free(struct reading *r)
{
    sp_arena_done(&r->arena);
    sp_buf_done(&r->bytes);
    free(r);
}

static struct reading *good(enum sp_door door, const char *notation)
{
    struct reading *r = reading(door, notation);
    if (!r->good) {
        fail_msg("%s: %s", notation, r->refusal.reason);
    }
    return r;
}

static void refused(enum sp_door door, const char *notation, enum sp_code code,
                    const char *reason)
{
    struct reading *r = reading(door, notation);
    assert_false(r->good);
    assert_string_equal(r->refusal.reason, reason);
    assert_int_equal(r->refusal.code, code);
    reading_free(r);
}

static void bad(const char *notation, const char *reason)
{
    refused(SP_DOOR_CLIENT, notation, SP_CODE_BAD_REQUEST, reason);
}

/* ---- one good message of each operation
 * ------------------------------------------------------ */

static const struct {
    enum sp_op op;
    enum sp_door door;
    const char *notation;
} samples[] = {
    {SP_OP_ISSUE, SP_DOOR_CLIENT,
     "{v:1, op:'issue', id:'r-1', scope:'repo-bot', args:{owner:'acme', repo:'site'}, "
     "ttl:'4h', "
     "narrow:'allow GET https://api.github.com/user', bind:'" CURVE "'}"},
    {SP_OP_ISSUE, SP_DOOR_CLIENT,
     "{v:1, op:'issue', scope:{allowedKeyIds:['stripe-prod-001'], allowedProviders:['stripe'], "
     "allowedMethods:['GET','POST'], allowedDomains:['api.stripe.com'], rateLimitPerMinute:30, "
     "expiresIn:'4h'}}"},
    {SP_OP_PROXY, SP_DOOR_CLIENT,
     "{v:1, op:'proxy', id:'r-2', token:'" TOKEN "', key:'stripe-prod-001', method:'POST', "
     "url:'https://api.stripe.com/v1/refunds', "
     "headers:{content-type:'application/x-www-form-urlencoded'}, "
     "body:b'charge=ch_1&amount=4000'}"},
    {SP_OP_PROXY, SP_DOOR_CLIENT,
     "{v:1, op:'proxy', token:'" TOKEN
     "', method:'GET', url:'https://api.stripe.com/v1/charges', "
     "headers:[['accept','application/json'],['if-match','x']]}"},
    {SP_OP_PROXY, SP_DOOR_CLIENT,
     "{v:1, op:'proxy', id:'s-1', token:'" TOKEN
     "', method:'GET', url:'https://api.stripe.com/v1/events', stream:true, credit:32}"},
    {SP_OP_CREDIT, SP_DOOR_CLIENT, "{v:1, op:'credit', id:'s-1', credit:16}"},
    {SP_OP_CANCEL, SP_DOOR_CLIENT, "{v:1, op:'cancel', id:'s-1'}"},
    {SP_OP_CHECK, SP_DOOR_CLIENT,
     "{v:1, op:'check', token:'" TOKEN "', method:'GET', "
     "url:'https://api.stripe.com/v1/charges/ch_1'}"},
    {SP_OP_INSPECT, SP_DOOR_CLIENT, "{v:1, op:'inspect', token:'" TOKEN "'}"},
    {SP_OP_REVOKE, SP_DOOR_CLIENT, "{v:1, op:'revoke', token:'" TOKEN "'}"},
    {SP_OP_REVOKE, SP_DOOR_CLIENT, "{v:1, op:'revoke', root:'" ROOT "'}"},
    {SP_OP_STATUS, SP_DOOR_CLIENT, "{v:1, op:'status'}"},
    {SP_OP_STATUS, SP_DOOR_ADMIN, "{v:1, op:'status'}"},
    {SP_OP_UNSEAL, SP_DOOR_ADMIN, "{v:1, op:'unseal', secret:b'correct horse'}"},
    {SP_OP_SEAL, SP_DOOR_ADMIN, "{v:1, op:'seal'}"},
    {SP_OP_KEY_CHECK, SP_DOOR_ADMIN, "{v:1, op:'key.check', id:'k', provider:'stripe'}"},
    {SP_OP_KEY_ADD, SP_DOOR_ADMIN,
     "{v:1, op:'key.add', id:'stripe-prod-001', provider:'stripe', settings:{mode:'live'}, "
     "secrets:{api_key:b'sk_test_1'}}"},
    {SP_OP_KEY_ROTATE, SP_DOOR_ADMIN,
     "{v:1, op:'key.rotate', id:'stripe-prod-001', secrets:{api_key:'sk_test_2'}}"},
    {SP_OP_KEY_SET, SP_DOOR_ADMIN,
     "{v:1, op:'key.set', id:'stripe-prod-001', settings:{stripe_account:'acct_1'}, "
     "unset:['upstream']}"},
    {SP_OP_KEY_LIST, SP_DOOR_ADMIN, "{v:1, op:'key.list'}"},
    {SP_OP_KEY_SHOW, SP_DOOR_ADMIN, "{v:1, op:'key.show', id:'stripe-prod-001'}"},
    {SP_OP_KEY_REMOVE, SP_DOOR_ADMIN, "{v:1, op:'key.remove', id:'stripe-prod-001'}"},
    {SP_OP_KEY_TEST, SP_DOOR_ADMIN,
     "{v:1, op:'key.test', id:'stripe-prod-001', url:'https://api.stripe.com/v1/balance'}"},
    {SP_OP_KEY_ROTATE_UPSTREAM, SP_DOOR_ADMIN,
     "{v:1, op:'key.rotate_upstream', id:'stripe-prod-001'}"},
    {SP_OP_CLIENT_ADD, SP_DOOR_ADMIN,
     "{v:1, op:'client.add', name:'agent-1', curve:'" CURVE "', admin:false}"},
    {SP_OP_CLIENT_LIST, SP_DOOR_ADMIN, "{v:1, op:'client.list'}"},
    {SP_OP_CLIENT_REMOVE, SP_DOOR_ADMIN, "{v:1, op:'client.remove', name:'agent-1'}"},
    {SP_OP_TOKEN_LIST, SP_DOOR_ADMIN, "{v:1, op:'token.list'}"},
    {SP_OP_TOKEN_REVOKE, SP_DOOR_ADMIN, "{v:1, op:'token.revoke', root:'" ROOT "'}"},
    {SP_OP_TOKEN_RESUME, SP_DOOR_ADMIN, "{v:1, op:'token.resume', root:'" ROOT "'}"},
    {SP_OP_LEASE_LIST, SP_DOOR_ADMIN, "{v:1, op:'lease.list'}"},
    {SP_OP_LEASE_REVOKE, SP_DOOR_ADMIN, "{v:1, op:'lease.revoke', key:'github-app'}"},
    {SP_OP_POLICY_RELOAD, SP_DOOR_ADMIN, "{v:1, op:'policy.reload'}"},
    {SP_OP_POLICY_SHOW, SP_DOOR_ADMIN, "{v:1, op:'policy.show'}"},
    {SP_OP_PLUGIN_LIST, SP_DOOR_ADMIN, "{v:1, op:'plugin.list'}"},
    {SP_OP_AUDIT_HEAD, SP_DOOR_ADMIN, "{v:1, op:'audit.head'}"},
    {SP_OP_BACKUP, SP_DOOR_ADMIN, "{v:1, op:'backup', path:'/var/backups/sallyport.db'}"},
    {SP_OP_RELOAD, SP_DOOR_ADMIN, "{v:1, op:'reload'}"},
};
enum { N_SAMPLES = sizeof samples / sizeof *samples };

static void every_operation_has_a_sample_that_is_read(void **state)
{
    (void)state;
    bool seen[SP_OP_COUNT] = {false};
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct reading *r = good(samples[i].door, samples[i].notation);
        assert_int_equal(r->message.op, samples[i].op);
        seen[r->message.op] = true;
        reading_free(r);
    }
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        assert_true(seen[op]);
    }
}

static void issue_is_read_whole(void **state)
{
    (void)state;
    struct reading *r = good(SP_DOOR_CLIENT, samples[0].notation);
    const struct sp_issue *issue = &r->message.as.issue;
    assert_true(sp_text_is(r->message.id, "r-1"));
    assert_true(sp_text_is(issue->scope, "repo-bot"));
    assert_int_equal(issue->n_args, 2);
    assert_true(sp_text_is(issue->args[1].name, "repo"));
    assert_true(sp_text_is(issue->args[1].value, "site"));
    assert_int_equal(issue->ttl_ms, 4 * 3600 * 1000);
    assert_true(sp_text_is(issue->narrow, "allow GET https://api.github.com/user"));
    assert_true(sp_text_is(issue->bind, CURVE));
    assert_null(issue->json);
    assert_int_equal(issue->curve.len, 0);
    reading_free(r);
}

static void json_scope_is_read_as_it_stands(void **state)
{
    (void)state;
    struct reading *r = good(SP_DOOR_CLIENT, samples[1].notation);
    const struct sp_json_scope *json = r->message.as.issue.json;
    assert_non_null(json);
    assert_int_equal(r->message.as.issue.scope.len, 0);
    assert_true(json->n_key_ids == 1 && sp_text_is(json->key_ids[0], "stripe-prod-001"));
    assert_true(json->n_providers == 1 && sp_text_is(json->providers[0], "stripe"));
    assert_true(json->n_methods == 2 && sp_text_is(json->methods[1], "POST"));
    assert_true(json->n_domains == 1 && sp_text_is(json->domains[0], "api.stripe.com"));
    assert_int_equal(json->rate_per_minute, 30);
    assert_int_equal(json->ttl_ms, 4 * 3600 * 1000);
    reading_free(r);
}

static void json_scope_with_faults_is_refused(void **state)
{
    (void)state;
#define JSON(rest) "{v:1, op:'issue', scope:{allowedKeyIds:['k'], " rest "}}"
#define LISTS "allowedMethods:['GET'], allowedDomains:['h']"
    bad(JSON(LISTS ", rateLimitPerMinute:0"),
        "issue: field 'rateLimitPerMinute' must be from 1 to 1000000");
    bad(JSON(LISTS ", rateLimitPerMinute:1000001"),
        "issue: field 'rateLimitPerMinute' must be from 1 to 1000000");
    bad(JSON(LISTS ", expiresIn:'soon'"), "issue: field 'expiresIn' must be a duration: "
                                          "\"4h\", \"30m\", \"90s\", or whole seconds");
    bad(JSON(LISTS ", expiresIn:0"), "issue: field 'expiresIn' must be a duration: \"4h\", "
                                     "\"30m\", \"90s\", or whole seconds");
    bad(JSON("allowedMethods:['GET'], allowedDomains:['h', 5]"),
        "issue: field 'allowedDomains' must be an array of str");
    bad(JSON("allowedMethods:'GET', allowedDomains:['h']"),
        "issue: scope: field 'allowedMethods' must be array, not str");
    bad(JSON("allowedMethods:['GET'], allowedDomains:['']"),
        "issue: field 'allowedDomains' holds an empty text");
    bad(JSON("allowedMethods:['GET']"), "issue: scope: field 'allowedDomains' is missing");
    bad(JSON(LISTS ", allowedPaths:['/']"),
        "issue: scope: unknown field 'allowedPaths'; known are: allowedKeyIds, "
        "allowedProviders, "
        "allowedMethods, allowedDomains, rateLimitPerMinute, expiresIn");
    bad("{v:1, op:'issue', ttl:'1h', scope:{allowedKeyIds:['k'], " LISTS "}}",
        "issue: field 'ttl' does not go with a scope in the JSON form (its expiresIn is the "
        "life)");
    bad("{v:1, op:'issue', args:{a:'b'}, scope:{allowedKeyIds:['k'], " LISTS "}}",
        "issue: field 'args' does not go with a scope in the JSON form (its expiresIn is the "
        "life)");
#undef JSON
#undef LISTS
}

static uint64_t ttl_of(const char *ttl)
{
    char notation[200];
    (void)snprintf(notation, sizeof notation, "{v:1, op:'issue', scope:'s', ttl:%s}", ttl);
    struct reading *r = reading(SP_DOOR_CLIENT, notation);
    uint64_t ttl_ms = r->good ? r->message.as.issue.ttl_ms : 0;
    assert_true(r->good || r->refusal.code == SP_CODE_BAD_REQUEST);
    reading_free(r);
    return ttl_ms;
}

static void durations_are_read_exactly_or_refused(void **state)
{
    (void)state;
    assert_int_equal(ttl_of("'4h'"), 14400000);
    assert_int_equal(ttl_of("'250ms'"), 250);
    assert_int_equal(ttl_of("'90s'"), 90000);
    assert_int_equal(ttl_of("'30m'"), 1800000);
    assert_int_equal(ttl_of("'5min'"), 300000);
    assert_int_equal(ttl_of("'2d'"), 172800000);
    assert_int_equal(ttl_of("'60'"), 60000);
    assert_int_equal(ttl_of("60"), 60000);
    assert_true(ttl_of("9999999999") == 9999999999000);
    assert_true(ttl_of("'9999999999d'") == UINT64_C(9999999999) * 86400000);
    static const char *const refusals[] = {
        "0",      "-1",    "'0s'",  "'4 h'",  "'h'",   "'4H'",        "'+4h'",        "'-4h'",
        "'4.5h'", "'4h '", "'4hh'", "'4h1m'", "' 4h'", "10000000000", "'12345678901'"};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        assert_int_equal(ttl_of(refusals[i]), 0);
    }
}

static void proxy_is_read_whole(void **state)
{
    (void)state;
    struct reading *r = good(SP_DOOR_CLIENT, samples[2].notation);
    const struct sp_message_call *call = &r->message.as.call;
    assert_true(sp_text_is(call->token, TOKEN));
    assert_true(sp_text_is(call->key, "stripe-prod-001"));
    assert_true(sp_text_is(call->raw.method, "POST"));
    assert_true(sp_text_is(call->raw.url, "https://api.stripe.com/v1/refunds"));
    assert_int_equal(call->raw.n_headers, 1);
    assert_true(sp_text_is(call->raw.headers[0].name, "content-type"));
    assert_true(sp_text_is(call->raw.headers[0].value, "application/x-www-form-urlencoded"));
    assert_true(sp_text_is(call->raw.body, "charge=ch_1&amount=4000"));
    reading_free(r);
}

static void headers_may_be_a_map_or_pairs(void **state)
{
    (void)state;
    struct reading *r = good(SP_DOOR_CLIENT, samples[3].notation);
    const struct sp_raw_request *raw = &r->message.as.call.raw;
    assert_int_equal(raw->n_headers, 2);
    assert_true(sp_text_is(raw->headers[1].name, "if-match"));
    assert_true(sp_text_is(raw->headers[1].value, "x"));
    assert_null(raw->body.ptr); /* none, which is not the same as an empty one */
    reading_free(r);
    r = good(SP_DOOR_CLIENT,
             "{v:1,op:'proxy',token:'t',method:'POST',url:'u',headers:{},body:b''}");
    assert_non_null(r->message.as.call.raw.body.ptr);
    assert_int_equal(r->message.as.call.raw.body.len, 0);
    assert_int_equal(r->message.as.call.raw.n_headers, 0);
    reading_free(r);
}

static void headers_of_another_shape_are_refused(void **state)
{
    (void)state;
#define CALL(headers) "{v:1, op:'proxy', token:'t', method:'GET', url:'u', headers:" headers "}"
    static const char must[] =
        "proxy: field 'headers' must map str to str, or be an array of [name, value]";
    bad(CALL("{a:1}"), must);
    bad(CALL("{a:b'x'}"), must);
    bad(CALL("[['a']]"), must);
    bad(CALL("[['a','b','c']]"), must);
    bad(CALL("[[1,'b']]"), must);
    bad(CALL("[['a',nil]]"), must);
    bad(CALL("['a']"), must);
    bad(CALL("'a: b'"), "proxy: field 'headers' must be array or map, not str");
#undef CALL
}

static void more_than_64_headers_are_refused(void **state)
{
    (void)state;
    for (unsigned n = SP_HEADERS_MAX; n <= SP_HEADERS_MAX + 1; n++) {
        struct sp_buf buf;
        sp_buf_init(&buf, MESSAGE_CAP);
        sp_wire_put_map(&buf, 6);
        sp_wire_pair_int(&buf, "v", 1);
        sp_wire_pair_str(&buf, "op", SP_TEXT("check"));
        sp_wire_pair_str(&buf, "token", SP_TEXT("t"));
        sp_wire_pair_str(&buf, "method", SP_TEXT("GET"));
        sp_wire_pair_str(&buf, "url", SP_TEXT("u"));
        sp_wire_put_str(&buf, SP_TEXT("headers"));
        sp_wire_put_map(&buf, n);
        for (unsigned i = 0; i < n; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "h%u", i);
            sp_wire_pair_str(&buf, name, SP_TEXT("v"));
        }
        struct reading *r = reading_bytes(SP_DOOR_CLIENT, sp_buf_text(&buf));
        assert_int_equal(r->good, n <= SP_HEADERS_MAX);
        reading_free(r);
        sp_buf_done(&buf);
    }
}

static void a_stream_has_an_id_and_a_credit_in_bounds(void **state)
{
    (void)state;
#define CALL(more) "{v:1, op:'proxy', token:'t', method:'GET', url:'u'" more "}"
    struct reading *r = good(SP_DOOR_CLIENT, CALL(", id:'s', stream:true, credit:4096"));
    assert_true(r->message.as.call.stream);
    assert_int_equal(r->message.as.call.credit, SP_MESSAGE_CREDIT_MAX);
    reading_free(r);
    r = good(SP_DOOR_CLIENT, CALL(", id:'s', stream:true"));
    assert_int_equal(r->message.as.call.credit, SP_MESSAGE_CREDIT);
    reading_free(r);
    r = good(SP_DOOR_CLIENT, CALL(", stream:false"));
    assert_false(r->message.as.call.stream);
    reading_free(r);
    r = good(SP_DOOR_CLIENT, "{v:1, op:'credit', id:'s', credit:1}");
    assert_int_equal(r->message.as.credit, 1);
    reading_free(r);
    static const char id[] = "proxy: field 'id' has to be given: it names the stream";
    bad(CALL(", stream:true"), id);
    bad(CALL(", id:'s', credit:4"), "proxy: field 'credit' is for streams: set 'stream' too");
    bad(CALL(", id:'s', stream:true, credit:0"),
        "proxy: field 'credit' must be from 1 to 4096");
    bad(CALL(", id:'s', stream:true, credit:4097"),
        "proxy: field 'credit' must be from 1 to 4096");
    bad(CALL(", id:'s', stream:true, credit:-1"),
        "proxy: field 'credit' must be from 1 to 4096");
    bad("{v:1, op:'credit', credit:1}",
        "credit: field 'id' has to be given: it names the stream");
    bad("{v:1, op:'cancel'}", "cancel: field 'id' has to be given: it names the stream");
#undef CALL
}

static void revoke_takes_a_token_or_a_root_and_not_both(void **state)
{
    (void)state;
    struct reading *r = good(SP_DOOR_CLIENT, "{v:1, op:'revoke', root:'" ROOT "'}");
    assert_null(r->message.as.token.token.ptr);
    assert_int_equal(r->message.as.token.root[15], 15);
    reading_free(r);
    static const char only[] =
        "revoke: either 'token' or 'root' has to be given, and only one of them";
    bad("{v:1, op:'revoke'}", only);
    bad("{v:1, op:'revoke', token:'t', root:'" ROOT "'}", only);
    bad("{v:1, op:'revoke', root:'xx0102030405060708090a0b0c0d0e0f'}",
        "revoke: field 'root' must be 32 hexadecimal digits");
    bad("{v:1, op:'revoke', root:'00'}", "revoke: field 'root' must have 32 bytes");
}

static void secrets_may_be_bin_or_str_and_settings_only_str(void **state)
{
    (void)state;
    struct reading *r =
        good(SP_DOOR_ADMIN, "{v:1, op:'key.add', id:'k', provider:'p', settings:{a:'1', b:''}, "
                            "secrets:{x:b'one', y:'two'}}");
    const struct sp_message_key *key = &r->message.as.key;
    assert_true(sp_text_is(key->id, "k") && sp_text_is(key->provider, "p"));
    assert_int_equal(key->n_settings, 2);
    assert_true(sp_text_is(key->settings[1].name, "b"));
    assert_int_equal(key->n_secrets, 2);
    assert_true(sp_text_is(key->secrets[0].value, "one"));
    assert_true(sp_text_is(key->secrets[1].value, "two"));
    assert_int_equal(r->message.id.len, 0); /* the id is the key's, not the request's */
    reading_free(r);
    refused(SP_DOOR_ADMIN, "{v:1, op:'key.add', id:'k', provider:'p', settings:{a:b'1'}}",
            SP_CODE_BAD_REQUEST, "key.add: field 'settings' must map str to str");
    refused(SP_DOOR_ADMIN, "{v:1, op:'key.add', id:'k', provider:'p', secrets:{a:1}}",
            SP_CODE_BAD_REQUEST, "key.add: field 'secrets' must map str to bin or str");
    refused(
        SP_DOOR_ADMIN, "{v:1, op:'key.add', id:'k', provider:'p', secrets:{:'x'}}",
        SP_CODE_BAD_REQUEST,
        "key.add: field 'secrets' holds a name that is empty, longer than 64 bytes, or has a "
        "NUL");
}

static void a_path_for_a_backup_is_absolute(void **state)
{
    (void)state;
    refused(SP_DOOR_ADMIN, "{v:1, op:'backup', path:'x.db'}", SP_CODE_BAD_REQUEST,
            "backup: field 'path' must be an absolute path");
}

static void names_with_a_nul_byte_are_refused(void **state)
{
    (void)state;
    struct reading *r = reading_bytes(
        SP_DOOR_ADMIN, (struct sp_text){"\x83\xa1v\x01\xa2op\xa8key.show\xa2id\xa3k\0x", 23});
    assert_false(r->good);
    assert_string_equal(r->refusal.reason, "key.show: field 'id' holds a NUL byte");
    reading_free(r);
}

static void the_envelope_is_checked(void **state)
{
    (void)state;
    static const char version[] =
        "field 'v' must be 1, the only version of the protocol that this host speaks";
    bad("{op:'status'}", version);
    bad("{v:2, op:'status'}", version);
    bad("{v:'1', op:'status'}", version);
    bad("{v:1}", "field 'op' must name an operation");
    bad("{v:1, op:7}", "field 'op' must name an operation");
    bad("[1]", "the message is not a map");
    bad("{v:1, op:'status', extra:1}", "status: unknown field 'extra'; known are: v, op, id");
    bad("{v:1, op:'check', token:'t', method:'GET'}", "check: field 'url' is missing");
    bad("{v:1, op:'inspect', token:b't'}", "inspect: field 'token' must be str, not bin");
    bad("{v:1, op:'issue', scope:''}", "issue: field 'scope' holds an empty text");
    bad("{v:1, op:'issue', scope:'s', bind:'short'}", "issue: field 'bind' must have 40 bytes");
    bad("{v:1, op:'check', token:'t', url:'u', method:'OVERLONGMETHODNAME'}",
        "check: field 'method' holds more than 16 bytes");
}

static void operations_are_bound_to_their_socket(void **state)
{
    (void)state;
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        for (unsigned door = SP_DOOR_CLIENT; door <= SP_DOOR_ADMIN; door++) {
            if (sp_message_ops[op].doors & door) {
                continue;
            }
            char notation[64];
            (void)snprintf(notation, sizeof notation, "{v:1, op:'%s'}",
                           sp_message_ops[op].name);
            refused((enum sp_door)door, notation, SP_CODE_UNKNOWN_OP,
                    "this operation is not one of this socket");
        }
    }
    refused(SP_DOOR_CLIENT, "{v:1, op:'renew'}", SP_CODE_UNKNOWN_OP, "no such operation");
    refused(SP_DOOR_ADMIN, "{v:1, op:'renew'}", SP_CODE_UNKNOWN_OP, "no such operation");
}

static void the_id_comes_back_even_from_a_bad_request(void **state)
{
    (void)state;
    struct reading *r = reading(SP_DOOR_CLIENT, "{v:9, op:'none', id:'r-7'}");
    assert_false(r->good);
    assert_true(sp_text_is(r->message.id, "r-7"));
    reading_free(r);
    r = reading(SP_DOOR_CLIENT, "{v:1, op:'status', id:''}");
    assert_false(r->good);
    assert_int_equal(r->message.id.len, 0);
    reading_free(r);
    r = reading(SP_DOOR_CLIENT, "{v:1, op:'status', id:5}");
    assert_false(r->good);
    assert_int_equal(r->message.id.len, 0);
    reading_free(r);
}

/* Malformed tokens reach the engine, which gives all of them one refusal. */
static void T10_a_token_of_any_shape_is_left_to_the_engine(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "x", "spt_", "spt_!!", TOKEN, "\n", (" " TOKEN)};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        char notation[200];
        (void)snprintf(notation, sizeof notation, "{v:1, op:'inspect', token:'%s'}", tokens[i]);
        struct reading *r = good(SP_DOOR_CLIENT, notation);
        assert_true(sp_text_is(r->message.as.token.token, tokens[i]));
        assert_non_null(r->message.as.token.token.ptr);
        reading_free(r);
    }
}

/* A refusal is one of the reader's codes, has words, and can be answered. */
static void assert_answerable(const struct reading *r)
{
    struct sp_buf buf;
    struct sp_arena arena;
    struct sp_wire_value reply;
    enum sp_code code = r->refusal.code;
    assert_true(code == SP_CODE_BAD_REQUEST || code == SP_CODE_TOO_LARGE ||
                code == SP_CODE_UNKNOWN_OP);
    assert_true(strlen(r->refusal.reason) > 0);
    sp_buf_init(&buf, 4096);
    sp_arena_init(&arena, ARENA_CAP);
    sp_message_put_error(&buf, r->message.id, &r->refusal);
    assert_false(buf.failed);
    assert_int_equal(sp_wire_read(&arena, sp_buf_text(&buf), &reply, NULL), SP_OK);
    sp_arena_done(&arena);
    sp_buf_done(&buf);
}

static void T6_every_prefix_of_a_good_message_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct sp_buf bytes;
        sp_buf_init(&bytes, MESSAGE_CAP);
        (void)put_notation(&bytes, samples[i].notation);
        for (size_t len = 0; len < bytes.len; len++) {
            struct reading *r =
                reading_bytes(samples[i].door, (struct sp_text){bytes.ptr, len});
            assert_false(r->good);
            assert_answerable(r);
            reading_free(r);
        }
        sp_buf_done(&bytes);
    }
}

static void T6_every_bit_flip_is_refused_or_another_valid_message(void **state)
{
    (void)state;
    size_t n_read = 0, n_refused = 0;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct sp_buf bytes;
        sp_buf_init(&bytes, MESSAGE_CAP);
        (void)put_notation(&bytes, samples[i].notation);
        for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
            bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
            struct reading *r = reading_bytes(samples[i].door, sp_buf_text(&bytes));
            if (r->good) {
                n_read++;
                assert_true(r->message.op < SP_OP_COUNT);
                assert_true(sp_message_ops[r->message.op].doors & (unsigned)samples[i].door);
            } else {
                n_refused++;
                assert_answerable(r);
            }
            reading_free(r);
            bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        }
        sp_buf_done(&bytes);
    }
    assert_true(n_refused > n_read && n_read > 0);
}

static void T5_memory_of_a_request_is_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct reading *r = good(samples[i].door, samples[i].notation);
        assert_true(r->arena.used_bytes <= SP_WIRE_FREE_BYTES);
        reading_free(r);
    }
    struct sp_buf buf;
    static char body[1 << 19];
    sp_buf_init(&buf, MESSAGE_CAP);
    (void)put_notation(&buf, "{v:1, op:'proxy', token:'t', method:'POST', url:'u'}");
    buf.ptr[0]++;
    sp_wire_put_str(&buf, SP_TEXT("body"));
    sp_wire_put_bin(&buf, (struct sp_text){body, sizeof body});
    struct reading *r = reading_bytes(SP_DOOR_CLIENT, sp_buf_text(&buf));
    assert_true(r->good);
    assert_true(r->arena.used_bytes <= 1024); /* the body is borrowed */
    assert_true(r->message.as.call.raw.body.ptr > r->bytes.ptr &&
                r->message.as.call.raw.body.ptr < r->bytes.ptr + r->bytes.len);
    reading_free(r);
    sp_buf_done(&buf);
}

static void no_memory_is_busy_and_not_the_clients_fault(void **state)
{
    (void)state;
    struct sp_buf bytes;
    sp_buf_init(&bytes, MESSAGE_CAP);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        sp_buf_reset(&bytes);
        (void)put_notation(&bytes, samples[i].notation);
        bool good_once = false;
        for (size_t cap = 0; cap < 4096 && !good_once; cap += 16) {
            struct sp_arena arena;
            struct sp_message message;
            struct sp_decision refusal;
            sp_arena_init(&arena, cap);
            good_once = sp_message_read(&arena, samples[i].door, sp_buf_text(&bytes), &message,
                                        &refusal);
            assert_int_equal(refusal.code, good_once ? SP_CODE_OK : SP_CODE_BUSY);
            sp_arena_done(&arena);
        }
        assert_true(good_once);
    }
    sp_buf_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_has_a_sample_that_is_read),
        cmocka_unit_test(issue_is_read_whole),
        cmocka_unit_test(json_scope_is_read_as_it_stands),
        cmocka_unit_test(json_scope_with_faults_is_refused),
        cmocka_unit_test(durations_are_read_exactly_or_refused),
        cmocka_unit_test(proxy_is_read_whole),
        cmocka_unit_test(headers_may_be_a_map_or_pairs),
        cmocka_unit_test(headers_of_another_shape_are_refused),
        cmocka_unit_test(more_than_64_headers_are_refused),
        cmocka_unit_test(a_stream_has_an_id_and_a_credit_in_bounds),
        cmocka_unit_test(revoke_takes_a_token_or_a_root_and_not_both),
        cmocka_unit_test(secrets_may_be_bin_or_str_and_settings_only_str),
        cmocka_unit_test(a_path_for_a_backup_is_absolute),
        cmocka_unit_test(names_with_a_nul_byte_are_refused),
        cmocka_unit_test(the_envelope_is_checked),
        cmocka_unit_test(operations_are_bound_to_their_socket),
        cmocka_unit_test(the_id_comes_back_even_from_a_bad_request),
        cmocka_unit_test(T10_a_token_of_any_shape_is_left_to_the_engine),
        cmocka_unit_test(T6_every_prefix_of_a_good_message_is_refused),
        cmocka_unit_test(T6_every_bit_flip_is_refused_or_another_valid_message),
        cmocka_unit_test(T5_memory_of_a_request_is_bounded),
        cmocka_unit_test(no_memory_is_busy_and_not_the_clients_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
