/* sallyport/plugin.h: what a provider plugin and the sallyport host know of each other.
 *
 * A plugin PLANS, the host EXECUTES. A plugin opens no socket, starts no thread and never sees
 * a key: it is told the names of the secrets that a key holds, and answers with a plan such as
 * "put {api_key} into the header authorization, behind `Bearer `". The host caches the plan, so
 * that no request waits for a plugin.
 *
 * THE RULES OF THIS BOUNDARY
 *  1. A plugin exports one function, sallyport_plugin_v1. The major version is in its name and
 * in an ELF note, which the host reads from the file before it runs any code of it.
 *  2. Every table and structure begins with `size`, set by whoever fills it in. It grows at its
 *     end alone. Before reading a member that came after version 1.0, ask SALLYPORT_HAS. Nobody
 *     writes beyond the other's `size`.
 *  3. No memory changes hands. What the host passes in is valid until the hook returns; what
 * the plugin pushes is copied before the push returns. An instance is the plugin's from open to
 *     close, and the host never looks behind that pointer.
 *  4. Numbers are int32_t, uint32_t and uint64_t. Flags and kinds are uint32_t; a value that
 * the reader does not know is refused, never guessed. Texts have a length and need no NUL.
 *  5. Functions that can fail return SALLYPORT_OK or a negative SALLYPORT_E_ number.
 *  6. What is optional is an extension, asked for by a string id. An id is never given a new
 *     meaning; an incompatible successor has another id.
 *
 * THREADS. Each function is tagged. [hook]: called on the one thread on which the host runs
 * this plugin's hooks, never two at a time. [in a hook]: to be called on that thread, before
 * the hook that got this `call` returns; at any other time it is refused with SALLYPORT_E_CALL.
 *
 * Compiles as C99, C11, C17 and C++11, with gcc and clang, without a warning.
 */
#ifndef SALLYPORT_PLUGIN_H
#define SALLYPORT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_ABI_MAJOR 1
#define SALLYPORT_ABI_MINOR 0

/* Whether the structure that p points to, filled in by the other side, has this member. */
#define SALLYPORT_HAS(p, type, member)                                                         \
    ((p)->size >= offsetof(struct type, member) + sizeof((p)->member))

/* ---- what functions return -------------------------------------------------------------- */

#define SALLYPORT_OK 0
#define SALLYPORT_E_INVALID (-1) /* a value breaks the rules; the host's log says which */
#define SALLYPORT_E_MEMORY (-2)  /* out of memory */
#define SALLYPORT_E_LIMIT (-3)   /* too long, or too many */
#define SALLYPORT_E_CALL (-4)    /* not now: wrong hook, no hook, wrong thread, stale call */
#define SALLYPORT_E_FAILED (-5)  /* this call failed before; nothing more is taken */
#define SALLYPORT_E_UNSUPPORTED (-6) /* this side does not do that */
#define SALLYPORT_E_CONFIG (-7)   /* the key's configuration is wrong; say how with refuse() */
#define SALLYPORT_E_UPSTREAM (-8) /* the upstream refused or could not be reached */
#define SALLYPORT_E_DENIED (-9)   /* the host does not let this plugin do that */

/* ---- texts ------------------------------------------------------------------------------ */

/* A run of bytes; not NUL-terminated. Passed by value inside others, so it never grows. */
struct sallyport_text {
    const char *ptr; /* may be NULL where len is 0 */
    uint64_t len;
};
/* An initialiser: static const struct sallyport_text name = SALLYPORT_TEXT("stripe"); */
/* clang-format off */
#define SALLYPORT_TEXT(literal) { literal, sizeof(literal) - 1 }
#define SALLYPORT_NO_TEXT { NULL, 0 }
/* clang-format on */

/* ---- what the host tells: a key --------------------------------------------------------- */

struct sallyport_setting { /* a configured value that is no secret */
    uint32_t size;
    uint32_t flags; /* 0 */
    struct sallyport_text name, value;
};

