/* sp_provider: how the host talks to a provider, whatever stands behind it.
 *
 * A worker process stands behind the table (host/worker/), or a plugin loaded into this process
 * (host/plugin.c), and a caller does not notice which: every operation answers through a
 * callback, now or later, on the host's loop thread, exactly once. A provider never sees a
 * secret: it is told the names of the secrets that a key holds, and its plan says where they
 * go.
 */
#ifndef SP_PROVIDER_H
#define SP_PROVIDER_H

#include "arena.h"
#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_setting { /* one configured field of a key that is no secret */
    struct sp_text name, value;
};

/* What a provider may know of a key. Borrowed for the call. */
struct sp_key_view {
    struct sp_text id;
    uint32_t version;
    const struct sp_setting *settings;
    size_t n_settings;
    const struct sp_text *secrets; /* names of the secret fields that are set */
    size_t n_secrets;
};

enum sp_place {
    SP_PLACE_HEADER,
    SP_PLACE_QUERY,
    SP_PLACE_FORM, /* of requests that a hook asks for (hook_http.h), never of a plan */
};

/* value = prefix, then the template with each {NAME} of a secret filled in, base64-encoded
 * where asked (RFC 4648 section 4; HTTP Basic). "{{" and "}}" in a template are braces. */
struct sp_placement {
    enum sp_place place;
    struct sp_text name;     /* header (lower case) or query parameter */
    struct sp_text prefix;   /* "Bearer ", "Basic "; may be empty */
    struct sp_text template; /* "{api_key}", "{username}:{password}" */
    bool base64;
};

enum { SP_SIGN_OUTPUTS_MAX = 8 };

struct sp_sign_output {
    enum sp_place place;
    struct sp_text name, template;
    bool is_signature; /* the template has {signature} */
};

/* Each request is signed (sallyport/sign.h says what the templates mean); of the whole body, so
 * it has to be there before the head is sent. */
struct sp_signature {
    bool sha512;     /* HMAC-SHA-512; else HMAC-SHA-256 */
    bool base64;     /* the signature is written in base64; else in hex */
    bool key_base64; /* the secret is the base64 of the key */
    struct sp_text secret, key_prefix;
    struct sp_text canonical, message;
    const struct sp_text *derive;
    size_t n_derive;
    const struct sp_sign_output *outputs;
    size_t n_outputs;
};

/* What the host does to each request of a key, once scope and limits have let it through. Free
 * of secrets, so it can be cached for as long as (key version, plugin hash) stay the same. */
struct sp_plan {
    struct sp_arena arena; /* owns everything below */
    const struct sp_placement *placements;
    size_t n_placements;
    const struct sp_setting *headers; /* fixed headers, such as stripe-version; they replace
                                         what the client sent */
    size_t n_headers;
    const struct sp_setting *defaults; /* headers set only where the client sent none */
    size_t n_defaults;
    bool leased; /* it places a secret that has to be minted: calls need a lease (leases.h) */
    const struct sp_signature *signature; /* NULL: none */
};

void sp_plan_done(struct sp_plan *plan);

enum sp_field_type {
    SP_FIELD_STRING,
    SP_FIELD_SECRET, /* read from standard input or a file, sealed, never shown */
    SP_FIELD_INTEGER,
    SP_FIELD_BOOLEAN, /* "true" or "false" */
    SP_FIELD_HOST,    /* one host name, or several with commas */
};

enum sp_charset {
    SP_CHARSET_LINE,  /* anything but control characters */
    SP_CHARSET_TOKEN, /* letters, digits and - . _ ~ + / = */
    SP_CHARSET_TEXT,  /* as LINE, and line feeds */
};

struct sp_field_prefix {   /* a start that a secret may have */
    struct sp_text prefix; /* "sk_test_" */
    struct sp_text label;  /* what it says of the key: "false" for livemode; may be empty */
};

struct sp_field {
    struct sp_text name, description, fallback;
    enum sp_field_type type;
    bool required;
    enum sp_charset charset;
    uint32_t min_bytes, max_bytes; /* always set: the plugin's, or the host's own limits */
    const struct sp_field_prefix *prefixes; /* secrets: one of these; none: any start */
    size_t n_prefixes;
    struct sp_text derives; /* setting that the prefix's label is stored as; empty: none */
};

