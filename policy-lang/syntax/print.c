/* Canonical text: equal scopes print equal bytes, and no literal can become syntax. */
#include "ast.h"

#include <inttypes.h>

void ast_print_string(struct sp_text text, struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') {
            sp_buf_addf(buf, "\\%c", c);
        } else if (c < ' ' || c == 0x7f) {
            sp_buf_addf(buf, "\\x%02x", c);
        } else {
            sp_buf_add_byte(buf, c);
        }
    }
    sp_buf_add_byte(buf, '"');
}

static void print_literal(struct sp_text text, struct sp_buf *buf)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        sp_buf_addf(buf, plain ? "%c" : "%%%02X", c);
    }
}

static void print_segment(const struct segment *s, struct sp_buf *buf)
{
    static const char *const types[] = {[SEGMENT_PARAM] = "",
                                        [SEGMENT_INT] = ":int",
                                        [SEGMENT_ANY] = ":any",
                                        [SEGMENT_SLASH] = ":slash"};
    switch (s->kind) {
    case SEGMENT_LITERAL:
    case SEGMENT_PREFIX:
        print_literal(s->text, buf);
        sp_buf_add_str(buf, s->kind == SEGMENT_PREFIX ? "*" : "");
        break;
    case SEGMENT_STAR:
        sp_buf_add_str(buf, "*");
        break;
    case SEGMENT_REST:
        sp_buf_add_str(buf, "**");
        break;
    case SEGMENT_PARAM:
    case SEGMENT_INT:
    case SEGMENT_ANY:
    case SEGMENT_SLASH:
        sp_buf_addf(buf, "{%.*s%s}", (int)s->text.len, s->text.ptr, types[s->kind]);
        break;
    }
}

void sp_rule_print_path(const struct sp_rule *rule, struct sp_buf *buf)
{
    const struct url_pattern *url = &rule->url;
    for (size_t i = 0; i < url->n_segments; i++) {
        const struct segment *s = &url->segments[i];
        bool plain =
            s->kind == SEGMENT_LITERAL || s->kind == SEGMENT_PREFIX || s->kind == SEGMENT_REST;
        sp_buf_add_byte(buf, '/');
        if (plain) {
            print_segment(s, buf);
        } else {
            sp_buf_add_byte(buf, '*');
        }
    }
    if (url->n_segments == 0 || url->trailing_slash) {
        sp_buf_add_byte(buf, '/');
    }
}

void ast_print_url(const struct url_pattern *url, struct sp_buf *buf)
{
    sp_buf_addf(buf, "%s://%.*s", url->https ? "https" : "http", (int)url->host.len,
                url->host.ptr);
    if (url->port != (url->https ? 443 : 80)) {
        sp_buf_addf(buf, ":%u", (unsigned)url->port);
    }
    for (size_t i = 0; i < url->n_segments; i++) {
        sp_buf_add_byte(buf, '/');
        print_segment(&url->segments[i], buf);
    }
    if (url->n_segments == 0 || url->trailing_slash) {
        sp_buf_add_byte(buf, '/');
    }
}

/* ---- conditions ----------------------------------------------------------------------------
 */

static void print_parts(const struct sp_text *parts, size_t n, struct sp_buf *buf)
{
    for (size_t i = 0; i < n; i++) {
        sp_buf_add_byte(buf, '.');
        ast_print_string(parts[i], buf);
    }
}

/* A name that needs no quotes is shown without. */
static bool is_plain(struct sp_text name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && ((c >= '0' && c <= '9') || c == '-')))) {
            return false;
        }
    }
    return name.len > 0;
}

static void print_name(struct sp_text name, struct sp_buf *buf)
{
    if (is_plain(name)) {
        sp_buf_add_text(buf, name);
    } else {
        ast_print_string(name, buf);
    }
}

void ast_print_field(const struct field *f, struct sp_buf *buf)
{
    static const char *const sources[] = {"body", "query", "header", "path"};
    static const char *const opening[] = {"", "any(", "all("};
    sp_buf_add_str(buf, opening[f->quantifier]);
    sp_buf_add_str(buf, sources[f->source]);
    for (size_t i = 0; i < f->n_parts; i++) {
        sp_buf_add_byte(buf, '.');
        print_name(f->parts[i], buf);
    }
    if (f->quantifier != QUANTIFIER_NONE) {
        sp_buf_add_byte(buf, ')');
        print_parts(f->item_parts, f->n_item_parts, buf);
    }
}

