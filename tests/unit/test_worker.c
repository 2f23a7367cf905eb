/* Plugins in processes of their own: the real worker, with real libraries, most of them bad
 * (T45, T48). */
#include "asking.h"
#include "sanitized.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { DEADLINE_MS = SANITIZED ? 5000 : 2000 }; /* machines may be busy */

static uv_loop_t loop;
static unsigned n_logged;

static void on_log(void *user, struct sp_text provider, unsigned level, struct sp_text text)
{
    (void)user;
    (void)provider;
    (void)level;
    (void)text;
    n_logged++;
}

static sp_status try_load(const char *path, uint64_t deadline_ms,
                          struct sp_provider **ret_provider, struct sp_error *err)
{
    struct sp_plugin_rules rules = {
        .dev = true, .owner_uid = (uint32_t)geteuid(), .log = on_log};
    struct sp_worker_config config = {&loop, WORKER, deadline_ms};
    return sp_worker_load(path, &rules, &config, ret_provider, err);
}

static struct sp_provider *load_within(const char *path, uint64_t deadline_ms)
{
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    if (try_load(path, deadline_ms, &provider, &err)) {
        fail_msg("%s", err.text);
    }
    return provider;
}

/* Where a test is of a hang, or could be. */
static struct sp_provider *load(const char *path)
{
    return load_within(path, DEADLINE_MS);
}

static int start_loop(void **state)
{
    (void)state;
    n_logged = 0;
    return uv_loop_init(&loop);
}

static int end_loop(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* ends: nothing of a freed provider is left in it */
    return uv_loop_close(&loop);
}

static void unload(struct sp_provider *provider)
{
    provider->ops->stop(provider);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    provider->ops->free(provider);
}

static void wait_for(const struct answer *answer, unsigned calls)
{
    while (answer->calls < calls) {
        assert_true(uv_run(&loop, UV_RUN_ONCE) || answer->calls >= calls);
    }
}

