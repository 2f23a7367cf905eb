/* The engine behind engine.h, on a real store in a folder of its own, with a clock that the
 * test moves. One world: key k for api.example, a desk that issues, an agent that does not. */
#include "engine.h"
#include "unit/folder.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DESK "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define AGENT "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define ADMIN "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
#define URL "https://api.example/things/1"

static const char policy_text[] =
    "sallyport 1\n"
    "scope s(owner) {\n  key k\n  ttl 1h\n  rate 5/min\n"
    "  @read allow GET https://api.example/things/*\n"
    "  @own allow GET https://api.example/of/{owner}\n"
    "  @pay allow POST https://api.example/pay where body.amount in 1..5000\n"
    "  @no deny * https://api.example/things/secret\n}\n"
    "scope open {\n  key k\n  ttl 1h\n  rate 1000/min\n  @any allow {GET POST} "
    "https://api.example/**\n}\n"
    "principal desk {\n  curve \"" DESK "\"\n  may issue s(owner = \"acme\") for 1h, 50 live\n"
    "  may issue open for 1h\n}\n"
    "client agent { curve \"" AGENT "\" }\n";

struct world {
    char folder[64];
    _Atomic int64_t wall, boot; /* the commit thread asks, too */
    struct sp_engine *engine;
    struct sp_engine_config config;
    char token[4096];
    uint8_t root[16];
    struct sp_decision decision;
    struct sp_ticket *ticket;
    char answer[256];
    unsigned n_called;
    sp_status status;
};

static int64_t wall_ms(void *user)
{
    return ((struct world *)user)->wall;
}

static int64_t boot_ms(void *user)
{
    return ((struct world *)user)->boot;
}

static void wake(void *user)
{
    (void)user;
}

static void judge_body(struct sp_arena *arena, struct sp_request *request)
{
    const struct sp_param *params;
    size_t n;
    struct sp_value *tree = sp_arena_alloc(arena, sizeof *tree);
    request->body_kind = SP_BODY_OPAQUE;
    if (sp_form_parse(arena, request->body, 64, &params, &n, NULL) == SP_OK &&
        sp_form_tree(arena, params, n, tree) == SP_OK) {
        request->body_kind = SP_BODY_FORM;
        request->body_value = tree;
    }
}

static void await(struct world *w, unsigned n)
{
    for (int i = 0; i < 10000 && w->n_called < n; i++) {
        (void)sp_engine_poll(w->engine);
        usleep(500);
    }
    assert_true(w->n_called >= n);
}

static void on_done(void *user, sp_status status, const struct sp_error *err)
{
    struct world *w = user;
    (void)err;
    w->status = status;
    w->n_called++;
}