void sp_redaction_print(const struct sp_redaction *redaction, struct sp_buf *buf)
{
    for (size_t i = 0; i < redaction->n_names; i++) {
        sp_buf_add_str(buf, i ? "." : "");
        print_name(redaction->names[i], buf);
    }
}

void ast_print_redactions(const struct sp_scope *scope, struct sp_buf *buf)
{
    for (size_t i = 0; i < scope->n_redactions; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        sp_redaction_print(&scope->redactions[i].public, buf);
    }
}

static void print_constant(const struct constant *c, struct sp_buf *buf)
{
    switch (c->kind) {
    case CONSTANT_INT:
        sp_buf_addf(buf, "%" PRId64, c->integer);
        break;
    case CONSTANT_BOOL:
        sp_buf_add_str(buf, c->integer ? "true" : "false");
        break;
    case CONSTANT_STRING:
        ast_print_string(c->text, buf);
        break;
    case CONSTANT_PARAM:
        sp_buf_add_text(buf, c->text);
        break;
    }
}

static void print_list(const struct condition *c, struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '{');
    for (size_t i = 0; i < c->n_set && !buf->failed; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        print_constant(&c->set[i], buf);
    }
    for (size_t i = 0; i < c->n_names && !buf->failed; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        print_name(c->names[i], buf);
    }
    sp_buf_add_byte(buf, '}');
}

static void print_atom(const struct condition *c, struct sp_buf *buf)
{
    static const char *const marks[] = {[CONDITION_EQ] = " = ",
                                        [CONDITION_NE] = " != ",
                                        [CONDITION_LT] = " < ",
                                        [CONDITION_LE] = " <= ",
                                        [CONDITION_GT] = " > ",
                                        [CONDITION_GE] = " >= ",
                                        [CONDITION_IN] = " in ",
                                        [CONDITION_RANGE] = " in ",
                                        [CONDITION_STARTS] = " starts ",
                                        [CONDITION_ONLY] = " only ",
                                        [CONDITION_HAS] = ""};
    sp_buf_add_str(buf, c->kind == CONDITION_HAS ? "has " : "");
    ast_print_field(&c->field, buf);
    sp_buf_add_str(buf, marks[c->kind]);
    switch ((int)c->kind) {
    case CONDITION_IN:
    case CONDITION_ONLY:
        print_list(c, buf);
        break;
    case CONDITION_RANGE:
        if (c->low != INT64_MIN) {
            sp_buf_addf(buf, "%" PRId64, c->low);
        }
        sp_buf_add_str(buf, "..");
        if (c->high != INT64_MAX) {
            sp_buf_addf(buf, "%" PRId64, c->high);
        }
        break;
    case CONDITION_HAS:
        break;
    default:
        print_constant(&c->constant, buf);
    }
}

/* Parentheses only where precedence needs them, so that what was parsed within the depth limit
 * prints within it, and parses back to the same tree. */
static void print_side(const struct condition *side, bool parens, struct sp_buf *buf)
{
    sp_buf_add_str(buf, parens ? "(" : "");
    ast_print_condition(side, buf);
    sp_buf_add_str(buf, parens ? ")" : "");
}

void ast_print_condition(const struct condition *c, struct sp_buf *buf)
{
    switch ((int)c->kind) {
    case CONDITION_NOT:
        sp_buf_add_str(buf, "not ");
        print_side(c->left, c->left->kind == CONDITION_AND || c->left->kind == CONDITION_OR,
                   buf);
        break;
    case CONDITION_AND:
        print_side(c->left, c->left->kind == CONDITION_OR, buf);
        sp_buf_add_str(buf, " and ");
        print_side(c->right, c->right->kind == CONDITION_OR || c->right->kind == CONDITION_AND,
                   buf);
        break;
    case CONDITION_OR:
        print_side(c->left, false, buf);
        sp_buf_add_str(buf, " or ");
        print_side(c->right, c->right->kind == CONDITION_OR, buf);
        break;
    default:
        print_atom(c, buf);
    }
}

/* ---- scopes --------------------------------------------------------------------------------
 */

