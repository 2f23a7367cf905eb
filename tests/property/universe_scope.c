/* Themes and scopes of one. */
#include "universe.h"

#include <inttypes.h>

static const struct u_segment vocabulary[] = {
    {U_LITERAL, "a"}, {U_LITERAL, "ab"}, {U_LITERAL, "b"},  {U_LITERAL, "7"},
    {U_PREFIX, "a"},  {U_PREFIX, "ab"},  {U_INT, NULL},     {U_ANY, NULL},
    {U_LITERAL, "a"}, {U_PREFIX, "a"},   {U_LITERAL, "ab"}, {U_INT, NULL},
};
static const char *const strings[] = {"aa", "ab", "b", "a"};
static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};

/* ---- themes ---------------------------------------------------------------------------------
 */

static enum u_field_kind field_of(struct gen *gen)
{
    static const enum u_field_kind kinds[] = {U_AMOUNT, U_AMOUNT, U_NOTE,  U_NESTED,
                                              U_TAGS,   U_QUERY,  U_HEADER};
    return kinds[gen_below(gen, sizeof kinds / sizeof *kinds)];
}

void u_theme(struct gen *gen, struct u_theme *ret_theme)
{
    struct u_theme t = {.n_segments = 1 + gen_below(gen, 2)};
    for (unsigned i = 0; i < t.n_segments; i++) {
        t.segments[i] = vocabulary[gen_below(gen, sizeof vocabulary / sizeof *vocabulary)];
    }
    if (gen_chance(gen, 4)) {
        t.segments[0] = (struct u_segment){U_SLASH, NULL};
    }
    t.n_fields = gen_chance(gen, 55) ? 1 + gen_chance(gen, 20) : 0;
    for (unsigned i = 0; i < t.n_fields; i++) {
        t.fields[i] = field_of(gen);
    }
    if (t.n_fields == 2 && t.fields[0] == t.fields[1]) {
        t.n_fields = 1;
    }
    t.captures = gen_chance(gen, 30);
    t.query_is_int = gen_chance(gen, 50);
    t.only = t.n_fields > 0 && gen_chance(gen, 30);
    if (t.n_fields > 0) {
        t.n_segments = 1; /* few paths, since each comes with all bodies */
    }
    t.integers[0] = gen_below(gen, 4);
    t.integers[1] = t.integers[0] + 1 + gen_below(gen, 3);
    t.n_integers = t.n_fields == 2 || t.captures ? 1 : 2;
    t.strings[0] = strings[gen_below(gen, 4)];
    t.strings[1] = t.n_fields == 2 ? t.strings[0] : strings[gen_below(gen, 4)];
    *ret_theme = t;
}

/* ---- rules ----------------------------------------------------------------------------------
 */

static struct u_segment segment_of(struct gen *gen, const struct u_theme *t)
{
    return gen_chance(gen, 25) ? (struct u_segment){U_STAR, NULL}
                               : t->segments[gen_below(gen, t->n_segments)];
}

static bool field_is_int(const struct u_theme *t, enum u_field_kind field)
{
    return field == U_AMOUNT || field == U_NESTED || (field == U_QUERY && t->query_is_int);
}

/* The segment that a condition on the path reads; NULL. */
static const struct u_segment *capture_of(const struct u_rule *rule, unsigned *ret_at)
{
    for (unsigned i = 0; i < rule->n_segments; i++) {
        if (rule->segments[i].kind == U_INT || rule->segments[i].kind == U_ANY) {
            *ret_at = i;
            return &rule->segments[i];
        }
    }
    return NULL;
}

static struct u_atom atom_of(struct gen *gen, const struct u_theme *t,
                             const struct u_rule *rule)
{
    static const enum u_op ints[] = {U_EQ, U_NE, U_LT, U_GE, U_RANGE, U_RANGE, U_OPEN, U_IN};
    static const enum u_op texts[] = {U_EQ, U_EQ, U_NE, U_IN, U_STARTS, U_STARTS};
    unsigned at = 0;
    const struct u_segment *capture = capture_of(rule, &at);
    struct u_atom atom = {.field = U_PATH,
                          .a = gen_below(gen, t->n_integers),
                          .b = gen_below(gen, t->n_integers),
                          .negated = gen_chance(gen, 20),
                          .all = gen_chance(gen, 40)};
    if (!(capture && t->captures && (t->n_fields == 0 || gen_chance(gen, 40)))) {
        atom.field = t->fields[gen_below(gen, t->n_fields)];
    }
    bool is_int = atom.field == U_PATH ? capture->kind == U_INT : field_is_int(t, atom.field);
    bool only = t->only && atom.field < U_QUERY && gen_chance(gen, 40);
    atom.op = is_int ? ints[gen_below(gen, 8)] : texts[gen_below(gen, 6)];
    if (!is_int || only) {
        atom.a = gen_below(gen, 2);
        atom.b = gen_below(gen, 2);
    }
    if (atom.field < U_FIELDS && atom.field != U_TAGS && gen_chance(gen, 15)) {
        atom.op = U_HAS;
    }
    if (only) {
        atom.op = U_ONLY;
    }
    return atom;
}

