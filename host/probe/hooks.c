/* Asking the plugin, through the host's own table and checks. */
#include "probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARENA_MAX_BYTES = 64 << 20, CALL_MAX_BYTES = 4 << 20, PUSHED_MAX_BYTES = 32 << 20 };

/* ---- pushes that fail -----------------------------------------------------------------------
 */

static struct probe *probed; /* the table's functions get nothing else to find it by */

static bool push_fails(void)
{
    return ++probed->n_pushes == probed->push_to_fail;
}

/* Each hands on to the host's own function, unless it is this one's turn to fail. */
#define PUSH(name, type, own)                                                                  \
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): a type takes none */                        \
    static int32_t name(const struct sallyport_host *host, uint64_t call, type *what)          \
    {                                                                                          \
        if (push_fails()) {                                                                    \
            sp_plugin_host_of(host)->failed = true;                                            \
            return probed->push_error;                                                         \
        }                                                                                      \
        probe_arm(false); /* what follows is the host's */                                     \
        int32_t status = own(host, call, what);                                                \
        probe_arm(true);                                                                       \
        return status;                                                                         \
    }
PUSH(push_manifest, const struct sallyport_manifest, sp_push_manifest)
PUSH(push_host, const struct sallyport_text, sp_push_host)
PUSH(push_request_header, const struct sallyport_text, sp_push_request_header)
PUSH(push_field, const struct sallyport_field, sp_push_field)
PUSH(push_action, const struct sallyport_action, sp_push_action)
PUSH(push_placement, const struct sallyport_placement, sp_push_placement)
PUSH(push_header, const struct sallyport_header, sp_push_header)

/* ---- an upstream ----------------------------------------------------------------------------
 */

const struct probe_answer probe_answers[] = {
    {"200 with a token", SP_OK, 200,
     "{\"access_token\":\"\",\"token\":\"\",\"expires_in\":600}"},
    {"201 with a token", SP_OK, 201,
     "{\"access_token\":\"\",\"token\":\"\",\"expires_in\":600}"},
    {"204", SP_OK, 204, ""},
    {"400", SP_OK, 400, "{\"error\":\"invalid_client\"}"},
    {"401", SP_OK, 401, "{\"message\":\"Bad credentials\"}"},
    {"404", SP_OK, 404, "<html>"},
    {"422", SP_OK, 422, "{\"message\":\"no\\u0000\"}"},
    {"500 and no JSON", SP_OK, 500, "\x01\x02{{{{[[[["},
    {"a number that is too large", SP_OK, 200, "{\"expires_in\":99999999999999999999999999}"},
    {"half an object", SP_OK, 201, "{\"expires_in\":"},
    {"status 0", SP_OK, 0, ""},
    {"nothing: the connection broke", SP_EIO, 0, ""},
    {"nothing: the host refused the target", SP_EDENIED, 0, ""},
};
const unsigned probe_n_answers = sizeof probe_answers / sizeof *probe_answers;

static void perform(void *user, const struct sp_hook_request *request, struct sp_arena *arena,
                    struct sp_hook_answer *ret_answer)
{
    const struct probe *probe = user;
    const struct probe_answer *answer = &probe_answers[probe->answer];
    (void)request;
    (void)arena;
    *ret_answer = (struct sp_hook_answer){
        .status = answer->status,
        .http_status = answer->http_status,
        .body = {answer->body, answer->status ? 0 : strlen(answer->body)}};
}

/* ---- the manifest ---------------------------------------------------------------------------
 */

bool probe_begin(struct probe *probe, const struct sallyport_plugin *plugin,
                 struct probe_result *ret_result)
{
    const struct sp_plugin_rules rules = {
        .dev = true, .perform = perform, .perform_user = probe};
    struct sp_error err = {""};
    probed = probe;
    probe->plugin = plugin;
    sp_arena_init(&probe->arena, ARENA_MAX_BYTES);
    sp_arena_init(&probe->hard, ARENA_MAX_BYTES);
    sp_plugin_host_init(&probe->host, "the plugin", &rules);
    struct sallyport_host *table = &probe->host.table;
    table->push_manifest = push_manifest;
    table->push_host = push_host;
    table->push_request_header = push_request_header;
    table->push_field = push_field;
    table->push_action = push_action;
    table->push_placement = push_placement;
    table->push_header = push_header;
    uint64_t call = sp_hook_begin(&probe->host, SP_HOOK_DESCRIBE, &probe->arena, NULL);
    int32_t returned = plugin->describe(table, call);
    sp_status status = sp_hook_end(&probe->host, returned, &err);
    status = status ? status : sp_plugin_manifest_done(&probe->host, &err);
    if (status) {
        probe_say(ret_result, PROBE_FAIL, "%s", err.text);
        return false;
    }
    probe->lease = plugin->extension(SALLYPORT_LEASE);
    probe->host.manifest.leases = probe->lease != NULL;
    probe->rotate = plugin->extension(SALLYPORT_ROTATE);
    if ((const void *)probe->rotate == (const void *)probe->lease) {
        probe->rotate = NULL; /* unknown-extensions tells */
    }
    probe->host.manifest.rotates = probe->rotate != NULL;
    return true;
}

