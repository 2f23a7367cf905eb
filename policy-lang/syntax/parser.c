/* Statements: the head of a file, let, use, scope with its rules, client, principal. */
#include "parser.h"

/* ---- small statements ----------------------------------------------------------------------
 */

static bool parse_methods(struct parser *p, unsigned *ret_methods)
{
    static const char *const names[] = {"GET",   "HEAD",   "POST",   "PUT",
                                        "PATCH", "DELETE", "OPTIONS"};
    *ret_methods = 0;
    if (parser_take(p, "*")) {
        *ret_methods = SP_METHOD_ALL;
        return true;
    }
    bool braces = parser_take(p, "{");
    do {
        unsigned method = p->token.kind == TOKEN_WORD ? sp_method_parse(p->token.text) : 0;
        if (method == 0) {
            return parser_error_near(p, "E042", names, 7,
                                     "GET HEAD POST PUT PATCH DELETE OPTIONS, {GET POST}, *",
                                     "a method in capitals belongs here");
        }
        *ret_methods |= method;
        parser_advance(p);
        if (braces) {
            (void)parser_take(p, ",");
        }
    } while (braces && !parser_is(p, "}"));
    return !braces || parser_expect(p, "}", "behind the methods");
}

static bool rule_add(struct parser *p, struct sp_scope *scope, struct sp_rule *rule)
{
    if (p->policy->n_rules++ == AST_RULES_MAX) {
        return parser_error(p, "E043", NULL, "fewer rules belong here");
    }
    if (scope->last_rule) {
        scope->last_rule->next = rule;
    } else {
        scope->first_rule = rule;
    }
    scope->last_rule = rule;
    scope->n_rules++;
    return true;
}

static bool parse_rule(struct parser *p, struct sp_scope *scope)
{
    struct sp_rule *rule = parser_alloc(p, sizeof *rule);
    uint32_t start = p->token.start;
    if (!rule) {
        return false;
    }
    if (p->token.kind == TOKEN_LABEL) {
        rule->labelled = true;
        rule->label = (struct sp_text){p->token.text.ptr + 1, p->token.text.len - 1};
        rule->label_span = parser_span(p);
        parser_advance(p);
        if (rule->label.len > SP_NAME_MAX_BYTES) {
            return parser_error(p, "E002", NULL, "a label of at most 64 bytes belongs here");
        }
    }
    rule->denies = parser_is(p, "deny");
    if (!parser_take(p, "allow") && !parser_take(p, "deny")) {
        static const char *const words[] = {"allow", "deny"};
        return parser_error_near(p, "E040", words, 2, NULL, "allow or deny belongs here");
    }
    if (!parse_methods(p, &rule->methods)) {
        return false;
    }
    if (p->token.kind == TOKEN_WORD && !is_keyword(p->token.text)) {
        rule->let_url = p->token.text;
        rule->url.span = parser_span(p);
        parser_advance(p);
        if (parser_is(p, ":") || parser_is(p, ".") || parser_is(p, "/")) {
            return parser_error(p, "E010", "https://host/path",
                                "a URL begins with https:// (or http://)");
        }
    } else if (!parse_url_pattern(p, &rule->url)) {
        return false;
    }
    rule->span = parser_span_since(p, start, rule->url.span.start + rule->url.span.len);
    if (!rule_add(p, scope, rule)) {
        return false;
    }
    return !parser_take(p, "where") || parse_condition(p, &rule->where);
}

/* ---- scopes --------------------------------------------------------------------------------
 */

static bool name_add(struct parser *p, struct name **first, struct name **last, size_t *n,
                     const char *what)
{
    struct name *name = parser_alloc(p, sizeof *name);
    if (!name || !parse_id(p, what, &name->text, &name->span)) {
        return false;
    }
    if (*last) {
        (*last)->next = name;
    } else {
        *first = name;
    }
    *last = name;
    (*n)++;
    return true;
}