/* One version of one registered key. The host has checked the settings against the fields that
 * the plugin declared, and filled in the fallback of those that were not set. */
struct sallyport_key {
    uint32_t size;
    uint32_t version; /* counts the rotations of this key */
    struct sallyport_text id;
    const struct sallyport_setting *const *settings;
    const struct sallyport_text *const *secrets; /* names of the secret fields that are set */
    uint32_t n_settings, n_secrets;
};

/* ---- what a plugin pushes: its manifest ------------------------------------------------- */

struct sallyport_manifest {
    uint32_t size;
    uint32_t flags;                    /* 0 */
    struct sallyport_text id;          /* "stripe": [a-z][a-z0-9-]*, at most 64 bytes */
    struct sallyport_text version;     /* the plugin's own, at most 64 bytes */
    struct sallyport_text description; /* one line for people, at most 512 bytes */
};

#define SALLYPORT_FIELD_STRING 0u
#define SALLYPORT_FIELD_SECRET 1u  /* sealed by the host; the plugin learns its name alone */
#define SALLYPORT_FIELD_INTEGER 2u /* decimal, within 64 bits */
#define SALLYPORT_FIELD_BOOLEAN 3u /* "true" or "false" */
#define SALLYPORT_FIELD_HOST 4u    /* one host name, or several with commas */

#define SALLYPORT_FIELD_REQUIRED 1u /* flag */

#define SALLYPORT_CHARSET_LINE 0u  /* anything but control characters */
#define SALLYPORT_CHARSET_TOKEN 1u /* letters, digits and - . _ ~ + / = */
#define SALLYPORT_CHARSET_TEXT 2u  /* as LINE, and line feeds: a PEM key */

/* A start that the value of a field may have. The longest that fits counts. */
struct sallyport_prefix {
    uint32_t size;
    uint32_t flags;               /* 0 */
    struct sallyport_text prefix; /* "sk_test_" */
    struct sallyport_text label; /* what it says of the key, for `derives`: "false"; or empty */
};

/* One thing that an operator configures. A secret's shape is declared here and checked by the
 * host when the key is registered, since the plugin never sees the value. */
struct sallyport_field {
    uint32_t size;
    uint32_t type;                 /* SALLYPORT_FIELD_STRING … */
    uint32_t flags;                /* SALLYPORT_FIELD_REQUIRED */
    uint32_t charset;              /* SALLYPORT_CHARSET_LINE … */
    uint32_t min_bytes, max_bytes; /* 0: the host's own limits */
    struct sallyport_text name;    /* [a-z][a-z0-9_]*, at most 64 bytes */
    struct sallyport_text description;
    struct sallyport_text fallback; /* value where none is set; not for a secret */
    /* Secrets only: the value has to begin with one of these. None: with anything. */
    const struct sallyport_prefix *const *prefixes;
    /* Secrets only: the label of the prefix is stored as a setting of this name ("livemode"),
     * which scopes and listings can use. Empty: nothing is derived. */
    struct sallyport_text derives;
    uint32_t n_prefixes;
    uint32_t reserved; /* 0 */
};

struct sallyport_action_field {
    uint32_t size;
    uint32_t flags;             /* 0 */
    struct sallyport_text name; /* "body.amount", "query.limit" */
    struct sallyport_text type; /* "string", "integer", "boolean", "array", "object" */
};

/* The action makes a credential, an account or a standing channel (keys, webhooks, members): a
 * scope needs a literal rule for it, no wildcard reaches it. */
#define SALLYPORT_ACTION_ESCALATES 1u

struct sallyport_action { /* one operation of the provider's API */
    uint32_t size;
    uint32_t flags;               /* SALLYPORT_ACTION_ESCALATES */
    struct sallyport_text name;   /* "refunds.create", unique in the manifest */
    struct sallyport_text method; /* "POST" */
    struct sallyport_text path;   /* "/v1/charges/{charge}/capture" */
    const struct sallyport_action_field *const *fields; /* those that rules may want to read */
    uint32_t n_fields;
    uint32_t reserved; /* 0 */
};