static void add_text(struct sp_buf *buf, struct sp_text text)
{
    sp_buf_add_byte(buf, ' ');
    sp_buf_add_json(buf, text);
}

void probe_print_manifest(const struct probe *probe, struct sp_buf *buf)
{
    const struct sp_manifest *m = &probe->host.manifest;
    sp_buf_add_str(buf, "manifest");
    add_text(buf, m->id);
    add_text(buf, m->version);
    add_text(buf, m->description);
    for (size_t i = 0; i < m->n_hosts; i++) {
        sp_buf_add_str(buf, "\nhost");
        add_text(buf, m->hosts[i]);
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        sp_buf_addf(buf, "\nfield %d %d", (int)m->fields[i].type, m->fields[i].required);
        add_text(buf, m->fields[i].name);
        add_text(buf, m->fields[i].fallback);
    }
    for (size_t i = 0; i < m->n_actions; i++) {
        sp_buf_addf(buf, "\naction %d", m->actions[i].escalates);
        add_text(buf, m->actions[i].name);
        add_text(buf, m->actions[i].method);
        add_text(buf, m->actions[i].path);
    }
}

/* ---- one question ---------------------------------------------------------------------------
 */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool probe_tell(struct probe *probe, struct sp_arena *arena, const struct probe_key *key,
                struct sp_told_key *ret_told)
{
    const struct sp_key_view view = {.id = key->id,
                                     .version = key->version,
                                     .settings = key->settings,
                                     .n_settings = key->n_settings,
                                     .secrets = key->secrets,
                                     .n_secrets = key->n_secrets};
    return sp_key_tell(arena, &probe->host.manifest, &view, ret_told, NULL) == SP_OK;
}

static void print_signature(const struct sp_signature *signature, struct sp_buf *buf)
{
    sp_buf_addf(buf, "sign %d %d %d", signature->sha512, signature->base64,
                signature->key_base64);
    add_text(buf, signature->secret);
    add_text(buf, signature->key_prefix);
    add_text(buf, signature->canonical);
    add_text(buf, signature->message);
    for (size_t i = 0; i < signature->n_derive; i++) {
        add_text(buf, signature->derive[i]);
    }
    for (size_t i = 0; i < signature->n_outputs; i++) {
        sp_buf_addf(buf, "\nsign-output %d", (int)signature->outputs[i].place);
        add_text(buf, signature->outputs[i].name);
        add_text(buf, signature->outputs[i].template);
    }
    sp_buf_add_byte(buf, '\n');
}

static void print_pushed(const struct sp_plugin_host *host, struct sp_buf *buf)
{
    const struct sp_text *hosts = host->hosts.items, *words = host->permissions.items;
    const struct sp_placement *placements = host->placements.items;
    const struct sp_list *lists[] = {&host->headers, &host->defaults};
    for (size_t i = 0; i < host->hosts.n; i++) {
        sp_buf_add_str(buf, "host");
        add_text(buf, hosts[i]);
        sp_buf_add_byte(buf, '\n');
    }
    for (size_t i = 0; i < host->placements.n; i++) {
        sp_buf_addf(buf, "place %d %d", (int)placements[i].place, placements[i].base64);
        add_text(buf, placements[i].name);
        add_text(buf, placements[i].prefix);
        add_text(buf, placements[i].template);
        sp_buf_add_byte(buf, '\n');
    }
    for (size_t k = 0; k < 2; k++) {
        const struct sp_setting *headers = lists[k]->items;
        for (size_t i = 0; i < lists[k]->n; i++) {
            sp_buf_addf(buf, "header %zu", k);
            add_text(buf, headers[i].name);
            add_text(buf, headers[i].value);
            sp_buf_add_byte(buf, '\n');
        }
    }
    if (host->signature) {
        print_signature(host->signature, buf);
    }
    for (size_t i = 0; i < host->permissions.n; i++) {
        sp_buf_add_str(buf, "permission");
        add_text(buf, words[i]);
        sp_buf_add_byte(buf, '\n');
    }
}

