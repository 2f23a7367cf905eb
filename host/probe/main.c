/* sallyport-plugin-probe: runs one test on one plugin for `sallyport plugin check`, which
 * starts it. Descriptor 3 is the socket, 4 the library. What is asked comes as lines, ended by
 * "go":
 *
 *     test NAME | seed N | case N | set NAME=VALUE | secret NAME
 *
 * and one line goes back: the verdict, a blank, and its reason. `test` alone lists the tests.
 */
#include "probe.h"
#include "sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOCKET = 3, ASKED_MAX_BYTES = 1 << 20 };

static char asked[ASKED_MAX_BYTES + 1];

static void say(const char *text)
{
    for (size_t at = 0, len = strlen(text); at < len;) {
        ssize_t put = write(SOCKET, text + at, len - at);
        if (put < 0 && errno != EINTR) {
            _exit(1);
        }
        at += put > 0 ? (size_t)put : 0;
    }
}

static void answer(const struct probe_result *result)
{
    static const char *const verdicts[] = {"pass", "warn", "fail", "skip"};
    char line[PROBE_TEXT_BYTES + 16], text[PROBE_TEXT_BYTES];
    sp_shown(sp_text_of(result->text), text, sizeof text);
    (void)snprintf(line, sizeof line, "%s %s\n", verdicts[result->verdict], text);
    say(line);
}

static void list(void)
{
    for (const struct probe_test *test = probe_tests; test->name; test++) {
        if (*test->about) {
            char line[200];
            (void)snprintf(line, sizeof line, "%s %s\n", test->name, test->about);
            say(line);
        }
    }
}

static void read_asked(void)
{
    size_t len = 0;
    while (len < 3 || memcmp(asked + len - 3, "go\n", 3) != 0) {
        ssize_t got = read(SOCKET, asked + len, ASKED_MAX_BYTES - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            _exit(1);
        }
        len += (size_t)got;
    }
}

static const char *word(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncmp(line, name, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static void take_setting(struct probe_key *key, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals && key->n_settings < PROBE_FIELDS_MAX) {
        key->settings[key->n_settings++] =
            (struct sp_setting){{text, (size_t)(equals - text)}, sp_text_of(equals + 1)};
    }
}

/* The name of the test; NULL: they are to be listed. */
static const char *take_asked(struct probe *probe)
{
    const char *test = NULL;
    for (char *line = asked, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *value;
        *end = '\0';
        if ((value = word(line, "test"))) {
            test = value;
        } else if ((value = word(line, "seed"))) {
            probe->seed = strtoull(value, NULL, 10);
        } else if ((value = word(line, "case"))) {
            probe->case_number = strtoull(value, NULL, 10);
        } else if ((value = word(line, "set"))) {
            take_setting(&probe->given, value);
        } else if ((value = word(line, "secret")) &&
                   probe->given.n_secrets < PROBE_FIELDS_MAX) {
            probe->given.secrets[probe->given.n_secrets++] = sp_text_of(value);
        }
    }
    return test;
}

typedef const struct sallyport_plugin *(*entry_point)(const struct sallyport_host *host);

/* The loader's own checks were made before, in a worker. */
static const struct sallyport_plugin *load(struct probe *probe, struct probe_result *result)
{
    const struct sp_plugin_rules rules = {.dev = true};
    void *library = dlopen("/proc/self/fd/4", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "sallyport_plugin_v1") : NULL;
    entry_point entry;
    if (!symbol) {
        probe_say(result, PROBE_FAIL, "it cannot be loaded: %s", dlerror());
        return NULL;
    }
    memcpy(&entry, &symbol, sizeof entry); /* POSIX: a function's address fits */
    sp_plugin_host_init(&probe->host, "the plugin", &rules);
    return entry(&probe->host.table);
}

int main(int argc, char **argv)
{
    static struct probe probe;
    struct probe_result result = {PROBE_PASS, ""};
    struct sp_error err = {""};
    (void)argv;
    if (argc != 2 || argv[1][0] == '-') {
        (void)fputs("usage: none. `sallyport plugin check` starts this program.\n", stderr);
        return 2;
    }
    read_asked();
    const char *name = take_asked(&probe);
    if (!name) {
        list();
        return 0;
    }
    const struct probe_test *test = probe_tests;
    while (test->name && strcmp(test->name, name) != 0) {
        test++;
    }
    const struct sallyport_plugin *plugin = NULL;
    if (!test->name) {
        probe_say(&result, PROBE_FAIL, "there is no such test");
    } else if (sodium_init() < 0 || worker_sandbox_enter(&err)) {
        probe_say(&result, PROBE_FAIL, "the sandbox cannot be entered: %s", err.text);
    } else if ((plugin = load(&probe, &result)) && worker_sandbox_close(&err)) {
        probe_say(&result, PROBE_FAIL, "the sandbox cannot be closed: %s", err.text);
    } else if (plugin && probe_begin(&probe, plugin, &result)) {
        test->run(&probe, &result);
    }
    answer(&result);
    return 0;
}
