/* Reads sources, each ended by a NUL, and prints for each a line: what the compiler has to say,
 * as an array of JSON. test_grammar.py and test_manual.py ask it.
 *
 * With the argument `caveat` each is a caveat. With `world` key k is registered for host
 * api.test and no other key is. A `use` of "this.scope" reads the source itself; every other
 * file is missing. */
#include "ast.h"

#include <stdio.h>
#include <stdlib.h>

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    static const struct sp_text hosts[] = {{"api.test", 8}};
    (void)user;
    *ret_hosts = hosts;
    *ret_n_hosts = 1;
    return sp_text_is(id, "k");
}

static bool key_setting(void *user, struct sp_text id, struct sp_text name,
                        struct sp_text *ret_value)
{
    (void)user;
    *ret_value = SP_TEXT("true");
    return sp_text_is(id, "k") && sp_text_is(name, "livemode");
}

/* Of what key k is for, one action escalates. */
static size_t catalogues(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    static const struct sp_text host = {"api.test", 8};
    static const struct sp_catalogue_action actions[] = {
        {{"keys/create", 11}, {"/users/{user}/keys", 18}, SP_METHOD_POST, .escalates = true},
        {{"orders/list", 11}, {"/orders", 7}, SP_METHOD_GET, .escalates = false},
        {{"users/orders", 12}, {"/users/{user}/orders", 20}, SP_METHOD_GET, .escalates = false},
        {{"graphql", 7},
         {"/graphql", 8},
         SP_METHOD_POST,
         .escalates = true,
         .is_graphql = true},
        {{"payments", 8}, {"/payments", 9}, SP_METHOD_POST, .has_currency = true}};
    static const struct sp_catalogue list = {{"api", 3}, &host, 1, actions, 5};
    (void)user;
    *ret_list = &list;
    return sp_text_is(id, "k");
}

static sp_status read_use(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err)
{
    (void)from;
    if (!sp_text_is(name, "this.scope")) {
        return sp_fail(err, SP_ENOENT, "there is no such file");
    }
    *ret_source = *(const struct sp_source *)user;
    return SP_OK;
}

static bool print_line(const struct sp_diags *diags, const struct sp_source *source)
{
    struct sp_buf out;
    sp_buf_init(&out, 1 << 20);
    sp_diags_print_json(diags, source, &out);
    bool good = !out.failed;
    for (size_t i = 0; good && i < out.len; i++) {
        good = putchar(out.ptr[i] == '\n' ? ' ' : out.ptr[i]) != EOF;
    }
    sp_buf_done(&out);
    return good && putchar('\n') != EOF;
}

static bool answer_caveat(struct sp_text text)
{
    struct sp_source source = {"caveat", text};
    struct sp_policy policy = {.first_scope = NULL};
    struct sp_scope *scope = NULL;
    struct sp_diags diags;
    sp_diags_init(&diags);
    sp_arena_init(&policy.arena, 4 << 20);
    bool good = ast_parse_caveat(&policy, &source, &diags, &scope);
    good = good && print_line(&diags, &source);
    sp_arena_done(&policy.arena);
    sp_diags_done(&diags);
    return good;
}

static bool answer(struct sp_text text, bool with_world)
{
    struct sp_source source = {"this.scope", text};
    struct sp_world world = {.user = &source,
                             .key_hosts = with_world ? key_hosts : NULL,
                             .key_setting = with_world ? key_setting : NULL,
                             .catalogues = with_world ? catalogues : NULL,
                             .read_use = read_use};
    struct sp_policy *policy = NULL;
    struct sp_diags diags;
    sp_diags_init(&diags);
    sp_status status = sp_policy_compile(&source, 1, &world, &diags, &policy);
    bool good = status != SP_ENOMEM && (status == SP_OK) == (policy != NULL) &&
                (status == SP_OK) == (diags.n_errors == 0);
    good = good && print_line(&diags, &source);
    sp_policy_free(policy);
    sp_diags_done(&diags);
    return good;
}

int main(int argc, char **argv)
{
    char *source = NULL;
    size_t room = 0;
    ssize_t len;
    bool good = true;
    const char *how = argc > 1 ? argv[1] : "";
    while (good && (len = getdelim(&source, &room, '\0', stdin)) > 0) {
        size_t end = source[len - 1] == '\0' ? 1 : 0;
        struct sp_text text = {source, (size_t)len - end};
        good = strcmp(how, "caveat") == 0 ? answer_caveat(text)
                                          : answer(text, strcmp(how, "world") == 0);
    }
    free(source);
    return good ? 0 : 1;
}
