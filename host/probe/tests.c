/* The tests of `sallyport plugin check`. A crash, a hang and too much memory fail a test by
 * themselves, since it has a process of its own; what is here is what a process survives. */
#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS = 10000,
    LEAK_MAX_BYTES = 64 << 10,
    INSTANCES = 200,
    HARD_KEYS = 300,
    NTH_MAX = 5000,
};

static const enum sp_hook hooks[] = {SP_HOOK_CHECK, SP_HOOK_PLAN, SP_HOOK_PERMISSIONS,
                                     SP_HOOK_RENEW, SP_HOOK_REVOKE};
enum { N_HOOKS = sizeof hooks / sizeof *hooks };

/* The plugin's hooks, without those of an extension that it does not offer. */
static unsigned n_hooks(const struct probe *probe)
{
    return probe->lease ? N_HOOKS : 2;
}

void probe_say(struct probe_result *result, enum probe_verdict verdict, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(result->text, sizeof result->text, format, args);
    va_end(args);
    result->verdict = verdict;
}

/* False, and skipped, where no key is known that the plugin takes. */
static bool find_key(struct probe *probe, struct probe_key *ret_key,
                     struct probe_result *result)
{
    if (probe_find_key(probe, ret_key)) {
        return true;
    }
    probe_say(result, PROBE_SKIP,
              "no key was found that check and plan take; give one with --set NAME=VALUE and "
              "--secret NAME (of the first that was tried: %.300s)",
              probe->refused);
    return false;
}

static bool same(const struct probe_said *a, const struct probe_said *b)
{
    return a->status == b->status &&
           sp_text_eq(sp_buf_text(&a->pushed), sp_buf_text(&b->pushed));
}

/* ---- the manifest ---------------------------------------------------------------------------
 */

/* Printed for the caller, who compares two processes. */
static void manifest(struct probe *probe, struct probe_result *result)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 32 << 20);
    probe_print_manifest(probe, &buf);
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (size_t i = 0; i < buf.len; i++) {
        hash = (hash ^ (unsigned char)buf.ptr[i]) * 1099511628211u;
    }
    probe_say(result, PROBE_PASS, "%zu fields, %zu actions, digest %016llx",
              probe->host.manifest.n_fields, probe->host.manifest.n_actions,
              (unsigned long long)hash);
    sp_buf_done(&buf);
}

static void unknown_extensions(struct probe *probe, struct probe_result *result)
{
    static const char *const ids[] = {"",
                                      "sallyport.lease",
                                      "sallyport.lease/2",
                                      "sallyport.nosuch/1",
                                      "SALLYPORT.LEASE/1",
                                      "sallyport.lease/1 ",
                                      "\xff"};
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (probe->plugin->extension(ids[i])) {
            probe_say(result, PROBE_FAIL,
                      "it answers for the extension \"%s\", which it cannot "
                      "know; compare the whole id",
                      i == 6 ? "?" : ids[i]);
            return;
        }
    }
}

static void known_extensions(struct probe *probe, struct probe_result *result)
{
    const struct sallyport_lease *lease = probe->lease;
    const struct sallyport_rotate *rotate = probe->rotate;
    if (rotate && (!SALLYPORT_HAS(rotate, sallyport_rotate, finish) || !rotate->rotate ||
                   !rotate->finish)) {
        probe_say(result, PROBE_FAIL,
                  "its table for " SALLYPORT_ROTATE " is short, or has a NULL");
    } else if (rotate && probe->plugin->extension(SALLYPORT_ROTATE) != rotate) {
        probe_say(result, PROBE_FAIL,
                  "its table for " SALLYPORT_ROTATE " is another each time");
    } else if (!lease && !rotate) {
        probe_say(result, PROBE_SKIP, "it offers none");
    } else if (!lease) {
        return;
    } else if (!SALLYPORT_HAS(lease, sallyport_lease, revoke) || !lease->permissions ||
               !lease->renew || !lease->revoke) {
        probe_say(result, PROBE_FAIL,
                  "its table for " SALLYPORT_LEASE " is short, or has a NULL");
    } else if (probe->plugin->extension(SALLYPORT_LEASE) != lease) {
        probe_say(result, PROBE_FAIL, "its table for " SALLYPORT_LEASE " is another each time");
    }
}

/* ---- instances ------------------------------------------------------------------------------
 */

