/* The host's side of a worker that was taken over (T45, T48, T49), and whose own calls fail:
 * the linker leads them through here. */
#include "asking.h"
#include "folder.h"
#include "worker.h"
#include "worker/frames.h"
#include "worker/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256, DEADLINE_MS = 1500, CALLS_MAX = 64, HUGE_BYTES = 5 << 20 };

static uv_loop_t loop;
static char folder[64];

/* ---- calls that fail --------------------------------------------------------------------- */

static const char *failing = "";
static unsigned n_calls, fail_at;

static int denied(const char *name)
{
    if (strcmp(name, failing) == 0 && ++n_calls == fail_at) {
        errno = EIO;
        return 1;
    }
    return 0;
}

#define WRAP(type, name, declaration, arguments, result)                                       \
    type __real_##name declaration;                                                            \
    type __wrap_##name declaration;                                                            \
    type __wrap_##name declaration                                                             \
    {                                                                                          \
        return denied(#name) ? (result) : __real_##name arguments;                             \
    }
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(int, socketpair, (int a, int b, int c, int *ends), (a, b, c, ends), -1)
WRAP(int, posix_spawn_file_actions_init, (void *actions), (actions), ENOMEM)
WRAP(int, posix_spawnattr_init, (void *attributes), (attributes), ENOMEM)
WRAP(int, posix_spawn_file_actions_adddup2, (void *actions, int a, int b), (actions, a, b),
     ENOMEM)
WRAP(int, posix_spawn_file_actions_addopen,
     (void *actions, int a, const char *path, int flags, mode_t mode),
     (actions, a, path, flags, mode), ENOMEM)
WRAP(int, posix_spawnattr_setsigmask, (void *attributes, const void *mask), (attributes, mask),
     ENOMEM)
WRAP(int, posix_spawnattr_setsigdefault, (void *attributes, const void *mask),
     (attributes, mask), ENOMEM)
WRAP(int, fcntl, (int fd, int command, long value), (fd, command, value), -1)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(void *, mmap, (void *at, size_t n, int rights, int flags, int fd, off_t from),
     (at, n, rights, flags, fd, from), MAP_FAILED)
WRAP(int, uv_pipe_init, (uv_loop_t * l, uv_pipe_t *pipe, int ipc), (l, pipe, ipc), UV_ENOMEM)
WRAP(int, uv_pipe_open, (uv_pipe_t * pipe, int fd), (pipe, fd), UV_EIO)
WRAP(int, uv_read_start, (uv_stream_t * stream, uv_alloc_cb a, uv_read_cb b), (stream, a, b),
     UV_EIO)
WRAP(int, uv_write,
     (uv_write_t * request, uv_stream_t *stream, const uv_buf_t *bufs, unsigned n,
      uv_write_cb cb),
     (request, stream, bufs, n, cb), UV_EIO)
WRAP(ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags), -1)

/* ---- set-up ------------------------------------------------------------------------------ */

static int make(void **state)
{
    (void)state;
    failing = "";
    (void)snprintf(folder, sizeof folder, "/tmp/sallyport-evil-XXXXXX");
    return mkdtemp(folder) && chmod(folder, 0700) == 0 ? uv_loop_init(&loop) : -1;
}

static int unmake(void **state)
{
    (void)state;
    failing = "";
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) || folder_remove(folder);
}

/* A good library under a name that tells the evil worker what to do. */
static const char *library(const char *mode)
{
    static char path[PATH_BYTES];
    static char bytes[1 << 20];
    (void)snprintf(path, sizeof path, "%s/%s.so", folder, mode);
    FILE *from = fopen(TEMPLATE_SO, "rb"), *to = fopen(path, "wb");
    assert_non_null(from);
    assert_non_null(to);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, from)) > 0;) {
        assert_int_equal(fwrite(bytes, 1, n, to), n);
    }
    (void)fclose(from);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

static sp_status load(const char *path, const char *program, struct sp_provider **ret_provider,
                      struct sp_error *err)
{
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    struct sp_worker_config config = {&loop, program, DEADLINE_MS};
    return sp_worker_load(path, &rules, &config, ret_provider, err);
}