static void open_engine(struct world *w)
{
    struct sp_error err = {""};
    struct sp_secret unseal;
    if (sp_engine_open(&w->config, &w->engine, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(sp_secret_new(sp_engine_pool(w->engine), 32, &unseal), SP_OK);
    memset(unseal.ptr, 9, 32);
    w->n_called = 0;
    sp_engine_unseal(w->engine, &unseal, on_done, w);
    await(w, 1);
    assert_int_equal(w->status, SP_OK);
}

static void set_policy(struct world *w)
{
    struct sp_world known;
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    struct sp_source source = {"test", SP_TEXT("")};
    struct sp_error err = {""};
    source.text = sp_text_of(policy_text);
    sp_engine_world(w->engine, &known);
    sp_diags_init(&diags);
    if (sp_policy_compile(&source, 1, &known, &diags, &policy)) {
        fail_msg("%s", diags.first ? diags.first->message : "?");
    }
    sp_diags_done(&diags);
    assert_int_equal(sp_engine_set_policy(w->engine, policy, NULL, &err), SP_OK);
}

static int setup(void **state)
{
    static struct world w;
    struct sp_error err = {""};
    uint8_t unseal[32];
    memset(&w, 0, sizeof w);
    memset(unseal, 9, sizeof unseal);
    memcpy(w.folder, "/tmp/sp-engine-XXXXXX", 22);
    assert_non_null(mkdtemp(w.folder));
    w.wall = 1800000000000;
    w.boot = 5000000;
    w.config = (struct sp_engine_config){.dir = w.folder,
                                         .audit_rotate_bytes = 1 << 20,
                                         .ttl_default_ms = 3600000,
                                         .ttl_max_ms = 86400000,
                                         .answer_max_bytes = 1000,
                                         .queue_max = 1000,
                                         .judge_body = judge_body,
                                         .wake = wake,
                                         .user = &w,
                                         .clock = {&w, wall_ms, boot_ms, "boot-one"}};
    if (sp_engine_create(w.folder, SP_SEAL_KEY_FILE, (struct sp_text){(char *)unseal, 32},
                         SP_TEXT(ADMIN), &err)) {
        fail_msg("%s", err.text);
    }
    open_engine(&w);
    struct sp_text hosts[] = {SP_TEXT("api.example")};
    struct sp_key_secret secret = {SP_TEXT("api_key"), {NULL, NULL, 0}};
    assert_int_equal(sp_secret_new(sp_engine_pool(w.engine), 6, &secret.value), SP_OK);
    memcpy(secret.value.ptr, "canary", 6);
    struct sp_key_input input = {.id = SP_TEXT("k"),
                                 .provider = SP_TEXT("rest"),
                                 .hosts = hosts,
                                 .n_hosts = 1,
                                 .secrets = &secret,
                                 .n_secrets = 1};
    sp_engine_key_add(w.engine, &input, SP_TEXT("admin"), on_done, &w);
    await(&w, 2);
    assert_int_equal(w.status, SP_OK);
    set_policy(&w);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sp_engine_close(w->engine);
    return folder_remove(w->folder);
}

static void on_issued(void *user, const struct sp_decision *decision,
                      const struct sp_issued *issued)
{
    struct world *w = user;
    w->decision = *decision;
    w->n_called++;
    if (issued) {
        assert_true(issued->token.len < sizeof w->token);
        memcpy(w->token, issued->token.ptr, issued->token.len);
        w->token[issued->token.len] = '\0';
        memcpy(w->root, issued->root, 16);
    }
}

static enum sp_code ask(struct world *w, struct sp_issue issue)
{
    w->n_called = 0;
    sp_engine_issue(w->engine, &issue, on_issued, w);
    await(w, 1);
    return w->decision.code;
}

static void issue_open(struct world *w, uint64_t ttl_ms)
{
    struct sp_issue issue = {
        .curve = SP_TEXT(DESK), .scope = SP_TEXT("open"), .ttl_ms = ttl_ms};
    assert_int_equal(ask(w, issue), SP_CODE_OK);
}

static const struct sp_arg owner[] = {{{"owner", 5}, {"acme", 4}}};

static void issue_s(struct world *w)
{
    struct sp_issue issue = {
        .curve = SP_TEXT(DESK), .scope = SP_TEXT("s"), .args = owner, .n_args = 1};
    assert_int_equal(ask(w, issue), SP_CODE_OK);
}

static void on_begun(void *user, const struct sp_admission *admission)
{
    struct world *w = user;
    w->decision = *admission->decision;
    w->ticket = admission->ticket;
    (void)snprintf(w->answer, sizeof w->answer, "%.*s", (int)admission->answer.len,
                   admission->answer.ptr ? admission->answer.ptr : "");
    w->n_called++;
}

struct calling {
    struct sp_arena arena;
    struct sp_request request;
    struct sp_call call;
};

static struct calling *calling(const char *token, const char *method, const char *url,
                               const char *body, const char *id, const char *curve)
{
    struct calling *c = calloc(1, sizeof *c);
    struct sp_error err = {""};
    sp_arena_init(&c->arena, 1 << 20);
    if (sp_request_init(&c->arena, sp_text_of(method), sp_text_of(url), &c->request, &err)) {
        fail_msg("%s", err.text);
    }
    if (body) {
        c->request.body = sp_text_of(body);
        c->request.body_kind = SP_BODY_UNREAD;
    }
    c->call = (struct sp_call){.curve = sp_text_of(curve),
                               .peer = SP_TEXT("peer"),
                               .token = sp_text_of(token),
                               .id = sp_text_of(id),
                               .request = &c->request,
                               .arena = &c->arena};
    return c;
}

static void forget(struct calling *c)
{
    sp_arena_done(&c->arena);
    free(c);
}

static enum sp_code check(struct world *w, const char *method, const char *url,
                          const char *body, const char *curve)
{
    struct calling *c = calling(w->token, method, url, body, "", curve);
    sp_engine_check(w->engine, &c->call, &w->decision);
    forget(c);
    return w->decision.code;
}

/* A whole call: begun, and finished with an answer where it was admitted. */
static enum sp_code call_with(struct world *w, const char *url, const char *id,
                              const char *answer)
{
    struct calling *c = calling(w->token, "GET", url, NULL, id, AGENT);
    w->n_called = 0;
    w->ticket = NULL;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    if (w->ticket) {
        struct sp_outcome outcome = {
            .kind = SP_OUTCOME_ANSWERED, .http_status = 200, .answer = sp_text_of(answer)};
        sp_engine_finish(w->engine, w->ticket, &outcome, on_done, w);
        await(w, 2);
    }
    enum sp_code code = w->decision.code;
    forget(c);
    return code;
}

static enum sp_code call(struct world *w, const char *url)
{
    return call_with(w, url, "", "x");
}

static void reopen(struct world *w)
{
    sp_engine_close(w->engine);
    open_engine(w);
    set_policy(w);
}

/* ---- tests
 * ------------------------------------------------------------------------------------ */

static void a_principal_issues_and_only_what_it_was_granted(void **state)
{
    struct world *w = *state;
    struct sp_arg other[] = {{SP_TEXT("owner"), SP_TEXT("evil")}};
    struct sp_issue issue = {.curve = SP_TEXT(AGENT), .scope = SP_TEXT("open")};
    assert_int_equal(ask(w, issue), SP_CODE_NOT_PERMITTED);
    issue.curve = SP_TEXT(DESK);
    issue.scope = SP_TEXT("nothing");
    assert_int_equal(ask(w, issue), SP_CODE_SCOPE_UNKNOWN);
    issue = (struct sp_issue){
        .curve = SP_TEXT(DESK), .scope = SP_TEXT("s"), .args = other, .n_args = 1};
    assert_int_equal(ask(w, issue), SP_CODE_NOT_GRANTED);
    issue.n_args = 0;
    assert_int_equal(ask(w, issue), SP_CODE_BAD_REQUEST);
    issue =
        (struct sp_issue){.curve = SP_TEXT(DESK), .scope = SP_TEXT("open"), .ttl_ms = 3600001};
    assert_int_equal(ask(w, issue), SP_CODE_NOT_GRANTED);
    issue_s(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    assert_int_equal(check(w, "GET", "https://api.example/of/acme", NULL, AGENT), SP_CODE_OK);
    assert_int_equal(check(w, "GET", "https://api.example/of/evil", NULL, AGENT),
                     SP_CODE_NOT_ALLOWED);
    assert_int_equal(check(w, "GET", "https://api.example/things/secret", NULL, AGENT),
                     SP_CODE_DENIED);
    assert_string_equal(w->decision.rule, "no");
}

static void T61_no_other_host_and_no_other_key(void **state)
{
    struct world *w = *state;
    issue_open(w, 0);
    assert_int_equal(check(w, "GET", "https://evil.example/things/1", NULL, AGENT),
                     SP_CODE_KEY_NOT_IN_SCOPE);
    assert_int_equal(check(w, "GET", "http://api.example/things/1", NULL, AGENT),
                     SP_CODE_NOT_ALLOWED);
    assert_int_equal(check(w, "GET", "https://api.example:444/things/1", NULL, AGENT),
                     SP_CODE_NOT_ALLOWED);
}

static void T60_an_amount_left_out_or_of_another_type_is_not_let_through(void **state)
{
    struct world *w = *state;
    const char *url = "https://api.example/pay";
    issue_s(w);
    assert_int_equal(check(w, "POST", url, "amount=5000", AGENT), SP_CODE_OK);
    static const char *const bad[] = {
        "",          "amount=5001", "amount=0",          "amount=x",
        "amount=05", "amount[]=5",  "amount=5&amount=6", "Amount=5&amount=5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (check(w, "POST", url, bad[i], AGENT) != SP_CODE_NOT_ALLOWED) {
            fail_msg("'%s' was let through", bad[i]);
        }
    }
    assert_int_equal(check(w, "POST", url, NULL, AGENT), SP_CODE_NOT_ALLOWED);
}

static void T62_an_argument_is_data_of_one_segment(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"", "a/b", "..", ".", "a\nb", "a%2fb", "a;b", "\xff"};
    struct sp_error err;
    (void)w;
    struct sp_source source = {"t",
                               SP_TEXT("sallyport 1\nscope x(o) { key k ttl 1h\n allow GET "
                                       "https://api.example/{o}/y\n}\n")};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    sp_diags_init(&diags);
    assert_int_equal(sp_policy_compile(&source, 1, NULL, &diags, &policy), SP_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_arg arg = {SP_TEXT("o"), sp_text_of(bad[i])};
        struct sp_scope *frozen = NULL;
        if (sp_scope_freeze(sp_policy_scope(policy, 0), &arg, 1, &frozen, &err) != SP_EINVAL) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    struct sp_arg odd = {SP_TEXT("o"), SP_TEXT("a\"*} where {**")};
    struct sp_scope *frozen = NULL;
    assert_int_equal(sp_scope_freeze(sp_policy_scope(policy, 0), &odd, 1, &frozen, &err),
                     SP_OK);
    assert_int_equal(sp_scope_n_rules(frozen), 1);
    sp_scope_free(frozen);
    sp_policy_free(policy);
    sp_diags_done(&diags);
}

static void T9_one_id_has_one_effect_and_one_answer(void **state)
{
    struct world *w = *state;
    issue_open(w, 0);
    assert_int_equal(call_with(w, URL, "r1", "the answer"), SP_CODE_OK);
    assert_non_null(w->ticket);
    assert_int_equal(call_with(w, URL, "r1", "another"), SP_CODE_OK);
    assert_null(w->ticket);
    assert_string_equal(w->answer, "the answer");
    assert_int_equal(call_with(w, "https://api.example/things/2", "r1", "x"), SP_CODE_CONFLICT);
    reopen(w);
    assert_int_equal(call_with(w, URL, "r1", "x"), SP_CODE_OK);
    assert_string_equal(w->answer, "the answer");
    /* one that was begun and never ended */
    struct calling *c = calling(w->token, "GET", URL, NULL, "r2", AGENT);
    w->n_called = 0;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    assert_non_null(w->ticket);
    struct sp_ticket *first = w->ticket;
    /* the same again while it is under way: it waits, and gets the answer */
    struct calling *again = calling(w->token, "GET", URL, NULL, "r2", AGENT);
    sp_engine_begin(w->engine, &again->call, on_begun, w);
    assert_int_equal(w->n_called, 1);
    struct sp_outcome outcome = {.kind = SP_OUTCOME_ANSWERED, .answer = SP_TEXT("late")};
    sp_engine_finish(w->engine, first, &outcome, on_done, w);
    await(w, 3);
    assert_string_equal(w->answer, "late");
    forget(again);
    forget(c);
    /* not sent: the id may be used again */
    c = calling(w->token, "GET", URL, NULL, "r3", AGENT);
    w->n_called = 0;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    outcome = (struct sp_outcome){.kind = SP_OUTCOME_NOT_SENT};
    sp_engine_finish(w->engine, w->ticket, &outcome, on_done, w);
    await(w, 2);
    forget(c);
    assert_int_equal(call_with(w, URL, "r3", "now"), SP_CODE_OK);
    assert_non_null(w->ticket);
}

static void T9_an_answer_too_large_to_keep_is_said(void **state)
{
    struct world *w = *state;
    static char large[1200];
    memset(large, 'x', sizeof large - 1);
    issue_open(w, 0);
    assert_int_equal(call_with(w, URL, "big", large), SP_CODE_OK);
    assert_int_equal(call_with(w, URL, "big", "x"), SP_CODE_ANSWER_DROPPED);
}

static void T11_a_bound_token_is_refused_where_the_binding_is_not_proven(void **state)
{
    struct world *w = *state;
    struct sp_issue issue = {
        .curve = SP_TEXT(DESK), .scope = SP_TEXT("open"), .bind = SP_TEXT(AGENT)};
    assert_int_equal(ask(w, issue), SP_CODE_OK);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    assert_int_equal(check(w, "GET", URL, NULL, DESK), SP_CODE_TOKEN_BINDING);
    assert_int_equal(check(w, "GET", URL, NULL, ""), SP_CODE_TOKEN_BINDING); /* HTTP */
}

static void T12_life_is_exact_to_one_millisecond(void **state)
{
    struct world *w = *state;
    issue_open(w, 60000);
    w->boot += 59999;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    w->boot += 1;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
    w->boot -= 1000; /* no clock revives it */
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
}

/* How many tokens the engine knows, by name, after the clocks have gone on. */
static uint64_t known_after(struct world *w, long long boot, long long wall)
{
    struct sp_engine_status status;
    w->boot += boot;
    w->wall += wall;
    sp_engine_tick(w->engine);
    sp_engine_status(w->engine, &status);
    return status.n_tokens;
}

static void what_expired_an_hour_ago_is_forgotten_though_nobody_asked_since(void **state)
{
    struct world *w = *state;
    const long long hour = 3600000;
    issue_open(w, 60000);
    assert_int_equal(known_after(w, hour, hour), 1); /* 59 minutes over: refused by name */
    issue_open(w, 60000);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    assert_int_equal(known_after(w, hour / 2, 3 * hour),
                     1); /* that one lives by the boot clock */
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
    assert_int_equal(known_after(w, hour, -3 * hour), 0);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
}

static void T53_a_clock_ahead_forgets_no_token_that_lives(void **state)
{
    struct world *w = *state;
    issue_open(w, 1800000);
    assert_int_equal(known_after(w, 700000, 10 * 3600000LL), 1);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
}

static void T12_T14_an_edited_row_is_a_forged_token(void **state)
{
    struct world *w = *state;
    char path[128];
    sqlite3 *db;
    issue_open(w, 60000);
    sp_engine_close(w->engine);
    (void)snprintf(path, sizeof path, "%s/store.db", w->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    /* one more day: in the grant, and in the column */
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT grant FROM tokens", -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int len = sqlite3_column_bytes(st, 0);
    char *grant = malloc((size_t)len);
    memcpy(grant, sqlite3_column_blob(st, 0), (size_t)len);
    sqlite3_finalize(st);
    grant[len - 20] ^= 4; /* within the three times at its end */
    assert_int_equal(
        sqlite3_prepare_v2(db, "UPDATE tokens SET grant = ?1, expires_ms = ?2", -1, &st, NULL),
        SQLITE_OK);
    sqlite3_bind_blob(st, 1, grant, len, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, w->wall + 86400000);
    assert_int_equal(sqlite3_step(st), SQLITE_DONE);
    sqlite3_finalize(st);
    sqlite3_close(db);
    free(grant);
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
}

/* Two answers change places in the store: neither request gets the other's. */
static void T43_the_answer_of_another_request_is_not_given(void **state)
{
    struct world *w = *state;
    char path[128];
    sqlite3 *db;
    issue_open(w, 60000);
    assert_int_equal(call_with(w, URL, "first", "one"), SP_CODE_OK);
    assert_int_equal(call_with(w, URL, "second", "two"), SP_CODE_OK);
    assert_int_equal(call_with(w, URL, "first", "again"), SP_CODE_OK);
    assert_null(w->ticket);
    assert_string_equal(w->answer, "one");
    for (unsigned round = 0; round < 2; round++) {
        sp_engine_close(w->engine);
        (void)snprintf(path, sizeof path, "%s/store.db", w->folder);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "CREATE TEMP TABLE was AS SELECT id, answer FROM claims;"
                                      "UPDATE claims SET answer = "
                                      "(SELECT answer FROM was WHERE was.id != claims.id)",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_changes(db), 2);
        sqlite3_close(db);
        open_engine(w);
        set_policy(w);
        enum sp_code code = round == 0 ? SP_CODE_OUTCOME_UNKNOWN : SP_CODE_OK;
        assert_int_equal(call_with(w, URL, "first", "again"), code);
        assert_null(w->ticket); /* nor is it made a second time */
        assert_string_equal(w->answer, round == 0 ? "" : "one");
    }
}

static void T13_nothing_begins_after_a_revocation_and_none_is_undone(void **state)
{
    struct world *w = *state;
    char path[128];
    sqlite3 *db;
    issue_open(w, 0);
    struct calling *c = calling(w->token, "GET", URL, NULL, "", AGENT);
    w->n_called = 0;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    assert_true(sp_ticket_alive(w->ticket));
    sp_engine_revoke(w->engine, SP_TEXT(DESK), false, sp_text_of(w->token), NULL, on_done, w);
    assert_false(sp_ticket_alive(w->ticket)); /* before it is even durable */
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_REVOKED);
    await(w, 2);
    struct sp_outcome outcome = {.kind = SP_OUTCOME_NOT_SENT};
    sp_engine_finish(w->engine, w->ticket, &outcome, NULL, NULL);
    forget(c);
    sp_engine_close(w->engine);
    /* taken out of the database: the audit still knows */
    (void)snprintf(path, sizeof path, "%s/store.db", w->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE tokens SET revoked_ms = 0", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_REVOKED);
}

/* The world's token, narrowed by that. */
static void become_child(struct world *w, struct sp_text caveat)
{
    struct sp_arena arena;
    struct sp_token token;
    struct sp_buf text;
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, 4000);
    assert_int_equal(sp_token_parse(&arena, sp_text_of(w->token), &token), SP_OK);
    assert_int_equal(sp_token_narrow(&token, caveat, NULL), SP_OK);
    sp_token_print(&token, &text);
    memcpy(w->token, text.ptr, text.len + 1);
    sp_buf_done(&text);
    sp_arena_done(&arena);
}

static enum sp_code check_child(struct world *w)
{
    char parent[sizeof w->token];
    memcpy(parent, w->token, sizeof parent);
    become_child(w, SP_TEXT("allow GET https://api.example/**"));
    enum sp_code code = check(w, "GET", URL, NULL, AGENT);
    memcpy(w->token, parent, sizeof parent);
    return code;
}

/* A call whose answer held the key. */
static void be_hit(struct world *w, const char *id)
{
    struct calling *c = calling(w->token, "GET", URL, NULL, id, AGENT);
    struct sp_outcome outcome = {
        .kind = SP_OUTCOME_UNKNOWN, .code = SP_CODE_RESPONSE_BLOCKED, .held_key = true};
    w->n_called = 0;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    assert_int_equal(w->decision.code, SP_CODE_OK);
    sp_engine_finish(w->engine, w->ticket, &outcome, on_done, w);
    await(w, 2); /* durable */
    forget(c);
}

static void resume(struct world *w, sp_status expected)
{
    w->n_called = 0;
    sp_engine_resume(w->engine, w->root, SP_TEXT("admin"), on_done, w);
    await(w, 1);
    assert_int_equal(w->status, expected);
}

static void run_sql(const struct world *w, const char *text)
{
    char path[128];
    sqlite3 *db;
    (void)snprintf(path, sizeof path, "%s/store.db", w->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void T30_the_third_answer_that_held_the_key_suspends_the_root(void **state)
{
    struct world *w = *state;
    char other[sizeof w->token];
    issue_open(w, 0);
    memcpy(other, w->token, sizeof other);
    issue_open(w, 0);
    be_hit(w, "");
    be_hit(w, "an-id");
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    reopen(w); /* the two are remembered */
    struct calling *running = calling(w->token, "GET", URL, NULL, "", AGENT);
    w->n_called = 0;
    sp_engine_begin(w->engine, &running->call, on_begun, w);
    await(w, 1);
    struct sp_ticket *ticket = w->ticket;
    be_hit(w, "");
    assert_int_equal(sp_ticket_life(ticket), SP_CODE_TOKEN_SUSPENDED); /* it is cut off */
    struct sp_outcome late = {.kind = SP_OUTCOME_UNKNOWN, .held_key = true};
    w->n_called = 0;
    sp_engine_finish(w->engine, ticket, &late, on_done, w); /* the fourth changes nothing */
    await(w, 1);
    forget(running);
    for (unsigned opened = 0; opened < 2; opened++) {
        assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_SUSPENDED);
        assert_int_equal(call_with(w, URL, "an-id", "x"), SP_CODE_TOKEN_SUSPENDED);
        assert_int_equal(check_child(w), SP_CODE_TOKEN_SUSPENDED);
        reopen(w);
    }
    /* Nobody else's is; nor is it named to whom does not hold it. */
    char mine[sizeof other];
    memcpy(mine, w->token, sizeof mine);
    memcpy(w->token, other, sizeof other);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    memcpy(w->token, mine, sizeof mine);
    w->token[strlen(w->token) - 2] ^= 1;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
    memcpy(w->token, mine, sizeof mine);
    /* Lifted, and three more are needed again. */
    resume(w, SP_OK);
    be_hit(w, "");
    be_hit(w, "");
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    reopen(w);
    be_hit(w, "");
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_SUSPENDED);
    resume(w, SP_OK);
    resume(w, SP_OK); /* again is no error */
    w->root[0] ^= 1;
    resume(w, SP_ENOENT);
}

static void T30_a_suspension_taken_out_of_the_store_is_still_in_the_audit(void **state)
{
    struct world *w = *state;
    issue_open(w, 0);
    for (unsigned i = 0; i < 3; i++) {
        be_hit(w, "");
    }
    sp_engine_close(w->engine);
    run_sql(w, "UPDATE tokens SET suspended_ms = 0, guard_hits = 0");
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_SUSPENDED);
    resume(w, SP_OK);
    reopen(w); /* the audit has the end of it, too */
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    sp_engine_close(w->engine);
    run_sql(w, "UPDATE tokens SET suspended_ms = 1");
    open_engine(w); /* what the store says is not lifted by an older record */
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_SUSPENDED);
}

