/* sallyport-worker: runs one provider's plugin for sallyportd, which starts it. Descriptor 3 is
 * the socket to the host, 4 the library. */
#include "frames.h"
#include "plugin_library.h"
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_MAX_BYTES = 64 << 20, READ_BYTES = 64 << 10 };

struct worker {
    const char *path;             /* of the library's file, for people */
    struct sp_provider *provider; /* once it is loaded */
    struct sp_buf in, out;
    struct sp_buf answer;  /* to a request of a hook; `in` holds the question meanwhile */
    struct sp_arena arena; /* one question's */
};

/* ---- the socket -------------------------------------------------------------------------- */

/* Without the host there is nothing left to do. */
static void send_out(struct worker *w)
{
    if (w->out.failed) {
        worker_put_failure(&w->out, SP_ETOOBIG, SP_TEXT("more was pushed than fits an answer"));
    }
    for (size_t at = 0; at < w->out.len;) {
        ssize_t put = write(WORKER_SOCKET, w->out.ptr + at, w->out.len - at);
        if (put < 0 && errno != EINTR) {
            _exit(1);
        }
        at += put > 0 ? (size_t)put : 0;
    }
}

/* The next question's map, which borrows from `in`; ret_taken is to be dropped after it. */
static struct sp_text next_question(struct worker *w, size_t *ret_taken)
{
    struct sp_text map;
    char chunk[READ_BYTES];
    for (;;) {
        sp_status status = worker_frame_cut(sp_buf_text(&w->in), &map, ret_taken);
        if (status == SP_OK) {
            return map;
        }
        ssize_t got = status == SP_EBUSY ? read(WORKER_SOCKET, chunk, sizeof chunk) : 0;
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || (sp_buf_add(&w->in, chunk, (size_t)got), w->in.failed)) {
            _exit(got == 0 ? 0 : 1); /* the host went away, or speaks no sense */
        }
    }
}

static void drop(struct worker *w, size_t taken)
{
    memmove(w->in.ptr, w->in.ptr + taken, w->in.len - taken);
    w->in.len -= taken;
}

/* ---- answers ----------------------------------------------------------------------------- */

static void log_to_host(void *user, struct sp_text provider, unsigned level,
                        struct sp_text text)
{
    struct worker *w = user;
    (void)provider;
    worker_put_log(&w->out, level, text);
    send_out(w);
}

static void fail(struct worker *w, sp_status status, const struct sp_error *err)
{
    worker_put_failure(&w->out, status, sp_text_of(err ? err->text : sp_status_name(status)));
}

static void on_checked(void *user, sp_status status, const struct sp_text *hosts,
                       size_t n_hosts, const struct sp_error *err)
{
    struct worker *w = user;
    if (status) {
        fail(w, status, err);
    } else {
        worker_put_hosts(&w->out, hosts, n_hosts);
    }
}

static void on_planned(void *user, sp_status status, struct sp_plan *plan,
                       const struct sp_error *err)
{
    struct worker *w = user;
    if (status) {
        fail(w, status, err);
    } else {
        worker_put_plan(&w->out, plan);
        sp_plan_done(plan);
    }
}

static void on_permitted(void *user, sp_status status, const struct sp_text *words,
                         size_t n_words, const struct sp_error *err)
{
    struct worker *w = user;
    if (status) {
        fail(w, status, err);
    } else {
        worker_put_permissions(&w->out, words, n_words);
    }
}

static void on_leased(void *user, sp_status status, uint64_t life_ms,
                      const struct sp_error *err)
{
    struct worker *w = user;
    if (status) {
        fail(w, status, err);
    } else {
        worker_put_life(&w->out, life_ms);
    }
}

