/* plugin check: a plugin under test. The loader's own checks first, in a worker; then the
 * probe's tests (host/probe/), each in a process of its own. */
#include "cli.h"

#include "crypto.h"
#include "plugin_check.h"
#include "plugin_library.h"
#include "process.h"
#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TEST_DEADLINE_MS = 30000,
    LINE_BYTES = 1024,
    TESTS_MAX = 64,
    FUZZ_DEFAULT = 1000,
    FUZZ_AT_A_TIME = 100, /* keys that one process tries */
};

struct test {
    char name[64], about[160];
};

struct outcome {
    char verdict[8], reason[LINE_BYTES];
};

struct check {
    const struct cli *cli;
    const char *path;
    char program[SP_WORKER_PATH_BYTES];
    struct sp_plugin_file file;
    struct sp_buf key; /* "set …" and "secret …" lines for the probe */
    uint64_t seed;
    struct test tests[TESTS_MAX];
    size_t n_tests;
    unsigned passed, warned, failed, skipped;
    bool first_json;
};

/* ---- one process ---------------------------------------------------------------------------
 */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* All that comes until the socket is closed. False past the deadline. */
static bool read_all(int socket, struct sp_buf *out)
{
    uint64_t until = now_ms() + TEST_DEADLINE_MS, now;
    char chunk[LINE_BYTES];
    while ((now = now_ms()) < until) {
        struct pollfd fd = {.fd = socket, .events = POLLIN};
        if (poll(&fd, 1, (int)(until - now)) <= 0) {
            continue;
        }
        ssize_t got = recv(socket, chunk, sizeof chunk, 0);
        if (got > 0) {
            sp_buf_add(out, chunk, (size_t)got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return true;
        }
    }
    return false;
}

/* Ask a probe, and append what it says; how: how it ended, where that was not by itself. */
static bool run_probe(struct check *c, struct sp_text asked, struct sp_buf *out,
                      char how[WORKER_END_BYTES])
{
    struct sp_error err = {""};
    pid_t pid = 0;
    int socket = -1;
    if (worker_start(c->program, c->path, c->file.fd, &pid, &socket, &err)) {
        (void)cli_error(CLI_INTERNAL, "%s", err.text);
        return false;
    }
    bool sent = send(socket, asked.ptr, asked.len, MSG_NOSIGNAL) == (ssize_t)asked.len;
    bool ended = sent && read_all(socket, out);
    (void)close(socket);
    worker_end(pid, how);
    if (!ended) {
        (void)snprintf(how, WORKER_END_BYTES, "hung, and was killed after %d s",
                       TEST_DEADLINE_MS / 1000);
    }
    return true;
}

static void run_test(struct check *c, const char *name, uint64_t case_number,
                     struct outcome *ret_outcome)
{
    struct sp_buf asked, out;
    char how[WORKER_END_BYTES] = "";
    *ret_outcome = (struct outcome){"fail", "the probe could not be started"};
    sp_buf_init(&asked, 1 << 20);
    sp_buf_init(&out, 1 << 20);
    sp_buf_addf(&asked, "test %s\nseed %" PRIu64 "\ncase %" PRIu64 "\n", name, c->seed,
                case_number);
    sp_buf_add_text(&asked, sp_buf_text(&c->key));
    sp_buf_add_str(&asked, "go\n");
    if (run_probe(c, sp_buf_text(&asked), &out, how)) {
        const char *end = out.len ? memchr(out.ptr, '\n', out.len) : NULL;
        const char *blank = end ? memchr(out.ptr, ' ', (size_t)(end - out.ptr)) : NULL;
        if (blank && blank - out.ptr < (ptrdiff_t)sizeof ret_outcome->verdict) {
            (void)snprintf(ret_outcome->verdict, sizeof ret_outcome->verdict, "%.*s",
                           (int)(blank - out.ptr), out.ptr);
            (void)snprintf(ret_outcome->reason, sizeof ret_outcome->reason, "%.*s",
                           (int)(end - blank - 1), blank + 1);
        } else {
            (void)snprintf(ret_outcome->reason, sizeof ret_outcome->reason, "its process %s",
                           how);
        }
    }
    sp_buf_done(&asked);
    sp_buf_done(&out);
}

static bool list_tests(struct check *c)
{
    struct sp_buf out;
    char how[WORKER_END_BYTES] = "";
    sp_buf_init(&out, 64 << 10);
    bool good = run_probe(c, SP_TEXT("go\n"), &out, how);
    for (size_t at = 0; good && at < out.len && c->n_tests < TESTS_MAX;) {
        const char *line = out.ptr + at;
        const char *end = memchr(line, '\n', out.len - at);
        const char *blank = end ? memchr(line, ' ', (size_t)(end - line)) : NULL;
        if (!blank) {
            break;
        }
        struct test *test = &c->tests[c->n_tests++];
        (void)snprintf(test->name, sizeof test->name, "%.*s", (int)(blank - line), line);
        (void)snprintf(test->about, sizeof test->about, "%.*s", (int)(end - blank - 1),
                       blank + 1);
        at = (size_t)(end - out.ptr) + 1;
    }
    sp_buf_done(&out);
    if (good && c->n_tests == 0) {
        (void)cli_error(CLI_INTERNAL, "%s does not answer: it %s", c->program, how);
    }
    return c->n_tests > 0;
}

/* ---- what is printed -----------------------------------------------------------------------
 */

static void progress(const struct check *c, const char *name)
{
    if (!c->cli->json && isatty(STDOUT_FILENO)) {
        (void)printf("      %s …\r", name);
        (void)fflush(stdout);
    }
}

static void print_json(struct check *c, const char *name, const struct outcome *outcome)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 8 * LINE_BYTES);
    sp_buf_addf(&buf, "%s{\"name\":", c->first_json ? "" : ",");
    sp_buf_add_json(&buf, sp_text_of(name));
    sp_buf_addf(&buf, ",\"verdict\":\"%s\",\"reason\":", outcome->verdict);
    sp_buf_add_json(&buf, sp_text_of(outcome->reason));
    sp_buf_add_byte(&buf, '}');
    (void)fwrite(buf.ptr, 1, buf.len, stdout);
    sp_buf_done(&buf);
    c->first_json = false;
}