struct sp_action_field {
    struct sp_text name; /* "body.amount" */
    struct sp_text type; /* "integer", "string", "boolean", "array", "object" */
};

struct sp_action {       /* one operation of the provider's API */
    struct sp_text name; /* "refunds.create" */
    struct sp_text method;
    struct sp_text path; /* "/v1/charges/{charge}/capture" */
    const struct sp_action_field *fields;
    size_t n_fields;
    bool escalates; /* creates keys, webhooks, users: only a literal allow reaches it */
};

/* Copied from the plugin when it is loaded; checked by the host; lives as long as the provider.
 */
struct sp_manifest {
    struct sp_text id;      /* "stripe" */
    struct sp_text version; /* the plugin's own */
    struct sp_text description;
    const struct sp_text *hosts; /* it may reach; empty: the hosts its check hook names */
    size_t n_hosts;
    const struct sp_text *request_headers; /* it lets through besides the core set */
    size_t n_request_headers;
    const struct sp_field *fields;
    size_t n_fields;
    const struct sp_action *actions;
    size_t n_actions;
    bool leases;  /* it mints credentials: permissions, renew and revoke may be asked */
    bool rotates; /* it replaces keys upstream: rotate and finish may be asked */
};

/* NULL where there is no field of that name. */
const struct sp_field *sp_manifest_field(const struct sp_manifest *manifest,
                                         struct sp_text name);

/* Whether a value has the shape that its field declares: length, characters, type, and for a
 * secret its prefix. A plugin never sees a secret, so this is where one is checked; err never
 * repeats any of the value. ret_label (may be NULL) gets the label of the prefix, or an empty
 * text; where it is not empty, the caller stores it as the setting field->derives. */
sp_status sp_field_check(const struct sp_field *field, struct sp_text value,
                         struct sp_text *ret_label, struct sp_error *err);

static inline sp_status sp_field_check_secret(const struct sp_field *field,
                                              struct sp_text value, struct sp_error *err)
{
    return sp_field_check(field, value, NULL, err);
}

/* Whether a setting of that name is derived from a secret: the host sets it, no operator can.
 */
bool sp_manifest_derives(const struct sp_manifest *manifest, struct sp_text name);

/* Cut the next name off a HOST field's list, white space around it dropped; false at the end.
 */
bool sp_host_next(struct sp_text *in_out_list, struct sp_text *ret_name);

struct sp_provider;

/* status SP_OK: hosts are those that the key is fixed to (canonical, checked against the
 * manifest). Else err says what is wrong with the configuration. Borrowed for the call. */
typedef void (*sp_provider_checked)(void *user, sp_status status, const struct sp_text *hosts,
                                    size_t n_hosts, const struct sp_error *err);
/* status SP_OK: plan is the receiver's, to be given back with sp_plan_done. */
typedef void (*sp_provider_planned)(void *user, sp_status status, struct sp_plan *plan,
                                    const struct sp_error *err);

/* What one allow rule of a scope reaches, in the words of the SDK's lease.h. */
struct sp_reach {
    struct sp_text methods, host, path;
};

/* What a hook may ask the host to do over HTTP while it runs (hook_http.h). answered is called
 * exactly once, now or later; what it is given is borrowed for the call. */
struct sp_hook_request;
struct sp_hook_answer;
typedef void (*sp_hook_answered)(void *user, const struct sp_hook_answer *answer);
struct sp_hook_http {
    void (*perform)(void *user, const struct sp_hook_request *request,
                    sp_hook_answered answered, void *answered_user);
    void *user;
};

/* Of a minting, or an ending; must live until it is done. */
struct sp_lease_ask {
    struct sp_text id;           /* of the attempt */
    const struct sp_text *words; /* permissions */
    size_t n_words;
    struct sp_hook_http http;
};

/* words: sorted, each once; borrowed for the call. */
typedef void (*sp_provider_permitted)(void *user, sp_status status, const struct sp_text *words,
                                      size_t n_words, const struct sp_error *err);
