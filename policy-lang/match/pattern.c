/* URL patterns: against a request, and against each other. */
#include "match.h"

#include <stdint.h>

bool match_host(const struct sp_rule *rule, const struct sp_url *url)
{
    return rule->url.https == url->https && rule->url.port == url->port &&
           sp_text_eq(rule->url.host, url->host);
}

static bool text_starts_fold(struct sp_text text, struct sp_text prefix)
{
    return text.len >= prefix.len &&
           sp_text_eq_fold((struct sp_text){text.ptr, prefix.len}, prefix);
}

/* A deny folds case, and is not dodged by an encoded slash. */
bool match_segment(const struct segment *pattern, const struct sp_segment *segment, bool denies)
{
    int64_t ignored;
    if (segment->has_slash && !denies && pattern->kind != SEGMENT_SLASH) {
        return false;
    }
    switch (pattern->kind) {
    case SEGMENT_LITERAL:
        return denies ? sp_text_eq_fold(segment->text, pattern->text)
                      : sp_text_eq(segment->text, pattern->text);
    case SEGMENT_PREFIX:
        return denies ? text_starts_fold(segment->text, pattern->text)
                      : sp_text_starts(segment->text, pattern->text);
    case SEGMENT_INT:
        return segment->text.len > 0 && segment->text.ptr[0] != '-' &&
               sp_form_int(segment->text, &ignored);
    case SEGMENT_PARAM: /* not filled in: nothing may pass, everything is refused */
        return denies;
    case SEGMENT_STAR:
    case SEGMENT_ANY:
    case SEGMENT_SLASH:
    case SEGMENT_REST:
        break;
    }
    return true;
}

static bool path_is(const struct sp_rule *rule, const struct sp_url *url)
{
    const struct url_pattern *pattern = &rule->url;
    size_t n = pattern->n_segments;
    bool rest = n > 0 && pattern->segments[n - 1].kind == SEGMENT_REST;
    if (rest ? url->n_segments < n : url->n_segments != n) {
        return false;
    }
    if (!rest && !rule->denies && pattern->trailing_slash != url->trailing_slash) {
        return false;
    }
    for (size_t i = 0; i < url->n_segments; i++) {
        const struct segment *segment = &pattern->segments[i < n ? i : n - 1];
        if (!match_segment(segment, &url->segments[i], rule->denies)) {
            return false;
        }
    }
    return true;
}

bool match_next_part(struct match_parts *parts, struct sp_segment *ret_part)
{
    if (parts->segment == parts->url->n_segments) {
        return false;
    }
    struct sp_text text = parts->url->segments[parts->segment].text;
    struct sp_text rest = {text.ptr + parts->at, text.len - parts->at};
    const char *slash = memchr(rest.ptr, '/', rest.len);
    if (slash) {
        rest.len = (size_t)(slash - rest.ptr);
        parts->at += rest.len + 1;
    } else {
        parts->segment++;
        parts->at = 0;
    }
    *ret_part = (struct sp_segment){rest, false};
    return true;
}

/* Whether a deny matches the path with every %2F as a '/': it must not be dodged by writing one
 * for the other, which some upstreams take for the same. */
static bool path_is_split(const struct sp_rule *rule, const struct sp_url *url)
{
    const struct url_pattern *pattern = &rule->url;
    size_t n = pattern->n_segments, i = 0;
    bool rest = n > 0 && pattern->segments[n - 1].kind == SEGMENT_REST;
    bool slashes = false;
    struct match_parts parts = {.url = url};
    struct sp_segment part;
    for (size_t s = 0; s < url->n_segments && !slashes; s++) {
        slashes = url->segments[s].has_slash;
    }
    if (!slashes) {
        return false;
    }
    for (; match_next_part(&parts, &part); i++) {
        if ((i >= n && !rest) ||
            !match_segment(&pattern->segments[i < n ? i : n - 1], &part, true)) {
            return false;
        }
    }
    return i >= n;
}

enum path_match match_path(const struct sp_rule *rule, const struct sp_url *url)
{
    if (path_is(rule, url)) {
        return PATH_YES;
    }
    return rule->denies && path_is_split(rule, url) ? PATH_SPLIT : PATH_NO;
}

/* ---- pattern against pattern ----------------------------------------------------------------
 */

static bool is_text(const struct segment *s)
{
    return s->kind == SEGMENT_LITERAL || s->kind == SEGMENT_PREFIX;
}

static bool same_host(const struct sp_rule *a, const struct sp_rule *b)
{
    return a->url.https == b->url.https && a->url.port == b->url.port &&
           sp_text_eq(a->url.host, b->url.host);
}

