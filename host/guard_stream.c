/* The guard over an answer that goes on as it comes. Four views of it are searched, as guard.c
 * does: the bytes, percent-encoding undone, JSON's escapes undone, and both. Each view is a
 * decoder with a memory of at most six bytes, and in front of it, for each needle, how much of
 * that needle the view ends with (Knuth, Morris and Pratt). */
#include "guard_inner.h"

enum {
    VIEWS = 4,
    HELD_MIN_BYTES = 20, /* a beginning that long is held back, or one of half the needle */
    ESCAPE_MAX_BYTES = 6,
};

/* A byte of a view, and where in the answer what it was made of begins. */
struct seen {
    char byte;
    uint64_t at;
};

struct view {
    size_t *matched;  /* by needle: how many of its bytes the view ends with */
    size_t n_partial; /* needles of which that is more than none */
    uint64_t *places; /* of the last bytes, a ring */
    uint64_t n;       /* bytes so far */
    struct seen escape[ESCAPE_MAX_BYTES]; /* of percent-encoding, begun */
    size_t n_escape;
};

struct sp_guard_stream {
    const struct sp_guard *guard;
    size_t *fail; /* by byte of guard->bytes: the failure function of its needle */
    bool first[256];
    size_t ring; /* room of each ring: a power of two, more than the longest needle */
    uint64_t n;  /* bytes of the answer so far */
    struct view views[VIEWS];           /* plain, percent, JSON, JSON and percent */
    struct seen json[ESCAPE_MAX_BYTES]; /* an escape of JSON, begun; for both its views */
    size_t n_json;
    bool found;
};

enum { PLAIN, PERCENT, JSON, BOTH };

/* ---- needles --------------------------------------------------------------------------------
 */

static char fold(const struct needle *needle, char c)
{
    return needle->fold && c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
}

static void failures(const struct needle *needle, const char *bytes, size_t *ret_fail)
{
    size_t k = 0;
    ret_fail[0] = 0;
    for (size_t i = 1; i < needle->len; i++) {
        while (k > 0 && bytes[i] != bytes[k]) {
            k = ret_fail[k - 1];
        }
        k += bytes[i] == bytes[k];
        ret_fail[i] = k;
    }
}

static size_t advance(const struct sp_guard_stream *stream, const struct needle *needle,
                      size_t matched, char c)
{
    const char *bytes = stream->guard->bytes.ptr + needle->start;
    const size_t *fail = stream->fail + needle->start;
    c = fold(needle, c);
    while (matched > 0 && bytes[matched] != c) {
        matched = fail[matched - 1];
    }
    return matched + (bytes[matched] == c);
}

static void see(struct sp_guard_stream *stream, struct view *view, struct seen seen)
{
    const struct sp_guard *guard = stream->guard;
    view->places[view->n++ & (stream->ring - 1)] = seen.at;
    if (view->n_partial == 0 && !stream->first[(unsigned char)seen.byte]) {
        return;
    }
    view->n_partial = 0;
    for (size_t i = 0; i < guard->n; i++) {
        size_t matched = advance(stream, &guard->needles[i], view->matched[i], seen.byte);
        if (matched == guard->needles[i].len) {
            stream->found = true;
            matched = 0;
        }
        view->matched[i] = matched;
        view->n_partial += matched > 0;
    }
}

/* ---- views ----------------------------------------------------------------------------------
 */

static void see_percent(struct sp_guard_stream *stream, struct view *view, struct seen seen)
{
    struct seen *escape = view->escape;
    escape[view->n_escape++] = seen;
    /* What is no escape after all goes on from its second byte, which may begin one. */
    while (view->n_escape > 0) {
        size_t n = view->n_escape;
        bool begun = escape[0].byte == '%' && (n < 2 || guard_hex_digit(escape[1].byte) >= 0) &&
                     (n < 3 || guard_hex_digit(escape[2].byte) >= 0);
        if (begun && n < 3) {
            return;
        }
        size_t used = begun ? 3 : 1;
        struct seen made = escape[0];
        if (begun) {
            made.byte =
                (char)(guard_hex_digit(escape[1].byte) * 16 + guard_hex_digit(escape[2].byte));
        }
        view->n_escape -= used;
        memmove(escape, escape + used, view->n_escape * sizeof *escape);
        see(stream, view, made);
    }
}

static void see_json(struct sp_guard_stream *stream, struct seen seen)
{
    see(stream, &stream->views[JSON], seen);
    see_percent(stream, &stream->views[BOTH], seen);
}

/* How many bytes of the escape are an escape: 0 none of it, -1 not to be told yet. */
static int json_escape(const struct seen *escape, size_t n, char ret_bytes[3], size_t *ret_n)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    int code = 0;
    if (escape[0].byte != '\\') {
        return 0;
    }
    if (n < 2) {
        return -1;
    }
    const char *letter = escape[1].byte ? strchr(letters, escape[1].byte) : NULL;
    if (letter) {
        ret_bytes[0] = bytes[letter - letters];
        *ret_n = 1;
        return 2;
    }
    if (escape[1].byte != 'u') {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        int digit = guard_hex_digit(escape[i].byte);
        if (digit < 0) {
            return 0;
        }
        code = code * 16 + digit;
    }
    if (n < ESCAPE_MAX_BYTES) {
        return -1;
    }
    *ret_n = guard_put_utf8(ret_bytes, code);
    return ESCAPE_MAX_BYTES;
}