/* life_ms: of what renew minted; 0: it does not end by itself. */
typedef void (*sp_provider_leased)(void *user, sp_status status, uint64_t life_ms,
                                   const struct sp_error *err);

struct sp_provider_ops {
    void (*check)(struct sp_provider *provider, const struct sp_key_view *key,
                  sp_provider_checked done, void *user);
    void (*plan)(struct sp_provider *provider, const struct sp_key_view *key,
                 sp_provider_planned done, void *user);
    /* Only where manifest->leases is set (SDK, lease.h). */
    void (*permissions)(struct sp_provider *provider, const struct sp_key_view *key,
                        const struct sp_reach *reaches, size_t n_reaches,
                        sp_provider_permitted done, void *user);
    void (*renew)(struct sp_provider *provider, const struct sp_key_view *key,
                  const struct sp_lease_ask *ask, sp_provider_leased done, void *user);
    void (*revoke)(struct sp_provider *provider, const struct sp_key_view *key,
                   const struct sp_lease_ask *ask, sp_provider_leased done, void *user);
    /* Only where manifest->rotates is set (SDK, rotate.h); the ask has no words. */
    void (*rotate)(struct sp_provider *provider, const struct sp_key_view *key,
                   const struct sp_lease_ask *ask, sp_provider_leased done, void *user);
    void (*finish)(struct sp_provider *provider, const struct sp_key_view *key,
                   const struct sp_lease_ask *ask, sp_provider_leased done, void *user);
    /* NULL: nothing to stop. Else: answer every question that is open with an error, take no
     * more, and close what it has in the loop, which has to run until that is closed. */
    void (*stop)(struct sp_provider *provider);
    void (*free)(struct sp_provider *provider); /* after stop */
};

struct sp_provider { /* the head of whatever implements it */
    const struct sp_provider_ops *ops;
    const struct sp_manifest *manifest;
    uint8_t hash[32]; /* SHA-256 of the library's file */
    const char *path; /* where it was read from, for people */
    /* For metrics: questions that the host asked it, counted by who asks; and of one in a
     * process of its own, by it. */
    uint64_t n_calls;
    bool isolated, runs; /* a process of its own; it is there */
    uint64_t n_starts, n_failures;
    size_t n_waiting; /* questions that it has not answered */
};

/* ---- loading plugins into this process (host/plugin.c) -------------------------------------
 */

struct sp_plugin_rules {
    bool dev;                  /* --dev-plugins: skip the pin, not the other checks */
    const uint8_t (*pins)[32]; /* SHA-256 of the files that may be loaded */
    size_t n_pins;
    uint32_t owner_uid; /* besides root, who may own the file and its folder */
    /* What the plugin logs: level is 0 debug … 3 error; text is one line of UTF-8 without
     * control characters. NULL: dropped. Called on the loop thread, during a hook. */
    void (*log)(void *user, struct sp_text provider, unsigned level, struct sp_text text);
    void *log_user;
    /* What a hook asks for over HTTP, done at once: only a worker can wait so. NULL: this
     * process offers no HTTP to its plugins. The answer's body is put into the arena. */
    void (*perform)(void *user, const struct sp_hook_request *request, struct sp_arena *arena,
                    struct sp_hook_answer *ret_answer);
    void *perform_user;
};

/* Read the library once into a sealed memfd after checking owner, mode, link and pinned hash,
 * read its ABI version from the ELF note before any of its code runs, check DT_NEEDED and
 * RUNPATH, load it, take the entry symbol from the library itself, check its tables and copy
 * its manifest. On refusal err gives the reason and what to do. The provider is freed with
 * ops->free; its code stays mapped for good (never dlclosed). Loop thread only. */
sp_status sp_plugin_load(const char *path, const struct sp_plugin_rules *rules,
                         struct sp_provider **ret_provider, struct sp_error *err);

/* What `plugin list` shows and `plugin pin` pins, without running any of its code. */
struct sp_plugin_info {
    uint8_t hash[32];
    uint32_t abi_major, abi_minor;
};
sp_status sp_plugin_inspect(const char *path, struct sp_plugin_info *ret_info,
                            struct sp_error *err);

#endif
