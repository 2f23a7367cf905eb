/* sallyport/fake_host.h: a host to test a plugin with, without sallyport. Nothing in here
 * crosses the boundary, and no plugin is to be built with it.
 *
 *   static struct sallyport_fake_host fake;
 *   sallyport_fake_host_init(&fake);
 *   const struct sallyport_plugin *plugin = sallyport_plugin_v1(&fake.table);
 *   assert(sallyport_fake_describe(&fake, plugin) == SALLYPORT_OK);
 *   sallyport_fake_setting(&fake, "region", "eu");
 *   sallyport_fake_secret(&fake, "api_key");
 *   assert(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN) == SALLYPORT_OK);
 *   assert(sallyport_fake_pushed(&fake, "place header x-api-key {api_key}"));
 *
 * What is pushed is kept as lines of text, in order:
 *
 *   manifest ID VERSION
 *   host NAME
 *   request-header NAME
 *   field NAME
 *   action NAME METHOD PATH
 *   place header|query|form NAME PREFIX-AND-TEMPLATE
 *   header fixed|default NAME VALUE
 *   sign SECRET MESSAGE
 *   sign header|query NAME TEMPLATE
 *   http METHOD URL
 *   capture POINTER NAME
 *   log TEXT
 *   refuse TEXT
 *
 * It checks the order of calls, not the content: `sallyport plugin check` loads the library as
 * a host does, and does that. One thread. */
#ifndef SALLYPORT_FAKE_HOST_H
#define SALLYPORT_FAKE_HOST_H

#include "help.h"
#include "http.h"
#include "rotate.h"
#include "sign.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_FAKE_LINES_MAX 4096
#define SALLYPORT_FAKE_LINE_BYTES 600
#define SALLYPORT_FAKE_ITEMS_MAX 64

#define SALLYPORT_FAKE_NONE 0u /* between hooks */
#define SALLYPORT_FAKE_DESCRIBE 1u
#define SALLYPORT_FAKE_OPEN 2u
#define SALLYPORT_FAKE_CHECK 3u
#define SALLYPORT_FAKE_PLAN 4u
#define SALLYPORT_FAKE_CLOSE 5u
#define SALLYPORT_FAKE_ROTATE 6u /* of a plugin with rotate.h, as the next */
#define SALLYPORT_FAKE_FINISH 7u

struct sallyport_fake_host {
    struct sallyport_host table; /* first */
    uint32_t hook;
    uint64_t call;
    int failed; /* a push was refused: the call has failed */
    char lines[SALLYPORT_FAKE_LINES_MAX][SALLYPORT_FAKE_LINE_BYTES];
    uint32_t n_lines;
    struct sallyport_setting settings[SALLYPORT_FAKE_ITEMS_MAX];
    const struct sallyport_setting *setting_list[SALLYPORT_FAKE_ITEMS_MAX];
    struct sallyport_text secrets[SALLYPORT_FAKE_ITEMS_MAX];
    const struct sallyport_text *secret_list[SALLYPORT_FAKE_ITEMS_MAX];
    uint32_t n_settings, n_secrets;
    /* of the last describe: what a host fills in where a setting is not set */
    char names[SALLYPORT_FAKE_ITEMS_MAX][SALLYPORT_FAKE_LINE_BYTES];
    char fallbacks[SALLYPORT_FAKE_ITEMS_MAX][SALLYPORT_FAKE_LINE_BYTES];
    uint32_t n_fallbacks;
    /* What the upstream answers to http.perform, in rotate and finish. */
    uint32_t answer_status;
    const char *answer_body;
};

static inline struct sallyport_fake_host *sallyport_fake_of(const struct sallyport_host *table)
{
    return (struct sallyport_fake_host *)(uintptr_t)table;
}

/* Keep "what a b c"; a NULL text is left out. */
static inline int32_t sallyport_fake_keep(struct sallyport_fake_host *fake, const char *what,
                                          const struct sallyport_text *a,
                                          const struct sallyport_text *b,
                                          const struct sallyport_text *c)
{
    const struct sallyport_text *texts[3];
    char *line;
    size_t at, i;
    int n;
    texts[0] = a;
    texts[1] = b;
    texts[2] = c;
    if (fake->n_lines == SALLYPORT_FAKE_LINES_MAX) {
        fake->failed = 1;
        return SALLYPORT_E_LIMIT;
    }
    line = fake->lines[fake->n_lines++];
    n = snprintf(line, SALLYPORT_FAKE_LINE_BYTES, "%s", what);
    at = n > 0 ? (size_t)n : 0;
    for (i = 0; i < 3 && at + 1 < SALLYPORT_FAKE_LINE_BYTES; i++) {
        if (texts[i]) {
            n = snprintf(line + at, SALLYPORT_FAKE_LINE_BYTES - at, " %.*s",
                         (int)(texts[i]->len < 500 ? texts[i]->len : 500),
                         texts[i]->len ? texts[i]->ptr : "");
            at += n > 0 ? (size_t)n : 0;
        }
    }
    return SALLYPORT_OK;
}

