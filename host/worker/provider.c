/* The host's side of a worker: a queue of questions, one process, a deadline. */
#include "inner.h"
#include "plugin_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct sp_error out_of_memory = {"out of memory"};

static void pump(struct worker *w);

/* ---- questions ----------------------------------------------------------------------------
 */

static void question_free(struct question *q)
{
    if (q->performing) {
        q->performing->worker = NULL;
    }
    sp_arena_done(&q->arena);
    free(q);
}

static void question_fail(struct question *q, sp_status status, const struct sp_error *err)
{
    switch (q->asked.question) {
    case WORKER_CHECK:
        q->done.checked(q->user, status, NULL, 0, err);
        break;
    case WORKER_PERMISSIONS:
        q->done.permitted(q->user, status, NULL, 0, err);
        break;
    case WORKER_RENEW:
    case WORKER_REVOKE:
    case WORKER_ROTATE:
    case WORKER_FINISH:
        q->done.leased(q->user, status, 0, err);
        break;
    case WORKER_PLAN:
    case WORKER_LOAD:
    case WORKER_QUESTIONS:
    default:
        q->done.planned(q->user, status, NULL, err);
    }
    question_free(q);
}

static struct question *take_first(struct worker *w)
{
    struct question *q = w->first;
    w->first = q->next;
    w->provider.n_waiting--;
    if (!w->first) {
        w->last = &w->first;
    }
    return q;
}

/* A copy of what the caller only lends. */
static sp_status keep_key(struct question *q, const struct sp_key_view *key)
{
    struct sp_setting *settings = sp_arena_array(&q->arena, key->n_settings, sizeof *settings);
    struct sp_text *secrets = sp_arena_array(&q->arena, key->n_secrets, sizeof *secrets);
    struct sp_key_view *kept = &q->asked.key;
    *kept = *key;
    kept->id = sp_arena_copy(&q->arena, key->id);
    bool good = settings && secrets && kept->id.ptr;
    for (size_t i = 0; good && i < key->n_settings; i++) {
        settings[i].name = sp_arena_copy(&q->arena, key->settings[i].name);
        settings[i].value = sp_arena_copy(&q->arena, key->settings[i].value);
        good = settings[i].name.ptr && settings[i].value.ptr;
    }
    for (size_t i = 0; good && i < key->n_secrets; i++) {
        secrets[i] = sp_arena_copy(&q->arena, key->secrets[i]);
        good = secrets[i].ptr;
    }
    kept->settings = settings;
    kept->secrets = secrets;
    return good ? SP_OK : SP_ENOMEM;
}

static sp_status keep_reaches(struct question *q, const struct sp_reach *reaches, size_t n)
{
    struct sp_reach *kept = sp_arena_array(&q->arena, n, sizeof *kept);
    bool good = kept != NULL;
    for (size_t i = 0; good && i < n; i++) {
        kept[i].methods = sp_arena_copy(&q->arena, reaches[i].methods);
        kept[i].host = sp_arena_copy(&q->arena, reaches[i].host);
        kept[i].path = sp_arena_copy(&q->arena, reaches[i].path);
        good = kept[i].methods.ptr && kept[i].host.ptr && kept[i].path.ptr;
    }
    q->asked.reaches = kept;
    q->asked.n_reaches = n;
    return good ? SP_OK : SP_ENOMEM;
}

static sp_status keep_ask(struct question *q, const struct sp_lease_ask *ask)
{
    struct sp_text *words = sp_arena_array(&q->arena, ask->n_words, sizeof *words);
    q->asked.lease = sp_arena_copy(&q->arena, ask->id);
    bool good = words && q->asked.lease.ptr;
    for (size_t i = 0; good && i < ask->n_words; i++) {
        words[i] = sp_arena_copy(&q->arena, ask->words[i]);
        good = words[i].ptr;
    }
    q->asked.words = words;
    q->asked.n_words = ask->n_words;
    q->http = ask->http;
    return good ? SP_OK : SP_ENOMEM;
}

