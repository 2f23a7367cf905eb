/* The language's words: what each means, and which can stand where. */
#include "lsp.h"

static const struct {
    const char *word, *help;
} helps[] = {
    {"sallyport", "`sallyport 1`: the version of the language; every file begins with it."},
    {"let", "`let name = {…}` or `let name = https://…`: a set or a URL pattern by name."},
    {"use", "`use \"file.scope\"`: what a file beside or below this one declares."},
    {"scope", "`scope name(params) narrows other { … }`: what a token may do."},
    {"narrows", "`scope a narrows b`: proved whenever it is compiled: a allows nothing that b "
                "does not."},
    {"client", "`client name { curve \"…\" }`: who may connect."},
    {"principal", "`principal name { curve \"…\" may issue scope }`: who may issue tokens."},
    {"key", "`key id, id`: the registered keys that the scope's calls may be made with."},
    {"insist",
     "`insist livemode = false`: what a setting of each key has to be, whenever it is "
     "used; a key that was rotated to another kind is refused."},
    {"redact",
     "`redact {email, customer.phone}`: fields that are taken out of the JSON of every "
     "answer; one that is no JSON is withheld."},
    {"ttl", "`ttl 4h`: how long a token lives at most."},
    {"rate",
     "`rate 30/min burst 5`: of the whole scope above the rules, of one rule behind it."},
    {"burst",
     "`burst N`: so many at once, then evenly spaced; without it at most the rate's count "
     "in any window."},
    {"budget",
     "`budget count <= 100 per day` or `budget sum(body.amount) <= 20000 per day`: durable; of "
     "the whole scope above the rules, of one rule behind it."},
    {"per",
     "`per day`: a budget's window. `per token` behind it gives each root token its own."},
    {"escalates", "`escalates`, behind a literal allow: its author means an action that the "
                  "provider's catalogue marks as escalating."},
    {"mode", "`mode observe`: denied calls go through and are recorded. `mode enforce` is the "
             "default."},
    {"allow", "`allow METHODS URL where …`: calls that match are let through, unless a deny "
              "matches."},
    {"deny",
     "`deny METHODS URL where …`: calls that match are refused, whatever allows them. What "
     "cannot be judged counts as a match."},
    {"where", "`where condition`: and, or, not over comparisons of body, query, header, path."},
    {"and", "Both hold. It binds tighter than `or`."},
    {"or", "One of both holds."},
    {"not", "The opposite. Of what is unknown it is unknown."},
    {"in",
     "`in {…}`, `in name`, `in 1..100`, `in 1..`, `in ..100`: in a set or a range, both ends "
     "included."},
    {"starts", "`starts \"…\"`: the text begins so."},
    {"has", "`has body.x`: the field is there."},
    {"only", "`body only {a, b}`: there are no other members."},
    {"any", "`any(body.list).x = 1`: of at least one element of the array."},
    {"all", "`all(body.list).x = 1`: of every element of the array."},
    {"body", "`body.name`: a field of the JSON or form body."},
    {"query", "`query.name`: a parameter of the URL's query."},
    {"header",
     "`header.name`: a header of the request. In an expectation: `header name = \"…\"`."},
    {"path", "`path.name`: what `{name:int}`, `{name:any}` or `{name:slash}` captured."},
    {"expect",
     "`expect allow METHOD URL json {…} -> @label`: a test; it runs whenever the file is "
     "compiled."},
    {"given",
     "`given (name = \"value\")`: an expectation's arguments for the scope's parameters."},
    {"form", "`form {a: 1}`: the expectation's body, as a form."},
    {"json", "`json {a: 1}`: the expectation's body, as JSON."},
    {"curve", "`curve \"…\"`: the public key; `sallyport client keygen` prints it."},
    {"may", "`may issue scope(param = *) for 4h, 5 live`: what a principal may issue."},
    {"issue", "`may issue scope(param = *) for 4h, 5 live`: what a principal may issue."},
    {"for", "`for 4h`: the longest life of a token that is issued so."},
    {"live", "`5 live`: so many tokens at a time."},
    {"true", "The JSON value true."},
    {"false", "The JSON value false."},
};

const char *lsp_word_help(struct sp_text word)
{
    for (size_t i = 0; i < sizeof helps / sizeof *helps; i++) {
        if (sp_text_is(word, helps[i].word)) {
            return helps[i].help;
        }
    }
    return NULL;
}

/* ---- which can stand where -----------------------------------------------------------------
 */

static void put(struct lsp_words *words, const char *const *items)
{
    for (; *items && words->n < LSP_WORDS_MAX; items++) {
        words->items[words->n++] = *items;
    }
}
#define PUT(words, ...) put((words), (const char *const[]){__VA_ARGS__, NULL})

