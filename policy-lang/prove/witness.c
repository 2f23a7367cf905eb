/* Counterexamples: replayed before they are shown, and written down for people. */
#include "prove.h"

#include <inttypes.h>
#include <stdio.h>

/* Whether the needle, all lower case, stands in the text, in any case. */
static bool occurs(struct sp_text text, const char *needle)
{
    size_t len = strlen(needle);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (sp_text_eq_fold((struct sp_text){text.ptr + i, len},
                            (struct sp_text){needle, len})) {
            return true;
        }
    }
    return false;
}

/* Words and numbers that are tried: who names so many hides what else there is. */
enum { FRESH_MAX = 1000 };

bool prove_choose_fresh(struct prove *p)
{
    char word[16], number[16], both[40];
    struct sp_buf text;
    unsigned w = 0, n = 0;
    sp_buf_init(&text, 4 * SP_SOURCE_MAX_BYTES);
    sp_scope_print(p->outer, &text);
    sp_scope_print(p->inner, &text);
    do {
        (void)snprintf(word, sizeof word, "zq%c%c%c", 'a' + (int)(w / 676 % 26),
                       'a' + (int)(w / 26 % 26), 'a' + (int)(w % 26));
    } while (occurs(sp_buf_text(&text), word) && ++w < FRESH_MAX);
    do {
        (void)snprintf(number, sizeof number, "70%u7", n);
    } while (occurs(sp_buf_text(&text), number) && ++n < FRESH_MAX);
    bool good = !text.failed && w < FRESH_MAX && n < FRESH_MAX;
    sp_buf_done(&text);
    (void)snprintf(both, sizeof both, "%s/%s", word, word);
    p->word = sp_arena_copy(&p->arena, sp_text_of(word));
    p->number = sp_arena_copy(&p->arena, sp_text_of(number));
    p->slashed_word = sp_arena_copy(&p->arena, sp_text_of(both));
    return good && p->word.ptr && p->number.ptr && p->slashed_word.ptr;
}

bool prove_limits(const struct sp_rule *inner, const struct sp_rule *outer, bool inherits)
{
    bool rate = !outer->rate.count ||
                (inner->rate.count ? rate_within(inner->rate, outer->rate) : inherits);
    bool budget = !outer->budget ||
                  (inner->budget ? budget_within(inner->budget, outer->budget) : inherits);
    return rate && budget;
}

bool prove_replay(struct prove *p)
{
    struct sp_verdict inner, outer;
    sp_scope_match(p->inner, &p->request, &inner);
    sp_scope_match(p->outer, &p->request, &outer);
    if (!inner.allowed || !outer.allowed) {
        return inner.allowed;
    }
    /* A caveat without allows, which allows by no rule, is never inner. */
    return outer.rule && !prove_limits(inner.rule, outer.rule, p->inherits);
}

static void print_json(const struct sp_value *value, struct sp_buf *buf)
{
    switch (value->kind) {
    case SP_VALUE_BOOL:
        sp_buf_add_str(buf, value->as.boolean ? "true" : "false");
        break;
    case SP_VALUE_INT:
        sp_buf_addf(buf, "%" PRId64, value->as.integer);
        break;
    case SP_VALUE_STRING:
    case SP_VALUE_FORM:
        sp_buf_add_json(buf, value->as.text);
        break;
    case SP_VALUE_ARRAY:
        sp_buf_add_byte(buf, '[');
        for (size_t i = 0; i < value->as.array.n; i++) {
            sp_buf_add_str(buf, i ? ", " : "");
            print_json(&value->as.array.items[i], buf);
        }
        sp_buf_add_byte(buf, ']');
        break;
    case SP_VALUE_OBJECT:
        sp_buf_add_byte(buf, '{');
        for (size_t i = 0; i < value->as.object.n; i++) {
            sp_buf_add_str(buf, i ? ", " : "");
            sp_buf_add_json(buf, value->as.object.items[i].name);
            sp_buf_add_str(buf, ": ");
            print_json(&value->as.object.items[i].value, buf);
        }
        sp_buf_add_byte(buf, '}');
        break;
    case SP_VALUE_NUMBER: /* which one is not kept; to rules they are all alike */
        sp_buf_add_str(buf, "0.5");
        break;
    case SP_VALUE_NULL:
    case SP_VALUE_AMBIGUOUS:
        sp_buf_add_str(buf, "null");
        break;
    }
}

/* name=value as a form's pair, its brackets left to be read. */
static void print_form(const struct sp_value *value, struct sp_buf *name, bool *first,
                       struct sp_buf *buf)
{
    size_t len = name->len;
    for (size_t i = 0; value->kind == SP_VALUE_OBJECT && i < value->as.object.n; i++) {
        const struct sp_member *member = &value->as.object.items[i];
        sp_buf_addf(name, len ? "[%.*s]" : "%.*s", (int)member->name.len, member->name.ptr);
        print_form(&member->value, name, first, buf);
        name->len = len;
    }
    for (size_t i = 0; value->kind == SP_VALUE_ARRAY && i < value->as.array.n; i++) {
        sp_buf_add_str(name, "[]");
        print_form(&value->as.array.items[i], name, first, buf);
        name->len = len;
    }
    bool twice = value->kind == SP_VALUE_AMBIGUOUS;
    if (value->kind != SP_VALUE_FORM && !twice) {
        return;
    }
    for (unsigned k = 0; k < (twice ? 2 : 1); k++) {
        struct sp_param pair = {sp_buf_text(name), value->as.text, true};
        struct sp_url url = {
            .https = true, .host = SP_TEXT("h"), .port = 443, .query = &pair, .n_query = 1};
        struct sp_buf text;
        sp_buf_init(&text, 1 << 20);
        sp_url_print_target(&url, &text);
        sp_buf_add_str(buf, *first ? "" : "&");
        sp_buf_add_str(buf, text.failed ? "" : text.ptr + 2); /* behind "/?" */
        buf->failed = buf->failed || text.failed;
        sp_buf_done(&text);
        *first = false;
    }
}

void sp_witness_print(const struct sp_request *request, struct sp_buf *buf)
{
    bool first = true;
    char room[1024];
    struct sp_buf name;
    sp_buf_addf(buf, "%s ", sp_method_name(request->method));
    sp_url_print(&request->url, buf);
    for (size_t i = 0; i < request->n_headers; i++) {
        const struct sp_header *header = &request->headers[i];
        sp_buf_addf(buf, " header %.*s: %.*s", (int)header->name.len, header->name.ptr,
                    (int)header->value.len, header->value.ptr);
    }
    if (request->body_kind == SP_BODY_JSON) {
        sp_buf_add_str(buf, " json ");
        print_json(request->body_value, buf);
    } else if (request->body_kind == SP_BODY_FORM) {
        sp_buf_add_str(buf, " form ");
        sp_buf_over(&name, room, sizeof room);
        print_form(request->body_value, &name, &first, buf);
    }
}

void sp_witness_done(struct sp_witness *witness)
{
    sp_arena_done(&witness->arena);
}
