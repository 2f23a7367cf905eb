/* A request as libcurl's options. Everything that libcurl would decide by itself is decided
 * here: the request line and each header are ours, byte for byte. */
#include "egress_inner.h"
#include "placement.h"
#include "sign.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 40 << 10, TARGET_MAX_BYTES = 64 << 10 };

/* ---- addresses ------------------------------------------------------------------------------
 */

/* libcurl asks for each address that a name resolved to, right before it connects: what is
 * judged here is what is used, whatever DNS says a moment later. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose,
                                    struct curl_sockaddr *sockaddr)
{
    struct transfer *transfer = user;
    struct sp_address address;
    uint16_t port;
    (void)purpose;
    if (sp_address_of(&sockaddr->addr, &address, &port)) {
        transfer->refused = "neither IPv4 nor IPv6";
        return CURL_SOCKET_BAD;
    }
    const char *refused = sp_address_refused(&transfer->lane->rules, &address, port);
    if (refused) {
        transfer->refused = refused;
        return CURL_SOCKET_BAD;
    }
    transfer->n_tries++;
    int fd = socket(sockaddr->family, sockaddr->socktype | SOCK_CLOEXEC, sockaddr->protocol);
    if (fd >= 0 && lane_watch(transfer->lane, fd)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Doing it twice must be as good as once (RFC 9110 section 9.2.2). */
static bool is_idempotent(unsigned method)
{
    return method != SP_METHOD_POST && method != SP_METHOD_PATCH;
}

/* The connection stands, new or kept, and the request comes next. */
static int on_before_request(void *user, char *ip, char *local_ip, int port, int local_port)
{
    struct transfer *transfer = user;
    struct sp_address address;
    (void)local_ip;
    (void)local_port;
    const char *refused = "an address of unknown form";
    if (!sp_address_parse(sp_text_of(ip), &address)) {
        refused = sp_address_refused(&transfer->lane->rules, &address, (uint16_t)port);
    }
    if (refused) {
        transfer->refused = refused;
        transfer->n_tries = 0;
        return CURL_PREREQFUNC_ABORT;
    }
    /* libcurl sends again by itself where a kept connection turns out to be dead. The upstream
     * may have acted on the first one, so this is only for what may be done twice; and a body
     * that was handed over while it came is gone. */
    if (transfer->sent &&
        (!is_idempotent(transfer->send.request->method) || transfer->upload.n_bytes > 0)) {
        transfer->stopped = SP_CODE_UPSTREAM_FAILED;
        transfer->stopped_why = "the upstream closed the connection without an answer";
        return CURL_PREREQFUNC_ABORT;
    }
    transfer->sent = true;
    return CURL_PREREQFUNC_OK;
}

/* OpenSSL reads an answer into a buffer that it keeps, and then frees unwiped: an echoed key
 * would stay there. */
