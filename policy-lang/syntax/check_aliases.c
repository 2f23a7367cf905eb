/* A deny on one path of a resource that the catalogue reaches by another path, too: Stripe's
 * /v1/refunds and /v1/charges/{charge}/refunds. Which paths mean the same no catalogue says, so
 * this warns only where one path ends with all of the other, which providers do on purpose. */
#include "check.h"
#include "match.h"

#include <stdlib.h>

enum {
    ACTIONS_MAX = 4096, /* of one scope that are looked at */
    DENIED_MAX = 50,    /* a deny of more actions is no deny of a resource */
    SCRATCH_MAX_BYTES = 64 << 20,
};

struct aliases {
    struct checker *c;
    const struct sp_scope *scope;
    struct sp_arena scratch;
    struct sp_rule *actions; /* ACTIONS_MAX: the catalogue's, as allows; labels are names */
    size_t n;
};

static bool is_version(const struct segment *s)
{
    return s->kind == SEGMENT_LITERAL && s->text.len == 2 && s->text.ptr[0] == 'v';
}

/* /api/v3 in front of everything is where another kind of the same server has its API. */
static bool is_mounted(const struct url_pattern *longer, size_t n_more)
{
    const struct segment *s = longer->segments;
    return n_more == 2 && s[0].kind == SEGMENT_LITERAL && sp_text_is(s[0].text, "api") &&
           is_version(&s[1]);
}

/* Whether longer is something/… before all of shorter, a leading /v1 of both aside. */
static bool ends_with(const struct url_pattern *longer, const struct url_pattern *shorter)
{
    size_t skip = shorter->n_segments > 0 && is_version(&shorter->segments[0]);
    size_t n = shorter->n_segments - skip;
    if (n == 0 || longer->n_segments < n + 1 + skip ||
        shorter->segments[skip].kind != SEGMENT_LITERAL ||
        is_mounted(longer, longer->n_segments - n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct segment *l = &longer->segments[longer->n_segments - n + i];
        const struct segment *s = &shorter->segments[skip + i];
        if (l->kind != s->kind || !sp_text_eq(l->text, s->text)) {
            return false;
        }
    }
    return true;
}

static const struct sp_rule *reached_by(const struct aliases *a, const struct sp_rule *action,
                                        bool denies)
{
    for (size_t i = 0; i < a->scope->n_rules; i++) {
        const struct sp_rule *rule = a->scope->rules[i];
        if (rule->denies == denies && (rule->methods & action->methods) &&
            pattern_overlaps(rule, action)) {
            return rule;
        }
    }
    return NULL;
}

static void check_deny(struct aliases *a, const struct sp_rule *deny)
{
    size_t denied[DENIED_MAX], n = 0;
    for (size_t i = 0; i < a->n; i++) {
        if ((deny->methods & a->actions[i].methods) && pattern_overlaps(deny, &a->actions[i])) {
            if (n == DENIED_MAX) {
                return;
            }
            denied[n++] = i;
        }
    }
    for (size_t d = 0; d < n; d++) {
        const struct sp_rule *one = &a->actions[denied[d]];
        for (size_t i = 0; i < a->n; i++) {
            const struct sp_rule *other = &a->actions[i];
            if (one->methods == other->methods && sp_text_eq(one->url.host, other->url.host) &&
                (ends_with(&one->url, &other->url) || ends_with(&other->url, &one->url)) &&
                !reached_by(a, other, true) && reached_by(a, other, false)) {
                sp_diags_add(a->c->diags, SP_SEVERITY_WARNING, "W193", deny->span,
                             "deny that path, too, if it reaches the same",
                             "this denies %.*s, but %.*s, which an allow reaches, is another "
                             "path to what may be the same",
                             (int)one->label.len, one->label.ptr, (int)other->label.len,
                             other->label.ptr);
                return;
            }
        }
    }
}

static void gather(struct aliases *a)
{
    for (size_t k = 0; k < a->scope->n_keys; k++) {
        const struct sp_catalogue *list = NULL;
        size_t n = a->c->world->catalogues(a->c->world->user, a->scope->key_list[k], &list);
        for (size_t i = 0; i < n; i++) {
            size_t room = list[i].n_hosts * list[i].n_actions;
            for (size_t j = 0; j < room && a->n < ACTIONS_MAX; j++) {
                const struct sp_catalogue_action *action =
                    &list[i].actions[j / list[i].n_hosts];
                struct sp_rule *to = &a->actions[a->n];
                to->methods = action->method;
                to->label = action->name;
                if (!ast_parse_template(&a->scratch, list[i].hosts[j % list[i].n_hosts],
                                        action->path, false, &to->url)) {
                    return; /* only a warning is lost */
                }
                a->n++;
            }
        }
    }
}

void check_aliases(struct checker *c, const struct sp_scope *scope)
{
    struct aliases a = {.c = c, .scope = scope};
    bool denies = false;
    for (size_t i = 0; i < scope->n_rules; i++) {
        denies = denies || scope->rules[i]->denies;
    }
    if (!denies || scope->n_rules > 1000) {
        return; /* a scope of thousands of rules is a machine's */
    }
    sp_arena_init(&a.scratch, SCRATCH_MAX_BYTES);
    a.actions = calloc(ACTIONS_MAX, sizeof *a.actions);
    c->out_of_memory = c->out_of_memory || !a.actions;
    if (a.actions) {
        gather(&a);
        for (size_t i = 0; i < scope->n_rules; i++) {
            if (scope->rules[i]->denies) {
                check_deny(&a, scope->rules[i]);
            }
        }
    }
    free(a.actions);
    sp_arena_done(&a.scratch);
}