static bool parse_mode(struct parser *p, struct sp_scope *scope)
{
    if (!sp_text_is(p->token.text, "observe") && !sp_text_is(p->token.text, "enforce")) {
        return parser_error(p, "E044", NULL, "observe or enforce belongs behind mode");
    }
    scope->observes = sp_text_is(p->token.text, "observe");
    parser_advance(p);
    return true;
}

/* `insist NAME = "value"`; true and false may stand without quotes. */
static bool parse_insist(struct parser *p, struct sp_scope *scope)
{
    struct insist *insist = parser_alloc(p, sizeof *insist);
    if (!insist ||
        !parse_id(p, "the name of a key's setting belongs behind insist", &insist->name,
                  &insist->span) ||
        !parser_expect(p, "=", "behind the setting's name")) {
        return false;
    }
    size_t n = 0;
    for (const struct insist *at = scope->insists; at; at = at->next) {
        if (++n == AST_INSISTS_MAX) {
            return parser_error(p, "E043", NULL, "fewer insists belong here");
        }
    }
    if (parser_is(p, "true") || parser_is(p, "false")) {
        insist->value = p->token.text;
        parser_advance(p);
    } else if (p->token.kind != TOKEN_STRING) {
        return parser_error(p, "E052", "insist livemode = false",
                            "a quoted value, true or false belongs behind insist");
    } else if (!parse_string(p, &insist->value)) {
        return false;
    }
    if (scope->last_insist) {
        scope->last_insist->next = insist;
    } else {
        scope->insists = insist;
    }
    scope->last_insist = insist;
    return true;
}

/* What may stand before the first rule only. */
static bool parse_setting(struct parser *p, struct sp_scope *scope)
{
    struct sp_span span = parser_span(p);
    bool late = scope->first_rule != NULL && !parser_is(p, "rate") && !parser_is(p, "budget");
    if (late) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E045", span, "move it above the rules",
                     "key, insist, redact, ttl and mode come before the first rule");
    }
    if (parser_take(p, "key")) {
        do {
            if (scope->n_keys == AST_KEYS_MAX) {
                return parser_error(p, "E043", NULL, "fewer keys belong here");
            }
            if (!name_add(p, &scope->keys, &scope->last_key, &scope->n_keys,
                          "a key's id belongs here")) {
                return false;
            }
        } while (parser_take(p, ","));
        return true;
    }
    if (parser_take(p, "ttl")) {
        if (scope->has_ttl) {
            return parser_error(p, "E041", NULL, "a second ttl belongs nowhere");
        }
        scope->has_ttl = parse_duration(p, &scope->ttl_ms);
        return scope->has_ttl;
    }
    if (parser_take(p, "mode")) {
        return parse_mode(p, scope);
    }
    if (parser_take(p, "insist")) {
        return parse_insist(p, scope);
    }
    if (parser_take(p, "redact")) {
        return parse_redactions(p, scope);
    }
    if (scope->last_rule && scope->last_rule->denies) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E047", span,
                     "put it behind an allow, or above the rules for the whole scope",
                     "a deny lets nothing through, so it has no rate and no budget");
    }
    if (parser_take(p, "budget")) {
        return parse_budget(p, scope->last_rule ? &scope->last_rule->budget : &scope->budget);
    }
    parser_advance(p); /* rate */
    return parse_rate(p, scope->last_rule ? &scope->last_rule->rate : &scope->rate);
}

static bool parse_scope_statement(struct parser *p, struct sp_scope *scope)
{
    if (parser_is(p, "key") || parser_is(p, "ttl") || parser_is(p, "mode") ||
        parser_is(p, "rate") || parser_is(p, "budget") || parser_is(p, "insist") ||
        parser_is(p, "redact")) {
        return parse_setting(p, scope);
    }
    if (parser_is(p, "escalates")) {
        if (!scope->last_rule || scope->last_rule->denies || scope->last_rule->escalates) {
            return parser_error(p, "E048", NULL, "escalates belongs behind an allow, once");
        }
        scope->last_rule->escalates = true;
        parser_advance(p);
        return true;
    }
    if (parser_is(p, "expect")) {
        return parse_expectation(p, scope);
    }
    if (p->token.kind == TOKEN_LABEL || parser_is(p, "allow") || parser_is(p, "deny")) {
        return parse_rule(p, scope);
    }
    static const char *const words[] = {"key",    "ttl",       "rate",   "mode",
                                        "allow",  "deny",      "expect", "budget",
                                        "redact", "escalates", "insist"};
    return parser_error_near(p, "E040", words, sizeof words / sizeof *words,
                             "key insist redact ttl rate budget mode allow deny expect",
                             "a statement of a scope belongs here");
}