static void T15_neither_fresh_tokens_nor_children_nor_a_restart_multiply_a_rate(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++) {
        issue_s(w);
        if (i == 2) {
            become_child(w, SP_TEXT("allow GET https://api.example/**"));
        }
        assert_int_equal(call(w, URL), SP_CODE_OK);
    }
    issue_s(w);
    assert_int_equal(call(w, URL), SP_CODE_RATE_LIMITED);
    assert_true(w->decision.retry_after_ms > 0 && w->decision.retry_after_ms <= 60001);
    reopen(w);
    assert_int_equal(call(w, URL), SP_CODE_RATE_LIMITED);
    w->boot += 61000;
    w->wall += 61000;
    assert_int_equal(call(w, URL), SP_CODE_OK);
}

static void T14_a_child_can_do_less_and_never_more(void **state)
{
    struct world *w = *state;
    struct sp_issue issue = {.curve = SP_TEXT(DESK),
                             .scope = SP_TEXT("open"),
                             .narrow = SP_TEXT("allow GET https://api.example/things/*")};
    assert_int_equal(ask(w, issue), SP_CODE_OK);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    assert_int_equal(check(w, "GET", "https://api.example/pay", NULL, AGENT),
                     SP_CODE_NOT_ALLOWED);
    become_child(w, SP_TEXT("allow * https://api.example/**"));
    assert_int_equal(check(w, "GET", "https://api.example/pay", NULL, AGENT),
                     SP_CODE_NOT_ALLOWED);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    become_child(w, SP_TEXT("until \"2026-01-01T00:00:00Z\""));
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
}