static void print_rate(struct sp_rate rate, struct sp_buf *buf)
{
    if (rate.count) {
        sp_buf_addf(buf, "  rate %" PRIu32 "/%" PRIu64 "ms", rate.count, rate.window_ms);
        if (rate.burst) {
            sp_buf_addf(buf, " burst %" PRIu32, rate.burst);
        }
        sp_buf_add_byte(buf, '\n');
    }
}

static void print_budget(const struct budget *budget, struct sp_buf *buf)
{
    if (budget) {
        sp_buf_add_str(buf, "  budget ");
        if (budget->public.sums) {
            sp_buf_add_str(buf, "sum(");
            ast_print_field(&budget->field, buf);
            sp_buf_add_str(buf, ")");
        } else {
            sp_buf_add_str(buf, "count");
        }
        sp_buf_addf(buf, " <= %" PRIu64 " per %" PRIu64 "ms%s\n", budget->public.limit,
                    budget->public.window_ms, budget->public.per_token ? " per token" : "");
    }
}

static void print_methods(unsigned methods, struct sp_buf *buf)
{
    if (methods == SP_METHOD_ALL) {
        sp_buf_add_str(buf, "*");
        return;
    }
    bool first = true;
    sp_buf_add_byte(buf, '{');
    for (unsigned bit = 1; bit < SP_METHOD_ALL; bit <<= 1) {
        if (methods & bit) {
            sp_buf_addf(buf, "%s%s", first ? "" : " ", sp_method_name(bit));
            first = false;
        }
    }
    sp_buf_add_byte(buf, '}');
}

static void print_rule(const struct sp_rule *rule, struct sp_buf *buf)
{
    sp_buf_add_str(buf, "  ");
    if (rule->labelled) {
        sp_buf_addf(buf, "@%.*s ", (int)rule->label.len, rule->label.ptr);
    }
    sp_buf_add_str(buf, rule->denies ? "deny " : "allow ");
    print_methods(rule->methods, buf);
    sp_buf_add_byte(buf, ' ');
    ast_print_url(&rule->url, buf);
    sp_buf_add_byte(buf, '\n');
    if (rule->where) {
        sp_buf_add_str(buf, "    where ");
        ast_print_condition(rule->where, buf);
        sp_buf_add_byte(buf, '\n');
    }
    print_rate(rule->rate, buf);
    print_budget(rule->budget, buf);
}

void sp_scope_print(const struct sp_scope *scope, struct sp_buf *buf)
{
    sp_buf_add_str(buf, "sallyport 1\nscope ");
    ast_print_string(scope->name, buf);
    if (scope->n_params) {
        sp_buf_add_byte(buf, '(');
        for (size_t i = 0; i < scope->n_params; i++) {
            sp_buf_addf(buf, "%s%.*s", i ? ", " : "", (int)scope->param_list[i].len,
                        scope->param_list[i].ptr);
        }
        sp_buf_add_byte(buf, ')');
    }
    sp_buf_add_str(buf, " {\n");
    for (size_t i = 0; i < scope->n_keys; i++) {
        sp_buf_add_str(buf, "  key ");
        ast_print_string(scope->key_list[i], buf);
        sp_buf_add_byte(buf, '\n');
    }
    for (const struct insist *insist = scope->insists; insist; insist = insist->next) {
        sp_buf_add_str(buf, "  insist ");
        ast_print_string(insist->name, buf);
        sp_buf_add_str(buf, " = ");
        ast_print_string(insist->value, buf);
        sp_buf_add_byte(buf, '\n');
    }
    if (scope->n_redactions > 0) {
        sp_buf_add_str(buf, "  redact {");
        ast_print_redactions(scope, buf);
        sp_buf_add_str(buf, "}\n");
    }
    if (scope->has_ttl) {
        sp_buf_addf(buf, "  ttl %" PRIu64 "ms\n", scope->ttl_ms);
    }
    if (scope->observes) {
        sp_buf_add_str(buf, "  mode observe\n");
    }
    print_rate(scope->rate, buf);
    print_budget(scope->budget, buf);
    for (size_t i = 0; i < scope->n_rules; i++) {
        print_rule(scope->rules[i], buf);
    }
    sp_buf_add_str(buf, "}\n");
}