static void condition_of(struct gen *gen, const struct u_theme *t, struct u_rule *rule)
{
    unsigned at;
    bool can = t->n_fields > 0 || (t->captures && capture_of(rule, &at));
    rule->n_atoms = can && gen_chance(gen, 70) ? 1 + gen_chance(gen, 40) : 0;
    rule->either = gen_chance(gen, 50);
    for (unsigned i = 0; i < rule->n_atoms; i++) {
        rule->atoms[i] = atom_of(gen, t, rule);
    }
}

static unsigned methods_of(struct gen *gen)
{
    unsigned one = 1u << gen_below(gen, 4);
    return gen_chance(gen, 25) ? 0 : gen_chance(gen, 25) ? one | 1u << gen_below(gen, 4) : one;
}

static void rule_of(struct gen *gen, const struct u_theme *t, bool denies,
                    struct u_rule *ret_rule)
{
    struct u_rule rule = {.denies = denies, .methods = methods_of(gen)};
    rule.n_segments = gen_chance(gen, 7) ? 0 : 1 + gen_below(gen, U_SEGMENTS_MAX);
    if (t->n_fields > 0 && rule.n_segments == 3 && gen_chance(gen, 60)) {
        rule.n_segments = 1;
    }
    for (unsigned i = 0; i < rule.n_segments; i++) {
        rule.segments[i] = segment_of(gen, t);
    }
    if (rule.n_segments > 0 && gen_chance(gen, 25)) {
        rule.segments[rule.n_segments - 1] = (struct u_segment){U_REST, NULL};
    } else {
        rule.trailing_slash = rule.n_segments > 0 && gen_chance(gen, 12);
    }
    condition_of(gen, t, &rule);
    *ret_rule = rule;
}

void u_scope(struct gen *gen, const struct u_theme *theme, struct u_scope *ret_scope)
{
    ret_scope->n_rules = 1 + gen_below(gen, 4);
    for (unsigned i = 0; i < ret_scope->n_rules; i++) {
        rule_of(gen, theme, i > 0 && gen_chance(gen, 30), &ret_scope->rules[i]);
    }
}

/* The captures may be others now, so what reads one goes. */
static void drop_path_atoms(struct u_rule *rule)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < rule->n_atoms; i++) {
        if (rule->atoms[i].field != U_PATH) {
            rule->atoms[kept++] = rule->atoms[i];
        }
    }
    rule->n_atoms = kept;
}

void u_edit(struct gen *gen, const struct u_theme *theme, struct u_scope *scope)
{
    struct u_rule *rule = &scope->rules[gen_below(gen, scope->n_rules)];
    struct u_atom *atom = rule->n_atoms ? &rule->atoms[gen_below(gen, rule->n_atoms)] : NULL;
    switch (gen_below(gen, 8)) {
    case 0:
        if (scope->n_rules > 1) {
            *rule = scope->rules[--scope->n_rules];
        }
        break;
    case 1:
        if (scope->n_rules < U_RULES_MAX) {
            rule_of(gen, theme, gen_chance(gen, 50), &scope->rules[scope->n_rules++]);
        }
        break;
    case 2:
        rule->methods = methods_of(gen);
        break;
    case 3:
        if (rule->n_segments > 0 && rule->segments[rule->n_segments - 1].kind != U_REST) {
            rule->segments[rule->n_segments - 1] = segment_of(gen, theme);
            drop_path_atoms(rule);
        }
        break;
    case 4:
        condition_of(gen, theme, rule);
        break;
    case 5:
        if (atom) {
            atom->a = !atom->a && theme->n_integers > 1;
        }
        break;
    case 6:
        if (atom) {
            atom->negated = !atom->negated;
        }
        break;
    default:
        rule->either = !rule->either;
        break;
    }
}

/* ---- text -----------------------------------------------------------------------------------
 */

static void segment_text(const struct u_segment *segment, unsigned at, struct sp_buf *buf)
{
    switch (segment->kind) {
    case U_LITERAL:
        sp_buf_addf(buf, "/%s", segment->text);
        break;
    case U_PREFIX:
        sp_buf_addf(buf, "/%s*", segment->text);
        break;
    case U_STAR:
        sp_buf_add_str(buf, "/*");
        break;
    case U_INT:
        sp_buf_addf(buf, "/{n%u:int}", at);
        break;
    case U_ANY:
        sp_buf_addf(buf, "/{n%u:any}", at);
        break;
    case U_SLASH:
        sp_buf_addf(buf, "/{n%u:slash}", at);
        break;
    case U_REST:
        sp_buf_add_str(buf, "/**");
        break;
    }
}