static void unload(struct sp_provider *provider)
{
    provider->ops->stop(provider);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    provider->ops->free(provider);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

static const struct sp_text names[] = {{"api_key", 7}};
static const struct sp_key_view key = {{"k", 1}, 1, NULL, 0, names, 1};

static struct answer ask(struct sp_provider *provider, bool plan)
{
    struct answer answer = {.calls = 0};
    if (plan) {
        provider->ops->plan(provider, &key, on_planned, &answer);
    } else {
        provider->ops->check(provider, &key, on_checked, &answer);
    }
    while (answer.calls == 0) {
        assert_true(uv_run(&loop, UV_RUN_ONCE) || answer.calls);
    }
    assert_int_equal(answer.calls, 1);
    return answer;
}

/* ---- it says what it must not ------------------------------------------------------------ */

static void T48_a_worker_that_answers_load_wrongly_is_refused(void **state)
{
    static const struct {
        const char *mode, *words;
    } cases[] = {
        {"load-hangs", "no manifest within"},
        {"load-chatters", "said too much"},
        {"load-nonsense", ""},
        {"load-floods", "no manifest within"},
        {"load-lies", "a status that there is none of"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_provider *provider = NULL;
        struct sp_error err = {""};
        assert_int_not_equal(load(library(cases[i].mode), EVIL_WORKER, &provider, &err), SP_OK);
        assert_non_null(strstr(err.text, cases[i].words));
        assert_true(err.text[0] != '\0');
    }
}

static void T49_a_worker_that_answers_wrongly_gets_nothing_through(void **state)
{
    static const struct {
        const char *mode;
        bool plan;
        const char *words;
    } cases[] = {
        {"form", false, "broke the worker's protocol"},
        {"unasked", false, ""}, /* taken for the answer, or thrown away before */
        {"no-hosts", false, "named no host"},
        {"no-plan", true, "puts no secret anywhere"},
        {"other-host", false, "evil.example.net"},
        {"no-memory", true, "out of memory"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_provider *provider = NULL;
        struct sp_error err = {""};
        assert_int_equal(load(library(cases[i].mode), EVIL_WORKER, &provider, &err), SP_OK);
        struct answer answer = ask(provider, cases[i].plan);
        assert_int_not_equal(answer.status, SP_OK);
        if (!strstr(answer.err.text, cases[i].words)) {
            fail_msg("%s: %s", cases[i].mode, answer.err.text);
        }
        assert_non_null(strstr(answer.err.text, cases[i].words));
        unload(provider);
    }
}

static void a_question_that_fits_no_frame_is_refused_and_the_next_is_answered(void **state)
{
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    static char id[HUGE_BYTES];
    struct sp_key_view huge = key;
    struct answer answer = {.calls = 0};
    (void)state;
    memset(id, 'x', sizeof id);
    huge.id = (struct sp_text){id, sizeof id};
    assert_int_equal(load(library("good"), EVIL_WORKER, &provider, &err), SP_OK);
    provider->ops->check(provider, &huge, on_checked, &answer);
    assert_int_equal(answer.calls, 1);
    assert_int_not_equal(answer.status, SP_OK);
    assert_int_equal(ask(provider, false).status, SP_OK);
    unload(provider);
}

/* ---- what it stands on fails ------------------------------------------------------------- */

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

/* Each call of each kind fails in turn, while a worker is started and while it is asked: an
 * error with words, no crash, nothing left open. */
static void each_call_that_fails_is_an_error_that_says_so(void **state)
{
    static const char *const calls[] = {"calloc",
                                        "socketpair",
                                        "posix_spawn_file_actions_init",
                                        "posix_spawnattr_init",
                                        "posix_spawn_file_actions_adddup2",
                                        "posix_spawn_file_actions_addopen",
                                        "posix_spawnattr_setsigmask",
                                        "posix_spawnattr_setsigdefault",
                                        "fcntl",
                                        "memfd_create",
                                        "fstat",
                                        "mmap",
                                        "uv_pipe_init",
                                        "uv_pipe_open",
                                        "uv_read_start",
                                        "uv_write",
                                        "send"};
    const char *path = library("good");
    struct sp_provider *first = NULL;
    (void)state;
    assert_int_equal(load(path, EVIL_WORKER, &first, NULL),
                     SP_OK); /* what is opened once is open */
    assert_int_equal(ask(first, false).status, SP_OK);
    unload(first);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        unsigned before = open_descriptors(), at = 1, n_failed = 0;
        for (; at < CALLS_MAX; at++) {
            struct sp_provider *provider = NULL;
            struct sp_error err = {""};
            n_calls = 0;
            fail_at = at;
            failing = calls[i];
            sp_status status = load(path, EVIL_WORKER, &provider, &err);
            struct answer answer = {.status = SP_OK};
            if (!status) {
                answer = ask(provider, false);
            }
            bool reached = n_calls >= at;
            failing = "";
            if (!status) {
                unload(provider);
            } else {
                assert_true(err.text[0] != '\0');
                (void)uv_run(&loop, UV_RUN_DEFAULT);
            }
            assert_true(answer.status == SP_OK || answer.err.text[0] != '\0');
            if (open_descriptors() != before) {
                fail_msg("%s, call %u: a descriptor is left", calls[i], at);
            }
            n_failed += status != SP_OK || answer.status != SP_OK;
            if (!reached) {
                assert_true(status == SP_OK && answer.status == SP_OK);
                break;
            }
        }
        assert_true(at > 1 && at < CALLS_MAX);
        /* An older kernel's memfd_create is tried again, without its newest flag. */
        assert_true(n_failed > 0 || strcmp(calls[i], "memfd_create") == 0);
    }
}

/* The questions that the failing calls above do not ask. */
static void a_plan_that_there_is_no_memory_for_is_an_error(void **state)
{
    struct sp_provider *provider = NULL;
    (void)state;
    assert_int_equal(load(library("no-memory"), EVIL_WORKER, &provider, NULL), SP_OK);
    n_calls = 0;
    fail_at = 1;
    failing = "calloc";
    struct answer answer = {.calls = 0};
    provider->ops->plan(provider, &key, on_planned, &answer);
    failing = "";
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.status, SP_ENOMEM);
    unload(provider);
}

/* ---- the worker itself, asked by a host that makes no sense ------------------------------ */

static void T48_the_worker_takes_no_nonsense_from_its_socket(void **state)
{
    static const char floods[] = "\xff\xff\xff\x7f", nil[] = "\x01\x00\x00\x00\xc0";
    const struct sp_text frames[] = {{floods, 4}, {nil, 5}};
    char how[WORKER_END_BYTES];
    (void)state;
    for (int i = 0; i < 3; i++) {
        char chunk[512];
        struct sp_error err = {""};
        struct sp_buf question;
        pid_t pid;
        int socket, library_fd = open(library("good"), O_RDONLY | O_CLOEXEC);
        assert_true(library_fd >= 0);
        assert_int_equal(worker_start(WORKER, "good.so", library_fd, &pid, &socket, &err),
                         SP_OK);
        sp_buf_init(&question, 1 << 16);
        /* before load: out of turn */
        worker_put_question(&question,
                            &(struct worker_asked){.question = WORKER_CHECK, .key = key});
        struct sp_text bytes = i < 2 ? frames[i] : sp_buf_text(&question);
        assert_int_equal(send(socket, bytes.ptr, bytes.len, MSG_NOSIGNAL), bytes.len);
        assert_int_equal(fcntl(socket, F_SETFL, 0), 0);
        ssize_t got = recv(socket, chunk, sizeof chunk, 0);
        if (i == 0) {
            assert_int_equal(got, 0); /* it ends at once */
        } else {
            assert_true(got > 5);
            assert_non_null(memmem(chunk, (size_t)got, "reason", 6));
        }
        (void)shutdown(socket, SHUT_WR); /* and then the host is gone: so is the worker */
        assert_int_equal(recv(socket, chunk, sizeof chunk, 0), 0);
        (void)close(socket);
        (void)close(library_fd);
        worker_end(pid, how);
        sp_buf_done(&question);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(T48_a_worker_that_answers_load_wrongly_is_refused),
        TEST(T49_a_worker_that_answers_wrongly_gets_nothing_through),
        TEST(a_question_that_fits_no_frame_is_refused_and_the_next_is_answered),
        TEST(each_call_that_fails_is_an_error_that_says_so),
        TEST(a_plan_that_there_is_no_memory_for_is_an_error),
        TEST(T48_the_worker_takes_no_nonsense_from_its_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