static void T53_a_clock_that_jumps_neither_revives_nor_kills_within_a_boot(void **state)
{
    struct world *w = *state;
    issue_open(w, 1800000);
    w->wall += 3600000; /* an hour forward: the boot clock counts */
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    w->wall -= 7200000;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    w->wall += 3600000;
    sp_engine_close(w->engine); /* the mark is kept */
    memcpy(w->config.clock.boot_id, "boot-two", 9);
    w->wall -= 3600000; /* another boot, and the clock an hour back */
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_CLOCK);
    w->wall += 3600000;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    w->wall += 1800000;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
    w->wall -= 1800000;
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
}

static void T53_a_restart_within_a_boot_goes_by_the_boot_clock(void **state)
{
    struct world *w = *state;
    const long long jumps[] = {3600000, -7200000}; /* an hour ahead, then an hour behind */
    issue_open(w, 1800000);
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        sp_engine_close(w->engine);
        w->wall += jumps[i];
        open_engine(w);
        set_policy(w);
        assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
    }
    sp_engine_close(w->engine);
    w->boot += 1800000;
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
}

static void T53_another_boot_ahead_by_the_wall_ends_what_has_run_out(void **state)
{
    struct world *w = *state;
    char longer[sizeof w->token];
    issue_open(w, 3600000);
    memcpy(longer, w->token, sizeof longer);
    issue_open(w, 900000);
    sp_engine_close(w->engine);
    memcpy(w->config.clock.boot_id, "boot-two", 9);
    w->wall += 1800000;
    open_engine(w);
    set_policy(w);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_EXPIRED);
    memcpy(w->token, longer, sizeof longer);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_OK);
}