static void open_and_close(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said said;
    size_t before = 0;
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        probe_ask(probe, SP_HOOK_PLAN, &key, &said);
        probe_said_done(&said);
        if (i == PAIRS / 10) { /* what is made once is made by now */
            before = probe_allocated();
        }
    }
    size_t after = probe_allocated();
    if (probe_allocations_are_ours() && after > before + LEAK_MAX_BYTES) {
        probe_say(result, PROBE_FAIL,
                  "%zu bytes were left by %d instances; free in close what "
                  "open and plan have allocated",
                  after - before, PAIRS - PAIRS / 10);
    }
}

static void many_instances(struct probe *probe, struct probe_result *result)
{
    static void *instances[INSTANCES];
    struct probe_key key;
    struct sp_arena arena;
    struct sp_told_key told;
    const struct sallyport_host *host = &probe->host.table;
    if (!find_key(probe, &key, result)) {
        return;
    }
    sp_arena_init(&arena, 1 << 20);
    (void)probe_tell(probe, &arena, &key, &told);
    unsigned n = 0;
    for (; n < INSTANCES; n++) {
        uint64_t call = sp_hook_begin(&probe->host, SP_HOOK_OPEN, &arena, &told.view);
        int32_t returned = probe->plugin->open(host, call, &told.key, &instances[n]);
        if (sp_hook_end(&probe->host, returned, NULL)) {
            probe_say(result, PROBE_FAIL, "the instance number %u of one key does not open",
                      n + 1);
            break;
        }
    }
    for (unsigned i = 0; i < n; i++) { /* in an order of their own */
        (void)sp_hook_begin(&probe->host, SP_HOOK_CLOSE, &arena, NULL);
        probe->plugin->close(host, instances[i % 2 ? n - 1 - i / 2 : i / 2]);
        (void)sp_hook_end(&probe->host, SALLYPORT_OK, NULL);
    }
    sp_arena_done(&arena);
}

/* ---- answers --------------------------------------------------------------------------------
 */

static void a_key_works(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    if (!find_key(probe, &key, result)) {
        result->verdict = PROBE_FAIL; /* the others skip: nobody is to take that for success */
        return;
    }
    char text[PROBE_TEXT_BYTES - 100];
    probe_print_key(&key, text, sizeof text);
    probe_say(result, PROBE_PASS, "with %s and %zu secrets", *text ? text : "no settings",
              key.n_secrets);
}

static void plans_are_stable(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said first, again;
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < n_hooks(probe); i++) {
        if (hooks[i] == SP_HOOK_RENEW || hooks[i] == SP_HOOK_REVOKE) {
            continue; /* they act */
        }
        probe_ask(probe, hooks[i], &key, &first);
        struct probe_key other = key;
        struct probe_said between;
        other.id = SP_TEXT("another");
        other.version = 7;
        probe_ask(probe, SP_HOOK_PLAN, &other, &between);
        probe_said_done(&between);
        probe_ask(probe, hooks[i], &key, &again);
        if (!same(&first, &again)) {
            probe_say(
                result, PROBE_FAIL,
                "%s pushed something else the second time; hosts keep what it said for as "
                "long as the key stays the same",
                sp_hook_name(hooks[i]));
        }
        probe_said_done(&first);
        probe_said_done(&again);
    }
}

static void in_time(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said said;
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < n_hooks(probe); i++) {
        probe_ask(probe, hooks[i], &key, &said);
        if (said.took_ms > PROBE_SLOW_MS) {
            probe_say(result, PROBE_WARN, "%s took %u ms; a host kills at %d",
                      sp_hook_name(hooks[i]), (unsigned)said.took_ms, PROBE_DEADLINE_MS);
        }
        probe_said_done(&said);
    }
}

/* With a table as long as 1.0 has it, and with a longer one. */
static void other_hosts(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said now, later;
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        probe_ask(probe, hooks[i], &key, &now);
        probe->host.table.abi_minor = 7;
        probe->host.table.size += 64;
        probe_ask(probe, hooks[i], &key, &later);
        probe->host.table.abi_minor = SALLYPORT_ABI_MINOR;
        probe->host.table.size -= 64;
        if (!same(&now, &later)) {
            probe_say(result, PROBE_FAIL,
                      "%s answers a host of version 1.7 in another way; ask SALLYPORT_HAS, not "
                      "for equality",
                      sp_hook_name(hooks[i]));
        }
        probe_said_done(&now);
        probe_said_done(&later);
    }
}

/* ---- failures -------------------------------------------------------------------------------
 */

