/* What one version of a policy makes of another's scopes: proved, shown by a request, or too
 * hard within the steps that are given, so that a host can say it at each reload. */
#include "ast.h"

#include <stdio.h>

enum { CHANGES_MAX_BYTES = 256 << 20, TEXT_MAX_BYTES = 64 << 20, SHOWN_MAX_BYTES = 4096 };

struct comparing {
    struct sp_policy_changes *changes;
    struct sp_buf old_text, new_text; /* of the scope at hand */
    size_t steps;                     /* that are left for it */
    bool out_of_memory;
};

static struct sp_text keep(struct comparing *c, struct sp_text text)
{
    struct sp_text copy = sp_arena_copy(&c->changes->arena, text);
    c->out_of_memory = c->out_of_memory || !copy.ptr;
    return copy;
}

static struct sp_scope_change *add(struct comparing *c, const struct sp_scope *scope,
                                   enum sp_scope_fate fate)
{
    struct sp_scope_change *change = &c->changes->items[c->changes->n++];
    *change = (struct sp_scope_change){.fate = fate};
    change->scope = keep(c, scope->name);
    change->request = change->why = SP_TEXT("");
    return change;
}

/* ---- two versions of a scope ----------------------------------------------------------------
 */

static bool same_text(struct comparing *c, const struct sp_scope *old,
                      const struct sp_scope *new)
{
    sp_buf_reset(&c->old_text);
    sp_buf_reset(&c->new_text);
    sp_scope_print(old, &c->old_text);
    sp_scope_print(new, &c->new_text);
    c->out_of_memory =
        c->out_of_memory || c->old_text.out_of_memory || c->new_text.out_of_memory;
    return !c->old_text.failed && !c->new_text.failed &&
           sp_text_eq(sp_buf_text(&c->old_text), sp_buf_text(&c->new_text));
}

/* One direction; a request that inner allows and outer does not goes to `request`. */
static enum sp_inclusion within(struct comparing *c, const struct sp_scope *outer,
                                const struct sp_scope *inner, struct sp_buf *request,
                                struct sp_error *why)
{
    struct sp_witness witness;
    why->text[0] = '\0';
    enum sp_inclusion result =
        sp_scope_compare_within(outer, inner, false, &c->steps, &witness, why);
    if (witness.found) {
        sp_witness_print(&witness.request, request);
        sp_witness_done(&witness);
    }
    return result;
}

static enum sp_scope_fate compare(struct comparing *c, const struct sp_scope *old,
                                  const struct sp_scope *new, struct sp_buf *request,
                                  struct sp_error *why)
{
    struct sp_buf other;
    enum sp_inclusion result = within(c, old, new, request, why);
    if (result != SP_INCLUDED) {
        return result == SP_TOO_HARD ? SP_SCOPE_TOO_HARD : SP_SCOPE_WIDER;
    }
    sp_buf_init(&other, TEXT_MAX_BYTES);
    result = within(c, new, old, &other, why);
    sp_buf_done(&other);
    return result == SP_INCLUDED ? SP_SCOPE_EQUAL : SP_SCOPE_NARROWER;
}

static bool same_params(const struct sp_scope *a, const struct sp_scope *b)
{
    bool same = a->n_params == b->n_params;
    for (size_t i = 0; same && i < a->n_params; i++) {
        same = sp_text_eq(a->param_list[i], b->param_list[i]);
    }
    return same;
}

/* Both with the same arguments, which stand in neither text. */
static bool freeze_both(struct comparing *c, const struct sp_scope *old,
                        const struct sp_scope *new, struct sp_buf *given,
                        struct sp_scope **ret_old, struct sp_scope **ret_new)
{
    char values[AST_PARAMS_MAX][16];
    struct sp_arg args[AST_PARAMS_MAX];
    struct sp_error err;
    sp_buf_add_str(given, "given (");
    for (size_t i = 0; i < old->n_params; i++) {
        (void)snprintf(values[i], sizeof values[i], "any%zu", i + 1);
        args[i] = (struct sp_arg){old->param_list[i], sp_text_of(values[i])};
        if (memmem(c->old_text.ptr, c->old_text.len, values[i], args[i].value.len) ||
            memmem(c->new_text.ptr, c->new_text.len, values[i], args[i].value.len)) {
            return false;
        }
        sp_buf_addf(given, "%s%.*s = \"%s\"", i ? ", " : "", (int)args[i].name.len,
                    args[i].name.ptr, values[i]);
    }
    sp_buf_add_str(given, ") ");
    return sp_scope_freeze(old, args, old->n_params, ret_old, &err) == SP_OK &&
           sp_scope_freeze(new, args, new->n_params, ret_new, &err) == SP_OK;
}

/* Scopes with parameters are too hard as they stand. A request for some arguments shows that
 * the new one reaches further; that there is none for arguments that neither names proves
 * nothing about those that one of them does, which is said. */
