#include "gen.h"

#include <inttypes.h>
#include <stdlib.h>

const char *const gen_hosts[4] = {"https://a.test", "https://b.test", "https://a.test:8443",
                                  "http://a.test"};
const unsigned gen_methods[4] = {SP_METHOD_GET, SP_METHOD_POST, SP_METHOD_PUT,
                                 SP_METHOD_DELETE};

/* ---- chance -------------------------------------------------------------------------------
 */

void gen_seed(struct gen *gen, uint64_t seed)
{
    /* another factor: no seed is another, later */
    *gen = (struct gen){.state = seed * 0xd1342543de82ef95u};
}

void gen_choose(struct gen *gen, const uint8_t *bytes, size_t n)
{
    gen_seed(gen, n);
    gen->bytes = bytes;
    gen->n_bytes = n;
}

static unsigned chosen_below(struct gen *gen, unsigned n)
{
    unsigned choice = 0;
    for (unsigned most = 1; most < n && gen->n_bytes > 0; most <<= 8) {
        choice = choice << 8 | *gen->bytes++;
        gen->n_bytes--;
    }
    return choice % n;
}

/* splitmix64 */
unsigned gen_below(struct gen *gen, unsigned n)
{
    if (gen->n_bytes > 0) {
        return chosen_below(gen, n);
    }
    uint64_t z = (gen->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ (z >> 31)) % n);
}

bool gen_chance(struct gen *gen, unsigned percent)
{
    return gen_below(gen, 100) < percent;
}

/* ---- rules --------------------------------------------------------------------------------
 */

static const char *const literals[] = {"a", "b", "A", "ab", "5", "a b", "\xc3\xa9", "*"};
static const char *const prefixes[] = {"a", "A", "5", "a ", "\xc3\xa9"};
static const char *const captures[] = {"ab", "q", "a", "A", "t"};

static void make_path(struct gen *gen, struct gen_rule *rule)
{
    rule->n_segments = gen_below(gen, 4);
    for (unsigned i = 0; i < rule->n_segments; i++) {
        static const enum gen_segment_kind kinds[] = {GEN_LITERAL, GEN_LITERAL, GEN_LITERAL,
                                                      GEN_PREFIX,  GEN_STAR,    GEN_INT,
                                                      GEN_ANY,     GEN_SLASH};
        struct gen_segment *s = &rule->segments[i];
        s->kind = kinds[gen_below(gen, 8)];
        s->text =
            s->kind == GEN_PREFIX ? prefixes[gen_below(gen, 5)] : literals[gen_below(gen, 8)];
        s->text = s->kind >= GEN_INT ? captures[i] : s->text;
    }
    if (gen_chance(gen, 25)) {
        rule->segments[rule->n_segments++] = (struct gen_segment){GEN_REST, NULL};
    } else {
        rule->trailing_slash = rule->n_segments > 0 && gen_chance(gen, 20);
    }
}

static const char *const names[] = {"a", "b", "c", "l"};
static const char *const strings[] = {"x", "xy", "y", "5", "true", ""};

static void constants(struct gen *gen, struct gen_node *node, unsigned n)
{
    node->n = n;
    for (unsigned i = 0; i < n; i++) {
        node->integers[i] = (int64_t)gen_below(gen, 8) - 1;
        node->strings[i] = strings[gen_below(gen, 6)];
    }
}

/* A capture of the rule, or NULL. */
static const char *some_capture(struct gen *gen, const struct gen_rule *rule)
{
    unsigned i = rule->n_segments ? gen_below(gen, rule->n_segments) : 0;
    const struct gen_segment *s = &rule->segments[i];
    return rule->n_segments && s->kind >= GEN_INT && s->kind <= GEN_SLASH ? s->text : NULL;
}

static void make_field(struct gen *gen, const struct gen_rule *rule, struct gen_node *node)
{
    unsigned pick = gen_below(gen, 10);
    const char *capture = some_capture(gen, rule);
    node->source = pick < 5 ? GEN_BODY : pick < 8 ? GEN_QUERY : GEN_HEADER;
    if (pick >= 8 && capture) {
        node->source = GEN_PATH;
        node->name = capture;
    } else if (node->source == GEN_HEADER) {
        node->name = gen_chance(gen, 50) ? "x-a" : "x-b";
    } else {
        node->name = names[gen_below(gen, 4)];
        node->sub = node->name[0] == 'c' && gen_chance(gen, 80) ? "d" : NULL;
        if (node->name[0] == 'l' && gen_chance(gen, 80)) {
            node->quantifier = gen_chance(gen, 50) ? 'y' : 'l';
        }
    }
}

