/* What a scope or a rule lets through in a time: rates and budgets. */
#include "parser.h"

/* N/unit or N/60000ms, and perhaps `burst B`. */
bool parse_rate(struct parser *p, struct sp_rate *ret_rate)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"s", 1000}, {"sec", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t count, burst = 0;
    struct sp_span span = parser_span(p);
    if (ret_rate->count) {
        return parser_error(p, "E041", NULL, "a second rate belongs nowhere");
    }
    if (!parse_int(p, &count) || !parser_expect(p, "/", "between count and unit")) {
        return false;
    }
    uint64_t window_ms = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        window_ms = parser_is(p, units[i].name) ? units[i].ms : window_ms;
    }
    if (window_ms > 0) {
        parser_advance(p);
    } else if (p->token.kind != TOKEN_AMOUNT) {
        return parser_error(p, "E041", "30/min, 5/s, 100/h or 1000/d", "a unit belongs here");
    } else if (!parse_duration(p, &window_ms)) {
        return false;
    }
    bool has_burst = parser_take(p, "burst");
    if (has_burst && !parse_int(p, &burst)) {
        return false;
    }
    if (count < 1 || count > 1000000 || burst < has_burst || burst > 1000000) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E041", span, NULL,
                     "a rate and its burst are 1 to 1000000");
        return true; /* the statement itself was understood */
    }
    *ret_rate = (struct sp_rate){(uint32_t)count, window_ms, (uint32_t)burst};
    return true;
}

/* sum(body.amount), or count. */
static bool parse_measure(struct parser *p, struct budget *budget)
{
    if (parser_take(p, "count")) {
        return true;
    }
    if (!parser_take(p, "sum")) {
        return parser_error(p, "E049", "sum(body.amount) or count",
                            "what a budget measures belongs here");
    }
    budget->public.sums = true;
    if (!parser_expect(p, "(", "behind sum") || !parse_field(p, &budget->field)) {
        return false;
    }
    if (budget->field.source >= FIELD_HEADER || budget->field.quantifier != QUANTIFIER_NONE) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E049", budget->field.span,
                     "write one field: body.x or query.x",
                     "only a field of the body or the query can be summed");
    }
    return parser_expect(p, ")", "behind the field");
}

/* day, or 24h. */
static bool parse_window(struct parser *p, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"minute", 60000}, {"hour", 3600000}, {"day", 86400000}, {"week", 604800000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (parser_take(p, units[i].name)) {
            *ret_ms = units[i].ms;
            return true;
        }
    }
    return p->token.kind == TOKEN_AMOUNT
               ? parse_duration(p, ret_ms)
               : parser_error(p, "E049", "minute, hour, day, week, or a duration: 30d",
                              "a budget's window belongs here");
}

bool parse_budget(struct parser *p, struct budget **ret_budget)
{
    struct sp_span span = parser_span(p);
    struct budget *budget = parser_alloc(p, sizeof *budget);
    int64_t limit;
    if (*ret_budget) {
        return parser_error(p, "E049", NULL, "a second budget belongs nowhere");
    }
    if (!budget || !parse_measure(p, budget) || !parser_expect(p, "<=", "behind the measure")) {
        return false;
    }
    budget->span = span;
    if (!parse_int(p, &limit) || !parser_expect(p, "per", "behind the limit") ||
        !parse_window(p, &budget->public.window_ms)) {
        return false;
    }
    if (parser_take(p, "per")) {
        if (!parser_expect(p, "token", "behind the second per")) {
            return false;
        }
        budget->public.per_token = true;
    }
    *ret_budget = budget;
    budget->public.limit = (uint64_t)limit;
    if (limit < 1 || (uint64_t)limit > SP_BUDGET_LIMIT_MAX) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E180", span, "write a limit of 1 to 10^15",
                     "a budget of %lld is none", (long long)limit);
    }
    if (budget->public.window_ms < SP_BUDGET_WINDOW_MIN_MS ||
        budget->public.window_ms > SP_BUDGET_WINDOW_MAX_MS) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E181", span,
                     "use a rate for less than a minute",
                     "a budget's window is from one minute to 366 days");
    }
    return true; /* the statement itself was understood */
}