static void report(struct check *c, const char *name, const char *about,
                   const struct outcome *outcome)
{
    static const struct {
        const char *verdict, *colour;
    } kinds[] = {{"pass", "\033[32m"},
                 {"warn", "\033[33m"},
                 {"fail", "\033[1;31m"},
                 {"skip", "\033[2m"}};
    unsigned *const counts[] = {&c->passed, &c->warned, &c->failed, &c->skipped};
    bool colour = c->cli->colour && isatty(STDOUT_FILENO);
    unsigned k = 0;
    while (k < 3 && strcmp(outcome->verdict, kinds[k].verdict) != 0) {
        k++;
    }
    (*counts[k])++;
    if (c->cli->json) {
        print_json(c, name, outcome);
        return;
    }
    (void)printf("%s%s%s  %-20s %s\n", colour ? kinds[k].colour : "", outcome->verdict,
                 colour ? "\033[0m" : "", name, about);
    if (*outcome->reason && k > 0) {
        (void)printf("      %s\n", outcome->reason);
    }
}

/* ---- the tests -----------------------------------------------------------------------------
 */

/* Two processes with other addresses, which have to tell the same. */
static void run_manifest(struct check *c, const struct test *test)
{
    struct outcome first, second;
    run_test(c, test->name, 0, &first);
    run_test(c, test->name, 0, &second);
    if (strcmp(first.verdict, "pass") == 0 && strcmp(first.reason, second.reason) != 0) {
        (void)snprintf(first.verdict, sizeof first.verdict, "fail");
        (void)snprintf(first.reason, sizeof first.reason,
                       "another process got another manifest; a host that starts the plugin "
                       "again would not know it");
    }
    report(c, test->name, test->about, &first);
}