static void T10_every_bad_token_gets_one_same_refusal(void **state)
{
    struct world *w = *state;
    char good[4096], reason[256];
    issue_open(w, 0);
    memcpy(good, w->token, sizeof good);
    memcpy(w->token, "x", 2);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
    memcpy(reason, w->decision.reason, sizeof reason);
    for (size_t i = 0; i < strlen(good); i++) {
        memcpy(w->token, good, sizeof good);
        w->token[i] = (char)(w->token[i] ^ 1);
        assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
        assert_string_equal(w->decision.reason, reason);
        memcpy(w->token, good, i);
        w->token[i] = '\0';
        assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_TOKEN_INVALID);
    }
}

/* The audit's head, with all that was written before: an issue is durable after it. Its own
 * record is the last. */
static uint64_t seq_now(struct world *w)
{
    struct sp_head head;
    char mine[sizeof w->token];
    memcpy(mine, w->token, sizeof mine);
    issue_open(w, 0);
    memcpy(w->token, mine, sizeof mine);
    sp_engine_head(w->engine, &head);
    return head.seq;
}

static void T65_a_flood_of_refusals_is_a_handful_of_records(void **state)
{
    struct world *w = *state;
    uint64_t before = seq_now(w);
    for (unsigned i = 0; i < 10000; i++) {
        char peer[32];
        (void)snprintf(peer, sizeof peer, "peer-%u", i % 1000);
        sp_engine_note_refusal(w->engine, sp_text_of(peer), SP_CODE_TOKEN_INVALID);
    }
    w->boot += 61000;
    sp_engine_tick(w->engine);
    assert_in_range(seq_now(w) - before, 256, 300);
}