/* ---- what a plugin pushes: a plan ------------------------------------------------------- */

#define SALLYPORT_PLACE_HEADER 0u
#define SALLYPORT_PLACE_QUERY 1u

#define SALLYPORT_PLACE_BASE64 1u /* flag: base64 what the template yields (HTTP Basic) */

/* Where secrets go: prefix, then the template with each {name} filled in. "{{" and "}}" are
 * braces. Every name has to be a secret that this key holds, and there has to be one. */
struct sallyport_placement {
    uint32_t size;
    uint32_t place;               /* SALLYPORT_PLACE_HEADER … */
    uint32_t flags;               /* SALLYPORT_PLACE_BASE64 */
    uint32_t reserved;            /* 0 */
    struct sallyport_text name;   /* "authorization", in lower case; or a query parameter */
    struct sallyport_text prefix; /* "Bearer " */
    struct sallyport_text template_text; /* "{api_key}", "{username}:{password}" */
};

#define SALLYPORT_HEADER_FIXED 0u   /* replaces what the client sent */
#define SALLYPORT_HEADER_DEFAULT 1u /* set only where the client sent none */

/* A header without a secret in it. Not Host, framing, hop-by-hop, forwarding, Authorization or
 * Cookie: credentials are placements. */
struct sallyport_header {
    uint32_t size;
    uint32_t kind; /* SALLYPORT_HEADER_FIXED … */
    struct sallyport_text name, value;
};

/* ---- the host's functions --------------------------------------------------------------- */

#define SALLYPORT_LOG_DEBUG 0u
#define SALLYPORT_LOG_INFO 1u
#define SALLYPORT_LOG_WARNING 2u
#define SALLYPORT_LOG_ERROR 3u

/* The host's side of the boundary. `host` is always the table that the hook was given, and
 * `call` the number that it was given. After a push was refused, the call has failed: its
 * further pushes return SALLYPORT_E_FAILED, and what the hook returns does not save it. */
struct sallyport_host {
    uint32_t size;
    uint32_t abi_minor; /* of the host; the major is that of the entry point it called */

    /* [in a hook] One line for the operator's log; cut at 512 bytes. There is nothing secret in
     * what a plugin knows, and it stays that way: do not log settings wholesale. */
    int32_t (*log)(const struct sallyport_host *host, uint32_t level,
                   const struct sallyport_text *text);
    /* [in a hook] Why this call fails, for the person who has to act on it: what is wrong and
     * what to do. The first reason counts. Return an error from the hook afterwards. */
    int32_t (*refuse)(const struct sallyport_host *host, uint64_t call,
                      const struct sallyport_text *reason);

    /* [in a hook: describe] Exactly once. */
    int32_t (*push_manifest)(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_manifest *manifest);
    /* [in a hook: describe] A host that keys of this provider may reach; none: those that check
     * names. [in a hook: check] A host that this key is fixed to: one of the manifest's, or one
     * that an operator wrote into a field of type HOST; without hosts in the manifest, any. */
    int32_t (*push_host)(const struct sallyport_host *host, uint64_t call,
                         const struct sallyport_text *name);
    /* [in a hook: describe] A header that clients may send, besides the host's core set. */
    int32_t (*push_request_header)(const struct sallyport_host *host, uint64_t call,
                                   const struct sallyport_text *name);
    /* [in a hook: describe] */
    int32_t (*push_field)(const struct sallyport_host *host, uint64_t call,
                          const struct sallyport_field *field);
    /* [in a hook: describe] */
    int32_t (*push_action)(const struct sallyport_host *host, uint64_t call,
                           const struct sallyport_action *action);
    /* [in a hook: plan] At least once. */
    int32_t (*push_placement)(const struct sallyport_host *host, uint64_t call,
                              const struct sallyport_placement *placement);
    /* [in a hook: plan] */
    int32_t (*push_header)(const struct sallyport_host *host, uint64_t call,
                           const struct sallyport_header *header);

