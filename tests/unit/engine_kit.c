#include "engine_kit.h"

#include "unit/folder.h"

#include <stdio.h>
#include <unistd.h>

static const char policy_text[] =
    "sallyport 1\n"
    "scope s(owner) {\n  key k\n  ttl 1h\n  rate 100000/min\n"
    "  @read allow GET https://api.example/things/*\n"
    "  @own allow GET https://api.example/of/{owner}\n"
    "  @pay allow POST https://api.example/pay where body.amount in 1..5000\n"
    "    budget sum(body.amount) <= 2000000000 per day\n"
    "    rate 1000/min burst 1000\n"
    "  @no deny * https://api.example/things/secret\n}\n"
    "scope open {\n  key k\n  ttl 1h\n  rate 100000/min\n  @any allow {GET POST} "
    "https://api.example/**\n}\n"
    "principal desk {\n  curve \"" KIT_DESK "\"\n"
    "  may issue s(owner = \"acme\") for 1h, 100000 live\n"
    "  may issue open for 1h\n}\n"
    "client agent { curve \"" KIT_AGENT "\" }\n";

static int64_t wall_ms(void *user)
{
    return ((struct engine_kit *)user)->wall;
}

static int64_t boot_ms(void *user)
{
    return ((struct engine_kit *)user)->boot;
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
    if (tree && sp_form_parse(arena, request->body, 64, &params, &n, NULL) == SP_OK &&
        sp_form_tree(arena, params, n, tree) == SP_OK) {
        request->body_kind = SP_BODY_FORM;
        request->body_value = tree;
    }
}

/* ---- life -----------------------------------------------------------------------------------
 */