/* In lots; of one that fails each key alone, so that the failing one can be named. */
static void run_fuzz(struct check *c, uint64_t n)
{
    struct outcome outcome = {"pass", ""};
    char about[160];
    for (uint64_t at = 0; at < n; at += FUZZ_AT_A_TIME) {
        char name[64];
        (void)snprintf(name, sizeof name, "fuzz %" PRIu64 " of %" PRIu64, at, n);
        progress(c, name);
        run_test(c, "fuzz", at, &outcome);
        if (strcmp(outcome.verdict, "fail") != 0) {
            continue;
        }
        for (uint64_t i = at; i < at + FUZZ_AT_A_TIME; i++) {
            struct outcome one;
            run_test(c, "reproduce", i, &one);
            if (strcmp(one.verdict, "fail") == 0) {
                (void)snprintf(outcome.reason, sizeof outcome.reason,
                               "%.700s; again: --reproduce %" PRIu64 ":%" PRIu64, one.reason,
                               c->seed, i);
                break;
            }
        }
        break;
    }
    (void)snprintf(about, sizeof about, "%" PRIu64 " random keys, seed %" PRIu64, n, c->seed);
    report(c, "fuzz", about, &outcome);
}

static void run_all(struct check *c, const char *only, uint64_t fuzz)
{
    for (size_t i = 0; i < c->n_tests; i++) {
        const struct test *test = &c->tests[i];
        if (only && strcmp(only, test->name) != 0) {
            continue;
        }
        struct outcome outcome;
        progress(c, test->name);
        if (strcmp(test->name, "manifest") == 0) {
            run_manifest(c, test);
        } else {
            run_test(c, test->name, 0, &outcome);
            report(c, test->name, test->about, &outcome);
        }
    }
    if (fuzz && (!only || strcmp(only, "fuzz") == 0)) {
        run_fuzz(c, fuzz);
    }
}

/* ---- the command ---------------------------------------------------------------------------
 */

