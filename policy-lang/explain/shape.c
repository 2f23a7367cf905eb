/* A request in the shape of a rule: its method, its host, its path. */
#include "nearest.h"

enum { WHOLE = 1024 }; /* the cost of one thing that differs */

/* ---- what differs ---------------------------------------------------------------------------
 */

/* 0 where they are alike, nearly WHOLE where they have nothing in common. */
static uint64_t unlike(struct sp_text a, struct sp_text b)
{
    size_t longer = a.len > b.len ? a.len : b.len, head = 0, tail = 0;
    while (head < a.len && head < b.len && a.ptr[head] == b.ptr[head]) {
        head++;
    }
    while (head + tail < a.len && head + tail < b.len &&
           a.ptr[a.len - 1 - tail] == b.ptr[b.len - 1 - tail]) {
        tail++;
    }
    return longer ? (WHOLE - 1) * (uint64_t)(longer - head - tail) / longer : 0;
}

static bool is_rest(const struct url_pattern *pattern)
{
    return pattern->n_segments > 0 &&
           pattern->segments[pattern->n_segments - 1].kind == SEGMENT_REST;
}

uint64_t shape_cost(const struct sp_rule *rule, const struct sp_request *request)
{
    const struct url_pattern *pattern = &rule->url;
    const struct sp_url *url = &request->url;
    uint64_t things = !(rule->methods & request->method), likeness = 0;
    size_t n = pattern->n_segments;
    if (!match_host(rule, url)) {
        things += 2; /* another service: a path there says less */
        likeness += unlike(pattern->host, url->host);
    }
    for (size_t i = 0; i < n; i++) {
        const struct segment *segment = &pattern->segments[i];
        if (i >= url->n_segments) {
            things++;
        } else if (!match_segment(segment, &url->segments[i], false)) {
            things++;
            likeness += unlike(segment->text, url->segments[i].text);
        }
    }
    if (!is_rest(pattern)) {
        things += url->n_segments > n ? url->n_segments - n : 0;
        things += pattern->trailing_slash != url->trailing_slash;
    }
    /* Likeness alone never outweighs one thing more; one thing does two fields. */
    return 2 * things * WHOLE + (likeness < WHOLE ? likeness : WHOLE - 1);
}

/* ---- the change -----------------------------------------------------------------------------
 */

/* A segment that the pattern's matches: the request's own where it does. */
static bool fill(struct sp_arena *arena, const struct segment *pattern,
                 const struct sp_segment *own, struct sp_segment *ret_segment)
{
    struct sp_buf text;
    if (own && match_segment(pattern, own, false)) {
        *ret_segment = *own;
        return true;
    }
    ret_segment->has_slash = false;
    switch (pattern->kind) {
    case SEGMENT_LITERAL:
        ret_segment->text = pattern->text;
        return true;
    case SEGMENT_PREFIX:
        sp_buf_init(&text, SP_URL_MAX_BYTES);
        sp_buf_add_text(&text, pattern->text);
        sp_buf_add_str(&text, "x");
        ret_segment->text = sp_arena_copy(arena, sp_buf_text(&text));
        sp_buf_done(&text);
        return ret_segment->text.ptr != NULL;
    case SEGMENT_INT:
        ret_segment->text = SP_TEXT("1");
        return true;
    case SEGMENT_STAR:
    case SEGMENT_ANY:
    case SEGMENT_SLASH:
    case SEGMENT_REST:
    case SEGMENT_PARAM:
        break;
    }
    ret_segment->text = SP_TEXT("x");
    return true;
}

static bool shape_path(struct sp_arena *arena, const struct sp_rule *rule, struct sp_url *url)
{
    const struct url_pattern *pattern = &rule->url;
    size_t n = pattern->n_segments, own = url->n_segments;
    bool rest = is_rest(pattern);
    size_t room = rest && own > n ? own : n;
    struct sp_segment *segments = sp_arena_array(arena, room, sizeof *segments);
    for (size_t i = 0; segments && i < room; i++) {
        if (!fill(arena, &pattern->segments[i < n ? i : n - 1],
                  i < own ? &url->segments[i] : NULL, &segments[i])) {
            return false;
        }
    }
    url->segments = segments;
    url->n_segments = room;
    url->trailing_slash = rest ? url->trailing_slash : pattern->trailing_slash;
    return segments != NULL;
}

bool shape_apply(struct sp_arena *arena, const struct sp_rule *rule, struct sp_request *request)
{
    if (!(rule->methods & request->method)) {
        request->method = rule->methods & (0u - rule->methods); /* the lowest bit: GET first */
    }
    if (!match_host(rule, &request->url)) {
        request->url.https = rule->url.https;
        request->url.host = rule->url.host;
        request->url.port = rule->url.port;
    }
    return match_path(rule, &request->url) == PATH_YES ||
           shape_path(arena, rule, &request->url);
}
