#include "zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* libzmq has this option since 4.3.0; its header shows it to draft builds only. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define ENDPOINT "inproc://zeromq.zap.01"
#define PROBE_DOMAIN "sallyport.probe" /* no socket has it, so the answer is always no */

enum {
    KEY_WORDS = 4, /* a key of 32 bytes */
    KEY_BYTES = 32,
    ASK_FRAMES = 7, /* RFC 27: version, id, domain, address, identity, mechanism, key */
    FRAME_MAX_BYTES = 255,
    FRESH_MS = 2000,     /* an answer to a probe this old still shows a live handler */
    PROBE_WAIT_MS = 100, /* how long a fresh probe is waited for, where the last is too old */
};

struct entry {
    uint64_t key[KEY_WORDS];
    uint64_t admin; /* 0 or 1 */
};

struct sp_zap {
    void *handler; /* REP; the thread's once it runs */
    void *control, *control_thread;
    pthread_t thread;
    bool running;
    pthread_mutex_t table_lock;
    struct entry *entries;
    size_t n_entries;
    atomic_uint_fast64_t n_allowed, n_refused;
    pthread_mutex_t probe_lock;
    void *probe; /* REQ */
    bool asked;
    int64_t asked_ms, alive_ms; /* alive_ms: a probe of then was answered */
};

/* ---- one question
 * ---------------------------------------------------------------------------- */

struct frame {
    uint8_t bytes[FRAME_MAX_BYTES];
    size_t len;
};
struct ask {
    struct frame frames[ASK_FRAMES];
    size_t n; /* frames received, also those past ASK_FRAMES */
    bool oversize;
};
enum { VERSION, ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, KEY };

static bool frame_is(const struct frame *frame, const char *text)
{
    return sp_text_is((struct sp_text){(const char *)frame->bytes, frame->len}, text);
}

/* Takes one message whole, however it is made. False where there was none. */
static bool ask_receive(void *socket, struct ask *ask)
{
    ask->n = 0;
    ask->oversize = false;
    bool more = true;
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&part);
            return false;
        }
        more = zmq_msg_more(&part);
        size_t len = zmq_msg_size(&part);
        if (ask->n < ASK_FRAMES) {
            struct frame *frame = &ask->frames[ask->n];
            frame->len = len <= FRAME_MAX_BYTES ? len : 0;
            ask->oversize |= len > FRAME_MAX_BYTES;
            memcpy(frame->bytes, zmq_msg_data(&part), frame->len);
        }
        ask->n++;
        (void)zmq_msg_close(&part);
    }
    return true;
}

/* The same work for every key: all entries are looked at, and none ends the search. */
static void look_up(struct sp_zap *zap, const uint8_t key[KEY_BYTES], bool *ret_known,
                    bool *ret_admin)
{
    uint64_t words[KEY_WORDS], known = 0, admin = 0;
    memcpy(words, key, sizeof words);
    (void)pthread_mutex_lock(&zap->table_lock);
    for (size_t i = 0; i < zap->n_entries; i++) {
        const struct entry *entry = &zap->entries[i];
        uint64_t differs = (entry->key[0] ^ words[0]) | (entry->key[1] ^ words[1]) |
                           (entry->key[2] ^ words[2]) | (entry->key[3] ^ words[3]);
        uint64_t same = 1 ^ ((differs | (0 - differs)) >> 63);
        known |= same;
        admin |= same & entry->admin;
    }
    (void)pthread_mutex_unlock(&zap->table_lock);
    *ret_known = known;
    *ret_admin = admin;
}

struct verdict {
    const char *status, *text;
    char user[41]; /* Z85 of the key where it is let in, else empty */
};

static struct verdict judge(struct sp_zap *zap, const struct ask *ask)
{
    struct verdict no = {.status = "400", .text = "not a client"};
    const struct frame *frames = ask->frames;
    if (ask->n != ASK_FRAMES || ask->oversize || !frame_is(&frames[VERSION], "1.0")) {
        return (struct verdict){.status = "500", .text = "malformed question"};
    }
    if (!frame_is(&frames[MECHANISM], "CURVE") || frames[KEY].len != KEY_BYTES) {
        return no;
    }
    bool known, admin;
    look_up(zap, frames[KEY].bytes, &known, &admin);
    bool client_door = frame_is(&frames[DOMAIN], SP_ZAP_CLIENT_DOMAIN);
    bool admin_door = frame_is(&frames[DOMAIN], SP_ZAP_ADMIN_DOMAIN);
    if (!(client_door && known) && !(admin_door && admin)) {
        return no;
    }
    struct verdict yes = {.status = "200", .text = ""};
    return zmq_z85_encode(yes.user, frames[KEY].bytes, KEY_BYTES) ? yes : no;
}