static enum sp_scope_fate compare_frozen(struct comparing *c, const struct sp_scope *old,
                                         const struct sp_scope *new, struct sp_buf *request,
                                         struct sp_error *why)
{
    struct sp_scope *frozen_old = NULL, *frozen_new = NULL;
    struct sp_buf given;
    enum sp_scope_fate fate = SP_SCOPE_TOO_HARD;
    sp_buf_init(&given, TEXT_MAX_BYTES);
    (void)sp_fail(why, SP_EDENIED, "its parameters are others");
    if (same_params(old, new) && freeze_both(c, old, new, &given, &frozen_old, &frozen_new)) {
        sp_buf_add_text(request, sp_buf_text(&given));
        fate = compare(c, frozen_old, frozen_new, request, why);
    }
    if (fate != SP_SCOPE_WIDER || request->len == given.len) { /* or by a setting */
        sp_buf_reset(request);
    }
    if (fate == SP_SCOPE_NARROWER || fate == SP_SCOPE_EQUAL) {
        (void)sp_fail(why, SP_OK, "for arguments that neither version names");
    }
    sp_buf_done(&given);
    sp_scope_free(frozen_old);
    sp_scope_free(frozen_new);
    return fate;
}

static void compare_scope(struct comparing *c, const struct sp_scope *old,
                          const struct sp_scope *new)
{
    struct sp_buf request;
    struct sp_error why = {""};
    sp_buf_init(&request, TEXT_MAX_BYTES);
    bool has_params = old->n_params || new->n_params;
    enum sp_scope_fate fate = has_params ? compare_frozen(c, old, new, &request, &why)
                                         : compare(c, old, new, &request, &why);
    struct sp_scope_change *change = add(c, new, fate);
    if (fate == SP_SCOPE_WIDER) {
        struct sp_text text = sp_buf_text(&request);
        bool long_one = text.len > SHOWN_MAX_BYTES;
        change->request = keep(c, long_one ? SP_TEXT("(too long to show)") : text);
    }
    bool by_setting = fate == SP_SCOPE_WIDER && request.len == 0;
    if (fate == SP_SCOPE_TOO_HARD || by_setting || (has_params && fate != SP_SCOPE_WIDER)) {
        change->why = keep(c, sp_text_of(why.text));
    }
    sp_buf_done(&request);
}

/* ---- the whole ------------------------------------------------------------------------------
 */

/* Scopes that are in both, with another text: *ret_n of them. */
static bool *find_changed(struct comparing *c, const struct sp_policy *old,
                          const struct sp_policy *new, size_t *ret_n)
{
    bool *changed = sp_arena_array(&c->changes->arena, new->n_scopes, sizeof *changed);
    *ret_n = 0;
    for (size_t i = 0; changed && i < new->n_scopes; i++) {
        const struct sp_scope *twin = sp_policy_find_scope(old, new->scopes[i]->name);
        changed[i] = twin && !same_text(c, twin, new->scopes[i]);
        *ret_n += changed[i];
        c->changes->n_untouched += twin && !changed[i];
    }
    return changed;
}

/* Each gets an even share of the steps that are left, so that one hard scope does not take them
 * all. */
static void compare_all(struct comparing *c, const struct sp_policy *old,
                        const struct sp_policy *new, const bool *changed, size_t n_changed,
                        size_t steps)
{
    for (size_t i = 0; i < new->n_scopes && !c->out_of_memory; i++) {
        const struct sp_scope *scope = new->scopes[i];
        const struct sp_scope *twin = sp_policy_find_scope(old, scope->name);
        if (changed[i]) {
            size_t share = steps / n_changed--;
            c->steps = share;
            (void)same_text(c, twin, scope); /* so that both texts are at hand */
            compare_scope(c, twin, scope);
            steps -= share - c->steps;
        } else if (!twin) {
            add(c, scope, SP_SCOPE_ADDED);
        }
    }
    for (size_t i = 0; i < old->n_scopes && !c->out_of_memory; i++) {
        if (!sp_policy_find_scope(new, old->scopes[i]->name)) {
            add(c, old->scopes[i], SP_SCOPE_REMOVED);
        }
    }
}

sp_status sp_policy_compare(const struct sp_policy *old, const struct sp_policy *new,
                            size_t steps, struct sp_policy_changes *ret_changes)
{
    struct comparing c = {.changes = ret_changes};
    size_t n_changed;
    *ret_changes = (struct sp_policy_changes){.n = 0};
    sp_arena_init(&ret_changes->arena, CHANGES_MAX_BYTES);
    sp_buf_init(&c.old_text, TEXT_MAX_BYTES);
    sp_buf_init(&c.new_text, TEXT_MAX_BYTES);
    ret_changes->items = sp_arena_array(&ret_changes->arena, old->n_scopes + new->n_scopes,
                                        sizeof *ret_changes->items);
    const bool *changed = find_changed(&c, old, new, &n_changed);
    c.out_of_memory = !ret_changes->items || !changed;
    if (!c.out_of_memory) {
        compare_all(&c, old, new, changed, n_changed, steps);
    }
    sp_buf_done(&c.old_text);
    sp_buf_done(&c.new_text);
    if (c.out_of_memory) {
        sp_policy_changes_done(ret_changes);
        return SP_ENOMEM;
    }
    return SP_OK;
}

void sp_policy_changes_done(struct sp_policy_changes *changes)
{
    sp_arena_done(&changes->arena);
    *changes = (struct sp_policy_changes){.n = 0};
}

const char *sp_scope_fate_name(enum sp_scope_fate fate)
{
    static const char *const names[] = {
        [SP_SCOPE_ADDED] = "new",   [SP_SCOPE_REMOVED] = "removed",
        [SP_SCOPE_WIDER] = "wider", [SP_SCOPE_NARROWER] = "narrower",
        [SP_SCOPE_EQUAL] = "equal", [SP_SCOPE_TOO_HARD] = "too_hard",
    };
    return names[fate];
}