/* What a host does first: its checks of the file, a worker, a manifest. */
static int load(struct check *c)
{
    struct sp_error err = {""};
    struct sp_provider *provider = NULL;
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    char program[SP_WORKER_PATH_BYTES], hex[65];
    uv_loop_t loop;
    sp_worker_program(program);
    if (uv_loop_init(&loop)) {
        return cli_error(CLI_INTERNAL, "out of memory or file descriptors");
    }
    struct sp_worker_config worker = {.loop = &loop, .program = program};
    sp_status status = sp_worker_load(c->path, &rules, &worker, &provider, &err);
    if (!status) {
        const struct sp_manifest *m = provider->manifest;
        sp_hex_encode(provider->hash, 32, hex);
        (void)printf(c->cli->json ? "{\"provider\":\"%s\",\"version\":\"%s\",\"sha256\":\"%s\","
                                    "\"fields\":%zu,\"actions\":%zu,\"tests\":["
                                  : "provider %s %s, SHA-256 %s, %zu fields, %zu actions\n",
                     m->id.ptr, m->version.ptr, hex, m->n_fields, m->n_actions);
        provider->ops->stop(provider);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    if (status) {
        return cli_error(CLI_NO, "%s", err.text);
    }
    provider->ops->free(provider);
    return CLI_YES;
}

static int print_list(const struct check *c)
{
    for (size_t i = 0; i < c->n_tests; i++) {
        (void)printf(c->cli->json ? "%s{\"name\":\"%s\",\"about\":\"%s\"}" : "%s%-20s %s\n",
                     !c->cli->json ? ""
                     : i           ? ","
                                   : "[",
                     c->tests[i].name, c->tests[i].about);
    }
    (void)printf(c->cli->json ? "]\n" : "%-20s random keys, by a seed\n", "fuzz");
    return CLI_YES;
}

static bool is_known(const struct check *c, const char *only)
{
    bool known = !only || strcmp(only, "fuzz") == 0;
    for (size_t i = 0; i < c->n_tests && !known; i++) {
        known = strcmp(only, c->tests[i].name) == 0;
    }
    return known;
}

static bool number(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

struct options {
    const char *only, *fuzz, *seed, *reproduce;
    char seed_room[32];
    struct cli_list settings, secrets;
    bool list;
    uint64_t n_fuzz, case_number;
};

/* Also the lines of the key; false with a message. */
static bool read_options(struct check *c, struct options *o)
{
    o->n_fuzz = FUZZ_DEFAULT;
    randombytes_buf(&c->seed, sizeof c->seed);
    c->seed %= 1000000000; /* short enough to type */
    if (o->reproduce) {
        const char *colon = strchr(o->reproduce, ':');
        size_t len = colon ? (size_t)(colon - o->reproduce) : 0;
        if (len == 0 || len >= sizeof o->seed_room || !number(colon + 1, &o->case_number)) {
            (void)cli_error(CLI_USAGE, "--reproduce takes SEED:CASE, as a failure printed it");
            return false;
        }
        memcpy(o->seed_room, o->reproduce, len);
        o->seed_room[len] = '\0';
        o->seed = o->seed_room;
    }
    if ((o->seed && !number(o->seed, &c->seed)) || (o->fuzz && !number(o->fuzz, &o->n_fuzz))) {
        (void)cli_error(CLI_USAGE, "--seed and --fuzz take a number");
        return false;
    }
    for (size_t i = 0; i < o->settings.n; i++) {
        struct sp_text name, value;
        if (!cli_pair(o->settings.items[i], &name, &value)) {
            return false;
        }
        if (strchr(o->settings.items[i], '\n')) {
            (void)cli_error(CLI_USAGE, "--set: a value with a line break cannot be tried so");
            return false;
        }
        sp_buf_addf(&c->key, "set %s\n", o->settings.items[i]);
    }
    for (size_t i = 0; i < o->secrets.n; i++) {
        sp_buf_addf(&c->key, "secret %s\n", o->secrets.items[i]);
    }
    return true;
}

static int check_all(struct check *c, const struct options *o)
{
    int result = load(c);
    if (result) {
        return result;
    }
    c->first_json = true;
    if (o->reproduce) {
        struct outcome outcome;
        run_test(c, "reproduce", o->case_number, &outcome);
        report(c, "reproduce", "one random key again", &outcome);
        if (!c->cli->json && strcmp(outcome.verdict, "pass") == 0) {
            (void)printf("      %s\n", outcome.reason);
        }
    } else {
        run_all(c, o->only, o->n_fuzz);
    }
    (void)printf(c->cli->json ? "],\"passed\":%u,\"warned\":%u,\"failed\":%u,\"skipped\":%u}\n"
                              : "%u passed, %u warned, %u failed, %u skipped\n",
                 c->passed, c->warned, c->failed, c->skipped);
    return c->failed ? CLI_NO : CLI_YES;
}

int cli_run_plugin_check(struct cli *cli, int argc, char **argv)
{
    static struct check check; /* too large for a stack */
    struct check *c = &check;
    struct options o = {.list = false};
    struct sp_error err = {""};
    struct cli_list args;
    if (!cli_args(
            argc, argv,
            CLI_OPTIONS({"only", &o.only, NULL, NULL}, {"fuzz", &o.fuzz, NULL, NULL},
                        {"seed", &o.seed, NULL, NULL}, {"reproduce", &o.reproduce, NULL, NULL},
                        {"set", NULL, NULL, &o.settings}, {"secret", NULL, NULL, &o.secrets},
                        {"list", NULL, &o.list, NULL}),
            0, 1, &args)) {
        return CLI_USAGE;
    }
    if (!o.list && args.n != 1) {
        return cli_error(CLI_USAGE, "plugin check takes one FILE.so, or --list");
    }
    *c = (struct check){.cli = cli, .path = args.n ? args.items[0] : "", .file = {.fd = -1}};
    sp_buf_init(&c->key, 1 << 19);
    sp_probe_program(c->program);
    int result = CLI_USAGE;
    if (o.list) {
        c->path = "the list";
        c->file.fd = STDIN_FILENO; /* no library is needed */
    } else {
        struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
        if (sp_plugin_file_check(c->path, &rules, &c->file, &err)) {
            sp_buf_done(&c->key);
            return cli_error(CLI_NO, "%s", err.text);
        }
    }
    if (read_options(c, &o)) {
        if (!list_tests(c)) {
            result = CLI_INTERNAL;
        } else if (o.list) {
            result = print_list(c);
        } else if (!is_known(c, o.only)) {
            result = cli_error(CLI_USAGE, "there is no test '%s'; --list shows them", o.only);
        } else {
            result = check_all(c, &o);
        }
    }
    if (!o.list) {
        sp_plugin_file_done(&c->file, false);
    }
    sp_buf_done(&c->key);
    return result;
}