static bool send_frame(void *socket, const void *bytes, size_t len, bool more)
{
    return zmq_send(socket, bytes, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
}

/* The user's name is the one frame that wants memory, so it is made first: half an answer would
 * be the last that this socket ever gave. An answer that cannot be sent is no answer, and then
 * the peer stays out. */
static void answer(void *socket, const struct ask *ask, const struct verdict *verdict)
{
    const struct frame *id = &ask->frames[ID];
    size_t id_len = ask->n > ID ? id->len : 0, user_len = strlen(verdict->user);
    const char *status = verdict->status, *text = verdict->text;
    zmq_msg_t user;
    if (zmq_msg_init_size(&user, user_len)) {
        status = "500";
        text = "memory is short";
        user_len = 0;
        (void)zmq_msg_init(&user);
    }
    memcpy(zmq_msg_data(&user), verdict->user, user_len);
    bool sent =
        send_frame(socket, "1.0", 3, true) && send_frame(socket, id->bytes, id_len, true) &&
        send_frame(socket, status, 3, true) && send_frame(socket, text, strlen(text), true) &&
        zmq_msg_send(&user, socket, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0;
    if (!sent) {
        (void)zmq_msg_close(&user);
        return;
    }
    (void)send_frame(socket, "", 0, false);
}

static void handle(struct sp_zap *zap)
{
    struct ask ask;
    if (!ask_receive(zap->handler, &ask)) {
        return;
    }
    struct verdict verdict = judge(zap, &ask);
    bool probe = ask.n == ASK_FRAMES && frame_is(&ask.frames[DOMAIN], PROBE_DOMAIN);
    if (!probe) {
        atomic_fetch_add(*verdict.user ? &zap->n_allowed : &zap->n_refused, 1);
    }
    answer(zap->handler, &ask, &verdict);
}

static void *run(void *user)
{
    struct sp_zap *zap = user;
    zmq_pollitem_t items[] = {{zap->handler, 0, ZMQ_POLLIN, 0},
                              {zap->control_thread, 0, ZMQ_POLLIN, 0}};
    for (;;) {
        int n = zmq_poll(items, 2, -1);
        if (n < 0 && zmq_errno() != EINTR) {
            return NULL; /* the context ends */
        }
        if (n > 0 && items[1].revents) {
            return NULL;
        }
        if (n > 0 && items[0].revents) {
            handle(zap);
        }
    }
}

/* ---- life
 * ------------------------------------------------------------------------------------ */

static sp_status open_sockets(struct sp_zap *zap, void *context, struct sp_error *err)
{
    char control[64];
    int none = 0;
    (void)snprintf(control, sizeof control, "inproc://sallyport.zap.%p", (void *)zap);
    zap->handler = zmq_socket(context, ZMQ_REP);
    zap->control = zmq_socket(context, ZMQ_PAIR);
    zap->control_thread = zmq_socket(context, ZMQ_PAIR);
    zap->probe = zmq_socket(context, ZMQ_REQ);
    if (!zap->handler || !zap->control || !zap->control_thread || !zap->probe) {
        return sp_fail(err, SP_EIO, "ZAP handler: no socket: %s", zmq_strerror(zmq_errno()));
    }
    if (zmq_bind(zap->handler, ENDPOINT)) {
        return sp_fail(err, SP_EIO,
                       "ZAP handler: " ENDPOINT ": %s; one handler for each context",
                       zmq_strerror(zmq_errno()));
    }
    if (zmq_bind(zap->control_thread, control) || zmq_connect(zap->control, control) ||
        zmq_connect(zap->probe, ENDPOINT) ||
        zmq_setsockopt(zap->probe, ZMQ_LINGER, &none, sizeof none) ||
        zmq_setsockopt(zap->control, ZMQ_LINGER, &none, sizeof none) ||
        zmq_setsockopt(zap->handler, ZMQ_LINGER, &none, sizeof none)) {
        return sp_fail(err, SP_EIO, "ZAP handler: control socket: %s",
                       zmq_strerror(zmq_errno()));
    }
    return SP_OK;
}

/* Signals are for the loop thread. */
static sp_status start(struct sp_zap *zap, struct sp_error *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&zap->thread, NULL, run, zap);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        return sp_fail(err, SP_EIO, "ZAP handler: no thread: %s", strerror(failed));
    }
    zap->running = true;
    return SP_OK;
}

