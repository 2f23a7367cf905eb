/* run: a command behind the forward proxy, with a token that lives as long as the command. */
#include "cli.h"

#include "config.h"
#include "run_trust.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REQUEST_MAX_BYTES = 64 << 10,
    VALUE_BYTES = 8192,
    RUN_CANNOT = 126, /* as RUN_FAILED: see there */
    RUN_NOT_FOUND = 127,
};

extern char **environ;

struct run {
    struct cli *cli;
    const char *scope, *ttl, *proxy, *ca;
    struct cli_list args, names;
    char **command;
    char token[4096], ca_path[SP_PATH_MAX_BYTES], proxy_at[SP_PATH_MAX_BYTES];
    struct run_trust trust;
};

/* ---- the token -----------------------------------------------------------------------------
 */

static bool issue(struct run *r)
{
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, REQUEST_MAX_BYTES);
    cli_request(&request, "issue", (size_t)(1 + (r->args.n > 0) + (r->ttl != NULL)));
    sp_wire_pair_str(&request, "scope", sp_text_of(r->scope));
    if (r->args.n) {
        sp_wire_put_str(&request, SP_TEXT("args"));
        sp_wire_put_map(&request, r->args.n);
    }
    bool good = true;
    for (size_t i = 0; good && i < r->args.n; i++) {
        struct sp_text name, value;
        good = cli_pair(r->args.items[i], &name, &value);
        if (good) {
            sp_wire_put_str(&request, name);
            sp_wire_put_str(&request, value);
        }
    }
    if (r->ttl) {
        sp_wire_pair_str(&request, "ttl", sp_text_of(r->ttl));
    }
    if (good) {
        good = cli_ask_client(r->cli, sp_buf_text(&request), &answer) == CLI_YES;
        struct sp_text token = good ? cli_text(&answer.map, "token") : SP_TEXT("");
        (void)snprintf(r->token, sizeof r->token, "%.*s", (int)token.len, token.ptr);
        cli_answer_done(&answer);
    }
    sp_buf_done(&request);
    return good;
}

static void revoke_token(struct run *r)
{
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, REQUEST_MAX_BYTES);
    cli_request(&request, "revoke", 1);
    sp_wire_pair_str(&request, "token", sp_text_of(r->token));
    if (cli_ask_client(r->cli, sp_buf_text(&request), &answer) != CLI_YES) {
        (void)cli_error(0, "the token could not be revoked; it ends by itself");
    }
    cli_answer_done(&answer);
    cli_wipe(&request);
    sodium_memzero(r->token, sizeof r->token);
}

/* ---- the environment -----------------------------------------------------------------------
 */

/* The first listener with mode = forward, unless it was said. */
static bool find_proxy(struct run *r)
{
    struct sp_config config;
    struct sp_error err = {""};
    char path[SP_PATH_MAX_BYTES];
    (void)snprintf(r->ca_path, sizeof r->ca_path, "%s",
                   r->ca ? r->ca : cli_path(r->cli, "ca.pem", path, sizeof path));
    if (r->proxy) {
        static const char http[] = "http://";
        size_t skip = strncmp(r->proxy, http, sizeof http - 1) == 0 ? sizeof http - 1 : 0;
        (void)snprintf(r->proxy_at, sizeof r->proxy_at, "%s", r->proxy + skip);
        return true;
    }
    if (sp_config_read(cli_path(r->cli, "sallyport.conf", path, sizeof path), &config, &err)) {
        (void)cli_error(RUN_FAILED, "%s; say --proxy HOST:PORT and --ca FILE", err.text);
        return false;
    }
    for (size_t i = 0; i < config.n_http; i++) {
        const char *at = config.http[i].listen;
        size_t len = strlen(at);
        if (config.http[i].forward && strncmp(at, "unix:", 5) != 0 && len > 2 &&
            strcmp(at + len - 2, ":0") != 0) {
            (void)snprintf(r->proxy_at, sizeof r->proxy_at, "%s", at);
            return true;
        }
    }
    (void)cli_error(RUN_FAILED,
                    "%s has no [http NAME] with mode = forward and a port; add one, or "
                    "say --proxy HOST:PORT",
                    path);
    return false;
}

/* Java reads no variables for this, but options from one. It says on standard error what it
 * found there, so the token must not be among them; and its own client would not take one from
 * there. */
static bool set_java_options(const struct run *r)
{
    char options[VALUE_BYTES];
    const char *before = r->cli->java_tool_options;
    const char *colon = strrchr(r->proxy_at, ':');
    int host_len = colon ? (int)(colon - r->proxy_at) : 0;
    if (!colon) {
        return true; /* a port is needed */
    }
    int n = snprintf(options, sizeof options,
                     "%s%s-Djavax.net.ssl.trustStore=%s -Djavax.net.ssl.trustStoreType=PKCS12 "
                     "-Dhttps.proxyHost=%.*s -Dhttps.proxyPort=%s "
                     "-Dhttp.proxyHost=%.*s -Dhttp.proxyPort=%s",
                     before ? before : "", before ? " " : "", r->trust.store, host_len,
                     r->proxy_at, colon + 1, host_len, r->proxy_at, colon + 1);
    return n > 0 && (size_t)n < sizeof options && setenv("JAVA_TOOL_OPTIONS", options, 1) == 0;
}