static void constant_text(const struct u_theme *t, bool is_int, unsigned i, struct sp_buf *buf)
{
    if (is_int) {
        sp_buf_addf(buf, "%" PRId64, t->integers[i]);
    } else {
        sp_buf_addf(buf, "\"%s\"", t->strings[i]);
    }
}

/* The members that the theme knows, and perhaps one that no other condition reads. */
static void only_text(const struct u_theme *t, bool extra, struct sp_buf *buf)
{
    static const char *const names[] = {"amount", "note", "m", "tags"};
    const char *between = "";
    sp_buf_add_str(buf, "body only {");
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (t->fields[i] < U_QUERY) {
            sp_buf_addf(buf, "%s%s", between, names[t->fields[i]]);
            between = ", ";
        }
    }
    sp_buf_addf(buf, "%s}", extra ? ", extra" : "");
}

static void atom_text(const struct u_theme *t, const struct u_rule *rule,
                      const struct u_atom *atom, struct sp_buf *buf)
{
    static const char *const names[] = {"body.amount", "body.note", "body.m.n",
                                        "(body.tags)", "query.q",   "header.x-h"};
    static const char *const ops[] = {"=", "!=", "<", ">="};
    unsigned at = 0, low = atom->a < atom->b ? atom->a : atom->b;
    const struct u_segment *capture = capture_of(rule, &at);
    bool is_int = field_is_int(t, atom->field);
    sp_buf_add_str(buf, atom->negated ? "not " : "");
    if (atom->op == U_ONLY) {
        only_text(t, atom->a > 0, buf);
        return;
    }
    sp_buf_add_str(buf, atom->op == U_HAS ? "has " : "");
    if (atom->field == U_PATH) {
        is_int = capture->kind == U_INT;
        sp_buf_addf(buf, "path.n%u", at);
    } else {
        sp_buf_add_str(buf, atom->field != U_TAGS ? "" : atom->all ? "all" : "any");
        sp_buf_add_str(buf, names[atom->field]);
    }
    switch (atom->op) {
    case U_EQ:
    case U_NE:
    case U_LT:
    case U_GE:
        sp_buf_addf(buf, " %s ", ops[atom->op]);
        constant_text(t, is_int, atom->a, buf);
        break;
    case U_RANGE:
        sp_buf_addf(buf, " in %" PRId64 "..%" PRId64, t->integers[low],
                    t->integers[atom->a + atom->b - low]);
        break;
    case U_OPEN:
        sp_buf_addf(buf, " in %s%" PRId64 "%s", atom->all ? ".." : "", t->integers[atom->a],
                    atom->all ? "" : "..");
        break;
    case U_IN:
        sp_buf_add_str(buf, " in {");
        constant_text(t, is_int, atom->a, buf);
        if (atom->a != atom->b) {
            sp_buf_add_str(buf, ", ");
            constant_text(t, is_int, atom->b, buf);
        }
        sp_buf_add_str(buf, "}");
        break;
    case U_STARTS:
        sp_buf_add_str(buf, " starts ");
        constant_text(t, false, atom->a, buf);
        break;
    case U_HAS:
    case U_ONLY:
    case U_OPS:
        break;
    }
}

static void rule_text(const struct u_theme *t, const struct u_rule *rule, struct sp_buf *buf)
{
    sp_buf_add_str(buf, rule->denies ? "  deny " : "  allow ");
    unsigned n = (unsigned)__builtin_popcount(rule->methods);
    sp_buf_add_str(buf, n == 0 ? "*" : n > 1 ? "{" : "");
    for (unsigned i = 0, k = 0; i < 4; i++) {
        if (rule->methods & 1u << i) {
            sp_buf_addf(buf, "%s%s", k++ ? " " : "", methods[i]);
        }
    }
    sp_buf_addf(buf, "%s https://h.test", n > 1 ? "}" : "");
    for (unsigned i = 0; i < rule->n_segments; i++) {
        segment_text(&rule->segments[i], i, buf);
    }
    sp_buf_add_str(buf, rule->n_segments == 0 || rule->trailing_slash ? "/" : "");
    for (unsigned i = 0; i < rule->n_atoms; i++) {
        sp_buf_add_str(buf, i == 0 ? " where " : rule->either ? " or " : " and ");
        atom_text(t, rule, &rule->atoms[i], buf);
    }
    sp_buf_add_str(buf, "\n");
}

void u_text(const struct u_theme *theme, const struct u_scope *scope, struct sp_buf *buf)
{
    sp_buf_add_str(buf, "sallyport 1\nscope s {\n  key k\n  ttl 1h\n");
    for (unsigned i = 0; i < scope->n_rules; i++) {
        rule_text(theme, &scope->rules[i], buf);
    }
    sp_buf_add_str(buf, "}\n");
}
