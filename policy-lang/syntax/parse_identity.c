/* client and principal: who may connect, and who may issue what. */
#include "parser.h"

static bool parse_arg_grant(struct parser *p, struct sp_arg_grant *arg)
{
    struct sp_span span;
    if (!parse_name(p, "a parameter's name belongs here", &arg->name, &span) ||
        !parser_expect(p, "=", "behind the parameter's name")) {
        return false;
    }
    arg->any = parser_take(p, "*");
    if (arg->any) {
        return true;
    }
    return p->token.kind == TOKEN_STRING
               ? parse_string(p, &arg->value)
               : parser_error(p, "E051", NULL, "a \"string\" or * belongs here");
}

static bool parse_grant(struct parser *p, struct sp_may_issue *grant, struct sp_span *ret_span)
{
    struct sp_arg_grant *args = NULL;
    int64_t live;
    if (!parse_name(p, "a scope's name belongs here", &grant->scope, ret_span)) {
        return false;
    }
    if (parser_take(p, "(")) {
        args = parser_alloc(p, AST_PARAMS_MAX * sizeof *args);
        while (args && !parser_is(p, ")")) {
            if (grant->n_args == AST_PARAMS_MAX) {
                return parser_error(p, "E051", NULL, "fewer arguments belong here");
            }
            if (!parse_arg_grant(p, &args[grant->n_args])) {
                return false;
            }
            grant->n_args++;
            if (!parser_take(p, ",") && !parser_is(p, ")")) {
                return parser_error(p, "E051", NULL, "',' or ')' belongs here");
            }
        }
        parser_advance(p);
    }
    grant->args = args;
    if (parser_take(p, "for") && !parse_duration(p, &grant->ttl_ms)) {
        return false;
    }
    (void)parser_take(p, ",");
    if (p->token.kind == TOKEN_NUMBER) {
        if (!parse_int(p, &live) || !parser_expect(p, "live", "behind the number")) {
            return false;
        }
        if (live < 1 || live > UINT32_MAX) {
            return parser_error(p, "E051", NULL,
                                "a number of live tokens from 1 belongs there");
        }
        grant->live_max = (uint32_t)live;
    }
    return true;
}

static bool parse_curve(struct parser *p, struct identity *identity)
{
    if (identity->public.curve[0]) {
        return parser_error(p, "E050", NULL, "a second CURVE key belongs nowhere");
    }
    identity->curve_span = parser_span(p);
    if (p->token.kind != TOKEN_STRING) {
        return parser_error(p, "E050", NULL, "a \"Z85 key\" belongs behind curve");
    }
    /* Z85 holds no quote and no backslash: the raw text is the key. */
    struct sp_text curve = {p->token.text.ptr + 1, p->token.text.len - 2};
    if (curve.len != 40 || curve.ptr[0] == '\0') {
        return parser_error(p, "E050", "`sallyport client keygen FILE` prints one",
                            "a public key of 40 characters of Z85 belongs here");
    }
    memcpy(identity->public.curve, curve.ptr, 40);
    parser_advance(p);
    return true;
}

static bool parse_may(struct parser *p, struct identity *identity)
{
    size_t n = identity->public.n_grants, room = identity->grants_room;
    if (n == AST_GRANTS_MAX) {
        return parser_error(p, "E043", NULL, "fewer grants belong here");
    }
    identity->grants =
        parser_grow(p, identity->grants, n, &identity->grants_room, sizeof *identity->grants);
    identity->grant_spans =
        parser_grow(p, identity->grant_spans, n, &room, sizeof *identity->grant_spans);
    if (!identity->grants || !identity->grant_spans) {
        return false;
    }
    identity->public.grants = identity->grants;
    identity->public.n_grants++;
    return parse_grant(p, &identity->grants[n], &identity->grant_spans[n]);
}

static bool parse_identity_statement(struct parser *p, struct identity *identity)
{
    if (parser_take(p, "curve")) {
        return parse_curve(p, identity);
    }
    if (identity->public.principal && parser_take(p, "may")) {
        return parser_expect(p, "issue", "behind may") && parse_may(p, identity);
    }
    return parser_error(
        p, "E050", identity->public.principal ? "curve \"…\", may issue SCOPE" : "curve \"…\"",
        "a statement of a client or principal belongs here");
}

bool parse_identity(struct parser *p, bool principal)
{
    struct identity *identity = parser_alloc(p, sizeof *identity);
    if (!identity) {
        return false;
    }
    identity->public.principal = principal;
    if (!parse_id(p, "a name belongs here", &identity->public.name, &identity->span) ||
        !parser_expect(p, "{", "behind the name")) {
        return false;
    }
    if (p->policy->n_identities == AST_IDENTITIES_MAX) {
        return parser_error(p, "E043", NULL, "fewer clients belong here");
    }
    if (p->policy->last_identity) {
        p->policy->last_identity->next = identity;
    } else {
        p->policy->first_identity = identity;
    }
    p->policy->last_identity = identity;
    p->policy->n_identities++;
    while (!parser_is(p, "}") && p->token.kind != TOKEN_END && !p->out_of_memory) {
        parser_begin(p);
        if (!parse_identity_statement(p, identity)) {
            parser_recover(p);
            if (!parser_is(p, "may") && !parser_is(p, "curve")) {
                break;
            }
        }
    }
    return parser_expect(p, "}", "at the end of the block");
}
