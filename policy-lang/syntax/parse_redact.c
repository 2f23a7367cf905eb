/* What is taken out of answers: redact {email, customer.phone}. */
#include "parser.h"

/* One name of a field. Every word is one, keywords too, as behind a dot of a condition. */
static bool parse_part(struct parser *p, struct sp_text *ret_name)
{
    struct sp_span span = parser_span(p);
    if (p->token.kind == TOKEN_WORD) {
        *ret_name = p->token.text;
        parser_advance(p);
    } else if (p->token.kind != TOKEN_STRING) {
        return parser_error(p, "E053", "redact {email, customer.phone}",
                            "a field of the answer belongs here");
    } else if (!parse_string(p, ret_name)) {
        return false;
    }
    if (ret_name->len == 0 || ret_name->len > SP_REDACTION_NAME_MAX_BYTES) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E053", span, NULL,
                     "a field's name has 1 to %d bytes", SP_REDACTION_NAME_MAX_BYTES);
    }
    return true;
}

static bool parse_redaction(struct parser *p, struct redaction *ret_redaction)
{
    struct sp_text *names = NULL;
    size_t n = 0, room = 0;
    uint32_t start = p->token.start;
    do {
        if (n == SP_REDACTION_NAMES_MAX) {
            return parser_error(p, "E053", NULL, "a shorter field belongs here");
        }
        names = parser_grow(p, names, n, &room, sizeof *names);
        if (!names || !parse_part(p, &names[n++])) {
            return false;
        }
    } while (parser_take(p, "."));
    *ret_redaction = (struct redaction){.public = {names, n},
                                        .span = parser_span_since(p, start, p->last_end)};
    return true;
}

bool parse_redactions(struct parser *p, struct sp_scope *scope)
{
    if (!parser_expect(p, "{", "behind redact")) {
        return false;
    }
    do {
        if (scope->n_redactions == AST_REDACTIONS_MAX) {
            return parser_error(p, "E043", NULL, "fewer redactions belong here");
        }
        scope->redactions = parser_grow(p, scope->redactions, scope->n_redactions,
                                        &scope->redactions_room, sizeof *scope->redactions);
        if (!scope->redactions ||
            !parse_redaction(p, &scope->redactions[scope->n_redactions])) {
            return false;
        }
        scope->n_redactions++;
    } while (parser_take(p, ",") && !parser_is(p, "}"));
    return parser_expect(p, "}", "behind the last field");
}