static void T65_calls_past_a_rate_are_told_of_once_a_second_and_counted(void **state)
{
    struct world *w = *state;
    issue_s(w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(call(w, URL), SP_CODE_OK);
    }
    uint64_t before = seq_now(w);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(call(w, URL), SP_CODE_RATE_LIMITED);
        (void)sp_engine_poll(w->engine);
    }
    assert_int_equal(seq_now(w) - before, 2); /* the first refusal, and the issue */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(call(w, URL), SP_CODE_RATE_LIMITED);
        w->boot += 500;
    }
    assert_int_equal(seq_now(w) - before, 6); /* of the seconds 1, 2 and 3, and the issue */
    assert_int_equal(call(w, "https://api.example/no"), SP_CODE_NOT_ALLOWED);
    assert_int_equal(call(w, "https://api.example/no"), SP_CODE_NOT_ALLOWED);
    assert_int_equal(seq_now(w) - before, 9); /* no other refusal is counted away */
    w->boot += 61000;
    sp_engine_tick(w->engine);
    assert_in_range(seq_now(w) - before, 11, 12); /* the count, the issue; a checkpoint */
}

static void a_sealed_engine_refuses_and_its_keys_are_gone(void **state)
{
    struct world *w = *state;
    issue_open(w, 0);
    const struct sp_key *held = sp_engine_key(w->engine, SP_TEXT("k"));
    sp_engine_seal(w->engine);
    assert_int_equal(check(w, "GET", URL, NULL, AGENT), SP_CODE_SEALED);
    for (int i = 0; i < 100; i++) {
        (void)sp_engine_poll(w->engine);
        usleep(1000);
    }
    const struct sp_key *key = sp_engine_key(w->engine, SP_TEXT("k"));
    assert_int_equal(key->n_secrets, 0);
    assert_int_equal(held->n_secrets, 1); /* a call in flight may finish with it */
    sp_key_unref(w->engine, held);
    sp_key_unref(w->engine, key);
}