static enum sp_hook hook_of(const struct question *q)
{
    static const enum sp_hook hooks[WORKER_QUESTIONS] = {
        [WORKER_LOAD] = SP_HOOK_DESCRIBE, [WORKER_CHECK] = SP_HOOK_CHECK,
        [WORKER_PLAN] = SP_HOOK_PLAN,     [WORKER_PERMISSIONS] = SP_HOOK_PERMISSIONS,
        [WORKER_RENEW] = SP_HOOK_RENEW,   [WORKER_REVOKE] = SP_HOOK_REVOKE,
        [WORKER_ROTATE] = SP_HOOK_ROTATE, [WORKER_FINISH] = SP_HOOK_FINISH,
    };
    return hooks[q->asked.question];
}

static bool may_perform(const struct question *q)
{
    return q->asked.question >= WORKER_RENEW;
}

/* ---- the process --------------------------------------------------------------------------
 */

static void on_line_closed(uv_handle_t *handle)
{
    struct line *line = handle->data;
    sp_buf_done(&line->in);
    free(line);
}

void worker_started(struct worker *w)
{
    w->provider.isolated = w->provider.runs = true;
    w->provider.n_starts++;
}

void worker_end_process(struct worker *w, char ret_how[WORKER_END_BYTES])
{
    if (w->line) {
        w->line->worker = NULL;
        uv_close((uv_handle_t *)&w->line->pipe, on_line_closed);
        w->line = NULL;
    }
    if (w->timer == TIMER_OPEN) {
        (void)uv_timer_stop(&w->deadline);
    }
    (void)snprintf(ret_how, WORKER_END_BYTES, "is gone");
    if (w->pid) {
        worker_end(w->pid, ret_how);
        w->pid = 0;
        w->provider.runs = false;
    }
    w->asked = w->loading = false;
}

/* The worker is not to be trusted any further: why is what it did; NULL: it went by itself. The
 * question that it had fails, the others wait for the next one. */
static void fail_worker(struct worker *w, const char *why)
{
    char how[WORKER_END_BYTES];
    bool asked = w->asked, loading = w->loading;
    struct question *q = asked || loading ? w->first : NULL;
    worker_end_process(w, how);
    unsigned doublings = w->n_failures < 16 ? w->n_failures : 16;
    uint64_t rest = (uint64_t)SP_WORKER_BACKOFF_MS << doublings;
    rest = rest < SP_WORKER_BACKOFF_MAX_MS ? rest : SP_WORKER_BACKOFF_MAX_MS;
    w->n_failures++;
    w->provider.n_failures++;
    w->rest_until_ms = uv_now(w->loop) + rest;
    const char *hook = loading ? "describe" : q ? sp_hook_name(hook_of(q)) : "";
    (void)sp_fail(&w->last_failure, SP_EIO,
                  "provider %s: its plugin %s%s%s%s%s; it is started again when it is needed",
                  w->provider.manifest->id.ptr, why ? why : how, why ? " and was killed" : "",
                  *hook ? " in its " : "", hook, *hook ? " hook" : "");
    if (w->host.log) {
        w->host.log(w->host.log_user, w->provider.manifest->id, SALLYPORT_LOG_ERROR,
                    sp_text_of(w->last_failure.text));
    }
    if (q) {
        struct sp_error err = w->last_failure;
        question_fail(take_first(w), SP_EIO, &err);
    }
    pump(w);
}

static void on_deadline(uv_timer_t *timer)
{
    fail_worker(timer->data, "hung");
}

/* ---- answers ------------------------------------------------------------------------------
 */

sp_status worker_reported(const struct worker_said *said, struct sp_error *err)
{
    char reason[SP_PLUGIN_LINE_MAX + 1];
    sp_shown(said->reason, reason, sizeof reason);
    return sp_fail(err, said->status < SP_EUNSUPPORTED ? SP_EINVAL : said->status, "%s",
                   reason);
}