bool pattern_has_rest(const struct url_pattern *p)
{
    return p->n_segments > 0 && p->segments[p->n_segments - 1].kind == SEGMENT_REST;
}

/* Whether every segment that inner matches is matched by outer, both as in an allow. */
static bool segment_covers(const struct segment *outer, const struct segment *inner)
{
    int64_t ignored;
    switch (outer->kind) {
    case SEGMENT_SLASH:
        return inner->kind != SEGMENT_PARAM;
    case SEGMENT_STAR:
    case SEGMENT_ANY:
    case SEGMENT_REST:
        return inner->kind != SEGMENT_SLASH && inner->kind != SEGMENT_PARAM;
    case SEGMENT_LITERAL:
        return inner->kind == SEGMENT_LITERAL && sp_text_eq(inner->text, outer->text);
    case SEGMENT_PREFIX:
        return (inner->kind == SEGMENT_LITERAL || inner->kind == SEGMENT_PREFIX) &&
               sp_text_starts(inner->text, outer->text);
    case SEGMENT_INT:
        return inner->kind == SEGMENT_INT ||
               (inner->kind == SEGMENT_LITERAL && inner->text.ptr[0] != '-' &&
                sp_form_int(inner->text, &ignored));
    case SEGMENT_PARAM:
        break;
    }
    return false;
}

/* For deny rules the answer errs to `false` only by their folding of case. */
bool pattern_covers(const struct sp_rule *outer, const struct sp_rule *inner)
{
    const struct url_pattern *o = &outer->url, *i = &inner->url;
    if (!same_host(outer, inner)) {
        return false;
    }
    bool rest = pattern_has_rest(o), inner_rest = pattern_has_rest(i);
    if (inner_rest && !rest) {
        return false;
    }
    if (rest ? i->n_segments < o->n_segments : i->n_segments != o->n_segments) {
        return false;
    }
    if (!rest && o->trailing_slash != i->trailing_slash) {
        return false;
    }
    for (size_t n = 0; n < i->n_segments; n++) {
        const struct segment *cover = &o->segments[n < o->n_segments ? n : o->n_segments - 1];
        if (!segment_covers(cover, &i->segments[n])) {
            return false;
        }
    }
    return true;
}

/* Whether one segment can match both; errs to true. */
static bool segment_overlaps(const struct segment *a, const struct segment *b)
{
    if (!is_text(a) || !is_text(b)) {
        return true;
    }
    if (a->kind == SEGMENT_LITERAL && b->kind == SEGMENT_LITERAL) {
        return sp_text_eq_fold(a->text, b->text);
    }
    if (a->kind == SEGMENT_PREFIX && b->kind == SEGMENT_LITERAL) {
        return text_starts_fold(b->text, a->text);
    }
    if (a->kind == SEGMENT_LITERAL) {
        return text_starts_fold(a->text, b->text);
    }
    return text_starts_fold(a->text, b->text) || text_starts_fold(b->text, a->text);
}

static bool segments_overlap(const struct url_pattern *x, const struct url_pattern *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct segment *s = &x->segments[i < x->n_segments ? i : x->n_segments - 1];
        const struct segment *t = &y->segments[i < y->n_segments ? i : y->n_segments - 1];
        if (!segment_overlaps(s, t)) {
            return false;
        }
    }
    return true;
}

/* Index of the first {x:slash}; SIZE_MAX where there is none. */
static size_t first_slash(const struct url_pattern *p)
{
    for (size_t i = 0; i < p->n_segments; i++) {
        if (p->segments[i].kind == SEGMENT_SLASH) {
            return i;
        }
    }
    return SIZE_MAX;
}

bool pattern_overlaps(const struct sp_rule *a, const struct sp_rule *b)
{
    const struct url_pattern *x = &a->url, *y = &b->url;
    if (!same_host(a, b)) {
        return false;
    }
    bool rest_x = pattern_has_rest(x), rest_y = pattern_has_rest(y);
    size_t slash = first_slash(x) < first_slash(y) ? first_slash(x) : first_slash(y);
    if (slash < SIZE_MAX) { /* from there on a deny may see any number of segments */
        size_t shorter = x->n_segments < y->n_segments ? x->n_segments : y->n_segments;
        return segments_overlap(x, y, slash < shorter ? slash : shorter);
    }
    if ((!rest_x && x->n_segments < y->n_segments) ||
        (!rest_y && y->n_segments < x->n_segments)) {
        return false;
    }
    size_t n = x->n_segments > y->n_segments ? x->n_segments : y->n_segments;
    return segments_overlap(x, y, n);
}