/* Whether a push may be made now: hooks is a set of 1 << SALLYPORT_FAKE_…. */
static inline int32_t sallyport_fake_begin(struct sallyport_fake_host *fake, uint64_t call,
                                           uint32_t hooks)
{
    if (fake->hook == SALLYPORT_FAKE_NONE || call != fake->call) {
        return SALLYPORT_E_CALL;
    }
    if (fake->failed) {
        return SALLYPORT_E_FAILED;
    }
    if (!(hooks & (1u << fake->hook))) {
        fake->failed = 1;
        return SALLYPORT_E_CALL;
    }
    return SALLYPORT_OK;
}

static inline int32_t sallyport_fake_log(const struct sallyport_host *host, uint32_t level,
                                         const struct sallyport_text *text)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    if (fake->hook == SALLYPORT_FAKE_NONE) {
        return SALLYPORT_E_CALL;
    }
    return level > SALLYPORT_LOG_ERROR ? SALLYPORT_E_INVALID
                                       : sallyport_fake_keep(fake, "log", text, NULL, NULL);
}

static inline int32_t sallyport_fake_refuse(const struct sallyport_host *host, uint64_t call,
                                            const struct sallyport_text *reason)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    if (fake->hook == SALLYPORT_FAKE_NONE || call != fake->call) {
        return SALLYPORT_E_CALL;
    }
    if (fake->failed) {
        return SALLYPORT_E_FAILED;
    }
    (void)sallyport_fake_keep(fake, "refuse", reason, NULL, NULL);
    fake->failed = 1;
    return SALLYPORT_OK;
}

static inline int32_t sallyport_fake_manifest(const struct sallyport_host *host, uint64_t call,
                                              const struct sallyport_manifest *manifest)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_DESCRIBE);
    return status
               ? status
               : sallyport_fake_keep(fake, "manifest", &manifest->id, &manifest->version, NULL);
}

static inline int32_t sallyport_fake_push_host(const struct sallyport_host *host, uint64_t call,
                                               const struct sallyport_text *name)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(
        fake, call, 1u << SALLYPORT_FAKE_DESCRIBE | 1u << SALLYPORT_FAKE_CHECK);
    return status ? status : sallyport_fake_keep(fake, "host", name, NULL, NULL);
}

static inline int32_t sallyport_fake_request_header(const struct sallyport_host *host,
                                                    uint64_t call,
                                                    const struct sallyport_text *name)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_DESCRIBE);
    return status ? status : sallyport_fake_keep(fake, "request-header", name, NULL, NULL);
}

static inline int32_t sallyport_fake_field(const struct sallyport_host *host, uint64_t call,
                                           const struct sallyport_field *field)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_DESCRIBE);
    if (status == SALLYPORT_OK && field->fallback.len > 0 && field->fallback.len < 500 &&
        field->name.len < 500 && fake->n_fallbacks < SALLYPORT_FAKE_ITEMS_MAX) {
        memcpy(fake->names[fake->n_fallbacks], field->name.ptr, (size_t)field->name.len);
        memcpy(fake->fallbacks[fake->n_fallbacks], field->fallback.ptr,
               (size_t)field->fallback.len);
        fake->n_fallbacks++;
    }
    return status ? status : sallyport_fake_keep(fake, "field", &field->name, NULL, NULL);
}

static inline int32_t sallyport_fake_action(const struct sallyport_host *host, uint64_t call,
                                            const struct sallyport_action *action)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_DESCRIBE);
    return status ? status
                  : sallyport_fake_keep(fake, "action", &action->name, &action->method,
                                        &action->path);
}

static inline int32_t sallyport_fake_placement(const struct sallyport_host *host, uint64_t call,
                                               const struct sallyport_placement *placement)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    struct sallyport_text value;
    char text[SALLYPORT_FAKE_LINE_BYTES];
    int32_t status = sallyport_fake_begin(
        fake, call,
        1u << SALLYPORT_FAKE_PLAN | 1u << SALLYPORT_FAKE_ROTATE | 1u << SALLYPORT_FAKE_FINISH);
    if (status) {
        return status;
    }
    (void)snprintf(
        text, sizeof text, "%.*s%.*s",
        (int)(placement->prefix.len < 250 ? placement->prefix.len : 250),
        placement->prefix.len ? placement->prefix.ptr : "",
        (int)(placement->template_text.len < 250 ? placement->template_text.len : 250),
        placement->template_text.len ? placement->template_text.ptr : "");
    value = sallyport_text_of(text);
    return sallyport_fake_keep(fake,
                               placement->place == SALLYPORT_PLACE_QUERY  ? "place query"
                               : placement->place == SALLYPORT_PLACE_FORM ? "place form"
                                                                          : "place header",
                               &placement->name, &value, NULL);
}