static void parse_block(struct parser *p, struct sp_scope *scope)
{
    while (!parser_is(p, "}") && p->token.kind != TOKEN_END && !p->out_of_memory) {
        parser_begin(p);
        if (!parse_scope_statement(p, scope)) {
            parser_recover(p);
        }
    }
}

static bool parse_params(struct parser *p, struct sp_scope *scope)
{
    while (!parser_is(p, ")")) {
        if (p->token.kind != TOKEN_WORD || scope->n_params == AST_PARAMS_MAX) {
            return parser_error(p, "E046", NULL,
                                scope->n_params == AST_PARAMS_MAX
                                    ? "fewer parameters belong here"
                                    : "a parameter's name (a plain word) belongs here");
        }
        if (!name_add(p, &scope->params, &scope->last_param, &scope->n_params,
                      "a parameter's name belongs here")) {
            return false;
        }
        if (!parser_take(p, ",") && !parser_is(p, ")")) {
            return parser_error(p, "E046", NULL, "',' or ')' belongs here");
        }
    }
    parser_advance(p);
    return true;
}

static bool parse_scope(struct parser *p)
{
    struct sp_scope *scope = parser_alloc(p, sizeof *scope);
    if (!scope || !parse_id(p, "a scope's name belongs here", &scope->name, &scope->span)) {
        return false;
    }
    if (p->policy->n_scopes == AST_SCOPES_MAX) {
        return parser_error(p, "E043", NULL, "fewer scopes belong here");
    }
    if (p->policy->last_scope) {
        p->policy->last_scope->next = scope;
    } else {
        p->policy->first_scope = scope;
    }
    p->policy->last_scope = scope;
    p->policy->n_scopes++;
    if (parser_take(p, "(") && !parse_params(p, scope)) {
        return false;
    }
    if (parser_take(p, "narrows") && !parse_id(p, "a scope's name belongs behind narrows",
                                               &scope->narrows, &scope->narrows_span)) {
        return false;
    }
    if (!parser_expect(p, "{", "behind the scope's name")) {
        return false;
    }
    parse_block(p, scope);
    return parser_expect(p, "}", "at the end of the scope");
}

/* ---- files ---------------------------------------------------------------------------------
 */

static bool parse_let(struct parser *p)
{
    struct let *let = parser_alloc(p, sizeof *let);
    if (!let || !parse_id(p, "a name belongs behind let", &let->name.text, &let->name.span) ||
        !parser_expect(p, "=", "behind the name")) {
        return false;
    }
    if (p->policy->n_lets == AST_LETS_MAX) {
        return parser_error(p, "E043", NULL, "fewer lets belong here");
    }
    let->is_url = p->token.kind == TOKEN_URL;
    if (let->is_url ? !parse_url_pattern(p, &let->url)
                    : !parse_set(p, &let->items, &let->n_items)) {
        return false;
    }
    let->next = p->policy->lets;
    p->policy->lets = let;
    p->policy->n_lets++;
    return true;
}

static bool parse_use(struct parser *p)
{
    if (p->token.kind != TOKEN_STRING) {
        return parser_error(p, "E060", NULL, "a \"file name\" belongs behind use");
    }
    if (p->uses->n == sizeof p->uses->items / sizeof *p->uses->items) {
        return parser_error(p, "E060", NULL, "fewer files belong here");
    }
    p->uses->items[p->uses->n].span = parser_span(p);
    return parse_string(p, &p->uses->items[p->uses->n].name) && (p->uses->n++, true);
}