/* A hook's request, which the host makes: the hook waits here. */
static void perform(void *user, const struct sp_hook_request *request, struct sp_arena *arena,
                    struct sp_hook_answer *ret_answer)
{
    struct worker *w = user;
    struct sp_text map;
    size_t taken;
    worker_put_http(&w->out, request);
    send_out(w);
    sp_buf_reset(&w->answer);
    while (worker_frame_cut(sp_buf_text(&w->answer), &map, &taken)) {
        char chunk[READ_BYTES];
        ssize_t got = read(WORKER_SOCKET, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || (sp_buf_add(&w->answer, chunk, (size_t)got), w->answer.failed)) {
            _exit(got == 0 ? 0 : 1);
        }
    }
    if (worker_read_answer(arena, map, ret_answer, NULL)) {
        ret_answer->status = SP_EIO;
        return;
    }
    struct sp_text body = sp_arena_copy(arena, ret_answer->body);
    if (body.ptr) {
        ret_answer->body = body;
    } else {
        ret_answer->status = SP_EIO;
    }
}

static void load(struct worker *w)
{
    struct sp_plugin_rules rules = {
        .log = log_to_host, .log_user = w, .perform = perform, .perform_user = w};
    struct sp_error err = {""};
    sp_status status = sp_plugin_open(WORKER_LIBRARY, w->path, &rules, &w->provider, &err);
    status = status ? status : worker_sandbox_close(&err);
    if (status) {
        fail(w, status, &err);
    } else {
        worker_put_manifest(&w->out, w->provider->manifest);
    }
}

static void answer(struct worker *w, const struct worker_asked *asked)
{
    const struct sp_lease_ask ask = {
        .id = asked->lease, .words = asked->words, .n_words = asked->n_words};
    if ((asked->question == WORKER_LOAD) == (w->provider != NULL) ||
        (asked->question > WORKER_PLAN && asked->question < WORKER_ROTATE &&
         !w->provider->manifest->leases) ||
        (asked->question >= WORKER_ROTATE && !w->provider->manifest->rotates)) {
        worker_put_failure(&w->out, SP_EINVAL, SP_TEXT("a question out of turn"));
        return;
    }
    switch (asked->question) {
    case WORKER_LOAD:
        load(w);
        break;
    case WORKER_CHECK:
        w->provider->ops->check(w->provider, &asked->key, on_checked, w);
        break;
    case WORKER_PLAN:
        w->provider->ops->plan(w->provider, &asked->key, on_planned, w);
        break;
    case WORKER_PERMISSIONS:
        w->provider->ops->permissions(w->provider, &asked->key, asked->reaches,
                                      asked->n_reaches, on_permitted, w);
        break;
    case WORKER_RENEW:
        w->provider->ops->renew(w->provider, &asked->key, &ask, on_leased, w);
        break;
    case WORKER_REVOKE:
        w->provider->ops->revoke(w->provider, &asked->key, &ask, on_leased, w);
        break;
    case WORKER_ROTATE:
        w->provider->ops->rotate(w->provider, &asked->key, &ask, on_leased, w);
        break;
    case WORKER_FINISH:
        w->provider->ops->finish(w->provider, &asked->key, &ask, on_leased, w);
        break;
    case WORKER_QUESTIONS:
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    struct worker w = {.path = argc == 2 ? argv[1] : ""};
    struct sp_error err = {""};
    if (argc != 2 || argv[1][0] == '-') {
        (void)fputs(
            "usage: none. sallyportd starts this program, to run a provider's plugin in "
            "a process of\nits own; see sallyportd(8), plugin_isolation.\n",
            stderr);
        return 2;
    }
    sp_buf_init(&w.in, WORKER_FRAME_MAX_BYTES + READ_BYTES);
    sp_buf_init(&w.out, WORKER_FRAME_MAX_BYTES);
    sp_buf_init(&w.answer, WORKER_FRAME_MAX_BYTES + READ_BYTES);
    sp_arena_init(&w.arena, ARENA_MAX_BYTES);
    sp_status status = worker_sandbox_enter(&err);
    if (status) {
        fail(&w, status, &err);
        send_out(&w);
        return 1;
    }
    for (;;) {
        struct worker_asked asked = {.question = WORKER_LOAD};
        size_t taken;
        struct sp_text map = next_question(&w, &taken);
        status = worker_read_question(&w.arena, map, &asked, &err);
        if (status) {
            fail(&w, status, &err);
        } else {
            answer(&w, &asked);
        }
        send_out(&w);
        drop(&w, taken);
        sp_arena_reset(&w.arena);
    }
}