static inline int32_t sallyport_fake_header(const struct sallyport_host *host, uint64_t call,
                                            const struct sallyport_header *header)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_PLAN);
    return status
               ? status
               : sallyport_fake_keep(fake,
                                     header->kind == SALLYPORT_HEADER_FIXED ? "header fixed"
                                                                            : "header default",
                                     &header->name, &header->value, NULL);
}

static inline int32_t sallyport_fake_signature(const struct sallyport_host *host, uint64_t call,
                                               const struct sallyport_signature *signature)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(fake, call, 1u << SALLYPORT_FAKE_PLAN);
    uint32_t i;
    if (!status) {
        status =
            sallyport_fake_keep(fake, "sign", &signature->secret, &signature->message, NULL);
    }
    for (i = 0; !status && i < signature->n_outputs; i++) {
        const struct sallyport_sign_output *output = signature->outputs[i];
        status = sallyport_fake_keep(
            fake, output->place == SALLYPORT_PLACE_QUERY ? "sign query" : "sign header",
            &output->name, &output->template_text, NULL);
    }
    return status;
}

/* The request is kept as lines: its captures and placements behind it. */
static inline int32_t sallyport_fake_perform(const struct sallyport_host *host, uint64_t call,
                                             const struct sallyport_http_request *request,
                                             struct sallyport_http_answer *ret_answer)
{
    struct sallyport_fake_host *fake = sallyport_fake_of(host);
    int32_t status = sallyport_fake_begin(
        fake, call, 1u << SALLYPORT_FAKE_ROTATE | 1u << SALLYPORT_FAKE_FINISH);
    uint32_t i;
    if (!status) {
        status = sallyport_fake_keep(fake, "http", &request->method, &request->url, NULL);
    }
    for (i = 0; !status && i < request->n_captures; i++) {
        status = sallyport_fake_keep(fake, "capture", &request->captures[i]->pointer,
                                     &request->captures[i]->name, NULL);
    }
    for (i = 0; !status && i < request->n_placements; i++) {
        status = sallyport_fake_placement(host, call, request->placements[i]);
    }
    if (!status) {
        ret_answer->status = fake->answer_status;
        ret_answer->body = sallyport_text_of(fake->answer_body ? fake->answer_body : "");
    }
    return status;
}

/* Signing (sign.h), and HTTP for rotate and finish. What is not offered: a plugin has to do
 * without, or to say that it cannot.
 */
static inline const void *sallyport_fake_extension(const struct sallyport_host *host,
                                                   const char *id)
{
    static const struct sallyport_sign sign = {sizeof sign, 0, sallyport_fake_signature};
    static const struct sallyport_http http = {sizeof http, SALLYPORT_HTTP_REPLACES,
                                               sallyport_fake_perform};
    uint32_t hook = sallyport_fake_of(host)->hook;
    if (strcmp(id, SALLYPORT_HTTP) == 0) {
        return hook == SALLYPORT_FAKE_ROTATE || hook == SALLYPORT_FAKE_FINISH ? &http : NULL;
    }
    return strcmp(id, SALLYPORT_SIGN) == 0 ? &sign : NULL;
}

static inline void sallyport_fake_host_init(struct sallyport_fake_host *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->table.size = sizeof fake->table;
    fake->table.abi_minor = SALLYPORT_ABI_MINOR;
    fake->table.log = sallyport_fake_log;
    fake->table.refuse = sallyport_fake_refuse;
    fake->table.push_manifest = sallyport_fake_manifest;
    fake->table.push_host = sallyport_fake_push_host;
    fake->table.push_request_header = sallyport_fake_request_header;
    fake->table.push_field = sallyport_fake_field;
    fake->table.push_action = sallyport_fake_action;
    fake->table.push_placement = sallyport_fake_placement;
    fake->table.push_header = sallyport_fake_header;
    fake->table.extension = sallyport_fake_extension;
}

/* ---- the key that is asked about; strings are borrowed ----------------------------------- */

static inline void sallyport_fake_setting(struct sallyport_fake_host *fake, const char *name,
                                          const char *value)
{
    struct sallyport_setting *setting;
    if (fake->n_settings < SALLYPORT_FAKE_ITEMS_MAX) {
        setting = &fake->settings[fake->n_settings];
        setting->size = sizeof *setting;
        setting->name = sallyport_text_of(name);
        setting->value = sallyport_text_of(value);
        fake->setting_list[fake->n_settings++] = setting;
    }
}