static struct answer check_key(struct sp_provider *provider, const struct sp_key_view *key)
{
    struct answer answer = {.calls = 0};
    provider->ops->check(provider, key, on_checked, &answer);
    wait_for(&answer, 1);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static struct answer plan_key(struct sp_provider *provider, const struct sp_key_view *key)
{
    struct answer answer = {.calls = 0};
    provider->ops->plan(provider, key, on_planned, &answer);
    wait_for(&answer, 1);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static const struct sp_text names[] = {{"api_key", 7}};

static struct answer check_case(struct sp_provider *provider, const char *name)
{
    struct sp_setting setting = {SP_TEXT("case"), sp_text_of(name)};
    struct sp_key_view key = {SP_TEXT("k"), 1, &setting, 1, names, 1};
    return check_key(provider, &key);
}

static void sleep_ms(unsigned ms)
{
    const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
    uv_update_time(&loop);
}

/* ---- it does what a plugin in this process does -------------------------------------------
 */

static void assert_text(struct sp_text a, struct sp_text b)
{
    assert_true(sp_text_eq(a, b));
}

static void assert_same_fields(const struct sp_manifest *a, const struct sp_manifest *b)
{
    assert_int_equal(a->n_fields, b->n_fields);
    for (size_t i = 0; i < a->n_fields; i++) {
        const struct sp_field *x = &a->fields[i], *y = &b->fields[i];
        assert_text(x->name, y->name);
        assert_text(x->description, y->description);
        assert_text(x->fallback, y->fallback);
        assert_text(x->derives, y->derives);
        assert_true(x->type == y->type && x->required == y->required &&
                    x->charset == y->charset && x->min_bytes == y->min_bytes &&
                    x->max_bytes == y->max_bytes && x->n_prefixes == y->n_prefixes);
        for (size_t k = 0; k < x->n_prefixes; k++) {
            assert_text(x->prefixes[k].prefix, y->prefixes[k].prefix);
            assert_text(x->prefixes[k].label, y->prefixes[k].label);
        }
    }
}

static void assert_same_manifest(const struct sp_manifest *a, const struct sp_manifest *b)
{
    assert_text(a->id, b->id);
    assert_text(a->version, b->version);
    assert_text(a->description, b->description);
    assert_int_equal(a->n_hosts, b->n_hosts);
    for (size_t i = 0; i < a->n_hosts; i++) {
        assert_text(a->hosts[i], b->hosts[i]);
    }
    assert_int_equal(a->n_request_headers, b->n_request_headers);
    for (size_t i = 0; i < a->n_request_headers; i++) {
        assert_text(a->request_headers[i], b->request_headers[i]);
    }
    assert_same_fields(a, b);
    assert_int_equal(a->n_actions, b->n_actions);
    for (size_t i = 0; i < a->n_actions; i++) {
        const struct sp_action *x = &a->actions[i], *y = &b->actions[i];
        assert_text(x->name, y->name);
        assert_text(x->method, y->method);
        assert_text(x->path, y->path);
        assert_true(x->escalates == y->escalates && x->n_fields == y->n_fields);
        for (size_t k = 0; k < x->n_fields; k++) {
            assert_text(x->fields[k].name, y->fields[k].name);
            assert_text(x->fields[k].type, y->fields[k].type);
        }
    }
}

static void assert_same_signature(const struct sp_signature *a, const struct sp_signature *b)
{
    assert_true(a->sha512 == b->sha512 && a->base64 == b->base64 &&
                a->key_base64 == b->key_base64 && a->n_derive == b->n_derive &&
                a->n_outputs == b->n_outputs && a->n_outputs > 0);
    assert_text(a->secret, b->secret);
    assert_text(a->key_prefix, b->key_prefix);
    assert_text(a->canonical, b->canonical);
    assert_text(a->message, b->message);
    for (size_t i = 0; i < a->n_derive; i++) {
        assert_text(a->derive[i], b->derive[i]);
    }
    for (size_t i = 0; i < a->n_outputs; i++) {
        assert_text(a->outputs[i].name, b->outputs[i].name);
        assert_text(a->outputs[i].template, b->outputs[i].template);
        assert_true(a->outputs[i].place == b->outputs[i].place &&
                    a->outputs[i].is_signature == b->outputs[i].is_signature);
    }
}

static void assert_same_plan(const struct sp_plan *a, const struct sp_plan *b)
{
    assert_int_equal(a->n_placements, b->n_placements);
    for (size_t i = 0; i < a->n_placements; i++) {
        assert_text(a->placements[i].name, b->placements[i].name);
        assert_text(a->placements[i].prefix, b->placements[i].prefix);
        assert_text(a->placements[i].template, b->placements[i].template);
        assert_true(a->placements[i].place == b->placements[i].place &&
                    a->placements[i].base64 == b->placements[i].base64);
    }
    assert_true(a->n_headers == b->n_headers && a->n_defaults == b->n_defaults);
    for (size_t i = 0; i < a->n_headers; i++) {
        assert_text(a->headers[i].name, b->headers[i].name);
        assert_text(a->headers[i].value, b->headers[i].value);
    }
    for (size_t i = 0; i < a->n_defaults; i++) {
        assert_text(a->defaults[i].name, b->defaults[i].name);
        assert_text(a->defaults[i].value, b->defaults[i].value);
    }
    assert_true((a->signature != NULL) == (b->signature != NULL));
    if (a->signature) {
        assert_same_signature(a->signature, b->signature);
    }
}

static void same_in_both(const char *path, const struct sp_key_view *key)
{
    struct sp_provider *apart = load(path), *here = load_fine(path);
    assert_same_manifest(apart->manifest, here->manifest);
    assert_memory_equal(apart->hash, here->hash, 32);
    struct answer a = check_key(apart, key), b = ask_check(here, key);
    assert_int_equal(a.status, SP_OK);
    assert_int_equal(b.status, SP_OK);
    assert_int_equal(a.n_hosts, b.n_hosts);
    for (size_t i = 0; i < a.n_hosts; i++) {
        assert_string_equal(a.hosts[i], b.hosts[i]);
    }
    a = plan_key(apart, key);
    b = ask_plan(here, key);
    assert_int_equal(a.status, SP_OK);
    assert_int_equal(b.status, SP_OK);
    assert_same_plan(&a.plan, &b.plan);
    sp_plan_done(&a.plan);
    sp_plan_done(&b.plan);
    unload(apart);
    here->ops->free(here);
}

static void a_worker_says_what_the_plugin_says_in_this_process(void **state)
{
    (void)state;
    struct sp_text token[] = {SP_TEXT("token")},
                   basic[] = {SP_TEXT("username"), SP_TEXT("password")};
    struct sp_setting live = {SP_TEXT("livemode"), SP_TEXT("false")};
    struct sp_setting rest[] = {{SP_TEXT("host"), SP_TEXT("api.example.com, b.example.com")},
                                {SP_TEXT("style"), SP_TEXT("basic")}};
    struct sp_key_view stripe = {SP_TEXT("stripe-1"), 3, &live, 1, names, 1};
    struct sp_key_view github = {SP_TEXT("github-1"), 1, NULL, 0, token, 1};
    struct sp_key_view both = {SP_TEXT("rest-1"), 1, rest, 2, basic, 2};
    same_in_both(STRIPE_SO, &stripe);
    same_in_both(GITHUB_SO, &github);
    same_in_both(REST_SO, &both);
    struct sp_setting aws[] = {{SP_TEXT("host"), SP_TEXT("s3.eu-central-1.amazonaws.com")},
                               {SP_TEXT("style"), SP_TEXT("aws4")},
                               {SP_TEXT("key_id"), SP_TEXT("AKIDEXAMPLE")},
                               {SP_TEXT("region"), SP_TEXT("eu-central-1")},
                               {SP_TEXT("service"), SP_TEXT("s3")}};
    struct sp_setting sign[] = {{SP_TEXT("host"), SP_TEXT("api.example.com")},
                                {SP_TEXT("algorithm"), SP_TEXT("sha512")},
                                {SP_TEXT("encoding"), SP_TEXT("base64")},
                                {SP_TEXT("secret_encoding"), SP_TEXT("base64")}};
    struct sp_key_view signs = {SP_TEXT("hmac-1"), 1, sign, 4, names, 1};
    same_in_both(HMAC_SO, &signs);
    struct sp_key_view s3 = {SP_TEXT("s3"), 1, aws, 5, names, 1};
    same_in_both(HMAC_SO, &s3);
}

static void a_plugin_built_for_abi_1_0_serves_today(void **state)
{
    (void)state;
    struct sp_provider *provider = load(ABI_SO);
    const struct sp_manifest *manifest = provider->manifest;
    assert_true(sp_text_is(manifest->id, "witness"));
    assert_int_equal(manifest->n_fields, 2);
    assert_true(sp_text_is(manifest->fields[0].derives, "livemode"));
    assert_int_equal(manifest->n_actions, 2);
    assert_true(manifest->actions[0].escalates && !manifest->actions[1].escalates);
    struct sp_key_view key = {SP_TEXT("w"), 1, NULL, 0, names, 1};
    struct answer answer = check_key(provider, &key);
    assert_int_equal(answer.status, SP_OK);
    assert_string_equal(answer.hosts[0], "eu.witness.example");
    answer = plan_key(provider, &key);
    assert_int_equal(answer.status, SP_OK);
    assert_true(answer.plan.placements[0].base64);
    assert_true(sp_text_is(answer.plan.placements[0].template, "{api_key}:"));
    assert_true(sp_text_is(answer.plan.headers[0].name, "witness-version"));
    sp_plan_done(&answer.plan);
    unload(provider);
}

static void a_wrong_configuration_is_refused_with_the_plugins_words(void **state)
{
    (void)state;
    struct sp_provider *apart = load(REST_SO), *here = load_fine(REST_SO);
    struct sp_setting rest[] = {{SP_TEXT("host"), SP_TEXT("api.example.com")},
                                {SP_TEXT("style"), SP_TEXT("smoke-signals")}};
    struct sp_key_view key = {SP_TEXT("r"), 1, rest, 2, names, 1};
    struct answer a = check_key(apart, &key), b = ask_check(here, &key);
    assert_int_equal(a.status, b.status);
    assert_int_not_equal(a.status, SP_OK);
    assert_string_equal(a.err.text, b.err.text);
    struct sp_setting unknown = {SP_TEXT("colour"), SP_TEXT("blue")};
    key.settings = &unknown;
    key.n_settings = 1;
    a = check_key(apart, &key);
    assert_int_equal(a.status, SP_EINVAL);
    assert_says(&a.err, "no setting colour");
    unload(apart);
    here->ops->free(here);
}

static void many_questions_at_once_are_answered_in_turn(void **state)
{
    (void)state;
    struct sp_provider *provider = load(STRIPE_SO);
    struct sp_key_view key = {SP_TEXT("k"), 1, NULL, 0, names, 1};
    enum { N = 500 };
    static struct answer answers[N];
    memset(answers, 0, sizeof answers);
    for (size_t i = 0; i < N; i++) {
        provider->ops->check(provider, &key, on_checked, &answers[i]);
    }
    for (size_t i = 0; i < N; i++) {
        wait_for(&answers[i], 1);
        assert_int_equal(answers[i].status, SP_OK);
    }
    unload(provider);
}

/* ---- loading ------------------------------------------------------------------------------
 */

static void what_the_loader_refuses_is_refused_here_too(void **state)
{
    (void)state;
    static const char *const bad[] = {"bad_major",      "bad_no_note", "bad_no_symbol",
                                      "bad_null_table", "bad_reason",  "bad_short_table",
                                      "bad_silent",     "bad_runpath"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[1024];
        struct sp_provider *provider = NULL;
        struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
        struct sp_error here = {""}, apart = {""};
        (void)snprintf(path, sizeof path, "%s/%s.so", BAD_DIR, bad[i]);
        sp_status expected = sp_plugin_load(path, &rules, &provider, &here);
        assert_int_not_equal(expected, SP_OK);
        assert_int_equal(try_load(path, 0, &provider, &apart), expected);
        assert_null(provider);
        assert_string_equal(apart.text, here.text);
    }
}

static void a_missing_worker_is_told(void **state)
{
    (void)state;
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    struct sp_worker_config config = {&loop, "/nonexistent/sallyport-worker", 0};
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    assert_int_equal(sp_worker_load(STRIPE_SO, &rules, &config, &provider, &err), SP_EIO);
    assert_says(&err, "/nonexistent/sallyport-worker");
}

/* Something that is no worker: it ends, or says what no worker says. */
static void a_program_that_is_no_worker_is_refused(void **state)
{
    (void)state;
    static const char *const programs[] = {"/bin/true", "/bin/cat"};
    for (size_t i = 0; i < 2; i++) {
        struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
        struct sp_worker_config config = {&loop, programs[i], 300};
        struct sp_provider *provider = NULL;
        struct sp_error err = {""};
        assert_int_not_equal(sp_worker_load(STRIPE_SO, &rules, &config, &provider, &err),
                             SP_OK);
        assert_null(provider);
    }
}

/* ---- T45: crash, hang, leak ---------------------------------------------------------------
 */

static void fails_and_comes_back(const char *name, const char *words)
{
    struct sp_provider *provider = load(BAD_DIR "/bad_worker.so");
    int pid = sp_worker_pid(provider);
    assert_true(pid > 0);
    struct answer answer = check_case(provider, name);
    assert_int_equal(answer.status, SP_EIO);
    assert_says(&answer.err, words);
    assert_says(&answer.err, "check hook");
    assert_int_equal(sp_worker_pid(provider), 0);
    assert_int_equal(kill(pid, 0), -1); /* and reaped */
    assert_int_equal(errno, ESRCH);
    answer = check_case(provider, "fine"); /* it rests */
    assert_int_equal(answer.status, SP_EBUSY);
    assert_says(&answer.err, words);
    sleep_ms(SP_WORKER_BACKOFF_MS + 20);
    answer = check_case(provider, "fine");
    assert_int_equal(answer.status, SP_OK);
    assert_int_not_equal(sp_worker_pid(provider), pid);
    assert_int_equal(answer.n_hosts, 1);
    unload(provider);
}

static void T45_a_plugin_that_crashes_is_started_again(void **state)
{
    (void)state;
    fails_and_comes_back("crash", SANITIZED ? "" : "signal 11");
    fails_and_comes_back("abort", SANITIZED ? "" : "signal 6");
    fails_and_comes_back("stack", SANITIZED ? "" : "signal 11");
    fails_and_comes_back("exit", "status 0");
}

static void T45_a_plugin_that_hangs_is_killed_at_its_deadline(void **state)
{
    (void)state;
    fails_and_comes_back("hang", "hung");
}

static void T45_a_plugin_that_speaks_no_sense_is_killed(void **state)
{
    (void)state;
    fails_and_comes_back("forge", "broke the worker's protocol");
    fails_and_comes_back("huge", "broke the worker's protocol");
    fails_and_comes_back("chatter", "broke the worker's protocol");
    assert_true(n_logged < 1000);
}

static void T45_a_plugin_that_leaks_gets_no_more_than_its_share(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    struct sp_provider *provider = load_within(BAD_DIR "/bad_worker.so", 30000);
    int pid = sp_worker_pid(provider);
    struct answer answer = check_case(provider, "leak");
    assert_int_equal(answer.status, SP_ENOMEM);
    answer = check_case(provider, "fine"); /* another process, at once */
    assert_int_equal(answer.status, SP_OK);
    assert_int_not_equal(sp_worker_pid(provider), pid);
    unload(provider);
}

static void T45_back_off_grows_and_a_good_answer_ends_it(void **state)
{
    (void)state;
    struct sp_provider *provider = load(BAD_DIR "/bad_worker.so");
    unsigned rest = SP_WORKER_BACKOFF_MS;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(check_case(provider, "exit").status, SP_EIO);
        sleep_ms(rest / 2);
        assert_int_equal(check_case(provider, "fine").status, SP_EBUSY);
        sleep_ms(rest / 2 + 20);
        rest *= 2;
    }
    assert_int_equal(check_case(provider, "fine").status, SP_OK);
    assert_int_equal(check_case(provider, "exit").status, SP_EIO);
    sleep_ms(SP_WORKER_BACKOFF_MS + 20);
    assert_int_equal(check_case(provider, "fine").status, SP_OK);
    unload(provider);
}

/* Another provider never notices. */
static void T45_a_plugin_that_always_crashes_harms_no_other(void **state)
{
    (void)state;
    enum { N = SANITIZED ? 500 : 10000 };
    struct sp_provider *bad = load(BAD_DIR "/bad_worker.so"), *good = load(STRIPE_SO);
    struct sp_setting setting = {SP_TEXT("case"), SP_TEXT("exit")};
    struct sp_key_view bad_key = {SP_TEXT("k"), 1, &setting, 1, names, 1};
    struct sp_key_view key = {SP_TEXT("k"), 1, NULL, 0, names, 1};
    int pid = sp_worker_pid(good);
    unsigned crashed = 0;
    for (int i = 0; i < N; i++) {
        struct answer worse = {.calls = 0}, fine = {.calls = 0};
        bad->ops->check(bad, &bad_key, on_checked, &worse);
        good->ops->check(good, &key, on_checked, &fine);
        wait_for(&fine, 1);
        wait_for(&worse, 1);
        assert_int_equal(fine.status, SP_OK);
        assert_int_not_equal(worse.status, SP_OK);
        crashed += worse.status == SP_EIO;
    }
    assert_true(crashed > 0);
    assert_int_equal(sp_worker_pid(good), pid);
    unload(bad);
    unload(good);
}

static void stopping_answers_what_is_open(void **state)
{
    (void)state;
    struct sp_provider *provider = load(BAD_DIR "/bad_worker.so");
    struct sp_setting setting = {SP_TEXT("case"), SP_TEXT("hang")};
    struct sp_key_view key = {SP_TEXT("k"), 1, &setting, 1, names, 1};
    struct answer first = {.calls = 0}, second = {.calls = 0}, late = {.calls = 0};
    provider->ops->check(provider, &key, on_checked, &first);
    provider->ops->plan(provider, &key, on_planned, &second);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    provider->ops->stop(provider);
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 1);
    assert_int_equal(first.status, SP_EBUSY);
    provider->ops->check(provider, &key, on_checked, &late);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.status, SP_EBUSY);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    provider->ops->free(provider);
}

