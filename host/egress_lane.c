/* A lane's multi handle on the host's loop: libcurl says which sockets and which timeout it
 * waits for (CURLMOPT_SOCKETFUNCTION, CURLMOPT_TIMERFUNCTION), libuv says when they are due. */
#include "egress_inner.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* One socket of libcurl's. Those that carry requests are kept watched between two requests, and
 * what the kernel is asked to watch for is changed only where it has to be: arming a socket
 * anew for each request costs two system calls of it. */
struct watch {
    uv_poll_t poll;
    struct lane *lane;
    curl_socket_t fd;
    int wanted, armed; /* UV_READABLE | UV_WRITABLE: what libcurl waits for; libuv */
    bool kept;         /* until libcurl closes it: lane_on_close */
    uint64_t transfer; /* whose it was last; its id */
};

/* Hand out what ended. Runs outside of libcurl, so callbacks may send and cancel at will. */
static void reap(struct lane *lane)
{
    CURLMsg *message;
    int n_left;
    lane->reaping = true;
    while ((message = curl_multi_info_read(lane->multi, &n_left))) {
        if (message->msg == CURLMSG_DONE) {
            struct transfer *transfer = NULL;
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
            transfer_end(transfer, message->data.result);
        }
    }
    lane->reaping = false;
    if (lane->forgotten && lane->in_flight == 0) {
        lane_free(lane);
    }
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The kernel forgets the descriptor at once, so that it can be closed now. */
static void drop_watch(struct watch *watch)
{
    watch->lane->egress->watches[watch->fd] = NULL;
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static bool make_room(struct sp_egress *egress, size_t fd)
{
    size_t n = egress->n_watches ? egress->n_watches : 64;
    while (n <= fd) {
        n *= 2;
    }
    if (n == egress->n_watches) {
        return true;
    }
    struct watch **grown = realloc(egress->watches, n * sizeof(struct watch *));
    if (!grown) {
        return false;
    }
    egress->watches = grown;
    while (egress->n_watches < n) {
        grown[egress->n_watches++] = NULL;
    }
    return true;
}

static struct watch *find_watch(const struct sp_egress *egress, curl_socket_t fd)
{
    return (size_t)fd < egress->n_watches ? egress->watches[fd] : NULL;
}

static struct watch *new_watch(struct lane *lane, curl_socket_t fd)
{
    struct sp_egress *egress = lane->egress;
    struct watch *old = find_watch(egress, fd);
    if (old) { /* closed behind our back: the number is another socket's now */
        drop_watch(old);
    }
    struct watch *watch = make_room(egress, (size_t)fd) ? calloc(1, sizeof *watch) : NULL;
    if (!watch || uv_poll_init_socket(egress->config.loop, &watch->poll, fd)) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->lane = lane;
    watch->fd = fd;
    egress->watches[fd] = watch;
    return watch;
}

int lane_watch(struct lane *lane, curl_socket_t fd)
{
    struct watch *watch = new_watch(lane, fd);
    if (watch) {
        watch->kept = true;
    }
    return watch ? 0 : -1;
}

int lane_on_close(void *user, curl_socket_t fd)
{
    const struct lane *lane = user;
    struct watch *watch = find_watch(lane->egress, fd);
    if (watch) {
        drop_watch(watch);
    }
    return close(fd);
}

/* ---- answers before the end of a request ----------------------------------------------------
 *
 * Who answers early may close with the rest unread: then the answer is here and the connection
 * dead. To write to it once more would be to hear of that and nothing else, so all that it said
 * is read first. */

static bool has_events(curl_socket_t fd, short events)
{
    struct pollfd at = {.fd = fd, .events = POLLIN};
    return poll(&at, 1, 0) > 0 && (at.revents & events);
}

bool lane_is_told(const struct transfer *transfer)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
    const struct watch *watch =
        fd == CURL_SOCKET_BAD ? NULL : find_watch(transfer->lane->egress, fd);
    return watch && (watch->wanted & UV_READABLE) && has_events(fd, POLLIN);
}

/* What libcurl is to do now, as CURL_CSELECT_…. 0: nothing. */
static int next_step(struct watch *watch, const struct transfer *transfer, int status,
                     int events)
{
    bool dead = status < 0, writes = events & watch->wanted & UV_WRITABLE;
    if (transfer && transfer->answer.paused &&
        (dead || (writes && has_events(watch->fd, POLLERR | POLLHUP)))) {
        return 0; /* until its reader has taken what there is */
    }
    if (watch->wanted == (UV_READABLE | UV_WRITABLE) && (dead || writes) &&
        has_events(watch->fd, POLLIN)) {
        return CURL_CSELECT_IN;
    }
    return (dead ? CURL_CSELECT_ERR : 0) |
           (events & watch->wanted & UV_READABLE ? CURL_CSELECT_IN : 0) |
           (writes ? CURL_CSELECT_OUT : 0);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events);

/* What an idle socket is watched for may stay as it is: should something come, on_socket_ready
 * finds that nobody waits. Until then it keeps no loop alive. */
static int want(struct watch *watch, int events)
{
    watch->wanted = events;
    if (!events) {
        uv_unref((uv_handle_t *)&watch->poll);
        return 0;
    }
    uv_ref((uv_handle_t *)&watch->poll);
    if (watch->armed == events) {
        return 0;
    }
    watch->armed = events;
    return uv_poll_start(&watch->poll, events, on_socket_ready);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct lane *lane = watch->lane;
    struct sp_egress *egress = lane->egress;
    struct transfer *transfer = transfer_find(egress, watch->transfer);
    curl_socket_t fd = watch->fd;
    int flags = next_step(watch, transfer, status, events), n_running;
    bool more = status < 0 && flags == CURL_CSELECT_IN;
    if (status < 0 || !flags) { /* an idle connection that its upstream ended, say */
        (void)uv_poll_stop(poll);
        watch->armed = 0;
    }
    if (!watch->wanted || !flags) {
        return;
    }
    (void)curl_multi_socket_action(lane->multi, fd, flags, &n_running);
    reap(lane);
    if (find_watch(egress, fd) != watch) {
        return;
    }
    transfer = transfer_find(egress, watch->transfer);
    if (transfer && transfer->easy && transfer->upload.due) {
        upload_resume(transfer);
    }
    if (more) {
        (void)want(watch, watch->wanted);
    }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct lane *lane = user;
    struct watch *watch = socket_user ? socket_user : find_watch(lane->egress, fd);
    struct transfer *transfer = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
    if (what == CURL_POLL_REMOVE) {
        if (watch && watch->kept) {
            return want(watch, 0);
        }
        if (watch) {
            drop_watch(watch);
        }
        return 0;
    }
    if (!watch) { /* not one that carries requests: libcurl closes it without a word */
        watch = new_watch(lane, fd);
    }
    if (!watch) {
        return -1;
    }
    if (!socket_user) {
        (void)curl_multi_assign(lane->multi, fd, watch);
    }
    watch->transfer = transfer ? transfer->id : 0;
    return want(watch, (what & CURL_POLL_IN ? UV_READABLE : 0) |
                           (what & CURL_POLL_OUT ? UV_WRITABLE : 0));
}

static void on_curl_timeout(uv_timer_t *timer)
{
    struct lane *lane = timer->data;
    int n_running;
    lane->in_timer = true;
    (void)curl_multi_socket_action(lane->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    lane->in_timer = false;
    reap(lane);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct lane *lane = user;
    (void)multi;
    if (timeout_ms < 0) {
        return uv_timer_stop(&lane->curl_timer);
    }
    /* libuv runs a timer of 0 ms that is started from a timer in the same round, and libcurl
     * asks for one as long as more of an answer is there: the rest of the loop would wait for
     * its end.
     */
    timeout_ms += timeout_ms == 0 && lane->in_timer;
    /* Never from inside: libcurl must not be called from its own callback. */
    return uv_timer_start(&lane->curl_timer, on_curl_timeout, (uint64_t)timeout_ms, 0);
}

static void on_idle(uv_timer_t *timer)
{
    lane_free(timer->data);
}

static void lane_release(struct lane *lane)
{
    curl_slist_free_all(lane->connect_to);
    sp_upstream_done(&lane->upstream);
    free(lane->key_id);
    free(lane);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct lane *lane = handle->data;
    if (--lane->n_closing == 0) {
        lane_release(lane);
    }
}

void lane_free(struct lane *lane)
{
    for (struct lane **at = &lane->egress->lanes; *at; at = &(*at)->next) {
        if (*at == lane) {
            *at = lane->next;
            break;
        }
    }
    while (lane->n_spare > 0) {
        curl_easy_cleanup(lane->spare[--lane->n_spare]);
    }
    /* Closes the connections; each socket's watch goes with it. */
    (void)curl_multi_cleanup(lane->multi);
    lane->multi = NULL;
    lane->n_closing = 2;
    uv_close((uv_handle_t *)&lane->curl_timer, on_timer_closed);
    uv_close((uv_handle_t *)&lane->idle_timer, on_timer_closed);
}

void lane_enter(struct lane *lane)
{
    lane->in_flight++;
    (void)uv_timer_stop(&lane->idle_timer);
}

void lane_leave(struct lane *lane)
{
    if (--lane->in_flight > 0) {
        return;
    }
    (void)uv_timer_start(&lane->idle_timer, on_idle, EGRESS_IDLE_MS, 0);
    uv_unref((uv_handle_t *)&lane->idle_timer); /* it keeps no loop alive */
    if (lane->forgotten && !lane->reaping) {
        lane_free(lane);
    }
}

static bool set_up_multi(struct lane *lane)
{
    long n_connections = (long)lane->egress->config.slots_per_key;
    lane->multi = curl_multi_init();
    return lane->multi && !curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
           !curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane) &&
           !curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
           !curl_multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane) &&
           !curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, n_connections) &&
           !curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