static void the_number_of_live_tokens_is_limited(void **state)
{
    struct world *w = *state;
    struct sp_issue issue = {
        .curve = SP_TEXT(DESK), .scope = SP_TEXT("s"), .args = owner, .n_args = 1};
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(w, issue), SP_CODE_OK);
    }
    assert_int_equal(ask(w, issue), SP_CODE_LIVE_LIMIT);
    sp_engine_revoke(w->engine, SP_TEXT(DESK), false, (struct sp_text){NULL, 0}, w->root,
                     on_done, w);
    await(w, 2);
    assert_int_equal(ask(w, issue), SP_CODE_OK);
    sp_engine_revoke(w->engine, SP_TEXT(AGENT), false, (struct sp_text){NULL, 0}, w->root,
                     on_done, w);
    assert_int_equal(w->status, SP_EDENIED);
}

static bool wants_body(struct world *w, const char *method, const char *url, bool *ret_has_key)
{
    const struct sp_key *key = NULL;
    struct calling *c = calling(w->token, method, url, NULL, "", "");
    bool wants = sp_engine_wants_body(w->engine, &c->call, &key);
    *ret_has_key = key != NULL;
    if (key) {
        sp_key_unref(w->engine, key);
    }
    forget(c);
    return wants;
}

static void T24_whoever_reads_the_body_of_a_call_is_asked_about_it(void **state)
{
    struct world *w = *state;
    const char *pay = "https://api.example/pay";
    bool has_key;
    issue_s(w);
    assert_true(wants_body(w, "POST", pay, &has_key));
    assert_false(wants_body(w, "PUT", pay, &has_key)); /* another method, another path */
    assert_true(has_key);
    assert_false(wants_body(w, "POST", URL, &has_key));
    assert_false(wants_body(w, "POST", "https://evil.example/pay", &has_key));
    assert_false(has_key);
    issue_open(w, 0);
    assert_false(wants_body(w, "POST", pay, &has_key));
    assert_true(has_key);
    become_child(w, SP_TEXT("deny POST https://api.example/pay where has body.to"));
    assert_true(wants_body(w, "POST", pay, &has_key));
    assert_false(wants_body(w, "POST", URL, &has_key));
    w->token[8] ^= 1;
    assert_false(wants_body(w, "POST", pay, &has_key)); /* it is refused without it */
    assert_false(has_key);
}