static void make_atom(struct gen *gen, const struct gen_rule *rule, struct gen_node *node)
{
    static const enum gen_node_kind kinds[] = {GEN_EQ, GEN_EQ,  GEN_NE,    GEN_LT,     GEN_LE,
                                               GEN_GT, GEN_GE,  GEN_RANGE, GEN_STARTS, GEN_IN,
                                               GEN_IN, GEN_HAS, GEN_ONLY};
    make_field(gen, rule, node);
    node->kind = kinds[gen_below(gen, 13)];
    if ((node->kind == GEN_HAS || node->kind == GEN_ONLY) &&
        (node->quantifier || node->source == GEN_PATH)) {
        node->kind = GEN_EQ;
    }
    if (node->kind == GEN_ONLY && node->source == GEN_HEADER) {
        node->kind = GEN_HAS;
    }
    node->type = (enum gen_type)(gen_below(gen, 5) / 2);
    if (node->source == GEN_HEADER) {
        node->type = GEN_STRING;
    }
    if (node->kind >= GEN_LT && node->kind <= GEN_GE) {
        node->type = GEN_INTEGER;
        node->kind = node->source == GEN_HEADER ? GEN_NE : node->kind;
        node->type = node->source == GEN_HEADER ? GEN_STRING : GEN_INTEGER;
    }
    constants(gen, node, node->kind == GEN_IN ? 1 + gen_below(gen, 3) : 1);
    if (node->kind == GEN_RANGE && node->source == GEN_HEADER) {
        node->kind = GEN_STARTS; /* a header is text */
    }
    if (node->kind == GEN_RANGE) {
        node->type = GEN_INTEGER;
        node->integers[1] = node->integers[0] + (int64_t)gen_below(gen, 4);
        node->open = gen_chance(gen, 20);
    } else if (node->kind == GEN_STARTS) {
        node->type = GEN_STRING;
    } else if (node->kind == GEN_ONLY) {
        static const char *const tops[] = {"a", "b", "l"}, *const subs[] = {"d", "e", "a"};
        bool below = gen_chance(gen, 20);
        node->name = below ? "c" : NULL;
        node->sub = NULL;
        node->n = 1 + gen_below(gen, 3);
        for (unsigned i = 0; i < 3; i++) {
            node->strings[i] = below ? subs[i] : tops[i];
        }
    }
}

static int make_node(struct gen *gen, struct gen_rule *rule, unsigned depth)
{
    int at = rule->n_nodes++;
    struct gen_node *node = &rule->nodes[at];
    unsigned pick = depth < 3 && rule->n_nodes < GEN_NODES_MAX - 8 ? gen_below(gen, 10) : 9;
    if (pick < 3) {
        node->kind = pick < 2 ? GEN_AND : GEN_OR;
        node->left = make_node(gen, rule, depth + 1);
        node->right = make_node(gen, rule, depth + 1);
    } else if (pick == 3) {
        node->kind = GEN_NOT;
        node->left = make_node(gen, rule, depth + 1);
    } else {
        make_atom(gen, rule, node);
    }
    return at;
}

static void make_rule(struct gen *gen, struct gen_rule *rule)
{
    *rule = (struct gen_rule){.denies = gen_chance(gen, 25), .root = -1};
    for (unsigned i = 0; i < 4; i++) {
        rule->methods |= gen_chance(gen, 60) ? gen_methods[i] : 0;
    }
    rule->methods = rule->methods ? rule->methods : SP_METHOD_GET;
    rule->host = gen_chance(gen, 70) ? 0 : gen_below(gen, 4);
    make_path(gen, rule);
    if (gen_chance(gen, 55)) {
        rule->root = make_node(gen, rule, 0);
    }
}

void gen_scope(struct gen *gen, struct gen_scope *ret_scope)
{
    ret_scope->n_rules = 1 + gen_below(gen, GEN_RULES_MAX);
    for (unsigned i = 0; i < ret_scope->n_rules; i++) {
        make_rule(gen, &ret_scope->rules[i]);
    }
}

