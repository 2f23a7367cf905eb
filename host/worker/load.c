/* The start of a provider with a worker: the file's checks, the first process, and its
 * manifest, for which the caller waits. */
#include "inner.h"
#include "plugin_check.h"
#include "plugin_library.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Wait until the socket is ready; false past the deadline. */
static bool wait_for(int socket, short events, uint64_t until_ms)
{
    struct pollfd fd = {.fd = socket, .events = events};
    uint64_t now = now_ms();
    while (now < until_ms) {
        int n = poll(&fd, 1, (int)(until_ms - now));
        if (n > 0 || (n < 0 && errno != EINTR)) {
            return n > 0;
        }
        now = now_ms();
    }
    return false;
}

/* At the start there is no loop yet: ask for the manifest and wait. What the worker logs until
 * then is in its answer's reason, if it fails. */
static sp_status ask_to_load(struct worker *w, int socket, struct sp_buf *in,
                             struct sp_arena *tree, struct worker_said *ret_said,
                             size_t *ret_taken, struct sp_error *err)
{
    uint64_t until_ms = now_ms() + w->deadline_ms;
    struct sp_buf out;
    char chunk[WORKER_READ_BYTES];
    struct sp_text map;
    sp_buf_init(&out, WORKER_CALL_MAX_BYTES);
    worker_put_question(&out, &(struct worker_asked){.question = WORKER_LOAD});
    ssize_t sent = out.failed ? -1 : send(socket, out.ptr, out.len, MSG_NOSIGNAL);
    bool good = sent == (ssize_t)out.len; /* a few bytes into an empty socket */
    sp_buf_done(&out);
    for (unsigned n_logs = 0; good && n_logs <= WORKER_LOGS_MAX;) {
        sp_status status = worker_frame_cut(sp_buf_text(in), &map, ret_taken);
        if (status == SP_OK) {
            good = worker_read_said(tree, map, ret_said, err) == SP_OK;
            if (!good || !ret_said->is_log) {
                return good ? SP_OK : SP_EINVAL;
            }
            worker_say_log(w, ret_said);
            n_logs++;
            memmove(in->ptr, in->ptr + *ret_taken, in->len - *ret_taken);
            in->len -= *ret_taken;
            sp_arena_reset(tree);
            continue;
        }
        if (status != SP_EBUSY || !wait_for(socket, POLLIN, until_ms)) {
            return sp_fail(err, SP_EIO, "it gave no manifest within %u ms",
                           (unsigned)w->deadline_ms);
        }
        ssize_t got = recv(socket, chunk, sizeof chunk, 0);
        good = got > 0;
        sp_buf_add(in, chunk, good ? (size_t)got : 0);
        good = good && !in->failed;
    }
    return sp_fail(err, SP_EIO, "its worker went away, or said too much");
}

static sp_status take_manifest(struct worker *w, const struct worker_said *said,
                               struct sp_arena *tree, struct sp_error *err)
{
    if (said->status) {
        return worker_reported(said, err);
    }
    uint64_t call = sp_hook_begin(&w->host, SP_HOOK_DESCRIBE, &w->arena, NULL);
    sp_status status = worker_replay(&w->host, call, WORKER_LOAD, tree, &said->answer, err);
    sp_status ended = sp_hook_end(&w->host, SALLYPORT_OK, status ? NULL : err);
    status = status ? status : ended;
    return status ? status : sp_plugin_manifest_done(&w->host, err);
}