static bool is_one_of(struct sp_text text, const char *const *words)
{
    for (; *words; words++) {
        if (sp_text_is(text, *words)) {
            return true;
        }
    }
    return false;
}
#define IS(text, ...) is_one_of((text), (const char *const[]){__VA_ARGS__, NULL})

#define METHODS "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"

static bool is_url(struct sp_text text)
{
    return sp_text_starts(text, SP_TEXT("https://")) ||
           sp_text_starts(text, SP_TEXT("http://"));
}

static void of_condition(const struct sp_context *c, struct lsp_words *words)
{
    if (IS(c->last, "where", "and", "or", "not", "(")) {
        PUT(words, "body", "query", "header", "path", "has", "any", "all", "not");
    } else if (IS(c->last, "has", "any", "all")) {
        PUT(words, "body", "query", "header");
    } else if (IS(c->last, "in")) {
        words->lets = true;
    } else if (IS(c->last, "=", "!=", "<", "<=", ">", ">=", "starts", "{", ",")) {
        PUT(words, "true", "false");
        words->params = true;
    } else if (!IS(c->last, ".")) {
        PUT(words, "and", "or", "in", "starts", "only", "key", "ttl", "rate", "budget",
            "escalates", "mode", "allow", "deny", "expect");
    }
}

static void of_expectation(const struct sp_context *c, struct lsp_words *words)
{
    if (IS(c->last, "expect")) {
        PUT(words, "allow", "deny");
    } else if (IS(c->last, "allow", "deny")) {
        PUT(words, "given", METHODS);
    } else if (IS(c->last, ")")) {
        PUT(words, METHODS);
    } else if (IS(c->last, "(", ",")) {
        words->params = true;
    } else if (IS(c->last, "->")) {
        words->labels = true;
    } else if (is_url(c->last) || IS(c->last, "}", "]")) {
        PUT(words, "form", "json", "header", "allow", "deny", "expect");
    } else if (c->last.len > 0 && c->last.ptr[0] == '@') {
        PUT(words, "allow", "deny", "expect");
    }
}

static void of_scope(const struct sp_context *c, struct lsp_words *words)
{
    words->scope = c->name;
    if (sp_text_is(c->statement, "expect")) {
        of_expectation(c, words);
    } else if (c->in_where) {
        of_condition(c, words);
    } else if (IS(c->last, "allow", "deny")) {
        PUT(words, METHODS);
    } else if (IS(c->last, METHODS) || IS(c->last, "*", "}")) {
        words->lets = true;
    } else if (IS(c->last, "mode")) {
        PUT(words, "observe", "enforce");
    } else if (sp_text_eq(c->last, c->statement) && c->last.len > 0 && c->last.ptr[0] == '@') {
        PUT(words, "allow", "deny");
    } else if (!IS(c->last, "key", "insist", "redact", "ttl", "rate", "/")) {
        PUT(words, "key", "insist", "redact", "ttl", "rate", "budget", "escalates", "mode",
            "allow", "deny", "expect");
        if (is_url(c->last)) {
            PUT(words, "where");
        }
        if (sp_text_is(c->statement, "rate")) {
            PUT(words, "burst");
        }
    }
}

static void of_identity(const struct sp_context *c, struct lsp_words *words)
{
    if (IS(c->last, "may")) {
        PUT(words, "issue");
    } else if (IS(c->last, "issue")) {
        words->scopes = true;
    } else if (!IS(c->last, "curve", "for")) {
        PUT(words, "curve");
        if (sp_text_is(c->block, "principal")) {
            PUT(words, "may", "for", "live");
        }
    }
}

static void of_file(const struct sp_context *c, struct lsp_words *words)
{
    if (c->last.len == 0) {
        PUT(words, "sallyport");
    } else if (IS(c->last, "narrows")) {
        words->scopes = true;
    } else if (!IS(c->last, "sallyport", "let", "use", "scope", "client", "principal", "=")) {
        PUT(words, "let", "use", "scope", "client", "principal");
        if (sp_text_is(c->statement, "scope")) {
            PUT(words, "narrows");
        }
    }
}

void lsp_words_at(struct sp_text text, size_t offset, struct lsp_words *ret_words)
{
    struct sp_arena arena;
    struct sp_context context;
    memset(ret_words, 0, sizeof *ret_words);
    sp_arena_init(&arena, (size_t)256 << 20);
    if (sp_context_at(&arena, text, offset, &context)) {
        if (context.block.len == 0) {
            of_file(&context, ret_words);
        } else if (sp_text_is(context.block, "scope")) {
            of_scope(&context, ret_words);
        } else {
            of_identity(&context, ret_words);
        }
        size_t at = offset < text.len ? offset : text.len;
        while (at > 0 && sp_symbol_is_word((struct sp_text){text.ptr + at - 1, 1})) {
            at--;
        }
        ret_words->has_at = at > 0 && text.ptr[at - 1] == '@';
    }
    sp_arena_done(&arena);
}