/* Another segment in place of one that no condition reads. */
static void edit_path(struct gen *gen, struct gen_rule *rule)
{
    struct gen_segment *s =
        &rule->segments[rule->n_segments ? gen_below(gen, rule->n_segments) : 0];
    if (gen_chance(gen, 25)) {
        rule->trailing_slash = rule->n_segments > 0 && !rule->trailing_slash &&
                               rule->segments[rule->n_segments - 1].kind != GEN_REST;
    } else if (rule->n_segments && s->kind < GEN_INT) {
        s->kind = (enum gen_segment_kind)gen_below(gen, 3);
        s->text =
            s->kind == GEN_PREFIX ? prefixes[gen_below(gen, 5)] : literals[gen_below(gen, 8)];
    }
}

/* Other constants in one atom, stricter or looser. */
static void edit_constants(struct gen *gen, struct gen_node *node)
{
    unsigned i = node->n ? gen_below(gen, node->n) : 0;
    if (node->kind == GEN_RANGE) {
        node->integers[0] -= gen_below(gen, 2);
        node->integers[1] += (int64_t)gen_below(gen, 4) - 1;
        node->integers[1] += node->integers[1] < node->integers[0];
        node->open = node->open && gen_chance(gen, 50);
    } else if (node->kind == GEN_ONLY) {
        node->n = 1 + gen_below(gen, 3);
    } else {
        node->n -= node->kind == GEN_IN && node->n > 1 && gen_chance(gen, 50);
        node->integers[i] += (int64_t)gen_below(gen, 3) - 1;
        node->strings[i] = strings[gen_below(gen, 6)];
    }
}

static void add_demand(struct gen *gen, struct gen_rule *rule)
{
    if (rule->n_nodes >= GEN_NODES_MAX - 2 || rule->root < 0) {
        return;
    }
    struct gen_node *node = &rule->nodes[rule->n_nodes++];
    *node = (struct gen_node){.kind = GEN_EQ};
    make_atom(gen, rule, node);
    rule->nodes[rule->n_nodes] =
        (struct gen_node){.kind = GEN_AND, .left = rule->root, .right = rule->n_nodes - 1};
    rule->root = rule->n_nodes++;
}

void gen_narrow(struct gen *gen, struct gen_scope *scope)
{
    struct gen_rule *rule = &scope->rules[gen_below(gen, scope->n_rules)];
    switch (gen_below(gen, 7)) {
    case 0:
        if (scope->n_rules > 1) {
            *rule = scope->rules[--scope->n_rules];
        }
        break;
    case 1:
        rule->methods &= gen_methods[gen_below(gen, 4)] | gen_methods[gen_below(gen, 4)];
        rule->methods = rule->methods ? rule->methods : SP_METHOD_PUT;
        break;
    case 2:
        edit_path(gen, rule);
        break;
    case 3:
        add_demand(gen, rule);
        break;
    case 4:
        if (scope->n_rules < GEN_RULES_MAX) {
            make_rule(gen, &scope->rules[scope->n_rules]);
            scope->rules[scope->n_rules++].denies = gen_chance(gen, 80);
        }
        break;
    default:
        if (rule->n_nodes > 0) {
            edit_constants(gen, &rule->nodes[gen_below(gen, (unsigned)rule->n_nodes)]);
        }
    }
}

/* ---- text ---------------------------------------------------------------------------------
 */

static void add_encoded(const char *text, struct sp_buf *buf)
{
    for (; *text; text++) {
        sp_buf_addf(buf, "%%%02x", (unsigned char)*text);
    }
}

static void add_path(const struct gen_rule *rule, struct sp_buf *buf)
{
    static const char *const types[] = {"int", "any", "slash"};
    for (unsigned i = 0; i < rule->n_segments; i++) {
        const struct gen_segment *s = &rule->segments[i];
        sp_buf_add_byte(buf, '/');
        if (s->kind <= GEN_PREFIX) {
            add_encoded(s->text, buf);
            sp_buf_add_str(buf, s->kind == GEN_PREFIX ? "*" : "");
        } else if (s->kind == GEN_STAR || s->kind == GEN_REST) {
            sp_buf_add_str(buf, s->kind == GEN_STAR ? "*" : "**");
        } else {
            sp_buf_addf(buf, "{%s:%s}", s->text, types[s->kind - GEN_INT]);
        }
    }
    sp_buf_add_str(buf, rule->n_segments == 0 || rule->trailing_slash ? "/" : "");
}

