/* URL patterns: one token, cut by the same rules as a request's URL. */
#include "parser.h"
#include "percent.h"

/* Report a fault of a part of the URL token. */
static bool fault(struct parser *p, struct sp_text part, const char *code, const char *fix,
                  const char *message)
{
    uint32_t start = p->token.start + (uint32_t)(part.ptr - p->token.text.ptr);
    sp_diags_add(p->diags, SP_SEVERITY_ERROR, code,
                 (struct sp_span){p->source, start, (uint32_t)part.len}, fix, "%s", message);
    return false;
}

/* Literal text of a segment: decoded once, and refused where no request could ever match it. */
static bool literal(struct parser *p, struct sp_text raw, bool prefix, struct sp_text *ret_text)
{
    /* Judged by the canonicaliser itself, as the one segment of a URL; a prefix gets a letter
     * behind it, so that "." or ".." before a '*' is not taken for the whole segment. */
    struct sp_buf url;
    struct sp_url parsed;
    struct sp_error err = {""};
    sp_buf_init(&url, SP_URL_MAX_BYTES);
    sp_buf_add_str(&url, "https://h/");
    sp_buf_add_text(&url, raw);
    sp_buf_add_str(&url, prefix ? "x" : "");
    bool plain = !memchr(raw.ptr, '?', raw.len) && !memchr(raw.ptr, '*', raw.len) &&
                 !memchr(raw.ptr, '{', raw.len) && !memchr(raw.ptr, '}', raw.len);
    sp_status status = plain && !url.failed
                           ? sp_url_parse(p->arena, sp_buf_text(&url), &parsed, &err)
                       : url.out_of_memory ? SP_ENOMEM
                                           : SP_EINVAL;
    p->out_of_memory = p->out_of_memory || status == SP_ENOMEM;
    bool good = status == SP_OK && parsed.n_segments == 1 && !parsed.trailing_slash &&
                !parsed.segments[0].has_slash;
    if (good) {
        *ret_text = parsed.segments[0].text;
        ret_text->len -= prefix;
    }
    sp_buf_done(&url);
    return good || fault(p, raw, "E011", "percent-encode odd bytes (%2A is '*')",
                         *err.text ? err.text : "this segment matches no request");
}

static bool capture(struct parser *p, struct sp_text raw, struct segment *ret_segment)
{
    static const struct {
        const char *type;
        enum segment_kind kind;
    } types[] = {{"int", SEGMENT_INT}, {"any", SEGMENT_ANY}, {"slash", SEGMENT_SLASH}};
    struct sp_text inner = {raw.ptr + 1, raw.len - 2};
    const char *colon = memchr(inner.ptr, ':', inner.len);
    ret_segment->kind = SEGMENT_PARAM;
    ret_segment->text = inner;
    if (colon) {
        ret_segment->text.len = (size_t)(colon - inner.ptr);
        struct sp_text type = {colon + 1, inner.len - ret_segment->text.len - 1};
        bool known = false;
        for (size_t i = 0; i < 3; i++) {
            if (sp_text_is(type, types[i].type)) {
                ret_segment->kind = types[i].kind;
                known = true;
            }
        }
        if (!known) {
            return fault(p, type, "E012", "int, any or slash", "unknown type of a capture");
        }
    }
    struct lexer lexer = {.text = ret_segment->text};
    struct token word = lexer_next(&lexer);
    if (word.kind != TOKEN_WORD || word.text.len != ret_segment->text.len ||
        word.text.len > SP_NAME_MAX_BYTES) {
        return fault(p, raw, "E012", "{name}, {name:int}, {name:any} or {name:slash}",
                     "this is no parameter or capture");
    }
    return true;
}

static bool segment(struct parser *p, struct sp_text raw, bool last,
                    struct segment *ret_segment)
{
    ret_segment->span = (struct sp_span){
        p->source, p->token.start + (uint32_t)(raw.ptr - p->token.text.ptr), (uint32_t)raw.len};
    if (raw.len == 0) {
        return fault(p, raw, "E011", "write one '/'", "an empty segment matches no request");
    }
    if (sp_text_is(raw, "**")) {
        ret_segment->kind = SEGMENT_REST;
        return last ||
               fault(p, raw, "E013", "use '*' for each segment, or end the path with /**",
                     "'**' may only stand at the end");
    }
    if (sp_text_is(raw, "*")) {
        ret_segment->kind = SEGMENT_STAR;
        return true;
    }
    if (raw.ptr[0] == '{' && raw.ptr[raw.len - 1] == '}') {
        return capture(p, raw, ret_segment);
    }
    bool prefix = raw.ptr[raw.len - 1] == '*';
    ret_segment->kind = prefix ? SEGMENT_PREFIX : SEGMENT_LITERAL;
    raw.len -= prefix;
    return literal(p, raw, prefix, &ret_segment->text);
}

/* The authority is judged by the canonicaliser, too. */
static bool authority(struct parser *p, struct sp_text raw, struct url_pattern *url)
{
    struct sp_url parsed;
    struct sp_error err = {""};
    sp_status status = sp_url_parse(p->arena, raw, &parsed, &err);
    p->out_of_memory = p->out_of_memory || status == SP_ENOMEM;
    if (status) {
        return fault(p, raw, "E010", NULL, err.text);
    }
    url->https = parsed.https;
    url->host = parsed.host;
    url->port = parsed.port;
    return true;
}

static bool path(struct parser *p, struct sp_text raw, struct url_pattern *url)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        n += raw.ptr[i] == '/';
    }
    if (n > SP_URL_MAX_SEGMENTS) {
        return fault(p, raw, "E011", NULL, "more segments than a request may have");
    }
    url->segments = parser_alloc(p, n * sizeof *url->segments);
    if (!url->segments) {
        return false;
    }
    for (size_t start = 1; start < raw.len;) {
        const char *slash = memchr(raw.ptr + start, '/', raw.len - start);
        size_t end = slash ? (size_t)(slash - raw.ptr) : raw.len;
        if (!segment(p, (struct sp_text){raw.ptr + start, end - start}, end == raw.len,
                     &url->segments[url->n_segments])) {
            return false;
        }
        url->n_segments++;
        url->trailing_slash = slash != NULL;
        start = end + 1;
    }
    return true;
}

bool parse_url_pattern(struct parser *p, struct url_pattern *ret_url)
{
    *ret_url = (struct url_pattern){.span = parser_span(p)};
    if (p->token.kind != TOKEN_URL) {
        return parser_error(p, "E010", "https://host/path",
                            "a URL with https:// (or http://) belongs here");
    }
    struct sp_text text = p->token.text;
    const char *query = memchr(text.ptr, '?', text.len);
    if (query) {
        return fault(p, (struct sp_text){query, (size_t)(text.ptr + text.len - query)}, "E014",
                     "where query.name = …", "a pattern holds no query");
    }
    const char *host = memmem(text.ptr, text.len, "://", 3);
    size_t scheme = (size_t)(host - text.ptr) + 3;
    const char *slash = memchr(text.ptr + scheme, '/', text.len - scheme);
    if (!slash) {
        return fault(p, text, "E011", "end it with / or /**", "a pattern needs a path");
    }
    size_t authority_len = (size_t)(slash - text.ptr);
    bool good = authority(p, (struct sp_text){text.ptr, authority_len}, ret_url) &&
                path(p, (struct sp_text){slash, text.len - authority_len}, ret_url);
    if (good) {
        parser_advance(p);
    }
    return good;
}