sp_status sp_zap_new(void *zmq_context, struct sp_zap **ret_zap, struct sp_error *err)
{
    struct sp_zap *zap = calloc(1, sizeof *zap);
    if (!zap) {
        return sp_fail(err, SP_ENOMEM, "ZAP handler: out of memory");
    }
    atomic_init(&zap->n_allowed, 0);
    atomic_init(&zap->n_refused, 0);
    (void)pthread_mutex_init(&zap->table_lock, NULL);
    (void)pthread_mutex_init(&zap->probe_lock, NULL);
    zap->alive_ms = INT64_MIN / 2;
    sp_status status = open_sockets(zap, zmq_context, err);
    if (!status) {
        status = start(zap, err);
    }
    if (status) {
        sp_zap_free(zap);
        return status;
    }
    *ret_zap = zap;
    return SP_OK;
}

void sp_zap_free(struct sp_zap *zap)
{
    if (!zap) {
        return;
    }
    if (zap->running) {
        (void)send_frame(zap->control, "", 0, false);
        (void)pthread_join(zap->thread, NULL);
    }
    void *sockets[] = {zap->handler, zap->control, zap->control_thread, zap->probe};
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        if (sockets[i]) {
            (void)zmq_close(sockets[i]);
        }
    }
    (void)pthread_mutex_destroy(&zap->table_lock);
    (void)pthread_mutex_destroy(&zap->probe_lock);
    free(zap->entries);
    free(zap);
}

sp_status sp_zap_set(struct sp_zap *zap, const struct sp_zap_peer *peers, size_t n_peers)
{
    struct entry *entries = NULL;
    if (n_peers > 0) {
        entries = calloc(n_peers, sizeof *entries);
        if (!entries) {
            return SP_ENOMEM;
        }
    }
    for (size_t i = 0; i < n_peers; i++) {
        memcpy(entries[i].key, peers[i].key, sizeof entries[i].key);
        entries[i].admin = peers[i].admin;
    }
    (void)pthread_mutex_lock(&zap->table_lock);
    struct entry *old = zap->entries;
    zap->entries = entries;
    zap->n_entries = n_peers;
    (void)pthread_mutex_unlock(&zap->table_lock);
    free(old);
    return SP_OK;
}

void sp_zap_counts(struct sp_zap *zap, uint64_t *ret_allowed, uint64_t *ret_refused)
{
    *ret_allowed = atomic_load(&zap->n_allowed);
    *ret_refused = atomic_load(&zap->n_refused);
}

/* ---- health
 * ---------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool probe_send(struct sp_zap *zap)
{
    static const uint8_t no_key[KEY_BYTES];
    void *s = zap->probe;
    return send_frame(s, "1.0", 3, true) && send_frame(s, "probe", 5, true) &&
           send_frame(s, PROBE_DOMAIN, strlen(PROBE_DOMAIN), true) &&
           send_frame(s, "", 0, true) && send_frame(s, "", 0, true) &&
           send_frame(s, "CURVE", 5, true) && send_frame(s, no_key, sizeof no_key, false);
}

/* An answer shows that the handler lived when the question was put, not that it lives now. */
static void probe_receive(struct sp_zap *zap)
{
    struct ask reply;
    if (zap->asked && ask_receive(zap->probe, &reply)) {
        zap->asked = false;
        if (reply.n == 6 && frame_is(&reply.frames[2], "400")) {
            zap->alive_ms = zap->asked_ms;
        }
    }
}

bool sp_zap_healthy(struct sp_zap *zap)
{
    (void)pthread_mutex_lock(&zap->probe_lock);
    int64_t now = now_ms();
    probe_receive(zap);
    if (!zap->asked && probe_send(zap)) {
        zap->asked = true;
        zap->asked_ms = now;
        if (now - zap->alive_ms > FRESH_MS) {
            zmq_pollitem_t item = {zap->probe, 0, ZMQ_POLLIN, 0};
            (void)zmq_poll(&item, 1, PROBE_WAIT_MS);
            probe_receive(zap);
        }
    }
    bool healthy = now - zap->alive_ms <= FRESH_MS;
    (void)pthread_mutex_unlock(&zap->probe_lock);
    return healthy;
}

/* ---- the guard
 * ------------------------------------------------------------------------------- */

struct int_option {
    int option;
    const char *name;
    int value;
};