static bool parse_statement(struct parser *p)
{
    if (parser_take(p, "scope")) {
        return parse_scope(p);
    }
    if (parser_take(p, "let")) {
        return parse_let(p);
    }
    if (parser_take(p, "use")) {
        return parse_use(p);
    }
    if (parser_take(p, "client")) {
        return parse_identity(p, false);
    }
    if (parser_take(p, "principal")) {
        return parse_identity(p, true);
    }
    static const char *const words[] = {"let", "use", "scope", "client", "principal"};
    return parser_error_near(p, "E040", words, 5, "let use scope client principal",
                             "a statement belongs here");
}

static struct parser parser_of(struct sp_policy *policy, const struct sp_source *source,
                               uint32_t index, struct sp_diags *diags, struct uses *uses)
{
    struct parser p = {.policy = policy,
                       .arena = &policy->arena,
                       .diags = diags,
                       .uses = uses,
                       .source = index,
                       .lexer = {.text = source->text, .at = 0, .line_start = true}};
    parser_advance(&p);
    return p;
}

static void skip_to_statement(struct parser *p)
{
    static const char *const words[] = {"let", "use", "scope", "client", "principal"};
    while (p->token.kind != TOKEN_END) {
        for (size_t i = 0; p->token.line_start && i < sizeof words / sizeof *words; i++) {
            if (parser_is(p, words[i])) {
                return;
            }
        }
        parser_advance(p);
    }
}

bool ast_parse(struct sp_policy *policy, const struct sp_source *source, uint32_t source_index,
               struct sp_diags *diags, struct uses *uses)
{
    struct parser p = parser_of(policy, source, source_index, diags, uses);
    int64_t version = 0;
    struct sp_span span = parser_span(&p);
    parser_begin(&p);
    if (!parser_take(&p, "sallyport")) {
        (void)parser_error(&p, "E000", "sallyport 1", "a file begins with its version");
    } else if (!parse_int(&p, &version)) {
        skip_to_statement(&p);
    } else if (version != 1) {
        sp_diags_add(diags, SP_SEVERITY_ERROR, "E000", span, "sallyport 1",
                     "this version of sallyport reads version 1 of the language");
        return true;
    }
    while (p.token.kind != TOKEN_END && !p.out_of_memory) {
        parser_begin(&p);
        p.braces = 0;
        if (!parse_statement(&p)) {
            skip_to_statement(&p);
        }
    }
    return !p.out_of_memory;
}

bool ast_parse_caveat(struct sp_policy *policy, const struct sp_source *source,
                      struct sp_diags *diags, struct sp_scope **ret_scope)
{
    struct uses uses = {.n = 0};
    struct parser p = parser_of(policy, source, 0, diags, &uses);
    struct sp_scope *scope = parser_alloc(&p, sizeof *scope);
    while (scope && p.token.kind != TOKEN_END && !p.out_of_memory && diags->n_errors == 0) {
        parser_begin(&p);
        if (parser_is(&p, "until")) {
            parser_advance(&p);
            (void)parse_until(&p, &scope->until_ms);
        } else if (parser_take(&p, "redact")) {
            (void)parse_redactions(&p, scope);
        } else if (p.token.kind == TOKEN_LABEL || parser_is(&p, "allow") ||
                   parser_is(&p, "deny")) {
            (void)parse_rule(&p, scope);
        } else {
            (void)parser_error(
                &p, "E070", "allow, deny, redact or until",
                "a caveat holds rules, redactions and a time and nothing else; a rule belongs "
                "here");
        }
    }
    if (scope && !scope->first_rule && !scope->until_ms && !scope->n_redactions &&
        diags->n_errors == 0) {
        (void)parser_error(&p, "E070", "allow, deny, redact or until",
                           "a caveat restricts something; "
                           "a rule or a time belongs here");
    }
    *ret_scope = scope;
    return scope && !p.out_of_memory;
}