/* Push what was answered through the host's own checks. */
static sp_status take_answer(struct worker *w, struct question *q,
                             const struct worker_said *said, struct sp_arena *tree,
                             struct sp_error *err)
{
    bool began = may_perform(q);
    if (said->status) {
        if (began) {
            (void)sp_hook_end(&w->host, SALLYPORT_OK, NULL);
        }
        return worker_reported(said, err);
    }
    uint64_t call =
        began ? q->call : sp_hook_begin(&w->host, hook_of(q), &q->arena, &q->told.view);
    struct sp_error form = {""};
    sp_status status =
        worker_replay(&w->host, call, q->asked.question, tree, &said->answer, &form);
    if (status) {
        (void)sp_hook_end(&w->host, SALLYPORT_OK, NULL);
        return sp_fail(err, SP_ECORRUPT, "%s", form.text);
    }
    return sp_hook_end(&w->host, SALLYPORT_OK, err);
}

static void give_hosts(struct worker *w, struct question *q)
{
    struct sp_error err = {""};
    sp_status status = sp_plugin_hosts_done(&w->host, &err);
    if (status) {
        question_fail(q, status, &err);
        return;
    }
    q->done.checked(q->user, SP_OK, w->host.hosts.items, w->host.hosts.n, NULL);
    question_free(q);
}

static void give_plan(struct worker *w, struct question *q)
{
    struct sp_error err = {""};
    struct sp_plan plan = {.arena = q->arena};
    sp_status status = sp_plugin_plan_done(&w->host, &plan, &err);
    if (status) {
        question_fail(q, status, &err);
        return;
    }
    sp_provider_planned planned = q->done.planned;
    void *user = q->user;
    free(q); /* but for its arena */
    planned(user, SP_OK, &plan, NULL);
}

static void give_permissions(struct worker *w, struct question *q)
{
    sp_plugin_permissions_done(&w->host);
    q->done.permitted(q->user, SP_OK, w->host.permissions.items, w->host.permissions.n, NULL);
    question_free(q);
}

static void give_life(struct question *q, const struct worker_said *said)
{
    struct sp_error err = {""};
    uint64_t life_ms = 0;
    if (!worker_read_life(&said->answer, &life_ms)) {
        (void)sp_fail(&err, SP_EINVAL, "an answer of the wrong form");
        question_fail(q, SP_EINVAL, &err);
        return;
    }
    q->done.leased(q->user, SP_OK, life_ms, NULL);
    question_free(q);
}

static void give(struct worker *w, struct question *q, const struct worker_said *said)
{
    switch (q->asked.question) {
    case WORKER_CHECK:
        give_hosts(w, q);
        break;
    case WORKER_PERMISSIONS:
        give_permissions(w, q);
        break;
    case WORKER_RENEW:
    case WORKER_REVOKE:
    case WORKER_ROTATE:
    case WORKER_FINISH:
        give_life(q, said);
        break;
    case WORKER_PLAN:
    case WORKER_LOAD:
    case WORKER_QUESTIONS:
    default:
        give_plan(w, q);
    }
}

/* The first question has its answer. A callback may ask again, or stop us. */
static void answered(struct worker *w, const struct worker_said *said, struct sp_arena *tree)
{
    struct sp_error err = {""};
    struct question *q = w->first;
    sp_status status = take_answer(w, q, said, tree, &err);
    if (status == SP_ECORRUPT) { /* no plugin says this, only a worker that was taken over */
        fail_worker(w, "broke the worker's protocol");
        return;
    }
    (void)uv_timer_stop(&w->deadline);
    w->asked = false;
    w->n_failures = 0;
    q = take_first(w);
    if (status == SP_ENOMEM) { /* what it has lost is lost: the next one starts afresh */
        char how[WORKER_END_BYTES];
        worker_end_process(w, how);
    }
    if (status) {
        question_fail(q, status, &err);
    } else {
        give(w, q, said);
    }
}

/* ---- what a hook asks for over HTTP ---------------------------------------------------------
 */

static bool send_frame(struct worker *w, struct sp_buf *frame);

/* The hook goes on, with a deadline of its own again. */
static void on_performed(void *user, const struct sp_hook_answer *answer)
{
    struct performing *performing = user;
    struct worker *w = performing->worker;
    free(performing);
    if (!w) {
        return; /* it crashed, or was stopped, meanwhile */
    }
    w->first->performing = NULL;
    struct sp_buf frame;
    sp_buf_init(&frame, WORKER_CALL_MAX_BYTES);
    worker_put_answer(&frame, answer);
    if (!send_frame(w, &frame)) {
        fail_worker(w, "could not be answered");
    }
}