static int32_t run_hook(struct probe *probe, enum sp_hook hook, uint64_t call, void *instance,
                        struct probe_said *said)
{
#define TEXT(name, string) static const struct sallyport_text name = SALLYPORT_TEXT(string)
    TEXT(lease, "0123456789abcdef0123456789abcdef");
    TEXT(word, "issues:write");
    TEXT(other_word, "repository:site");
#undef TEXT
    static const struct sallyport_text *const words[] = {&word, &other_word};
    static const struct sallyport_reach reaches[] = {
        {sizeof reaches[0], 0, SALLYPORT_TEXT("GET HEAD"), SALLYPORT_TEXT("api.example.com"),
         SALLYPORT_TEXT("/repos/acme/site/issues/*")},
        {sizeof reaches[0], 0, SALLYPORT_TEXT("POST"), SALLYPORT_TEXT("api.example.com"),
         SALLYPORT_TEXT("/v1/**")},
        {sizeof reaches[0], 0, SALLYPORT_TEXT("DELETE"), SALLYPORT_TEXT("api.example.com"),
         SALLYPORT_TEXT("/")},
    };
    static const struct sallyport_reach *const list[] = {&reaches[0], &reaches[1], &reaches[2]};
    const struct sallyport_host *host = &probe->host.table;
    struct sallyport_lease_result result = {.size = sizeof result};
    int32_t returned = SALLYPORT_E_UNSUPPORTED;
    switch (hook) {
    case SP_HOOK_CHECK:
        return probe->plugin->check(host, call, instance);
    case SP_HOOK_PLAN:
        return probe->plugin->plan(host, call, instance);
    case SP_HOOK_PERMISSIONS:
        return probe->lease->permissions(host, call, instance, list, 3);
    case SP_HOOK_RENEW:
        returned = probe->lease->renew(host, call, instance, &lease, words, 2, &result);
        said->life_ms = result.life_ms;
        return returned;
    case SP_HOOK_REVOKE:
        return probe->lease->revoke(host, call, instance, &lease);
    case SP_HOOK_ROTATE:
        return probe->rotate->rotate(host, call, instance);
    case SP_HOOK_FINISH:
        return probe->rotate->finish(host, call, instance);
    case SP_HOOK_NONE:
    case SP_HOOK_ENTRY:
    case SP_HOOK_DESCRIBE:
    case SP_HOOK_OPEN:
    case SP_HOOK_CLOSE:
    default:
        return SALLYPORT_OK; /* open and close alone */
    }
}

static void note_end(struct probe *probe, struct probe_said *said)
{
    struct sp_error err = {""};
    said->n_performed = probe->host.n_performed;
    said->has_reason = probe->host.reason.text[0] != '\0';
    struct sp_plugin_host pushed = probe->host; /* ending clears what points to the call */
    said->status = sp_hook_end(&probe->host, said->returned, &err);
    if (said->status) {
        (void)snprintf(said->reason, sizeof said->reason, "%s", err.text);
        return;
    }
    sp_plugin_permissions_done(&pushed);
    print_pushed(&pushed, &said->pushed);
}

static bool open_instance(struct probe *probe, struct sp_arena *arena,
                          const struct sp_told_key *told, void **ret_instance,
                          struct probe_said *said)
{
    uint64_t call = sp_hook_begin(&probe->host, SP_HOOK_OPEN, arena, &told->view);
    probe_arm(true);
    said->returned = probe->plugin->open(&probe->host.table, call, &told->key, ret_instance);
    probe_arm(false);
    if (said->returned != SALLYPORT_OK || probe->host.failed) {
        note_end(probe, said);
        return false;
    }
    (void)sp_hook_end(&probe->host, SALLYPORT_OK, NULL);
    return true;
}

void probe_ask(struct probe *probe, enum sp_hook hook, const struct probe_key *key,
               struct probe_said *ret_said)
{
    struct sp_arena arena;
    struct sp_told_key told;
    void *instance = NULL;
    struct probe_said said = {.status = SP_EINVAL, .returned = SALLYPORT_E_CONFIG};
    sp_buf_init(&said.pushed, PUSHED_MAX_BYTES);
    sp_arena_init(&arena, CALL_MAX_BYTES);
    uint64_t began = now_ms();
    probe->n_pushes = 0;
    if (!probe_tell(probe, &arena, key, &told)) {
        said.has_reason = true; /* the host's own: the plugin was not asked */
        (void)snprintf(said.reason, sizeof said.reason, "the host refuses this key");
    } else if (open_instance(probe, &arena, &told, &instance, &said)) {
        said.opened = true;
        uint64_t call = sp_hook_begin(&probe->host, hook, &arena, &told.view);
        probe_arm(true);
        said.returned = run_hook(probe, hook, call, instance, &said);
        probe_arm(false);
        note_end(probe, &said);
        (void)sp_hook_begin(&probe->host, SP_HOOK_CLOSE, &arena, NULL);
        probe->plugin->close(&probe->host.table, instance);
        (void)sp_hook_end(&probe->host, SALLYPORT_OK, NULL);
    }
    said.took_ms = now_ms() - began;
    sp_arena_done(&arena);
    *ret_said = said;
}

void probe_said_done(struct probe_said *said)
{
    sp_buf_done(&said->pushed);
}
