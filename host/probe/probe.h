/* probe: one plugin under test in this process. */
#ifndef SP_PROBE_H
#define SP_PROBE_H

#include "buf.h"
#include "plugin_check.h"
#include "plugin_host.h"
#include "plugin_key.h"

enum {
    PROBE_FIELDS_MAX = 64,
    PROBE_TEXT_BYTES = 512,
    PROBE_DEADLINE_MS = 5000, /* for a test's hooks, each */
    PROBE_SLOW_MS = 1000,
};

/* A key as tests make them: settings and names of secrets, in the probe's arena. */
struct probe_key {
    struct sp_setting settings[2 * PROBE_FIELDS_MAX];
    size_t n_settings;
    struct sp_text secrets[PROBE_FIELDS_MAX];
    size_t n_secrets;
    struct sp_text id;
    uint32_t version;
};

/* What a hook did. */
struct probe_said {
    sp_status status; /* of the whole call, as the host sees it */
    int32_t returned; /* by the hook, or by open where that failed */
    bool opened;      /* the hook was reached */
    bool has_reason;  /* refuse was called, or the host has one of its own */
    char reason[PROBE_TEXT_BYTES];
    struct sp_buf pushed; /* what was pushed, as lines; empty after a failure */
    uint64_t took_ms;
    unsigned n_performed; /* requests that it asked for */
    uint64_t life_ms;     /* of renew */
};

struct probe {
    const struct sallyport_plugin *plugin;
    const struct sallyport_rotate *rotate;
    const struct sallyport_lease *lease; /* NULL: it offers none */
    struct sp_plugin_host host;          /* its table is what the plugin is given */
    struct sp_arena arena, hard;         /* the manifest; the last hard key */
    struct probe_key given;              /* by the operator: --set, --secret */
    char refused[PROBE_TEXT_BYTES];      /* why the first key that was tried is none */
    uint64_t seed, case_number;
    /* what is made to fail */
    unsigned push_to_fail, n_pushes; /* 0: none; counted from 1 */
    int32_t push_error;
    unsigned answer; /* which of probe_answers an upstream gives */
};

enum probe_verdict { PROBE_PASS, PROBE_WARN, PROBE_FAIL, PROBE_SKIP };
struct probe_result {
    enum probe_verdict verdict;
    char text[PROBE_TEXT_BYTES];
};
struct probe_test {
    const char *name, *about;
    void (*run)(struct probe *probe, struct probe_result *ret_result);
};
extern const struct probe_test probe_tests[]; /* the last has no name */
void probe_say(struct probe_result *result, enum probe_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- hooks.c -------------------------------------------------------------------------------
 */

/* Start with the plugin's table: describe, extensions. False: *ret_result says why. */
bool probe_begin(struct probe *probe, const struct sallyport_plugin *plugin,
                 struct probe_result *ret_result);
/* The manifest as lines. */
void probe_print_manifest(const struct probe *probe, struct sp_buf *buf);
/* Open an instance for the key, run the hook, close it. said is to be given to probe_said_done.
 */
void probe_ask(struct probe *probe, enum sp_hook hook, const struct probe_key *key,
               struct probe_said *ret_said);
void probe_said_done(struct probe_said *said);
/* The key as the plugin is told of it; false where the host itself would refuse it. */
bool probe_tell(struct probe *probe, struct sp_arena *arena, const struct probe_key *key,
                struct sp_told_key *ret_told);

/* What upstreams answer to a plugin that mints. */
struct probe_answer {
    const char *name;
    sp_status status;
    uint32_t http_status;
    const char *body;
};
extern const struct probe_answer probe_answers[];
extern const unsigned probe_n_answers;

/* ---- keys.c --------------------------------------------------------------------------------
 */

/* A key that check and plan take; false where none was found. */
bool probe_find_key(struct probe *probe, struct probe_key *ret_key);
/* The nth key that is hard to take, out of the seed: each value is of its field's declared
 * shape, as the host would let it through. */
void probe_hard_key(struct probe *probe, uint64_t n, struct probe_key *ret_key);
/* For people, and for --reproduce. */
void probe_print_key(const struct probe_key *key, char *ret_text, size_t room);

/* ---- alloc.c -------------------------------------------------------------------------------
 */

/* Allocations count while armed: while the plugin runs, and not the host. */
void probe_arm(bool arm);
/* The nth that counts from now on fails (1: the next); 0: none. Returns how many there were
 * since the last call. */
unsigned probe_fail_allocation(unsigned n);
/* Whether allocations of the plugin come here at all: not in a build with a sanitizer. */
bool probe_allocations_are_ours(void);
/* Bytes that are allocated now. */
size_t probe_allocated(void);

#endif
