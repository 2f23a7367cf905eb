/* What a worker that was taken over may say: no answer gets past the host's checks, crashes it,
 * or costs more memory than promised. The first byte chooses the question, the rest is the map
 * of the answer. What was taken has the shape that the rest of the host counts on. And the
 * questions' reader, which a worker uses, on the same bytes. */
#include "frames.h"
#include "plugin_check.h"
#include "sign_names.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TREE_MAX_BYTES = 8 << 20, CALL_MAX_BYTES = 512 << 10 };

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static void check_lists(const struct sp_plugin_host *host)
{
    const struct sp_placement *placements = host->placements.items;
    const struct sp_setting *headers = host->headers.items;
    const struct sp_text *hosts = host->hosts.items;
    for (size_t i = 0; i < host->placements.n; i++) {
        struct sp_text secret = SP_TEXT("api_key");
        require(!sp_template_refused(placements[i].template, &secret, 1, false));
        require(placements[i].place != SP_PLACE_HEADER ||
                !sp_header_is_forbidden(placements[i].name));
    }
    for (size_t i = 0; i < host->headers.n; i++) {
        require(sp_is_header_name(headers[i].name) && sp_is_header_value(headers[i].value));
        require(!sp_header_is_credential(headers[i].name));
    }
    const struct sp_signature *signature = host->signature;
    for (size_t i = 0; signature && i < signature->n_outputs; i++) {
        unsigned names;
        require(signature->n_outputs <= SP_SIGN_OUTPUTS_MAX);
        require(!sp_sign_template_refused(signature->outputs[i].template, SP_SIGN_IN_OUTPUT,
                                          &names));
        require(signature->outputs[i].place != SP_PLACE_HEADER ||
                !sp_header_is_forbidden(signature->outputs[i].name));
        require(sp_text_is(signature->secret, "api_key"));
    }
    for (size_t i = 0; i < host->hosts.n; i++) {
        require(sp_is_visible(hosts[i]));
    }
}

/* What a hook asks for: its placements name what the key has, or what it signs itself. */
static sp_status replay_http(struct sp_plugin_host *host, uint64_t call, struct sp_arena *tree,
                             const struct worker_said *said, struct sp_error *err)
{
    struct sp_hook_request request;
    sp_status status = worker_replay_http(host, call, tree, &said->answer, &request, err);
    if (status) {
        return status;
    }
    require(request.n_jwts <= SP_HOOK_JWTS_MAX && request.n_captures <= SP_HOOK_CAPTURES_MAX);
    require(request.n_captures == 0 || host->hook == SP_HOOK_RENEW);
    for (size_t i = 0; i < request.n_jwts; i++) {
        require(sp_text_is(request.jwts[i].key, "api_key"));
        require(request.jwts[i].life_s > 0 && request.jwts[i].life_s <= SP_JWT_LIFE_MAX_S);
    }
    for (size_t i = 0; i < request.n_headers; i++) {
        require(!sp_header_is_credential(request.headers[i].name));
    }
    return SP_OK;
}

static void replay(enum worker_question question, struct sp_arena *tree,
                   const struct worker_said *said)
{
    static const enum sp_hook hooks[WORKER_QUESTIONS] = {SP_HOOK_DESCRIBE, SP_HOOK_CHECK,
                                                         SP_HOOK_PLAN,     SP_HOOK_PERMISSIONS,
                                                         SP_HOOK_RENEW,    SP_HOOK_REVOKE};
    struct sp_text secret = SP_TEXT("api_key");
    struct sp_key_view key = {SP_TEXT("k"), 1, NULL, 0, &secret, 1};
    struct sp_plugin_rules rules = {.dev = true};
    struct sp_plugin_host host;
    struct sp_arena arena;
    struct sp_error err = {""};
    sp_arena_init(&arena, CALL_MAX_BYTES);
    sp_plugin_host_init(&host, "fuzz.so", &rules);
    uint64_t call = sp_hook_begin(&host, hooks[question], &arena, &key);
    sp_status status = SP_OK;
    if (said->is_http) {
        status = replay_http(&host, call, tree, said, &err);
    } else {
        status = worker_replay(&host, call, question, tree, &said->answer, &err);
    }
    require(status == SP_OK || err.text[0]);
    uint64_t life_ms;
    (void)worker_read_life(&said->answer, &life_ms);
    if (!sp_hook_end(&host, SALLYPORT_OK, &err) && !status) {
        check_lists(&host);
        (void)(question == WORKER_LOAD && sp_plugin_manifest_done(&host, &err));
    }
    sp_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker_said said;
    struct worker_asked asked;
    struct sp_arena tree;
    struct sp_error err = {""};
    if (size == 0) {
        return 0;
    }
    struct sp_text map = {(const char *)data + 1, size - 1};
    sp_arena_init(&tree, TREE_MAX_BYTES);
    if (!worker_read_said(&tree, map, &said, &err) && !said.is_log &&
        (said.is_http || said.status == SP_OK)) {
        replay((enum worker_question)(data[0] % WORKER_QUESTIONS), &tree, &said);
    }
    sp_arena_reset(&tree);
    (void)worker_read_question(&tree, map, &asked, &err);
    sp_arena_reset(&tree);
    struct sp_hook_answer answer;
    (void)worker_read_answer(&tree, map, &answer, &err);
    sp_arena_done(&tree);
    return 0;
}
