#include "http_read.h"

enum { FRAMING_MAX_BYTES = 20 }; /* CRLF, sixteen digits, CRLF: of one chunk */

static int refuse(struct sp_http_reader *reader, int status, const char *reason)
{
    if (reader->state != SP_HTTP_BROKEN) { /* the first fault is the one to name */
        reader->state = SP_HTTP_BROKEN;
        reader->status = status;
        reader->reason = reason;
    }
    return -1;
}

static struct sp_http_reader *reader_of(llhttp_t *parser)
{
    return parser->data;
}

/* ---- what llhttp found ----------------------------------------------------------------------
 * The head is given to it in one piece, so each of its texts comes in one piece, and stays
 * where it is until the request ends. */

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    reader_of(parser)->request.method = (struct sp_text){at, len};
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    reader_of(parser)->request.target = (struct sp_text){at, len};
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct sp_http_reader *reader = reader_of(parser);
    if (reader->state != SP_HTTP_HEAD) {
        return refuse(reader, 400, "trailers are not taken");
    }
    if (len == 0) {
        return refuse(reader, 400, "a header without a name");
    }
    if (reader->request.n_headers == SP_HTTP_HEADERS_MAX) {
        return refuse(reader, 431, "more than 100 headers");
    }
    reader->headers[reader->request.n_headers++] =
        (struct sp_raw_header){{at, len}, SP_TEXT("")};
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct sp_http_reader *reader = reader_of(parser);
    if (reader->request.n_headers == 0) {
        return refuse(reader, 400, "a header without a name");
    }
    reader->headers[reader->request.n_headers - 1].value = (struct sp_text){at, len};
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    /* Upgrades are not carried: the request stands for itself, as RFC 9110 section 7.8 lets a
     * server read it, and the bytes after it are HTTP still. */
    parser->upgrade = 0;
    parser->flags &= (uint16_t)~F_UPGRADE;
    reader_of(parser)->state = SP_HTTP_BODY;
    return 0;
}

/* Between the pieces of a chunked body stand sizes and line ends, and nothing else. */
static int check_framing(struct sp_http_reader *reader, const char *end)
{
    for (const char *c = reader->framing; c < end; c++) {
        bool digit =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f') || (*c >= 'A' && *c <= 'F');
        bool after_cr = reader->last == '\r';
        if (after_cr != (*c == '\n') || (!after_cr && !digit && *c != '\r')) {
            return refuse(reader, 400, "a chunk's size is not plain hexadecimal and CRLF");
        }
        if (++reader->n_framing > FRAMING_MAX_BYTES) {
            return refuse(reader, 400, "a chunk's size is too long");
        }
        reader->last = *c;
    }
    reader->framing = end;
    return 0;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    (void)len;
    return refuse(reader_of(parser), 400, "chunk extensions are not taken");
}

/* What was taken makes room. */
static void drop_taken(struct sp_http_reader *reader)
{
    struct sp_wipe_buf *body = &reader->body;
    if (reader->n_taken > 0) {
        body->len -= reader->n_taken;
        memmove(body->ptr, body->ptr + reader->n_taken, body->len);
        reader->n_taken = 0;
    }
}

static int pass_body(struct sp_http_reader *reader, const char *at, size_t len)
{
    reader->n_body += len;
    if (reader->n_body > reader->n_body_max) {
        return refuse(reader, 413, "the body is over the limit");
    }
    drop_taken(reader);
    sp_wipe_buf_add(&reader->body, at, len);
    return reader->body.failed ? refuse(reader, 503, "there is no room for the body") : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct sp_http_reader *reader = reader_of(parser);
    if (reader->chunked) {
        if (check_framing(reader, at)) {
            return -1;
        }
        reader->framing = at + len;
        reader->n_framing = 0;
    }
    if (reader->passes) {
        return pass_body(reader, at, len);
    }
    sp_wipe_buf_add(&reader->body, at, len);
    return reader->body.failed ? refuse(reader, 413, "the body is over the limit") : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct sp_http_reader *reader = reader_of(parser);
    reader->state = SP_HTTP_WHOLE;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

/* ---- the head -------------------------------------------------------------------------------
 */

/* What of the bytes belongs to the head, checked for line ends on the way. */
static size_t gate(struct sp_http_reader *reader, struct sp_text bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        bool line_end = c == '\n';
        if ((reader->last == '\r') != line_end) {
            (void)refuse(reader, 400, "a line must end in CRLF");
            return i;
        }
        reader->last = c;
        if (line_end && reader->line_len == 0) {
            return i + 1;
        }
        if (((unsigned char)c < 0x20 && !strchr("\t\r\n", c)) || c == 0x7f || c == '\0') {
            (void)refuse(reader, 400, "a control byte in the head");
            return i;
        }
        bool first_line = reader->n_lines == 0;
        bool blank = c == ' ' || c == '\t';
        if (reader->line_len == 0 && (first_line ? c < 'A' || c > 'Z' : blank)) {
            (void)refuse(reader, 400,
                         first_line ? "this is not HTTP/1.1" : "a folded header line");
            return i;
        }
        reader->n_lines += line_end;
        reader->line_len = line_end ? 0 : reader->line_len + (c != '\r');
    }
    return bytes.len;
}

