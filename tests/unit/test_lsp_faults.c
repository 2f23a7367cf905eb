/* T41 for the language server: each allocation of each request fails in turn, jansson's too. It
 * answers or says that it cannot, and the document is as it was: the same request is answered
 * as before as soon as there is memory. */
#include "cli/lsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after those three */
#include <cmocka.h>

static bool armed;
static size_t counted, fail_at;

static bool fails(void)
{
    return armed && counted++ == fail_at;
}

#define FAILS(type, name, params, args, failed)                                                \
    type __real_##name params;                                                                 \
    type __wrap_##name params;                                                                 \
    type __wrap_##name params                                                                  \
    {                                                                                          \
        return fails() ? (failed) : __real_##name args;                                        \
    }

FAILS(void *, malloc, (size_t size), (size), NULL)
FAILS(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAILS(void *, realloc, (void *memory, size_t size), (memory, size), NULL)
FAILS(char *, strdup, (const char *text), (text), NULL)
FAILS(char *, strndup, (const char *text, size_t len), (text, len), NULL)
FAILS(void *, sp_arena_alloc, (struct sp_arena * arena, size_t size), (arena, size), NULL)
FAILS(void *, sp_arena_array, (struct sp_arena * arena, size_t n, size_t size),
      (arena, n, size), NULL)
FAILS(struct sp_text, sp_arena_copy, (struct sp_arena * arena, struct sp_text text),
      (arena, text), ((struct sp_text){NULL, 0}))

/* Not where it reads a long text: without memory for that, its reader asserts in vain that the
 * text is whole (2.14). */
static bool jansson_fails;

static void *jansson_malloc(size_t size)
{
    return jansson_fails && fails() ? NULL : __real_malloc(size);
}

/* ---- a session ------------------------------------------------------------------------------
 */

static const char document[] =
    "sallyport 1\n"
    "let small = {\"a\", \"b\"}\n"
    "scope s(owner) {\n  key k\n  ttl 1h\n"
    "  @own allow GET https://api.example/of/{owner}/{n:int}\n"
    "  @pay allow POST https://api.example/pay where body.to in small and body.amount in 1..5\n"
    "}\n"
    "principal desk {\n  curve \"x\"\n  may issue s(owner = \"acme\") for 1h\n}\n";
static const char other[] = "sallyport 1\nuse \"/nowhere/one.scope\"\nscope t { key k\n"
                            "  allow GET https://api.example/** where body.to in small }\n";

static struct lsp lsp;
static char answer[1 << 16];
static size_t n_answers;

static bool take(void *user, json_t *message)
{
    (void)user;
    if (!message) {
        return false;
    }
    bool was_armed = armed;
    armed = false;
    assert_true(json_is_string(json_object_get(message, "jsonrpc")));
    char *text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
    (void)snprintf(answer, sizeof answer, "%s", text);
    free(text);
    n_answers++;
    armed = was_armed;
    json_decref(message);
    return true;
}

static void say(const char *method, bool asks, json_t *params)
{
    json_t *message =
        json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
    if (asks) {
        (void)json_object_set_new(message, "id", json_integer(1));
    }
    char *text = json_dumps(message, JSON_COMPACT);
    size_t at = fail_at;
    answer[0] = '\0';
    n_answers = counted = 0;
    armed = at != SIZE_MAX;
    lsp_handle(&lsp, sp_text_of(text));
    armed = false;
    free(text);
    json_decref(message);
}

static json_t *place(const char *uri, unsigned line, unsigned column)
{
    return json_pack("{s:{s:s}, s:{s:i, s:i}, s:{s:b}, s:s}", "textDocument", "uri", uri,
                     "position", "line", (int)line, "character", (int)column, "context",
                     "includeDeclaration", 1, "newName", "fresh");
}

static json_t *whole(const char *uri)
{
    return json_pack("{s:{s:s}, s:{s:{s:i, s:i}, s:{s:i, s:i}}, s:{s:[]}, s:{s:i, s:b}}",
                     "textDocument", "uri", uri, "range", "start", "line", 0, "character", 0,
                     "end", "line", 99, "character", 0, "context", "diagnostics", "options",
                     "tabSize", 4, "insertSpaces", 1);
}

static json_t *opened(const char *uri, const char *text)
{
    return json_pack("{s:{s:s, s:s, s:i, s:s}}", "textDocument", "uri", uri, "languageId",
                     "scope", "version", 1, "text", text);
}

#define ONE "file:///nowhere/one.scope"
#define TWO "file:///nowhere/two.scope"

static void open_both(void)
{
    fail_at = SIZE_MAX;
    memset(&lsp, 0, sizeof lsp);
    lsp_init(&lsp, take, NULL);
    say("initialize", true, json_object());
    say("textDocument/didOpen", false, opened(ONE, document));
    say("textDocument/didOpen", false, opened(TWO, other));
}

/* ---- tests ----------------------------------------------------------------------------------
 */

static json_t *params_of(size_t place_at, bool is_whole)
{
    /* on a set, a scope's name, a parameter, a condition's word, a method, a principal's grant
     */
    static const unsigned places[][2] = {{1, 6}, {2, 7},   {5, 40}, {6, 58}, {5, 14},
                                         {6, 3}, {10, 14}, {4, 3},  {6, 45}, {0, 0}};
    return is_whole ? whole(ONE) : place(ONE, places[place_at][0], places[place_at][1]);
}

static void T41_each_allocation_of_a_request_fails_and_the_next_is_answered(void **state)
{
    static const char *const at_places[] = {
        "textDocument/definition", "textDocument/references",    "textDocument/hover",
        "textDocument/completion", "textDocument/prepareRename", "textDocument/rename"};
    static const char *const of_all[] = {"textDocument/formatting", "textDocument/codeAction"};
    static char before[sizeof answer];
    enum { AT = sizeof at_places / sizeof at_places[0], ALL = 2, PLACES = 10 };
    size_t n = 0;
    (void)state;
    open_both();
    jansson_fails = true;
    for (size_t m = 0; m < AT * PLACES + ALL; m++) {
        bool is_whole = m >= AT * PLACES;
        const char *method = is_whole ? of_all[m - AT * PLACES] : at_places[m % AT];
        fail_at = SIZE_MAX;
        say(method, true, params_of(m / AT % PLACES, is_whole));
        assert_int_equal(n_answers, 1);
        (void)snprintf(before, sizeof before, "%s", answer);
        for (size_t at = 0;; at += 1 + at / 40, n++) {
            fail_at = at;
            say(method, true, params_of(m / AT % PLACES, is_whole));
            assert_true(n_answers <= 1);
            if (counted <= at) {
                break;
            }
            lsp.broken = false;
            fail_at = SIZE_MAX;
            say(method, true, params_of(m / AT % PLACES, is_whole));
            assert_string_equal(answer, before);
        }
    }
    print_message("%zu allocations failed\n", n);
    assert_true(n > 1000);
    jansson_fails = false;
    lsp_done(&lsp);
}

static void T41_a_document_that_could_not_be_opened_or_changed_is_whole(void **state)
{
    (void)state;
    open_both();
    for (size_t at = 0;; at += 1 + at / 40) {
        fail_at = at;
        say("textDocument/didChange", false,
            json_pack("{s:{s:s, s:i}, s:[{s:s}]}", "textDocument", "uri", ONE, "version", 2,
                      "contentChanges", "text", at % 2 ? document : other));
        size_t counted_then = counted;
        lsp.broken = false;
        fail_at = at;
        say("textDocument/didOpen", false, opened("file:///nowhere/three.scope", document));
        size_t counted_now = counted;
        lsp.broken = false;
        fail_at = SIZE_MAX;
        const struct lsp_doc *doc = lsp_doc_find(&lsp, ONE);
        assert_true(!doc || doc->len == strlen(document) || doc->len == strlen(other));
        say("textDocument/didClose", false,
            json_pack("{s:{s:s}}", "textDocument", "uri", "file:///nowhere/three.scope"));
        if (counted_then <= at && counted_now <= at) {
            break;
        }
        say("textDocument/didOpen", false, opened(ONE, document));
    }
    fail_at = SIZE_MAX;
    say("textDocument/didOpen", false, opened(ONE, document));
    say("textDocument/hover", true, place(ONE, 2, 7));
    assert_int_equal(n_answers, 1);
    lsp_done(&lsp);
}

int main(void)
{
    json_set_alloc_funcs(jansson_malloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T41_each_allocation_of_a_request_fails_and_the_next_is_answered),
        cmocka_unit_test(T41_a_document_that_could_not_be_opened_or_changed_is_whole),
    };
    return cmocka_run_group_tests_name("lsp faults", tests, NULL, NULL);
}