/* False where no plugin, but only a worker that was taken over, would say so. */
static bool take_http(struct worker *w, const struct worker_said *said, struct sp_arena *tree)
{
    struct question *q = w->first;
    struct sp_hook_request request;
    struct performing *performing;
    struct sp_error err = {""};
    if (!w->asked || !may_perform(q) || q->performing ||
        worker_replay_http(&w->host, q->call, tree, &said->answer, &request, &err) ||
        !(performing = calloc(1, sizeof *performing))) {
        return false;
    }
    (void)uv_timer_stop(&w->deadline);
    performing->worker = w;
    q->performing = performing;
    q->http.perform(q->http.user, &request, on_performed, performing);
    return true;
}

void worker_say_log(struct worker *w, const struct worker_said *said)
{
    char line[SP_PLUGIN_LINE_MAX + 1];
    sp_shown(said->text, line, sizeof line);
    if (w->host.log && w->n_logs <= WORKER_LOGS_MAX) {
        w->host.log(w->host.log_user, w->provider.manifest->id, said->level, sp_text_of(line));
    }
}

/* One frame; false where the worker has to go. Afterwards w->line may be another, or none. */
static bool take_frame(struct worker *w, struct sp_text map)
{
    struct sp_arena tree;
    struct worker_said said;
    struct sp_error err = {""};
    sp_arena_init(&tree, WORKER_TREE_MAX_BYTES);
    bool good = (w->asked || w->loading) &&
                worker_read_said(&tree, map, &said, &err) == SP_OK &&
                (!said.is_log || ++w->n_logs <= WORKER_LOGS_MAX);
    if (good && said.is_log) {
        worker_say_log(w, &said);
    } else if (good && w->loading) { /* a restart: its manifest is known */
        good = said.status == SP_OK;
        w->loading = !good;
        (void)uv_timer_stop(&w->deadline);
    } else if (good && said.is_http) {
        good = take_http(w, &said, &tree);
    } else if (good && w->first->performing) {
        good = false; /* it answers while it waits */
    } else if (good) {
        answered(w, &said, &tree);
    }
    sp_arena_done(&tree);
    return good;
}