/* ---- T48: out of the box ------------------------------------------------------------------
 */

static void T48_a_worker_reaches_nothing(void **state)
{
    (void)state;
    static const char *const tries[] = {"at-load", "open",   "socket", "fork",
                                        "exec",    "memory", "kill",   "thread"};
    struct sp_provider *provider = load(BAD_DIR "/bad_worker.so");
    int pid = sp_worker_pid(provider);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct answer answer = check_case(provider, tries[i]);
        if (answer.status) {
            fail_msg("%s: %s", tries[i], answer.err.text);
        }
    }
    if (!SANITIZED) { /* their run-time needs it */
        assert_int_equal(check_case(provider, "code").status, SP_OK);
        assert_int_equal(check_case(provider, "limits").status, SP_OK);
    }
    assert_int_equal(sp_worker_pid(provider), pid); /* refused, not killed */
    assert_int_equal(access("/tmp/sallyport-worker-was-here", F_OK), -1);
    unload(provider);
}

/* The trial is a trial: in this process the same plugin gets out. */
static void the_same_plugin_in_this_process_gets_out(void **state)
{
    (void)state;
    struct sp_provider *here = load_fine(BAD_DIR "/bad_worker.so");
    static const char *const tries[] = {"at-load", "open", "socket", "fork", "kill", "thread"};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct sp_setting setting = {SP_TEXT("case"), sp_text_of(tries[i])};
        struct sp_key_view key = {SP_TEXT("k"), 1, &setting, 1, names, 1};
        struct answer answer = ask_check(here, &key);
        assert_int_equal(answer.status, SP_EINVAL);
        assert_says(&answer.err, "it got out");
    }
    here->ops->free(here);
}