static sp_status refused(const char *name, struct sp_error *err)
{
    return sp_fail(err, SP_EIO, "%s was refused (%s): this socket must not be bound", name,
                   zmq_strerror(zmq_errno()));
}

static sp_status set_ints(void *socket, const struct int_option *options, size_t n,
                          struct sp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof(int))) {
            return refused(options[i].name, err);
        }
    }
    return SP_OK;
}

/* What keeps strangers out is read back: an option that was taken and ignored would let in
 * everybody. */
static sp_status check_closed(void *socket, const char *domain, struct sp_error *err)
{
    static const struct int_option wanted[] = {
        {ZMQ_ZAP_ENFORCE_DOMAIN, "ZMQ_ZAP_ENFORCE_DOMAIN", 1},
        {ZMQ_CURVE_SERVER, "ZMQ_CURVE_SERVER", 1},
        {ZMQ_MECHANISM, "ZMQ_MECHANISM", ZMQ_CURVE},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int value = 0;
        size_t size = sizeof value;
        if (zmq_getsockopt(socket, wanted[i].option, &value, &size) ||
            value != wanted[i].value) {
            return refused(wanted[i].name, err);
        }
    }
    char set[64] = "";
    size_t size = sizeof set;
    if (zmq_getsockopt(socket, ZMQ_ZAP_DOMAIN, set, &size) || strcmp(set, domain) != 0) {
        return refused("ZMQ_ZAP_DOMAIN", err);
    }
    return SP_OK;
}

static bool is_bound(void *socket)
{
    char endpoint[256] = "";
    size_t size = sizeof endpoint;
    return zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) || *endpoint;
}

sp_status sp_zap_guard(void *socket, const struct sp_zap_socket *options, struct sp_error *err)
{
    const char *domain = options->domain ? options->domain : "";
    if (strcmp(domain, SP_ZAP_CLIENT_DOMAIN) != 0 && strcmp(domain, SP_ZAP_ADMIN_DOMAIN) != 0) {
        return sp_fail(err, SP_EINVAL, "a socket needs the domain client or admin, not '%.20s'",
                       domain);
    }
    if (options->message_max_bytes <= 0 || options->high_water <= 0 ||
        options->handshake_ms <= 0 || !options->secret_key) {
        return sp_fail(err, SP_EINVAL, "a socket without a key or with a limit of none");
    }
    if (is_bound(socket)) {
        return sp_fail(err, SP_EINVAL, "the socket is bound already: guard it before");
    }
    const struct int_option ints[] = {
        {ZMQ_CURVE_SERVER, "ZMQ_CURVE_SERVER", 1},
        {ZMQ_ZAP_ENFORCE_DOMAIN, "ZMQ_ZAP_ENFORCE_DOMAIN", 1},
        {ZMQ_HANDSHAKE_IVL, "ZMQ_HANDSHAKE_IVL", options->handshake_ms},
        {ZMQ_RCVHWM, "ZMQ_RCVHWM", options->high_water},
        {ZMQ_SNDHWM, "ZMQ_SNDHWM", options->high_water},
        {ZMQ_LINGER, "ZMQ_LINGER", 1000}, /* the last answers still go out at the end */
        {ZMQ_ROUTER_MANDATORY, "ZMQ_ROUTER_MANDATORY", 1},
        {ZMQ_ROUTER_HANDOVER, "ZMQ_ROUTER_HANDOVER", 0}, /* nobody takes over a routing id */
        {ZMQ_TCP_KEEPALIVE, "ZMQ_TCP_KEEPALIVE", 1}, /* machines that are gone without a word */
        {ZMQ_TCP_KEEPALIVE_IDLE, "ZMQ_TCP_KEEPALIVE_IDLE", 60},
        {ZMQ_TCP_KEEPALIVE_INTVL, "ZMQ_TCP_KEEPALIVE_INTVL", 10},
        {ZMQ_TCP_KEEPALIVE_CNT, "ZMQ_TCP_KEEPALIVE_CNT", 3},
    };
    if (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain))) {
        return refused("ZMQ_ZAP_DOMAIN", err);
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, options->secret_key, KEY_BYTES)) {
        return refused("ZMQ_CURVE_SECRETKEY", err);
    }
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &options->message_max_bytes,
                       sizeof options->message_max_bytes)) {
        return refused("ZMQ_MAXMSGSIZE", err);
    }
    sp_status status = set_ints(socket, ints, sizeof ints / sizeof *ints, err);
    return status ? status : check_closed(socket, domain, err);
}