static CURLcode on_tls_context(CURL *easy, void *context, void *user)
{
    (void)easy;
    (void)user;
    (void)SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

/* ---- headers --------------------------------------------------------------------------------
 */

/* A header list under way; line is where each one is built, since it may hold a secret. */
struct lines {
    struct curl_slist *list;
    struct sp_wipe_buf line;
    bool failed;
};

static void append_line(struct lines *lines)
{
    struct curl_slist *longer = NULL;
    if (!lines->line.failed) {
        longer = curl_slist_append(lines->list, lines->line.ptr);
    }
    if (longer) {
        lines->list = longer;
    } else {
        lines->failed = true;
    }
    sp_wipe_buf_reset(&lines->line);
}

/* "name:" takes out what libcurl would add by itself. */
static void append_literal(struct lines *lines, const char *literal)
{
    sp_wipe_buf_add_str(&lines->line, literal);
    append_line(lines);
}

/* Nothing comes here that was not checked; this holds even if a check was wrong. */
static bool is_safe(struct sp_text name, struct sp_text value)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"; /* RFC 9110 section 5.6.2 */
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '\0' || !strchr(token, name.ptr[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return name.len > 0;
}

/* Where a message ends, whom it is for, and how it is packed is ours to say alone. */
static bool is_ours(struct sp_text name)
{
    static const char *const ours[] = {"host",       "content-length", "transfer-encoding",
                                       "connection", "expect",         "upgrade",
                                       "te",         "trailer",        "accept-encoding"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (sp_text_eq_fold(name, sp_text_of(ours[i]))) {
            return true;
        }
    }
    return false;
}

static sp_status append_header(struct lines *lines, struct sp_text name, struct sp_text value,
                               struct sp_error *err)
{
    if (!is_safe(name, value) || is_ours(name)) {
        return sp_fail(err, SP_EINVAL,
                       "header `%.*s` cannot be sent: not a client's or a "
                       "plugin's to set, or it holds line ends",
                       (int)(name.len < 64 ? name.len : 64), name.ptr);
    }
    sp_wipe_buf_add_text(&lines->line, name);
    sp_wipe_buf_add_str(&lines->line, value.len ? ": " : ";"); /* ";" is libcurl's for empty */
    sp_wipe_buf_add_text(&lines->line, value);
    append_line(lines);
    return SP_OK;
}

static bool is_placed(const struct sp_plan *plan, struct sp_text name)
{
    for (size_t i = 0; i < plan->n_placements; i++) {
        if (plan->placements[i].place == SP_PLACE_HEADER &&
            sp_text_eq_fold(plan->placements[i].name, name)) {
            return true;
        }
    }
    const struct sp_signature *signature = plan->signature;
    for (size_t i = 0; signature && i < signature->n_outputs; i++) {
        if (signature->outputs[i].place == SP_PLACE_HEADER &&
            sp_text_eq_fold(signature->outputs[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool is_fixed(const struct sp_plan *plan, struct sp_text name)
{
    for (size_t i = 0; i < plan->n_headers; i++) {
        if (sp_text_eq_fold(plan->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool client_sent(const struct sp_send *send, struct sp_text name)
{
    for (size_t i = 0; i < send->n_headers; i++) {
        if (sp_text_eq_fold(send->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

static sp_status append_all(struct lines *lines, const struct sp_send *send,
                            struct sp_error *err)
{
    const struct sp_plan *plan = send->plan;
    sp_status status = SP_OK;
    for (size_t i = 0; i < send->n_headers && !status; i++) {
        struct sp_text name = send->headers[i].name;
        if (!is_placed(plan, name) && !is_fixed(plan, name)) {
            status = append_header(lines, name, send->headers[i].value, err);
        }
    }
    for (size_t i = 0; i < plan->n_defaults && !status; i++) {
        struct sp_text name = plan->defaults[i].name;
        if (!is_placed(plan, name) && !is_fixed(plan, name) && !client_sent(send, name)) {
            status = append_header(lines, name, plan->defaults[i].value, err);
        }
    }
    for (size_t i = 0; i < plan->n_headers && !status; i++) {
        if (!is_placed(plan, plan->headers[i].name)) {
            status = append_header(lines, plan->headers[i].name, plan->headers[i].value, err);
        }
    }
    return status;
}

/* The key goes in, last of all. */
static sp_status append_placed(struct lines *lines, const struct sp_send *send,
                               struct sp_error *err)
{
    sp_status status = SP_OK;
    for (size_t i = 0; i < send->plan->n_placements && !status; i++) {
        const struct sp_placement *placement = &send->plan->placements[i];
        if (placement->place != SP_PLACE_HEADER) {
            continue;
        }
        struct sp_wipe_buf value;
        sp_wipe_buf_init(&value, LINE_MAX_BYTES);
        status = sp_placement_value(placement, send->key, &value, err);
        if (!status) {
            status = append_header(lines, placement->name, sp_wipe_buf_text(&value), err);
        }
        sp_wipe_buf_done(&value);
    }
    return status;
}

/* Behind the placements: the signature, and what was signed with it. */
static sp_status append_signed(struct lines *lines, const struct sp_send *send,
                               const struct sp_signed *values, struct sp_error *err)
{
    const struct sp_signature *signature = send->plan->signature;
    sp_status status = SP_OK;
    for (size_t i = 0; signature && i < signature->n_outputs && !status; i++) {
        if (signature->outputs[i].place == SP_PLACE_HEADER) {
            status = append_header(lines, signature->outputs[i].name,
                                   sp_wipe_buf_text(&values->values[i]), err);
        }
    }
    return status;
}

/* The authority that the rule named, wherever the request is delivered. */
static void append_host(struct lines *lines, const struct sp_url *url)
{
    char port[8];
    sp_wipe_buf_add_str(&lines->line, "Host: ");
    sp_wipe_buf_add_text(&lines->line, url->host);
    if (url->port != (url->https ? 443 : 80)) {
        (void)snprintf(port, sizeof port, ":%u", url->port);
        sp_wipe_buf_add_str(&lines->line, port);
    }
    append_line(lines);
}

static sp_status make_headers(struct transfer *transfer, const struct sp_signed *values,
                              struct sp_error *err)
{
    struct lines lines = {.list = NULL};
    sp_wipe_buf_init(&lines.line, LINE_MAX_BYTES);
    append_host(&lines, &transfer->send.request->url);
    append_literal(&lines, "Expect:");
    /* What libcurl adds where the list has no such header. */
    if (!client_sent(&transfer->send, SP_TEXT("accept"))) {
        append_literal(&lines, "Accept:");
    }
    if (!client_sent(&transfer->send, SP_TEXT("content-type"))) {
        append_literal(&lines, "Content-Type:");
    }
    sp_status status = append_all(&lines, &transfer->send, err);
    if (!status) {
        status = append_placed(&lines, &transfer->send, err);
    }
    if (!status) {
        status = append_signed(&lines, &transfer->send, values, err);
    }
    if (!status && lines.failed) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    }
    sp_wipe_buf_done(&lines.line);
    transfer->headers = lines.list;
    return status;
}

/* ---- options --------------------------------------------------------------------------------
 */

/* Every setopt of a kind that fails, fails for want of memory; the first failure is kept. */
#define SET(option, value)                                                                     \
    do {                                                                                       \
        if (!failed && curl_easy_setopt(easy, option, value)) {                                \
            failed = true;                                                                     \
        }                                                                                      \
    } while (0)

/* Scheme and authority for libcurl; the target is set apart, so that not a byte of it is
 * changed on the way. */
static bool set_url(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    const struct sp_url *url = &transfer->send.request->url;
    const struct sp_upstream *upstream = &transfer->lane->upstream;
    char text[SP_HOST_MAX_BYTES + 32];
    if (upstream->redirected) {
        (void)snprintf(text, sizeof text, "%s://%.*s/", upstream->https ? "https" : "http",
                       (int)url->host.len, url->host.ptr);
    } else {
        (void)snprintf(text, sizeof text, "https://%.*s:%u/", (int)url->host.len, url->host.ptr,
                       url->port);
    }
    return !curl_easy_setopt(easy, CURLOPT_URL, text);
}

/* The target with all that the plan puts into it, and the signature, which is over the target.
 */
static sp_status make_target(struct transfer *transfer, struct sp_wipe_buf *target,
                             struct sp_signed *values, struct sp_error *err)
{
    const struct sp_send *send = &transfer->send;
    struct sp_sign_moment moment;
    sp_status status =
        sp_placement_target(send->plan, send->key, &send->request->url, target, err);
    if (!status && send->plan->signature) {
        sp_sign_now(&moment);
        status = sp_sign(send->plan->signature, send->key, send->request, &moment, target,
                         values, err);
    }
    return status;
}

static bool set_method(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    const struct sp_request *request = transfer->send.request;
    bool failed = false;
    bool has_content = request->method &
                       (SP_METHOD_POST | SP_METHOD_PUT | SP_METHOD_PATCH); /* even if empty */
    if (transfer->send.upload) {
        failed = !upload_set(transfer);
    } else if (request->body.len > 0 || has_content) {
        SET(CURLOPT_POSTFIELDS, request->body.len ? request->body.ptr : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    } else if (request->method == SP_METHOD_HEAD) {
        SET(CURLOPT_NOBODY, 1L);
        return !failed;
    }
    SET(CURLOPT_CUSTOMREQUEST, sp_method_name(request->method));
    return !failed;
}

/* What is the same for all transfers of a lane: said once for each handle. */
static bool set_limits_and_tls(CURL *easy, const struct lane *lane)
{
    const struct sp_egress_config *config = &lane->egress->config;
    const char *ca_file = lane->upstream.ca_file ? lane->upstream.ca_file : config->ca_file;
    bool failed = false;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)(EGRESS_IDLE_MS / 1000));
    SET(CURLOPT_MAXLIFETIME_CONN, (long)EGRESS_CONNECTION_LIFE_S);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    if (ca_file) {
        SET(CURLOPT_CAINFO, ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    return !failed;
}

static bool set_fixed(CURL *easy, struct lane *lane)
{
    bool failed = false, plain = lane->upstream.redirected && !lane->upstream.https;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or a slow DNS answer would hold up the loop at the end */
    SET(CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    SET(CURLOPT_CONNECT_TO, lane->connect_to);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    /* nghttp2 copies headers into memory that nobody wipes, and its HPACK table keeps them. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* With no Accept-Encoding at all any coding would be fine (RFC 9110 section 12.5.3). One
     * that comes all the same is decoded by libcurl, so that the guard sees plain bytes. */
    SET(CURLOPT_ACCEPT_ENCODING, "identity");
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_CLOSESOCKETFUNCTION, lane_on_close);
    SET(CURLOPT_CLOSESOCKETDATA, lane);
    SET(CURLOPT_PREREQFUNCTION, on_before_request);
    SET(CURLOPT_HEADERFUNCTION, answer_on_header);
    SET(CURLOPT_WRITEFUNCTION, answer_on_body);
    return !failed;
}

/* What is this transfer's alone. */
static bool set_own(struct transfer *transfer, const char *target)
{
    CURL *easy = transfer->easy;
    /* How long a body takes that is handed over while it comes is its sender's matter, too. */
    uint64_t total_ms = transfer->send.upload ? 0 : transfer->lane->egress->config.total_ms;
    bool failed = !set_url(transfer) || !set_method(transfer);
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_TIMEOUT_MS, (long)total_ms);
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_REQUEST_TARGET, target);
    SET(CURLOPT_OPENSOCKETDATA, transfer);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEDATA, transfer);
    return !failed;
}

/* A handle that no transfer uses holds nothing of one: neither headers nor body nor target. */
static bool clear_own(CURL *easy)
{
    bool failed = false;
    SET(CURLOPT_PRIVATE, NULL);
    SET(CURLOPT_HTTPHEADER, NULL);
    SET(CURLOPT_REQUEST_TARGET, NULL);
    SET(CURLOPT_CUSTOMREQUEST, NULL);
    SET(CURLOPT_POSTFIELDS, NULL);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
    SET(CURLOPT_HTTPGET, 1L); /* neither HEAD nor with a body */
    SET(CURLOPT_OPENSOCKETDATA, NULL);
    SET(CURLOPT_PREREQDATA, NULL);
    SET(CURLOPT_HEADERDATA, NULL);
    SET(CURLOPT_WRITEDATA, NULL);
    return !failed;
}

/* Setting a handle up costs as much as sending a small request with it. */
static CURL *take_easy(struct lane *lane)
{
    if (lane->n_spare > 0) {
        return lane->spare[--lane->n_spare];
    }
    CURL *easy = curl_easy_init();
    if (easy && (!set_fixed(easy, lane) || !set_limits_and_tls(easy, lane))) {
        curl_easy_cleanup(easy);
        easy = NULL;
    }
    return easy;
}

sp_status easy_new(struct transfer *transfer, struct sp_error *err)
{
    const struct sp_request *request = transfer->send.request;
    if (!request->url.https && !transfer->lane->upstream.redirected) {
        return sp_fail(err, SP_EINVAL,
                       "url: keys go out over https only; http is for keys with "
                       "a loopback `upstream` setting");
    }
    if (request->method == SP_METHOD_HEAD && request->body_kind != SP_BODY_NONE) {
        return sp_fail(err, SP_EINVAL, "body: a HEAD request has none");
    }
    struct sp_wipe_buf target;
    struct sp_signed values;
    sp_wipe_buf_init(&target, TARGET_MAX_BYTES);
    sp_signed_init(&values);
    sp_status status = make_target(transfer, &target, &values, err);
    status = status ? status : make_headers(transfer, &values, err);
    if (!status) {
        transfer->easy = take_easy(transfer->lane);
        if (!transfer->easy || !set_own(transfer, target.ptr)) {
            status = sp_fail(err, SP_ENOMEM, "out of memory");
        }
    }
    sp_signed_done(&values);
    sp_wipe_buf_done(&target);
    return status;
}

void easy_free(struct transfer *transfer, bool reusable)
{
    struct lane *lane = transfer->lane;
    if (transfer->easy && reusable && lane->n_spare < EGRESS_SPARE_MAX && !lane->forgotten &&
        clear_own(transfer->easy)) {
        lane->spare[lane->n_spare++] = transfer->easy;
    } else {
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    transfer->easy = NULL;
    transfer->headers = NULL;
}