static bool is_authority_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._:[]", c));
}

static bool is_authority(struct sp_text text)
{
    bool good = text.len > 0 && text.len <= SP_HOST_MAX_BYTES + 6;
    for (size_t i = 0; good && i < text.len; i++) {
        good = is_authority_byte(text.ptr[i]);
    }
    return good;
}

/* llhttp lets blanks stand at a value's end. */
static struct sp_text trim(struct sp_text text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* The only header of that name: false where there are two. */
static bool only(struct sp_http_reader *reader, const char *name, struct sp_text *ret_value)
{
    *ret_value = (struct sp_text){NULL, 0};
    for (size_t i = 0; i < reader->request.n_headers; i++) {
        if (sp_text_eq_fold(reader->headers[i].name, sp_text_of(name))) {
            if (ret_value->ptr) {
                return false;
            }
            *ret_value = trim(reader->headers[i].value);
        }
    }
    return true;
}

static int check_length(struct sp_http_reader *reader)
{
    uint64_t declared = reader->parser.content_length; /* the parser takes it off later */
    struct sp_text length, coding;
    if (!only(reader, "content-length", &length) ||
        !only(reader, "transfer-encoding", &coding) || (length.ptr && coding.ptr)) {
        return refuse(reader, 400, "it is not clear how long the body is");
    }
    for (size_t i = 0; length.ptr && i < length.len; i++) {
        if (length.ptr[i] < '0' || length.ptr[i] > '9') {
            return refuse(reader, 400, "Content-Length is no number");
        }
    }
    if (length.ptr && length.len == 0) {
        return refuse(reader, 400, "Content-Length is no number");
    }
    if (coding.ptr &&
        (!sp_text_eq_fold(coding, SP_TEXT("chunked")) || reader->parser.http_minor == 0)) {
        return refuse(reader, 400, "no transfer coding is taken but chunked, of HTTP/1.1");
    }
    reader->chunked = coding.ptr != NULL;
    reader->request.body_bytes = reader->chunked ? SP_HTTP_UNKNOWN : length.ptr ? declared : 0;
    return 0;
}

/* llhttp skips blanks that the grammar has not: METHOD SP TARGET SP HTTP/1.x CRLF. */
static bool is_request_line(const struct sp_http_request *request, struct sp_text head)
{
    static const char version[] = " HTTP/1.";
    const char *end = request->target.ptr + request->target.len;
    return request->method.ptr == head.ptr &&
           request->target.ptr == head.ptr + request->method.len + 1 &&
           request->target.ptr[-1] == ' ' &&
           (size_t)(head.ptr + head.len - end) > sizeof version + 2 &&
           memcmp(end, version, sizeof version - 1) == 0 && end[sizeof version] == '\r';
}

/* RFC 9112 section 3.2: what stands in the target is what Host says, or somebody is being
 * fooled (T27). The target becomes the path; a host without one has the path "/". */
static int check_proxy_target(struct sp_http_reader *reader)
{
    static const struct sp_text scheme = {"http://", 7};
    struct sp_http_request *request = &reader->request;
    struct sp_text target = request->target, head = target;
    request->connect = sp_text_is(request->method, "CONNECT");
    if (request->connect) {
        /* Node's client leaves the port out of Host, Python's speaks HTTP/1.0 and has none. */
        const char *colon = memchr(target.ptr, ':', target.len);
        head.len = colon ? (size_t)(colon - target.ptr) : target.len;
        return is_authority(target) &&
                       (!request->host.ptr || sp_text_eq_fold(target, request->host) ||
                        sp_text_eq_fold(head, request->host))
                   ? 0
                   : refuse(reader, 400, "CONNECT and Host must name the same host and port");
    }
    head.len = target.len < scheme.len ? target.len : scheme.len;
    if (!sp_text_eq_fold(head, scheme)) {
        return refuse(reader, 400, "this is a proxy: it takes http://HOST/… and CONNECT");
    }
    target = (struct sp_text){target.ptr + scheme.len, target.len - scheme.len};
    size_t len = 0;
    while (len < target.len && target.ptr[len] != '/' && target.ptr[len] != '?') {
        len++;
    }
    if (!sp_text_eq_fold((struct sp_text){target.ptr, len}, request->host)) {
        return refuse(reader, 400, "the target and Host must name the same host");
    }
    request->target = (struct sp_text){target.ptr + len, target.len - len};
    if (len == target.len || target.ptr[len] == '?') {
        if (len < target.len) {
            return refuse(reader, 400, "the target must have a path that begins with '/'");
        }
        request->target = SP_TEXT("/");
    }
    return 0;
}

static int check_head(struct sp_http_reader *reader)
{
    struct sp_http_request *request = &reader->request;
    struct sp_text expect;
    if (reader->parser.http_major != 1 || reader->parser.http_minor > 1) {
        return refuse(reader, 505, "HTTP/1.1 is spoken here");
    }
    if (!is_request_line(request, sp_wipe_buf_text(&reader->head))) {
        return refuse(reader, 400, "the request line is malformed");
    }
    if (request->target.len > SP_URL_MAX_BYTES) {
        return refuse(reader, 414, "the target is longer than 8192 bytes");
    }
    if (!only(reader, "host", &request->host) ||
        (request->host.ptr ? !is_authority(request->host) : reader->parser.http_minor == 1)) {
        return refuse(reader, 400, "there must be one Host header, with a host");
    }
    if (reader->proxy ? check_proxy_target(reader)
                      : request->target.len == 0 || request->target.ptr[0] != '/') {
        return refuse(reader, 400, "the target must be a path that begins with '/'");
    }
    if (!only(reader, "expect", &expect) ||
        (expect.ptr && !sp_text_eq_fold(expect, SP_TEXT("100-continue")))) {
        return refuse(reader, 417, "nothing can be expected but 100-continue");
    }
    request->expects_continue = expect.ptr && reader->state == SP_HTTP_BODY;
    request->chunks = reader->parser.http_minor == 1;
    request->keep_alive = llhttp_should_keep_alive(&reader->parser) != 0;
    return check_length(reader);
}

/* llhttp's own words name its states; what a client needs to know is what it got wrong. */
static const char *explain(llhttp_errno_t fault)
{
    switch ((int)fault) { /* a few of thirty */
    case HPE_INVALID_METHOD:
        return "no such method";
    case HPE_INVALID_URL:
        return "a byte that no target holds";
    case HPE_INVALID_VERSION:
        return "HTTP/1.1 is spoken here";
    case HPE_INVALID_HEADER_TOKEN:
        return "a header is malformed";
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return "it is not clear how long the body is";
    case HPE_INVALID_CHUNK_SIZE:
        return "a chunk's size is not plain hexadecimal and CRLF";
    default:
        return "this is not HTTP/1.1";
    }
}

static void parse_head(struct sp_http_reader *reader)
{
    struct sp_text head = sp_wipe_buf_text(&reader->head);
    reader->last = '\0';
    llhttp_errno_t fault = llhttp_execute(&reader->parser, head.ptr, head.len);
    if (reader->state == SP_HTTP_BROKEN) {
        return;
    }
    if (sp_text_starts(head, SP_TEXT("PRI * HTTP/2"))) { /* RFC 9113 section 3.4 */
        (void)refuse(reader, 505, "HTTP/2 is not spoken here: use HTTP/1.1");
        return;
    }
    if (fault != HPE_OK && fault != HPE_PAUSED) {
        (void)refuse(reader, fault == HPE_INVALID_VERSION ? 505 : 400, explain(fault));
        return;
    }
    if (reader->state == SP_HTTP_HEAD) {
        (void)refuse(reader, 400, "this is not HTTP/1.1"); /* it sees no end where we do */
        return;
    }
    (void)check_head(reader);
}

static size_t feed_head(struct sp_http_reader *reader, struct sp_text bytes)
{
    size_t used = gate(reader, bytes);
    sp_wipe_buf_add_text(&reader->head, (struct sp_text){bytes.ptr, used});
    if (reader->state == SP_HTTP_BROKEN) {
        return used;
    }
    if (reader->head.failed) {
        (void)refuse(reader, 431, "request line and headers are over 64 KiB");
    } else if (reader->head.len >= 4 &&
               memcmp(reader->head.ptr + reader->head.len - 4, "\r\n\r\n", 4) == 0) {
        parse_head(reader);
    }
    return used;
}

/* ---- the body -------------------------------------------------------------------------------
 */

static size_t feed_body(struct sp_http_reader *reader, struct sp_text bytes)
{
    reader->framing = bytes.ptr;
    llhttp_errno_t fault = llhttp_execute(&reader->parser, bytes.ptr, bytes.len);
    if (reader->state == SP_HTTP_BROKEN) {
        return 0;
    }
    if (fault != HPE_OK && fault != HPE_PAUSED) {
        (void)refuse(reader, 400, explain(fault));
        return 0;
    }
    size_t used = fault == HPE_PAUSED
                      ? (size_t)(llhttp_get_error_pos(&reader->parser) - bytes.ptr)
                      : bytes.len;
    if (reader->chunked) {
        (void)check_framing(reader, bytes.ptr + used);
    }
    return used;
}

enum sp_http_state sp_http_feed(struct sp_http_reader *reader, struct sp_text bytes,
                                size_t *ret_used)
{
    *ret_used = 0;
    if (bytes.len > 0 && reader->state == SP_HTTP_HEAD) {
        *ret_used = feed_head(reader, bytes);
    } else if (bytes.len > 0 && reader->state == SP_HTTP_BODY) {
        *ret_used = feed_body(reader, bytes);
    }
    if (reader->state == SP_HTTP_WHOLE && reader->body.len > 0 && !reader->passes) {
        reader->request.body = sp_wipe_buf_text(&reader->body);
    }
    return reader->state;
}

enum sp_http_state sp_http_gather(struct sp_http_reader *reader)
{
    if (!reader->chunked && reader->request.body_bytes > reader->body_max_bytes) {
        (void)refuse(reader, 413, "the body is over the limit");
    }
    return reader->state;
}

enum sp_http_state sp_http_pass(struct sp_http_reader *reader, uint64_t max_bytes)
{
    reader->passes = true;
    reader->n_body = reader->body.len;
    reader->n_body_max = max_bytes;
    reader->body.cap_bytes = SP_HTTP_PASS_ROOM_BYTES;
    if ((!reader->chunked && reader->request.body_bytes > max_bytes) ||
        reader->n_body > max_bytes) {
        (void)refuse(reader, 413, "the body is over the limit");
    }
    return reader->state;
}

size_t sp_http_body_waiting(const struct sp_http_reader *reader)
{
    return reader->body.len - reader->n_taken;
}

size_t sp_http_body_take(struct sp_http_reader *reader, char *bytes, size_t room)
{
    size_t left = sp_http_body_waiting(reader), n = left < room ? left : room;
    if (n > 0) {
        memcpy(bytes, reader->body.ptr + reader->n_taken, n);
        reader->n_taken += n;
    }
    return n;
}

/* ---- life -----------------------------------------------------------------------------------
 */

static void begin(struct sp_http_reader *reader, size_t body_max_bytes)
{
    reader->request = (struct sp_http_request){.headers = reader->headers};
    reader->state = SP_HTTP_HEAD;
    reader->line_len = reader->n_lines = reader->n_framing = 0;
    reader->last = '\0';
    reader->chunked = reader->passes = false;
    reader->body_max_bytes = body_max_bytes;
    reader->n_taken = 0;
    reader->n_body = reader->n_body_max = 0;
    sp_wipe_buf_init(&reader->head, SP_HTTP_HEAD_MAX_BYTES);
    sp_wipe_buf_init(&reader->body, body_max_bytes);
    llhttp_init(&reader->parser, HTTP_REQUEST, &settings);
    reader->parser.data = reader;
}

void sp_http_reader_init(struct sp_http_reader *reader, size_t body_max_bytes)
{
    memset(reader, 0, sizeof *reader);
    begin(reader, body_max_bytes);
}

void sp_http_reader_done(struct sp_http_reader *reader)
{
    sp_wipe_buf_done(&reader->head);
    sp_wipe_buf_done(&reader->body);
}

void sp_http_next(struct sp_http_reader *reader)
{
    sp_http_reader_done(reader);
    begin(reader, reader->body_max_bytes);
}

size_t sp_http_held(const struct sp_http_reader *reader)
{
    return reader->head.room + reader->body.room;
}
