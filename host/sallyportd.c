/* sallyportd: options, limits of the process, and the life of one host. */
#include "host.h"
#include "sanitized.h"

#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SALLYPORT_VERSION
#define SALLYPORT_VERSION "0.0.0"
#endif

static const char help[] =
    "Usage: sallyportd --config FILE [--dev-plugins]\n"
    "\n"
    "The host: holds the keys, checks every call against its token's scope, and makes it.\n"
    "\n"
    "  --config FILE   its settings; `sallyport init` makes one\n"
    "  --dev-plugins   load plugins that are not pinned: for plugin authors, never in "
    "production\n"
    "  --help, --version\n"
    "\n"
    "SIGHUP reads the policy files again, SIGTERM drains and ends. Logs go to standard "
    "error.\n";

/* No core, no ptrace by the same user (T59), no more memory than the operator gave; and no
 * program that is started from here gains what this one has not. */
static void harden(void)
{
    (void)signal(SIGPIPE,
                 SIG_IGN); /* a peer that went away is an error where it is written to */
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)umask(077);
}

static void limit_memory(uint64_t bytes)
{
    if (bytes > 0 && !SANITIZED) {
        const struct rlimit limit = {bytes, bytes};
        (void)setrlimit(RLIMIT_AS, &limit);
    }
}

/* The dynamic linker resolves a library's call when it is made for the first time, and saves
 * the vector registers on that thread's stack meanwhile: with what memcpy last moved, which may
 * be the passphrase of an `unseal` (T58). Told so by the environment, it resolves all before
 * main(); so the program starts itself once more. Where that fails it goes on: nothing else
 * depends on it. */
static void bind_now(char **argv)
{
    char self[PATH_MAX];
    if (SANITIZED || getenv("LD_BIND_NOW")) {
        return;
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0 && setenv("LD_BIND_NOW", "1", 1) == 0) {
        self[len] = '\0';
        (void)execv(self, argv);
    }
}

int main(int argc, char **argv)
{
    struct sp_host_options options = {NULL, false};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            options.config_path = argv[++i];
        } else if (strcmp(argv[i], "--dev-plugins") == 0) {
            options.dev_plugins = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            (void)puts("sallyportd " SALLYPORT_VERSION);
            return 0;
        } else {
            bool asked = strcmp(argv[i], "--help") == 0;
            (void)fputs(help, asked ? stdout : stderr);
            return asked ? 0 : 2;
        }
    }
    if (!options.config_path) {
        (void)fputs(help, stderr);
        return 2;
    }
    bind_now(argv);
    harden();
    static struct sp_host host;
    struct sp_error err = {""};
    if (sodium_init() < 0 || sp_egress_global(&err)) {
        (void)fprintf(stderr, "sallyportd: %s\n", *err.text ? err.text : "libsodium fails");
        return 4;
    }
    if (sp_host_start(&host, &options, &err)) {
        (void)fprintf(stderr, "sallyportd: %s\n", err.text);
        return 2;
    }
    limit_memory(host.config.memory_max_bytes);
    sp_host_run(&host);
    sp_host_stop(&host);
    return 0;
}