static void failing_pushes(struct probe *probe, struct probe_result *result)
{
    static const int32_t errors[] = {SALLYPORT_E_LIMIT, SALLYPORT_E_MEMORY,
                                     SALLYPORT_E_INVALID};
    struct probe_key key;
    struct probe_said said;
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        unsigned n = 1, pushed = 0;
        do {
            probe->push_to_fail = n;
            probe->push_error = errors[n % 3];
            probe_ask(probe, hooks[i], &key, &said);
            pushed = probe->n_pushes;
            if (pushed >= n && said.returned == SALLYPORT_OK) {
                probe_say(
                    result, PROBE_WARN,
                    "%s returned SALLYPORT_OK though push %u was refused; return what the "
                    "push returned",
                    sp_hook_name(hooks[i]), n);
            }
            probe_said_done(&said);
        } while (pushed >= n && n++ < NTH_MAX);
        probe->push_to_fail = 0;
    }
}

static void failing_allocations(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    if (!probe_allocations_are_ours()) {
        probe_say(result, PROBE_SKIP, "this build has a sanitizer, whose malloc is its own");
        return;
    }
    if (!find_key(probe, &key, result)) {
        return;
    }
    for (unsigned i = 0; i < n_hooks(probe); i++) {
        struct probe_said whole, said;
        probe_ask(probe, hooks[i], &key, &whole);
        for (unsigned n = 1; n < NTH_MAX; n++) {
            (void)probe_fail_allocation(n);
            probe_ask(probe, hooks[i], &key, &said);
            bool reached = probe_fail_allocation(0) >= n;
            if (reached && said.status == SP_OK && !same(&whole, &said)) {
                probe_say(
                    result, PROBE_FAIL,
                    "%s went on without what allocation %u should have given, and answered "
                    "something else; return SALLYPORT_E_MEMORY",
                    sp_hook_name(hooks[i]), n);
            }
            probe_said_done(&said);
            if (!reached) {
                break;
            }
        }
        probe_said_done(&whole);
    }
}

/* One hard key through all hooks; what crashes or hangs ends the process. The key's values are
 * there until the next one is made. */
static void try_hard_key(struct probe *probe, uint64_t n, struct probe_key *ret_key,
                         struct probe_result *result)
{
    probe_hard_key(probe, n, ret_key);
    for (unsigned i = 0; i < n_hooks(probe); i++) {
        struct probe_said said;
        probe->answer = (unsigned)(n % probe_n_answers);
        probe_ask(probe, hooks[i], ret_key, &said);
        /* Of its own making: what the network did, the host knows better. */
        bool own = said.returned != SALLYPORT_E_MEMORY &&
                   said.returned != SALLYPORT_E_UPSTREAM && said.returned != SALLYPORT_E_DENIED;
        if (said.status && own && !said.has_reason) {
            char text[300];
            probe_print_key(ret_key, text, sizeof text);
            probe_say(result, PROBE_WARN,
                      "%s failed without a reason (case %llu: %s); say what is wrong with "
                      "refuse()",
                      said.opened ? sp_hook_name(hooks[i]) : "open", (unsigned long long)n,
                      text);
        }
        probe_said_done(&said);
    }
    probe->answer = 0;
}

static void hard_keys(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    for (uint64_t n = 0; n < HARD_KEYS; n++) {
        try_hard_key(probe, n, &key, result);
    }
}

/* One case of --fuzz: the caller goes through them, so that it knows which one it was. */
static void fuzz(struct probe *probe, struct probe_result *result)
{
    enum { AT_A_TIME = 100 };
    struct probe_key key;
    for (uint64_t n = 0; n < AT_A_TIME; n++) {
        try_hard_key(probe, probe->case_number + n, &key, result);
    }
}

static void reproduce(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    try_hard_key(probe, probe->case_number, &key, result);
    if (result->verdict == PROBE_PASS) {
        char text[PROBE_TEXT_BYTES - 40];
        probe_print_key(&key, text, sizeof text);
        probe_say(result, PROBE_PASS, "it was survived: %s", text);
    }
}

/* ---- leases ---------------------------------------------------------------------------------
 */

static bool find_lease_key(struct probe *probe, struct probe_key *ret_key,
                           struct probe_result *result)
{
    if (!probe->lease) {
        probe_say(result, PROBE_SKIP, "it mints nothing");
        return false;
    }
    return find_key(probe, ret_key, result);
}