    /* [in a hook] A service that this host offers besides these, or NULL: then the plugin does
     * without, or says in open that it cannot. The answer points to a table that begins with
     * `size`, is the same each time, and lives as long as the process. */
    const void *(*extension)(const struct sallyport_host *host, const char *id);
};

/* ---- the plugin's functions ------------------------------------------------------------- */

/* The plugin's side. The table lives as long as the process; the library is never unloaded. No
 * function pointer of version 1.0 may be NULL. */
struct sallyport_plugin {
    uint32_t size;
    uint32_t abi_minor; /* SALLYPORT_ABI_MINOR when the plugin was compiled */

    /* [hook] Push the manifest: what this plugin is. Called once, after loading. */
    int32_t (*describe)(const struct sallyport_host *host, uint64_t call);

    /* [hook] One instance for one version of one key. The host may close it after a single
     * question or keep it for months, and may have two of the same key; it derives all it knows
     * from `key`. Untouched *ret_instance on failure; NULL is a fine instance. */
    int32_t (*open)(const struct sallyport_host *host, uint64_t call,
                    const struct sallyport_key *key, void **ret_instance);
    /* [hook] Cannot fail. Called exactly once for each open that succeeded. */
    void (*close)(const struct sallyport_host *host, void *instance);

    /* [hook] Is the configuration fit for use? Push the hosts that the key is fixed to. */
    int32_t (*check)(const struct sallyport_host *host, uint64_t call, void *instance);
    /* [hook] Push placements and headers. The answer depends on the key alone: the host keeps
     * it for as long as key version and plugin stay the same. */
    int32_t (*plan)(const struct sallyport_host *host, uint64_t call, void *instance);

    /* [hook] An optional feature of this plugin (lease.h, rotate.h), or NULL for any id that it
     * does not know. The answer begins with `size` and lives as long as the process. */
    const void *(*extension)(const char *id);
};

/* ---- the entry point -------------------------------------------------------------------- */

#define SALLYPORT_EXPORT __attribute__((visibility("default")))

/* [hook] The one symbol that a plugin exports. NULL: the plugin cannot work with this host. */
SALLYPORT_EXPORT const struct sallyport_plugin *
sallyport_plugin_v1(const struct sallyport_host *host);

/* What a library says of itself before it runs: owner "Sallyport", type 1, major and minor as
 * 32-bit numbers of the machine's byte order. Write SALLYPORT_PLUGIN_NOTE; once, at file level.
 */
#define SALLYPORT_NOTE_SECTION ".note.sallyport"
#define SALLYPORT_NOTE_OWNER "Sallyport"
#define SALLYPORT_NOTE_TYPE 1u

struct sallyport_note {
    uint32_t owner_bytes, body_bytes, type;
    char owner[12]; /* the owner with its NUL, padded to 4 bytes */
    uint32_t major, minor;
};

#ifdef __clang__ /* a sanitizer would pad it, and a note's neighbours are read as notes */
#define SALLYPORT_NOTE_PLAIN __attribute__((no_sanitize("address")))
#else
#define SALLYPORT_NOTE_PLAIN
#endif
#define SALLYPORT_NOTE_PLACE                                                                   \
    SALLYPORT_NOTE_PLAIN                                                                       \
    __attribute__((used, section(SALLYPORT_NOTE_SECTION), aligned(4)))

#define SALLYPORT_PLUGIN_NOTE                                                                  \
    SALLYPORT_NOTE_PLACE static const struct sallyport_note sallyport_plugin_note = {          \
        sizeof(SALLYPORT_NOTE_OWNER), 2 * sizeof(uint32_t), SALLYPORT_NOTE_TYPE,               \
        SALLYPORT_NOTE_OWNER,         SALLYPORT_ABI_MAJOR,  SALLYPORT_ABI_MINOR}

#ifdef __cplusplus
}
#endif

#endif