static sp_status lane_new(struct sp_egress *egress, const struct sp_key *key,
                          struct lane **ret_lane, struct sp_error *err)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    lane->egress = egress;
    lane->version = key->version;
    lane->key_id = strndup(key->id.ptr, key->id.len);
    sp_status status = sp_upstream_read(key->settings, key->n_settings, &lane->upstream, err);
    if (!status && lane->upstream.redirected) {
        lane->connect_to = curl_slist_append(NULL, lane->upstream.connect_to);
        status = lane->connect_to ? SP_OK : SP_ENOMEM;
    }
    if (status == SP_ENOMEM || (!status && (!lane->key_id || !set_up_multi(lane)))) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    }
    if (status) {
        if (lane->multi) {
            (void)curl_multi_cleanup(lane->multi);
        }
        lane_release(lane);
        return status;
    }
    lane->rules = (struct sp_address_rules){
        .loopback_only = lane->upstream.redirected,
        .networks = lane->upstream.networks,
        .n_networks = lane->upstream.n_networks,
        .own_ports = egress->own_ports,
        .n_own_ports = egress->config.n_own_ports,
    };
    (void)uv_timer_init(egress->config.loop, &lane->curl_timer);
    (void)uv_timer_init(egress->config.loop, &lane->idle_timer);
    lane->curl_timer.data = lane;
    lane->idle_timer.data = lane;
    lane->next = egress->lanes;
    egress->lanes = lane;
    *ret_lane = lane;
    return SP_OK;
}

sp_status lane_find(struct sp_egress *egress, const struct sp_key *key, struct lane **ret_lane,
                    struct sp_error *err)
{
    for (struct lane *lane = egress->lanes; lane; lane = lane->next) {
        if (!lane->forgotten && lane->version == key->version &&
            sp_text_is(key->id, lane->key_id)) {
            *ret_lane = lane;
            return SP_OK;
        }
    }
    return lane_new(egress, key, ret_lane, err);
}