static void see_raw(struct sp_guard_stream *stream, struct seen seen)
{
    struct seen *escape = stream->json;
    see(stream, &stream->views[PLAIN], seen);
    see_percent(stream, &stream->views[PERCENT], seen);
    escape[stream->n_json++] = seen;
    while (stream->n_json > 0) {
        char made[3];
        size_t n_made = 0;
        int used = json_escape(escape, stream->n_json, made, &n_made);
        if (used < 0) {
            return;
        }
        struct seen first = escape[0];
        size_t n = used ? (size_t)used : 1;
        stream->n_json -= n;
        memmove(escape, escape + n, stream->n_json * sizeof *escape);
        if (!used) {
            see_json(stream, first);
        }
        for (size_t i = 0; i < n_made; i++) {
            see_json(stream, (struct seen){made[i], first.at});
        }
    }
}

/* ---- what has to wait -----------------------------------------------------------------------
 */

static uint64_t held_from(const struct sp_guard_stream *stream)
{
    uint64_t from = stream->n;
    for (size_t v = 0; v < VIEWS; v++) {
        const struct view *view = &stream->views[v];
        for (size_t i = 0; view->n_partial > 0 && i < stream->guard->n; i++) {
            size_t matched = view->matched[i];
            if (matched < HELD_MIN_BYTES && matched * 2 < stream->guard->needles[i].len) {
                continue;
            }
            uint64_t at = view->places[(view->n - matched) & (stream->ring - 1)];
            from = at < from ? at : from;
        }
    }
    return from;
}

sp_status sp_guard_stream_feed(struct sp_guard_stream *stream, struct sp_text text,
                               size_t *ret_held)
{
    if (stream->guard->n == 0) {
        *ret_held = 0;
        return SP_OK;
    }
    for (size_t i = 0; i < text.len && !stream->found; i++) {
        see_raw(stream, (struct seen){text.ptr[i], stream->n++});
    }
    if (stream->found) {
        return SP_EDENIED;
    }
    *ret_held = (size_t)(stream->n - held_from(stream));
    return SP_OK;
}

sp_status sp_guard_stream_end(struct sp_guard_stream *stream)
{
    /* An escape that never ended stands for its own bytes. */
    for (size_t i = 0; i < stream->n_json; i++) {
        see_json(stream, stream->json[i]);
    }
    stream->n_json = 0;
    static const size_t percent[] = {PERCENT, BOTH};
    for (size_t v = 0; v < 2; v++) {
        struct view *view = &stream->views[percent[v]];
        for (size_t i = 0; i < view->n_escape; i++) {
            see(stream, view, view->escape[i]);
        }
        view->n_escape = 0;
    }
    return stream->found ? SP_EDENIED : SP_OK;
}

/* ---- life -----------------------------------------------------------------------------------
 */

static bool set_up(struct sp_guard_stream *stream)
{
    const struct sp_guard *guard = stream->guard;
    size_t longest = 0;
    stream->fail = sp_wipe_calloc(guard->bytes.len + 1, sizeof *stream->fail);
    if (!stream->fail) {
        return false;
    }
    for (size_t i = 0; i < guard->n; i++) {
        const struct needle *needle = &guard->needles[i];
        const char *bytes = guard->bytes.ptr + needle->start;
        failures(needle, bytes, stream->fail + needle->start);
        longest = needle->len > longest ? needle->len : longest;
        stream->first[(unsigned char)bytes[0]] = true;
        if (needle->fold && bytes[0] >= 'a') { /* it is hexadecimal */
            stream->first[(unsigned char)(bytes[0] - 'a' + 'A')] = true;
        }
    }
    for (stream->ring = 64; stream->ring <= longest; stream->ring *= 2) {
    }
    for (size_t v = 0; v < VIEWS; v++) {
        stream->views[v].matched = sp_wipe_calloc(guard->n + 1, sizeof(size_t));
        stream->views[v].places = sp_wipe_calloc(stream->ring, sizeof(uint64_t));
        if (!stream->views[v].matched || !stream->views[v].places) {
            return false;
        }
    }
    return true;
}

sp_status sp_guard_stream_new(const struct sp_guard *guard, struct sp_guard_stream **ret_stream)
{
    struct sp_guard_stream *stream = sp_wipe_calloc(1, sizeof *stream);
    if (!stream) {
        return SP_ENOMEM;
    }
    stream->guard = guard;
    if (!set_up(stream)) {
        sp_guard_stream_free(stream);
        return SP_ENOMEM;
    }
    *ret_stream = stream;
    return SP_OK;
}

void sp_guard_stream_free(struct sp_guard_stream *stream)
{
    if (!stream) {
        return;
    }
    for (size_t v = 0; v < VIEWS; v++) {
        sp_wipe_free(stream->views[v].matched);
        sp_wipe_free(stream->views[v].places);
    }
    sp_wipe_free(stream->fail);
    sp_wipe_free(stream);
}