static bool set_environment(const struct run *r)
{
    static const char *const proxies[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY",
                                          "http_proxy"};
    static const char *const none[] = {"NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"};
    static const char *const bundles[] = {
        "SSL_CERT_FILE",  "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT",
        "GIT_SSL_CAINFO", "AWS_CA_BUNDLE",  "CARGO_HTTP_CAINFO"};
    char proxy[VALUE_BYTES];
    /* Python's requests sends nothing where there is no password. */
    int n = snprintf(proxy, sizeof proxy, "http://%s:sallyport@%s", r->token, r->proxy_at);
    bool good = n > 0 && (size_t)n < sizeof proxy;
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        good = good && setenv(proxies[i], proxy, 1) == 0;
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        good = good && unsetenv(none[i]) == 0;
    }
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++) {
        good = good && setenv(bundles[i], r->trust.bundle, 1) == 0;
    }
    for (size_t i = 0; i < r->names.n; i++) {
        good = good && setenv(r->names.items[i], r->token, 1) == 0;
    }
    good = good && setenv("NODE_EXTRA_CA_CERTS", r->ca_path, 1) == 0 &&
           setenv("NODE_USE_ENV_PROXY", "1", 1) == 0 &&
           /* git else waits to be asked for it, and CONNECT asks for nothing */
           setenv("GIT_HTTP_PROXY_AUTHMETHOD", "basic", 1) == 0 && set_java_options(r);
    sodium_memzero(proxy, sizeof proxy);
    return good;
}

/* ---- the command ---------------------------------------------------------------------------
 */

/*
 * What would end us is held back from before the token is issued until it is revoked again, so
 * that no signal can leave one that lives on. The mask that was is what the command gets.
 */
static void hold_signals(sigset_t *ret_held, sigset_t *ret_before)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    (void)sigemptyset(ret_held);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        (void)sigaddset(ret_held, signals[i]);
    }
    /* Were it ignored, which is inherited, the kernel would reap the command and tell nobody.
     */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigprocmask(SIG_BLOCK, ret_held, ret_before);
}

/* One that came before there was a command to hand it to; 0: none. */
static int signal_so_far(void)
{
    static const int ends[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    sigset_t pending;
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (sigismember(&pending, ends[i]) == 1) {
            return ends[i];
        }
    }
    return 0;
}

/* Until it ends. What ends us is handed on; what a terminal sends (SI_KERNEL) it gave the
 * command already, which is of the same process group. */
static int wait_for(pid_t pid, const sigset_t *held)
{
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
        siginfo_t info;
        int number = sigwaitinfo(held, &info);
        bool terminal = info.si_code == SI_KERNEL && (number == SIGINT || number == SIGQUIT);
        if (number > 0 && number != SIGCHLD && !terminal) {
            (void)kill(pid, number);
        }
    }
    if (got < 0) {
        return cli_error(RUN_FAILED, "how the command ended is not known: %s", strerror(errno));
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int start_and_wait(const struct run *r, const sigset_t *held, const sigset_t *before)
{
    posix_spawnattr_t attributes;
    pid_t pid = 0;
    int failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        (void)posix_spawnattr_setsigmask(&attributes, before);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        failed = posix_spawnp(&pid, r->command[0], NULL, &attributes, r->command, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    if (failed) {
        return cli_error(failed == ENOENT ? RUN_NOT_FOUND : RUN_CANNOT, "%s: %s", r->command[0],
                         strerror(failed));
    }
    return wait_for(pid, held);
}

static int with_token(struct run *r, const sigset_t *held, const sigset_t *before)
{
    int number = signal_so_far();
    if (number != 0) {
        return 128 + number;
    }
    return set_environment(r) ? start_and_wait(r, held, before)
                              : cli_error(RUN_FAILED, "the environment cannot be set");
}

static int run(struct cli *cli, int argc, char **argv)
{
    static struct run r;
    struct cli_list none;
    int split = 0;
    r = (struct run){.cli = cli};
    while (split < argc && strcmp(argv[split], "--") != 0) {
        split++;
    }
    if (split + 1 >= argc) {
        (void)cli_error(CLI_USAGE,
                        "run needs -- and a command: sallyport run --scope S -- CMD…");
        return RUN_FAILED;
    }
    if (!cli_args(split, argv,
                  CLI_OPTIONS({"scope", &r.scope, NULL, NULL}, {"arg", NULL, NULL, &r.args},
                              {"ttl", &r.ttl, NULL, NULL}, {"proxy", &r.proxy, NULL, NULL},
                              {"ca", &r.ca, NULL, NULL}, {"token-in", NULL, NULL, &r.names}),
                  0, 0, &none)) {
        return RUN_FAILED;
    }
    if (!r.scope) {
        (void)cli_error(CLI_USAGE, "run needs --scope NAME");
        return RUN_FAILED;
    }
    r.command = argv + split + 1;
    if (!find_proxy(&r)) {
        return RUN_FAILED;
    }
    sigset_t held, before;
    hold_signals(&held, &before);
    int result = RUN_FAILED;
    if (run_trust_make(r.ca_path, &r.trust) && issue(&r)) {
        result = with_token(&r, &held, &before);
        revoke_token(&r);
    }
    run_trust_remove(&r.trust);
    return result;
}

const struct cli_command cli_run_commands[] = {
    {"run", NULL, "--scope S [--arg K=V]… [--ttl T] [--token-in NAME]… -- COMMAND [ARG]…",
     "Run a command behind the forward proxy, with a token of its own",
     "The token is issued for the command and revoked at its end. It stands in the proxy's "
     "address,\n"
     "so the command needs no key, and no changed line: the proxy and the authority to trust "
     "are\n"
     "set for curl, Python, Node, Go, Java and git.\n"
     "  --token-in NAME   put the token into this variable, too: where a client wants a key\n"
     "  --proxy HOST:PORT where the proxy is (default: the first with mode = forward)\n"
     "  --ca FILE         its authority (default: DIR/ca.pem)\n"
     "Exit status: the command's; 125 where sallyport failed, 126 and 127 where the command "
     "could\n"
     "not be run or found.\n",
     run},
    {0},
};