void kit_make(struct engine_kit *kit)
{
    struct sp_error err = {""};
    uint8_t unseal[32];
    memset(kit, 0, sizeof *kit);
    memset(unseal, 9, sizeof unseal);
    /* Thousands of transactions: in memory where there is such a place. */
    (void)snprintf(kit->folder, sizeof kit->folder, "%s/sp-engine-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(kit->folder));
    kit->wall = 1800000000000;
    kit->boot = 5000000;
    kit->config = (struct sp_engine_config){.dir = kit->folder,
                                            .audit_rotate_bytes = 16 << 10,
                                            .ttl_default_ms = 3600000,
                                            .ttl_max_ms = 86400000,
                                            .answer_max_bytes = 1000,
                                            .queue_max = 1000,
                                            .judge_body = judge_body,
                                            .wake = wake,
                                            .user = kit,
                                            .clock = {kit, wall_ms, boot_ms, "boot-one"}};
    if (sp_engine_create(kit->folder, SP_SEAL_KEY_FILE, (struct sp_text){(char *)unseal, 32},
                         SP_TEXT(KIT_ADMIN), &err)) {
        fail_msg("%s", err.text);
    }
}

void kit_remove(struct engine_kit *kit)
{
    kit_close(kit);
    assert_int_equal(folder_remove(kit->folder), 0);
}

void kit_await(struct engine_kit *kit, unsigned n)
{
    for (int i = 0; i < 100000 && kit->n_called < n; i++) {
        (void)sp_engine_poll(kit->engine);
        usleep(kit->n_called < n ? 100 : 0);
    }
    assert_int_equal(kit->n_called, n);
}

void kit_done(void *user, sp_status status, const struct sp_error *err)
{
    struct engine_kit *kit = user;
    kit->status = status;
    (void)snprintf(kit->why, sizeof kit->why, "%s", err ? err->text : "");
    kit->n_called++;
}

sp_status kit_open(struct engine_kit *kit)
{
    struct sp_error err = {""};
    struct sp_secret unseal;
    sp_status status = sp_engine_open(&kit->config, &kit->engine, &err);
    (void)snprintf(kit->why, sizeof kit->why, "%s", err.text);
    if (status) {
        return status;
    }
    if (sp_engine_state(kit->engine) == SP_ENGINE_FAILED) {
        struct sp_engine_status said;
        sp_engine_status(kit->engine, &said);
        (void)snprintf(kit->why, sizeof kit->why, "%s", said.reason);
        kit_close(kit);
        return SP_ECORRUPT;
    }
    status = sp_secret_new(sp_engine_pool(kit->engine), 32, &unseal);
    if (!status) {
        memset(unseal.ptr, 9, 32);
        kit->n_called = 0;
        sp_engine_unseal(kit->engine, &unseal, kit_done, kit);
        kit_await(kit, 1);
        status = kit->status;
    }
    if (status) {
        kit_close(kit);
    }
    return status;
}

void kit_close(struct engine_kit *kit)
{
    sp_engine_close(kit->engine);
    kit->engine = NULL;
}

sp_status kit_set_policy(struct engine_kit *kit)
{
    struct sp_world known;
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    struct sp_source source = {"test", SP_TEXT("")};
    struct sp_error err = {""};
    source.text = sp_text_of(policy_text);
    sp_engine_world(kit->engine, &known);
    sp_diags_init(&diags);
    sp_status status = sp_policy_compile(&source, 1, &known, &diags, &policy);
    (void)snprintf(kit->why, sizeof kit->why, "%s", diags.first ? diags.first->message : "");
    sp_diags_done(&diags);
    if (!status) {
        status = sp_engine_set_policy(kit->engine, policy, NULL, &err);
    }
    if (status && policy) {
        sp_policy_free(policy);
    }
    return status;
}

/* ---- keys, tokens ---------------------------------------------------------------------------
 */

sp_status kit_secret(struct engine_kit *kit, const char *text, struct sp_secret *ret_secret)
{
    sp_status status = sp_secret_new(sp_engine_pool(kit->engine), strlen(text), ret_secret);
    if (!status) {
        memcpy(ret_secret->ptr, text, strlen(text));
    }
    return status;
}

void kit_key(struct engine_kit *kit, enum kit_key_step step, const char *id, const char *text)
{
    struct sp_text hosts[] = {SP_TEXT("api.example")};
    struct sp_key_setting settings[] = {{SP_TEXT("region"), SP_TEXT("eu")}};
    struct sp_key_secret secret = {SP_TEXT("api_key"), {NULL, NULL, 0}};
    kit->n_called = 0;
    kit->status = kit_secret(kit, text, &secret.value);
    if (kit->status) {
        return;
    }
    struct sp_key_input input = {.id = sp_text_of(id),
                                 .provider = SP_TEXT("rest"),
                                 .hosts = hosts,
                                 .n_hosts = 1,
                                 .settings = settings,
                                 .n_settings = 1,
                                 .secrets = &secret,
                                 .n_secrets = 1};
    switch (step) {
    case KIT_ADD:
        sp_engine_key_add(kit->engine, &input, SP_TEXT("admin"), kit_done, kit);
        break;
    case KIT_ROTATE:
        sp_engine_key_rotate(kit->engine, &input, SP_TEXT("admin"), kit_done, kit);
        break;
    case KIT_SET:
        sp_engine_key_set(kit->engine, &input, SP_TEXT("admin"), kit_done, kit);
        break;
    case KIT_REFRESH:
        sp_engine_key_refresh(kit->engine, &input, SP_TEXT("lease"), kit_done, kit);
        break;
    }
    kit_await(kit, 1);
    sp_secret_free(&secret.value); /* taken over: there is nothing left to free */
}

static void on_issued(void *user, const struct sp_decision *decision,
                      const struct sp_issued *issued)
{
    struct engine_kit *kit = user;
    kit->decision = *decision;
    kit->n_called++;
    assert_int_equal(decision->code == SP_CODE_OK, issued != NULL);
    if (issued) {
        assert_true(issued->token.len < sizeof kit->token);
        memcpy(kit->token, issued->token.ptr, issued->token.len);
        kit->token[issued->token.len] = '\0';
        memcpy(kit->root, issued->root, sizeof kit->root);
    }
}

enum sp_code kit_issue(struct engine_kit *kit, const struct sp_issue *issue)
{
    kit->n_called = 0;
    sp_engine_issue(kit->engine, issue, on_issued, kit);
    kit_await(kit, 1);
    return kit->decision.code;
}

enum sp_code kit_issue_open(struct engine_kit *kit)
{
    return kit_issue(kit,
                     &(struct sp_issue){.curve = SP_TEXT(KIT_DESK), .scope = SP_TEXT("open")});
}

/* ---- calls ----------------------------------------------------------------------------------
 */

struct kit_call *kit_call_new(struct engine_kit *kit, const char *method, const char *url,
                              const char *body, const char *id)
{
    struct kit_call *call = calloc(1, sizeof *call);
    struct sp_error err = {""};
    if (!call) {
        return NULL;
    }
    sp_arena_init(&call->arena, 1 << 20);
    if (sp_request_init(&call->arena, sp_text_of(method), sp_text_of(url), &call->request,
                        &err)) {
        kit_call_free(call);
        return NULL;
    }
    if (body) {
        call->request.body = sp_text_of(body);
        call->request.body_kind = SP_BODY_UNREAD;
    }
    call->call = (struct sp_call){.curve = SP_TEXT(KIT_AGENT),
                                  .peer = SP_TEXT("peer"),
                                  .token = sp_text_of(kit->token),
                                  .id = sp_text_of(id),
                                  .request = &call->request,
                                  .arena = &call->arena};
    return call;
}

void kit_call_free(struct kit_call *call)
{
    sp_arena_done(&call->arena);
    free(call);
}

static void on_begun(void *user, const struct sp_admission *admission)
{
    struct engine_kit *kit = user;
    kit->decision = *admission->decision;
    kit->ticket = admission->ticket;
    kit->has_answer = admission->answer.ptr != NULL;
    kit->n_called++;
    assert_true(!kit->ticket || kit->decision.code == SP_CODE_OK);
}

enum sp_code kit_begin(struct engine_kit *kit, struct kit_call *call)
{
    kit->n_called = 0;
    kit->ticket = NULL;
    sp_engine_begin(kit->engine, &call->call, on_begun, kit);
    kit_await(kit, 1);
    return kit->decision.code;
}

void kit_finish(struct engine_kit *kit, const struct sp_outcome *outcome)
{
    kit->n_called = 0;
    sp_engine_finish(kit->engine, kit->ticket, outcome, kit_done, kit);
    kit->ticket = NULL;
    kit_await(kit, 1);
}

enum sp_code kit_proxy(struct engine_kit *kit, const char *method, const char *url,
                       const char *body, const char *id, bool held_key)
{
    struct kit_call *call = kit_call_new(kit, method, url, body, id);
    if (!call) {
        return SP_CODE_BUSY;
    }
    enum sp_code code = kit_begin(kit, call);
    if (kit->ticket) {
        struct sp_outcome outcome = {.kind =
                                         held_key ? SP_OUTCOME_UNKNOWN : SP_OUTCOME_ANSWERED,
                                     .http_status = 200,
                                     .held_key = held_key,
                                     .answer = SP_TEXT("x")};
        kit_finish(kit, &outcome);
        code = kit->status ? SP_CODE_AUDIT_UNAVAILABLE : code;
    }
    kit_call_free(call);
    return code;
}