/* Were it given one all the same, it would not be let through. */
static void T24_a_rule_that_reads_a_body_that_streams_lets_nothing_through(void **state)
{
    struct world *w = *state;
    issue_s(w);
    struct calling *c = calling(w->token, "POST", "https://api.example/pay", NULL, "", AGENT);
    c->request.body_kind = SP_BODY_STREAMED;
    sp_engine_check(w->engine, &c->call, &w->decision);
    assert_int_equal(w->decision.code, SP_CODE_NOT_ALLOWED);
    forget(c);
    issue_open(w, 0);
    become_child(w, SP_TEXT("deny POST https://api.example/pay where has body.to"));
    c = calling(w->token, "POST", "https://api.example/pay", NULL, "", AGENT);
    c->request.body_kind = SP_BODY_STREAMED;
    sp_engine_check(w->engine, &c->call, &w->decision);
    assert_int_equal(w->decision.code, SP_CODE_DENIED);
    forget(c);
}

static void a_body_that_streams_has_no_request_id(void **state)
{
    struct world *w = *state;
    issue_open(w, 0);
    struct calling *c = calling(w->token, "POST", URL, NULL, "r-1", AGENT);
    c->request.body_kind = SP_BODY_STREAMED;
    w->n_called = 0;
    sp_engine_begin(w->engine, &c->call, on_begun, w);
    await(w, 1);
    assert_int_equal(w->decision.code, SP_CODE_BAD_REQUEST);
    forget(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        TEST(a_principal_issues_and_only_what_it_was_granted),
        TEST(T61_no_other_host_and_no_other_key),
        TEST(T60_an_amount_left_out_or_of_another_type_is_not_let_through),
        TEST(T62_an_argument_is_data_of_one_segment),
        TEST(T9_one_id_has_one_effect_and_one_answer),
        TEST(T9_an_answer_too_large_to_keep_is_said),
        TEST(T11_a_bound_token_is_refused_where_the_binding_is_not_proven),
        TEST(T12_life_is_exact_to_one_millisecond),
        TEST(what_expired_an_hour_ago_is_forgotten_though_nobody_asked_since),
        TEST(T53_a_clock_ahead_forgets_no_token_that_lives),
        TEST(T12_T14_an_edited_row_is_a_forged_token),
        TEST(T43_the_answer_of_another_request_is_not_given),
        TEST(T13_nothing_begins_after_a_revocation_and_none_is_undone),
        TEST(T30_the_third_answer_that_held_the_key_suspends_the_root),
        TEST(T30_a_suspension_taken_out_of_the_store_is_still_in_the_audit),
        TEST(T15_neither_fresh_tokens_nor_children_nor_a_restart_multiply_a_rate),
        TEST(T14_a_child_can_do_less_and_never_more),
        TEST(T53_a_clock_that_jumps_neither_revives_nor_kills_within_a_boot),
        TEST(T53_a_restart_within_a_boot_goes_by_the_boot_clock),
        TEST(T53_another_boot_ahead_by_the_wall_ends_what_has_run_out),
        TEST(T10_every_bad_token_gets_one_same_refusal),
        TEST(T65_a_flood_of_refusals_is_a_handful_of_records),
        TEST(T65_calls_past_a_rate_are_told_of_once_a_second_and_counted),
        TEST(a_sealed_engine_refuses_and_its_keys_are_gone),
        TEST(T24_whoever_reads_the_body_of_a_call_is_asked_about_it),
        TEST(T24_a_rule_that_reads_a_body_that_streams_lets_nothing_through),
        TEST(a_body_that_streams_has_no_request_id),
        TEST(the_number_of_live_tokens_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