static void take_frames(struct line *line)
{
    struct worker *w;
    while ((w = line->worker) != NULL) {
        struct sp_text map;
        size_t taken;
        sp_status status = worker_frame_cut(sp_buf_text(&line->in), &map, &taken);
        if (status == SP_EBUSY) {
            pump(w);
            return;
        }
        if (status || !take_frame(w, map)) {
            fail_worker(w, "broke the worker's protocol");
            return;
        }
        memmove(line->in.ptr, line->in.ptr + taken, line->in.len - taken);
        line->in.len -= taken;
        if (line->worker) {
            pump(line->worker);
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct line *line = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init(line->chunk, sizeof line->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct line *line = stream->data;
    struct worker *w = line->worker;
    if (n > 0 && w) {
        sp_buf_add(&line->in, buf->base, (size_t)n);
        if (line->in.failed) {
            fail_worker(w, "said more than an answer can be");
        } else {
            take_frames(line);
        }
    } else if (n < 0 && w) {
        fail_worker(w, NULL);
    }
}

/* ---- asking -------------------------------------------------------------------------------
 */

struct sending {
    uv_write_t request; /* first */
    struct sp_buf frame;
};

static void on_sent(uv_write_t *request, int status)
{
    struct sending *sending = (struct sending *)request;
    (void)status; /* a worker that is gone is noticed by reading */
    sp_buf_done(&sending->frame);
    free(sending);
}

/* Takes the frame over; the deadline runs from here on. */
static bool send_frame(struct worker *w, struct sp_buf *frame)
{
    struct sending *sending = calloc(1, sizeof *sending);
    if (!sending) {
        sp_buf_done(frame);
        return false;
    }
    sending->frame = *frame;
    uv_buf_t bytes = uv_buf_init(sending->frame.ptr, (unsigned)sending->frame.len);
    if (sending->frame.failed ||
        uv_write(&sending->request, (uv_stream_t *)&w->line->pipe, &bytes, 1, on_sent)) {
        sp_buf_done(&sending->frame);
        free(sending);
        return false;
    }
    (void)uv_timer_start(&w->deadline, on_deadline, w->deadline_ms, 0);
    return true;
}

static sp_status send_question(struct worker *w, const struct worker_asked *asked)
{
    struct sp_buf frame;
    sp_buf_init(&frame, WORKER_CALL_MAX_BYTES);
    worker_put_question(&frame, asked);
    w->n_logs = 0;
    return send_frame(w, &frame) ? SP_OK : SP_ETOOBIG;
}

sp_status worker_open_line(struct worker *w, int socket, struct sp_error *err)
{
    struct line *line = calloc(1, sizeof *line);
    if (!line || uv_pipe_init(w->loop, &line->pipe, 0)) {
        free(line);
        (void)close(socket);
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    line->pipe.data = line;
    line->worker = w;
    sp_buf_init(&line->in, WORKER_FRAME_MAX_BYTES + WORKER_READ_BYTES);
    w->line = line;
    if (uv_pipe_open(&line->pipe, socket)) {
        (void)close(socket);
        return sp_fail(err, SP_EIO, "a socket cannot be watched");
    }
    return uv_read_start((uv_stream_t *)&line->pipe, on_alloc, on_read)
               ? sp_fail(err, SP_EIO, "a socket cannot be read")
               : SP_OK;
}

/* Another process, after one has ended. It loads the library and then gets the question. */
static sp_status restart(struct worker *w, struct sp_error *err)
{
    int socket = -1;
    sp_status status =
        worker_start(w->program, w->provider.path, w->library_fd, &w->pid, &socket, err);
    if (!status) {
        worker_started(w);
        status = worker_open_line(w, socket, err);
    }
    if (!status) {
        status = send_question(w, &(struct worker_asked){.question = WORKER_LOAD});
        w->loading = status == SP_OK;
    }
    return status;
}

static bool rests(const struct worker *w)
{
    return w->pid == 0 && uv_now(w->loop) < w->rest_until_ms;
}

/* Get the first question to the worker, if it is free. */
static void pump(struct worker *w)
{
    while (w->first && !w->asked && !w->loading && !w->stopped) {
        struct sp_error err = {""};
        sp_status status = SP_OK;
        if (rests(w)) {
            err = w->last_failure;
            question_fail(take_first(w), SP_EBUSY, &err);
            continue;
        }
        if (!w->pid) {
            status = restart(w, &err);
        } else {
            status = send_question(w, &w->first->asked);
            w->asked = status == SP_OK;
            if (w->asked && may_perform(w->first)) {
                w->first->call = sp_hook_begin(&w->host, hook_of(w->first), &w->first->arena,
                                               &w->first->told.view);
            }
            if (status) {
                (void)sp_fail(&err, status, "the question is too large, or memory is short");
            }
        }
        if (status) {
            char how[WORKER_END_BYTES];
            worker_end_process(w, how);
            question_fail(take_first(w), status, &err);
        }
    }
}

static struct question *question_new(enum worker_question what, void *user)
{
    struct question *q = calloc(1, sizeof *q);
    if (q) {
        q->asked.question = what;
        q->user = user;
        sp_arena_init(&q->arena, WORKER_CALL_MAX_BYTES);
    }
    return q;
}

/* status: of what was kept for it so far. */
static void ask(struct worker *w, struct question *q, const struct sp_key_view *key,
                sp_status status)
{
    struct sp_error err = {"out of memory"};
    status = status ? status : keep_key(q, key);
    status = status
                 ? status
                 : sp_key_tell(&q->arena, w->provider.manifest, &q->asked.key, &q->told, &err);
    if (!status && (w->stopped || w->provider.n_waiting == SP_WORKER_QUEUE_MAX)) {
        status = sp_fail(&err, SP_EBUSY, "provider %s: %s", w->provider.manifest->id.ptr,
                         w->stopped ? "the host is stopping" : "too many questions wait");
    }
    if (status) {
        question_fail(q, status, &err);
        return;
    }
    *w->last = q;
    w->last = &q->next;
    w->provider.n_waiting++;
    pump(w);
}

static void worker_check(struct sp_provider *provider, const struct sp_key_view *key,
                         sp_provider_checked done, void *user)
{
    struct question *q = question_new(WORKER_CHECK, user);
    if (!q) {
        done(user, SP_ENOMEM, NULL, 0, &out_of_memory);
        return;
    }
    q->done.checked = done;
    ask((struct worker *)provider, q, key, SP_OK);
}

static void worker_plan(struct sp_provider *provider, const struct sp_key_view *key,
                        sp_provider_planned done, void *user)
{
    struct question *q = question_new(WORKER_PLAN, user);
    if (!q) {
        done(user, SP_ENOMEM, NULL, &out_of_memory);
        return;
    }
    q->done.planned = done;
    ask((struct worker *)provider, q, key, SP_OK);
}

static void worker_permissions(struct sp_provider *provider, const struct sp_key_view *key,
                               const struct sp_reach *reaches, size_t n_reaches,
                               sp_provider_permitted done, void *user)
{
    struct question *q = question_new(WORKER_PERMISSIONS, user);
    if (!q) {
        done(user, SP_ENOMEM, NULL, 0, &out_of_memory);
        return;
    }
    q->done.permitted = done;
    ask((struct worker *)provider, q, key, keep_reaches(q, reaches, n_reaches));
}

static void ask_lease(struct worker *w, enum worker_question what,
                      const struct sp_key_view *key, const struct sp_lease_ask *about,
                      sp_provider_leased done, void *user)
{
    struct question *q = question_new(what, user);
    if (!q) {
        done(user, SP_ENOMEM, 0, &out_of_memory);
        return;
    }
    q->done.leased = done;
    ask(w, q, key, keep_ask(q, about));
}

static void worker_renew(struct sp_provider *provider, const struct sp_key_view *key,
                         const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct worker *)provider, WORKER_RENEW, key, about, done, user);
}

static void worker_revoke(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct worker *)provider, WORKER_REVOKE, key, about, done, user);
}