static inline void sallyport_fake_secret(struct sallyport_fake_host *fake, const char *name)
{
    if (fake->n_secrets < SALLYPORT_FAKE_ITEMS_MAX) {
        fake->secrets[fake->n_secrets] = sallyport_text_of(name);
        fake->secret_list[fake->n_secrets] = &fake->secrets[fake->n_secrets];
        fake->n_secrets++;
    }
}

/* ---- hooks ------------------------------------------------------------------------------- */

static inline uint64_t sallyport_fake_enter(struct sallyport_fake_host *fake, uint32_t hook)
{
    fake->hook = hook;
    fake->failed = 0;
    return ++fake->call;
}

static inline int32_t sallyport_fake_leave(struct sallyport_fake_host *fake, int32_t returned)
{
    fake->hook = SALLYPORT_FAKE_NONE;
    return returned == SALLYPORT_OK && fake->failed ? SALLYPORT_E_FAILED : returned;
}

/* Describe; what was pushed before is forgotten. */
static inline int32_t sallyport_fake_describe(struct sallyport_fake_host *fake,
                                              const struct sallyport_plugin *plugin)
{
    uint64_t call = sallyport_fake_enter(fake, SALLYPORT_FAKE_DESCRIBE);
    fake->n_lines = fake->n_fallbacks = 0;
    memset(fake->names, 0, sizeof fake->names);
    memset(fake->fallbacks, 0, sizeof fake->fallbacks);
    return sallyport_fake_leave(fake, plugin->describe(&fake->table, call));
}

static inline int sallyport_fake_is_set(const struct sallyport_fake_host *fake,
                                        const char *name)
{
    uint32_t i;
    for (i = 0; i < fake->n_settings; i++) {
        if (sallyport_text_is(fake->settings[i].name, name)) {
            return 1;
        }
    }
    return 0;
}

static inline int32_t sallyport_fake_hook(struct sallyport_fake_host *fake,
                                          const struct sallyport_plugin *plugin, uint32_t hook,
                                          uint64_t call, void *instance)
{
    const struct sallyport_rotate *rotate;
    if (hook == SALLYPORT_FAKE_CHECK) {
        return plugin->check(&fake->table, call, instance);
    }
    if (hook == SALLYPORT_FAKE_PLAN) {
        return plugin->plan(&fake->table, call, instance);
    }
    rotate = (const struct sallyport_rotate *)plugin->extension(SALLYPORT_ROTATE);
    if (!rotate) {
        return SALLYPORT_E_UNSUPPORTED;
    }
    return hook == SALLYPORT_FAKE_ROTATE ? rotate->rotate(&fake->table, call, instance)
                                         : rotate->finish(&fake->table, call, instance);
}

/* Open an instance for the key, ask it (SALLYPORT_FAKE_CHECK, _PLAN, _ROTATE or _FINISH, the
 * last with a secret "previous.NAME"), close it, as a host
 * does; the fallbacks of the last describe are filled in. What was pushed before is
 * forgotten. */
static inline int32_t sallyport_fake_ask(struct sallyport_fake_host *fake,
                                         const struct sallyport_plugin *plugin, uint32_t hook)
{
    struct sallyport_key key;
    void *instance = NULL;
    uint64_t call;
    int32_t status;
    uint32_t i;
    for (i = 0; i < fake->n_fallbacks; i++) {
        if (!sallyport_fake_is_set(fake, fake->names[i])) {
            sallyport_fake_setting(fake, fake->names[i], fake->fallbacks[i]);
        }
    }
    memset(&key, 0, sizeof key);
    key.size = sizeof key;
    key.version = 1;
    key.id = sallyport_text_of("key-001");
    key.settings = fake->setting_list;
    key.secrets = fake->secret_list;
    key.n_settings = fake->n_settings;
    key.n_secrets = fake->n_secrets;
    fake->n_lines = 0;
    call = sallyport_fake_enter(fake, SALLYPORT_FAKE_OPEN);
    status = plugin->open(&fake->table, call, &key, &instance);
    status = sallyport_fake_leave(fake, status);
    if (status) {
        return status;
    }
    call = sallyport_fake_enter(fake, hook);
    status = sallyport_fake_hook(fake, plugin, hook, call, instance);
    status = sallyport_fake_leave(fake, status);
    (void)sallyport_fake_enter(fake, SALLYPORT_FAKE_CLOSE);
    plugin->close(&fake->table, instance);
    (void)sallyport_fake_leave(fake, SALLYPORT_OK);
    return status;
}

/* Whether that very line was pushed in the last describe or ask. */
static inline int sallyport_fake_pushed(const struct sallyport_fake_host *fake,
                                        const char *line)
{
    uint32_t i;
    for (i = 0; i < fake->n_lines; i++) {
        if (strcmp(fake->lines[i], line) == 0) {
            return 1;
        }
    }
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
