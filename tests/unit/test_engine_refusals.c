/* What a principal asks for and does not get, each with its own code and reason. */
#include "engine_kit.h"

#include <sodium.h>
#include <stdio.h>

static struct engine_kit kit;

static int setup(void **state)
{
    (void)state;
    kit_make(&kit);
    assert_int_equal(kit_open(&kit), SP_OK);
    kit_key(&kit, KIT_ADD, "k", "canary");
    assert_int_equal(kit.status, SP_OK);
    kit_key(&kit, KIT_ADD, "other", "canary");
    assert_int_equal(kit.status, SP_OK);
    assert_int_equal(kit_set_policy(&kit), SP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_remove(&kit);
    return 0;
}

static const struct sp_text key[] = {{"k", 1}}, lost[] = {{"none", 4}}, rest[] = {{"rest", 4}},
                            stripe[] = {{"stripe", 6}}, both[] = {{"rest", 4}, {"stripe", 6}},
                            get[] = {{"GET", 3}}, small[] = {{"get", 3}},
                            host[] = {{"api.example", 11}}, foreign[] = {{"evil.example", 12}},
                            bad_host[] = {{"a b", 3}};

#define LIST(name, list) .name = list, .n_##name = sizeof list / sizeof list[0]

static void the_json_form_gives_nothing_that_its_keys_do_not_have(void **state)
{
    static const struct {
        struct sp_json_scope json;
        enum sp_code code;
        const char *reason;
    } refused[] = {
        {{LIST(key_ids, lost), LIST(methods, get), LIST(domains, host)},
         SP_CODE_NOT_GRANTED,
         "allowedKeyIds names a key that is not there"},
        {{LIST(key_ids, key), LIST(providers, stripe), LIST(methods, get), LIST(domains, host)},
         SP_CODE_NOT_GRANTED,
         "allowedProviders leaves out the provider of one of the keys"},
        {{LIST(key_ids, key), LIST(providers, both), LIST(methods, get), LIST(domains, host)},
         SP_CODE_NOT_GRANTED,
         "allowedProviders names a provider that none of the keys is of"},
        {{LIST(key_ids, key), LIST(methods, get), LIST(domains, foreign)},
         SP_CODE_NOT_GRANTED,
         "allowedDomains names a host that none of the keys is for"},
        {{LIST(key_ids, key), LIST(methods, get), LIST(domains, bad_host)},
         SP_CODE_BAD_REQUEST,
         "allowedDomains: "},
        {{LIST(key_ids, key), LIST(methods, small), LIST(domains, host)},
         SP_CODE_BAD_REQUEST,
         "allowedMethods names a method that is not known"},
        {{LIST(methods, get), LIST(domains, host)}, SP_CODE_BAD_REQUEST, "allowedKeyIds, "},
        {{LIST(key_ids, key), LIST(domains, host)}, SP_CODE_BAD_REQUEST, "allowedKeyIds, "},
        {{LIST(key_ids, key), LIST(methods, get)}, SP_CODE_BAD_REQUEST, "allowedKeyIds, "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sp_issue issue = {.curve = SP_TEXT(KIT_DESK), .json = &refused[i].json};
        assert_int_equal(kit_issue(&kit, &issue), refused[i].code);
        assert_memory_equal(kit.decision.reason, refused[i].reason, strlen(refused[i].reason));
    }
    static const struct sp_json_scope good = {LIST(key_ids, key), LIST(providers, rest),
                                              LIST(methods, get), LIST(domains, host)};
    assert_int_equal(
        kit_issue(&kit, &(struct sp_issue){.curve = SP_TEXT(KIT_DESK), .json = &good}),
        SP_CODE_OK);
}

static void extras_that_cannot_be_read_are_refused(void **state)
{
    const struct sp_issue wrong[] = {
        {.curve = SP_TEXT(KIT_DESK), .scope = SP_TEXT("open"), .bind = SP_TEXT("short")},
        {.curve = SP_TEXT(KIT_DESK), .scope = SP_TEXT("open"), .narrow = SP_TEXT("allow")},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kit_issue(&kit, &wrong[i]), SP_CODE_BAD_REQUEST);
    }
}

static void a_key_that_was_removed_is_named_so(void **state)
{
    (void)state;
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
    kit.n_called = 0;
    sp_engine_key_remove(kit.engine, SP_TEXT("k"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_equal(kit.status, SP_OK);
    assert_int_equal(kit_proxy(&kit, "GET", KIT_URL, NULL, "", false), SP_CODE_KEY_UNKNOWN);
    kit_key(&kit, KIT_ROTATE, "k", "canary");
    assert_int_equal(kit.status, SP_ENOENT);
    kit.n_called = 0;
    sp_engine_key_tested(kit.engine, SP_TEXT("k"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_equal(kit.status, SP_ENOENT);
}

static void keys_and_clients_are_checked_before_they_are_stored(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "a b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        kit_key(&kit, KIT_ADD, ids[i], "canary");
        assert_int_equal(kit.status, SP_EINVAL);
    }
    kit_key(&kit, KIT_ADD, "other", "canary");
    assert_int_equal(kit.status, SP_EEXIST);
    static const struct {
        struct sp_text name, curve;
        sp_status status;
    } clients[] = {
        {{"", 0}, {KIT_ADMIN, 40}, SP_EINVAL},     {{"a\nb", 3}, {KIT_ADMIN, 40}, SP_EINVAL},
        {{"a\0b", 3}, {KIT_ADMIN, 40}, SP_EINVAL}, {{"\xff", 1}, {KIT_ADMIN, 40}, SP_EINVAL},
        {{"new", 3}, {"short", 5}, SP_EINVAL},     {{"new", 3}, {KIT_DESK, 40}, SP_EEXIST},
    };
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        kit.n_called = 0;
        sp_engine_client_add(kit.engine, clients[i].name, clients[i].curve, false,
                             SP_TEXT("admin"), kit_done, &kit);
        kit_await(&kit, 1);
        assert_int_equal(kit.status, clients[i].status);
    }
}

static void a_sealed_engine_refuses_each_step_in_words(void **state)
{
    (void)state;
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
    sp_engine_seal(kit.engine);
    assert_int_equal(kit_issue_open(&kit), SP_CODE_SEALED);
    assert_int_equal(kit_proxy(&kit, "GET", KIT_URL, NULL, "", false), SP_CODE_SEALED);
    kit_key(&kit, KIT_ROTATE, "other", "canary");
    assert_int_equal(kit.status, SP_ESEALED);
    kit.n_called = 0;
    sp_engine_key_tested(kit.engine, SP_TEXT("other"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_equal(kit.status, SP_ESEALED);
    assert_null(sp_engine_authority(kit.engine).ptr);
    struct sp_secret pem;
    assert_int_equal(kit_secret(&kit, "pem", &pem), SP_OK);
    kit.n_called = 0;
    sp_engine_authority_put(kit.engine, &pem, kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_equal(kit.status, SP_ESEALED);
    sp_engine_seal(kit.engine); /* again is nothing */
    struct sp_secret wrong;
    assert_int_equal(kit_secret(&kit, "not the key that it was sealed with", &wrong), SP_OK);
    kit.n_called = 0;
    sp_engine_unseal(kit.engine, &wrong, kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_not_equal(kit.status, SP_OK);
    assert_int_equal(sp_engine_state(kit.engine), SP_ENGINE_SEALED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        TEST(the_json_form_gives_nothing_that_its_keys_do_not_have),
        TEST(extras_that_cannot_be_read_are_refused),
        TEST(a_key_that_was_removed_is_named_so),
        TEST(keys_and_clients_are_checked_before_they_are_stored),
        TEST(a_sealed_engine_refuses_each_step_in_words),
    };
    return cmocka_run_group_tests_name("engine refusals", tests, NULL, NULL);
}