static void worker_rotate(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct worker *)provider, WORKER_ROTATE, key, about, done, user);
}

static void worker_finish(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct worker *)provider, WORKER_FINISH, key, about, done, user);
}

/* ---- the end ------------------------------------------------------------------------------
 */

static void release(struct worker *w)
{
    if (w->library_fd >= 0) {
        (void)close(w->library_fd);
    }
    sp_arena_done(&w->arena);
    free(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct worker *w = handle->data;
    w->timer = TIMER_NONE;
    if (w->freed) {
        release(w);
    }
}

static void worker_stop(struct sp_provider *provider)
{
    struct worker *w = (struct worker *)provider;
    char how[WORKER_END_BYTES];
    struct sp_error err = {""};
    w->stopped = true;
    worker_end_process(w, how);
    if (w->timer == TIMER_OPEN) {
        w->timer = TIMER_CLOSING;
        uv_close((uv_handle_t *)&w->deadline, on_timer_closed);
    }
    (void)sp_fail(&err, SP_EBUSY, "the host is stopping");
    while (w->first) {
        question_fail(take_first(w), SP_EBUSY, &err);
    }
}

static void worker_free(struct sp_provider *provider)
{
    struct worker *w = (struct worker *)provider;
    w->freed = true;
    if (w->timer == TIMER_NONE) {
        release(w);
    }
}

const struct sp_provider_ops worker_ops = {
    .check = worker_check,
    .plan = worker_plan,
    .permissions = worker_permissions,
    .renew = worker_renew,
    .revoke = worker_revoke,
    .rotate = worker_rotate,
    .finish = worker_finish,
    .stop = worker_stop,
    .free = worker_free,
};

int sp_worker_pid(const struct sp_provider *provider)
{
    return provider->ops == &worker_ops ? (int)((const struct worker *)provider)->pid : 0;
}