/* No descriptor, no environment of the host's. */
static void T48_a_worker_inherits_nothing(void **state)
{
    (void)state;
    struct sp_provider *provider = load(STRIPE_SO);
    char path[64];
    unsigned n = 0;
    assert_int_equal(setenv("SALLYPORT_SECRET_OF_A_TEST", "1", 1), 0);
    struct sp_provider *second = load(GITHUB_SO);
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", sp_worker_pid(second), fd);
        char target[256];
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            n += strncmp(target, "socket:", 7) == 0;
            assert_true(fd <= 5); /* 5: the dynamic linker's, if it kept one */
        }
    }
    if (geteuid() == 0) { /* others may not look at it: it is not dumpable */
        assert_int_equal(n, 1);
    }
    (void)snprintf(path, sizeof path, "/proc/%d/environ", sp_worker_pid(second));
    FILE *file = fopen(path, "r");
    if (file) {
        assert_int_equal(fgetc(file), EOF);
        (void)fclose(file);
    }
    assert_int_equal(unsetenv("SALLYPORT_SECRET_OF_A_TEST"), 0);
    unload(provider);
    unload(second);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the host does */
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_loop, end_loop)
        TEST(a_worker_says_what_the_plugin_says_in_this_process),
        TEST(a_plugin_built_for_abi_1_0_serves_today),
        TEST(a_wrong_configuration_is_refused_with_the_plugins_words),
        TEST(many_questions_at_once_are_answered_in_turn),
        TEST(what_the_loader_refuses_is_refused_here_too),
        TEST(a_missing_worker_is_told),
        TEST(a_program_that_is_no_worker_is_refused),
        TEST(T45_a_plugin_that_crashes_is_started_again),
        TEST(T45_a_plugin_that_hangs_is_killed_at_its_deadline),
        TEST(T45_a_plugin_that_speaks_no_sense_is_killed),
        TEST(T45_a_plugin_that_leaks_gets_no_more_than_its_share),
        TEST(T45_back_off_grows_and_a_good_answer_ends_it),
        TEST(T45_a_plugin_that_always_crashes_harms_no_other),
        TEST(stopping_answers_what_is_open),
        TEST(T48_a_worker_reaches_nothing),
        TEST(the_same_plugin_in_this_process_gets_out),
        TEST(T48_a_worker_inherits_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