static sp_status load(struct worker *w, struct sp_error *err)
{
    struct sp_error why = {""};
    char how[WORKER_END_BYTES];
    struct worker_said said = {.is_log = false};
    struct sp_arena tree;
    struct sp_buf in;
    int socket = -1;
    size_t taken = 0;
    sp_status status =
        worker_start(w->program, w->provider.path, w->library_fd, &w->pid, &socket, err);
    if (status) {
        return status;
    }
    worker_started(w);
    sp_arena_init(&tree, WORKER_TREE_MAX_BYTES);
    sp_buf_init(&in, WORKER_FRAME_MAX_BYTES + WORKER_READ_BYTES);
    status = ask_to_load(w, socket, &in, &tree, &said, &taken, &why);
    status = status ? status : take_manifest(w, &said, &tree, &why);
    if (!status) {
        status = worker_open_line(w, socket, &why);
        socket = -1;
    }
    sp_buf_done(&in);
    sp_arena_done(&tree);
    if (!status) {
        return SP_OK;
    }
    if (socket >= 0) {
        (void)close(socket);
    }
    worker_end_process(w, how);
    /* The plugin's own words name it already. */
    return said.status ? sp_fail(err, status, "%s", why.text)
                       : sp_fail(err, status, "plugin %s: %s (its worker %s)", w->provider.path,
                                 why.text, how);
}

sp_status sp_worker_load(const char *path, const struct sp_plugin_rules *rules,
                         const struct sp_worker_config *config,
                         struct sp_provider **ret_provider, struct sp_error *err)
{
    struct sp_plugin_file file;
    sp_status status = sp_plugin_file_check(path, rules, &file, err);
    if (status) {
        return status;
    }
    struct worker *w = calloc(1, sizeof *w);
    if (!w) {
        sp_plugin_file_done(&file, false);
        return sp_fail(err, SP_ENOMEM, "plugin %s: out of memory", path);
    }
    sp_arena_init(&w->arena, WORKER_MANIFEST_MAX_BYTES);
    w->provider = (struct sp_provider){.ops = &worker_ops, .manifest = &w->host.manifest};
    w->provider.path = sp_arena_copy(&w->arena, sp_text_of(path)).ptr;
    w->program = sp_arena_copy(&w->arena, sp_text_of(config->program)).ptr;
    memcpy(w->provider.hash, file.hash, sizeof file.hash);
    w->library_fd = file.fd;
    sp_plugin_file_done(&file, true);
    w->loop = config->loop;
    w->last = &w->first;
    w->deadline_ms = config->deadline_ms ? config->deadline_ms : SP_WORKER_DEADLINE_MS;
    sp_plugin_host_init(&w->host, w->provider.path, rules);
    status = w->provider.path && w->program
                 ? SP_OK
                 : sp_fail(err, SP_ENOMEM, "plugin %s: out of memory", path);
    if (!status) {
        (void)uv_timer_init(w->loop, &w->deadline); /* cannot fail */
        w->deadline.data = w;
        w->timer = TIMER_OPEN;
        status = load(w, err);
    }
    if (status) {
        w->provider.ops->stop(&w->provider);
        w->provider.ops->free(&w->provider);
        return status;
    }
    *ret_provider = &w->provider;
    return SP_OK;
}

#ifndef SALLYPORT_WORKER
#define SALLYPORT_WORKER "/usr/libexec/sallyport/sallyport-worker"
#endif
#ifndef SALLYPORT_PROBE
#define SALLYPORT_PROBE "/usr/libexec/sallyport/sallyport-plugin-probe"
#endif

static void find_program(const char *name, const char *installed,
                         char ret_path[SP_WORKER_PATH_BYTES])
{
    ssize_t len = readlink("/proc/self/exe", ret_path, SP_WORKER_PATH_BYTES - 64);
    if (len > 0) {
        ret_path[len] = '\0';
        char *file = strrchr(ret_path, '/');
        if (file) {
            (void)snprintf(file + 1, 63, "%s", name);
            if (access(ret_path, X_OK) == 0) {
                return;
            }
        }
    }
    (void)snprintf(ret_path, SP_WORKER_PATH_BYTES, "%s", installed);
}

void sp_worker_program(char ret_path[SP_WORKER_PATH_BYTES])
{
    find_program("sallyport-worker", SALLYPORT_WORKER, ret_path);
}

void sp_probe_program(char ret_path[SP_WORKER_PATH_BYTES])
{
    find_program("sallyport-plugin-probe", SALLYPORT_PROBE, ret_path);
}