static void upstream_answers(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    if (!find_lease_key(probe, &key, result)) {
        return;
    }
    for (probe->answer = 0; probe->answer < probe_n_answers; probe->answer++) {
        const struct probe_answer *answer = &probe_answers[probe->answer];
        struct probe_said said;
        probe_ask(probe, SP_HOOK_RENEW, &key, &said);
        bool none = answer->status || answer->http_status < 200 || answer->http_status > 299;
        if (none && said.status == SP_OK && said.n_performed) {
            probe_say(result, PROBE_FAIL, "renew succeeded though the upstream answered %s",
                      answer->name);
        }
        probe_said_done(&said);
        probe_ask(probe, SP_HOOK_REVOKE, &key, &said);
        probe_said_done(&said);
    }
    probe->answer = 0;
}

/* With a credential, without, and with one that is gone. */
static void revoke_twice(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said said;
    if (!find_lease_key(probe, &key, result)) {
        return;
    }
    probe_ask(probe, SP_HOOK_REVOKE, &key, &said);
    if (said.status) {
        probe_say(result, PROBE_FAIL, "to revoke what was never minted failed: %.300s",
                  said.reason);
    }
    probe_said_done(&said);
    key.secrets[key.n_secrets++] = SP_TEXT("lease.token");
    unsigned good = 0;
    for (probe->answer = 0; probe->answer < probe_n_answers; probe->answer++) {
        probe_ask(probe, SP_HOOK_REVOKE, &key, &said);
        good += said.status == SP_OK;
        probe_said_done(&said);
    }
    probe->answer = 0;
    if (result->verdict == PROBE_PASS && good == 0) {
        probe_say(result, PROBE_WARN, "no answer of an upstream let revoke succeed");
    }
}

/* ---- rotations ------------------------------------------------------------------------------
 */

/* Whatever the upstream says: no crash, no success without one of its answers being good, and
 * what is ended can be ended again. */
static void rotations(struct probe *probe, struct probe_result *result)
{
    struct probe_key key;
    struct probe_said said;
    char names[8][80];
    if (!probe->rotate) {
        probe_say(result, PROBE_SKIP, "it rotates nothing");
        return;
    }
    if (!find_key(probe, &key, result)) {
        return;
    }
    struct probe_key replaced = key; /* with what a rotation replaced */
    for (size_t i = 0; i < key.n_secrets && i < 8; i++) {
        (void)snprintf(names[i], sizeof names[i], SP_PREVIOUS_PREFIX "%.*s",
                       (int)key.secrets[i].len, key.secrets[i].ptr);
        replaced.secrets[replaced.n_secrets++] = sp_text_of(names[i]);
    }
    unsigned good = 0;
    for (probe->answer = 0; probe->answer < probe_n_answers; probe->answer++) {
        const struct probe_answer *answer = &probe_answers[probe->answer];
        bool none = answer->status || answer->http_status < 200 || answer->http_status > 299;
        probe_ask(probe, SP_HOOK_ROTATE, &key, &said);
        if (said.status == SP_OK && (none || said.n_performed == 0)) {
            probe_say(result, PROBE_FAIL, "rotate succeeded though the upstream answered %s",
                      answer->name);
        }
        probe_said_done(&said);
        probe_ask(probe, SP_HOOK_FINISH, &replaced, &said);
        good += said.status == SP_OK;
        probe_said_done(&said);
    }
    probe->answer = 0;
    if (result->verdict == PROBE_PASS && good == 0) {
        probe_say(result, PROBE_WARN, "no answer of an upstream let finish succeed");
    }
}

const struct probe_test probe_tests[] = {
    {"manifest", "its manifest is good, and the same in another process", manifest},
    {"unknown-extensions", "for an extension it does not know it answers NULL",
     unknown_extensions},
    {"known-extensions", "the tables of its extensions are whole", known_extensions},
    {"key", "there is a key that check and plan take", a_key_works},
    {"open-and-close", "10,000 instances leave no memory behind", open_and_close},
    {"many-instances", "200 instances at once, closed in another order", many_instances},
    {"stable", "the same key has the same hosts, plan and permissions", plans_are_stable},
    {"in-time", "each hook answers within a second", in_time},
    {"other-hosts", "a host of a later 1.x gets the same answers", other_hosts},
    {"failing-pushes", "each push in turn is refused", failing_pushes},
    {"failing-allocations", "each allocation in turn fails", failing_allocations},
    {"hard-keys", "300 keys with values that careless code stumbles over", hard_keys},
    {"upstream-answers", "an upstream says everything but what is wanted", upstream_answers},
    {"revoke-twice", "what is gone can be revoked again", revoke_twice},
    {"rotations", "where it rotates keys: an upstream says everything", rotations},
    {"fuzz", "", fuzz},
    {"reproduce", "", reproduce},
    {NULL, NULL, NULL},
};