static void add_constant(const struct gen_node *node, unsigned i, struct sp_buf *buf)
{
    if (node->type == GEN_INTEGER) {
        sp_buf_addf(buf, "%" PRId64, node->integers[i]);
    } else if (node->type == GEN_STRING) {
        sp_buf_addf(buf, "\"%s\"", node->strings[i]);
    } else {
        sp_buf_add_str(buf, node->integers[i] & 1 ? "true" : "false");
    }
}

static void add_atom(const struct gen_node *node, struct sp_buf *buf)
{
    static const char *const sources[] = {"body", "query", "header", "path"};
    static const char *const marks[] = {
        [GEN_EQ] = " = ", [GEN_NE] = " != ", [GEN_LT] = " < ",  [GEN_LE] = " <= ",
        [GEN_GT] = " > ", [GEN_GE] = " >= ", [GEN_IN] = " in ", [GEN_STARTS] = " starts "};
    sp_buf_add_str(buf, node->kind == GEN_HAS ? "has " : "");
    sp_buf_add_str(buf, node->quantifier == 'y' ? "any(" : node->quantifier ? "all(" : "");
    sp_buf_add_str(buf, sources[node->source]);
    sp_buf_addf(buf, "%s%s", node->name ? "." : "", node->name ? node->name : "");
    sp_buf_addf(buf, "%s%s%s", node->sub ? "." : "", node->sub ? node->sub : "",
                node->quantifier ? ")" : "");
    if (node->kind == GEN_HAS) {
        return;
    }
    if (node->kind == GEN_RANGE) {
        sp_buf_addf(buf, " in %" PRId64 "..", node->integers[0]);
        if (!node->open) {
            sp_buf_addf(buf, "%" PRId64, node->integers[1]);
        }
        return;
    }
    bool list = node->kind == GEN_IN || node->kind == GEN_ONLY;
    sp_buf_add_str(buf, node->kind == GEN_ONLY ? " only " : marks[node->kind]);
    sp_buf_add_str(buf, list ? "{" : "");
    for (unsigned i = 0; i < node->n; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        if (node->kind == GEN_ONLY) {
            sp_buf_add_str(buf, node->strings[i]);
        } else {
            add_constant(node, i, buf);
        }
    }
    sp_buf_add_str(buf, list ? "}" : "");
}

static void add_node(const struct gen_rule *rule, int at, struct sp_buf *buf)
{
    const struct gen_node *node = &rule->nodes[at];
    if (node->kind > GEN_NOT) {
        add_atom(node, buf);
        return;
    }
    sp_buf_add_str(buf, node->kind == GEN_NOT ? "not (" : "(");
    add_node(rule, node->left, buf);
    sp_buf_add_str(buf, ")");
    if (node->kind != GEN_NOT) {
        sp_buf_add_str(buf, node->kind == GEN_AND ? " and (" : " or (");
        add_node(rule, node->right, buf);
        sp_buf_add_str(buf, ")");
    }
}

void gen_scope_text(const struct gen_scope *scope, struct sp_buf *buf)
{
    sp_buf_add_str(buf, "sallyport 1\nscope s {\n  key k\n  ttl 1h\n");
    for (unsigned i = 0; i < scope->n_rules; i++) {
        const struct gen_rule *rule = &scope->rules[i];
        sp_buf_addf(buf, "  @r%u %s {", i, rule->denies ? "deny" : "allow");
        for (unsigned m = 0; m < 4; m++) {
            if (rule->methods & gen_methods[m]) {
                sp_buf_addf(buf, "%s ", sp_method_name(gen_methods[m]));
            }
        }
        sp_buf_addf(buf, "} %s", gen_hosts[rule->host]);
        add_path(rule, buf);
        if (rule->root >= 0) {
            sp_buf_add_str(buf, " where ");
            add_node(rule, rule->root, buf);
        }
        sp_buf_add_byte(buf, '\n');
    }
    sp_buf_add_str(buf, "}\n");
}
