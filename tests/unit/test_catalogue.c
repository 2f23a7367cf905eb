/* What a manifest's actions are in the compiler's terms: what only their names and fields tell.
 */
#include "catalogue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ACTION(text, verb, where)                                                              \
    {                                                                                          \
        .name = SP_TEXT(text), .method = SP_TEXT(verb), .path = SP_TEXT(where)                 \
    }

/* The actions of a manifest with these, converted. */
static const struct sp_catalogue_action *convert(struct sp_catalogues *catalogues,
                                                 struct sp_action *actions, size_t n)
{
    static const struct sp_text host = {"api.test", 8};
    const struct sp_manifest manifest = {
        .id = SP_TEXT("p"), .actions = actions, .n_actions = n};
    sp_catalogues_init(catalogues);
    const struct sp_catalogue *added = sp_catalogues_add(catalogues, &manifest, &host, 1);
    assert_non_null(added);
    assert_int_equal(added->n_actions, n);
    return added->actions;
}

static void an_action_below_a_servers_own_path_is_the_same_once_more(void **state)
{
    (void)state;
    struct sp_action list[] = {
        ACTION("server/keys/add", "POST", "/api/v3/keys"), /* in front of it is fine, too */
        ACTION("keys/add", "POST", "/keys"),
        ACTION("other/keys/add", "PUT", "/api/v3/keys"),
        ACTION("third/keys/add", "POST", "/api/v3/keys2"),
        ACTION("fourth/keys/add", "POST", "/keys"),
        ACTION("fifth/keys/adds", "POST", "/x/keys"),
        ACTION("add", "POST", "/add"),
        ACTION("far/server/keys/add", "POST", "/far/api/v3/keys"),
    };
    struct sp_catalogues catalogues;
    const struct sp_catalogue_action *got = convert(&catalogues, list, 8);
    static const int first[] = {1, -1, -1, -1, -1, -1, -1, 0};
    for (size_t i = 0; i < 8; i++) {
        assert_ptr_equal(got[i].same_as, first[i] < 0 ? NULL : &got[first[i]]);
    }
    sp_catalogues_done(&catalogues);
}

static void graphql_is_known_by_its_name_alone(void **state)
{
    (void)state;
    struct sp_action list[] = {
        ACTION("graphql", "POST", "/graphql"), ACTION("enterprise/graphql", "POST", "/g"),
        ACTION("mygraphql", "POST", "/graphql"), ACTION("graphql/x", "POST", "/x/graphql")};
    struct sp_catalogues catalogues;
    const struct sp_catalogue_action *got = convert(&catalogues, list, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(got[i].is_graphql, i < 2);
    }
    sp_catalogues_done(&catalogues);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_action_below_a_servers_own_path_is_the_same_once_more),
        cmocka_unit_test(graphql_is_known_by_its_name_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
