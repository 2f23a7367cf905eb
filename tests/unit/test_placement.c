/* Where a key is put: values, query, and what is refused. */
#include "placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after those four */
#include <cmocka.h>

static struct sp_key_secret secrets[] = {
    {.name = {"api_key", 7}}, {.name = {"username", 8}}, {.name = {"password", 8}}};
static struct sp_key key = {.id = {"k1", 2}, .secrets = secrets, .n_secrets = 3};

static void set(size_t i, const char *value, size_t len)
{
    secrets[i].value = (struct sp_secret){.ptr = (unsigned char *)(uintptr_t)value, .len = len};
}

static sp_status value_of(enum sp_place place, const char *prefix, const char *template,
                          bool base64, const char *expected)
{
    const struct sp_placement placement = {.place = place,
                                           .name = SP_TEXT("x"),
                                           .prefix = sp_text_of(prefix),
                                           .template = sp_text_of(template),
                                           .base64 = base64};
    struct sp_wipe_buf buf;
    struct sp_error err = {""};
    sp_wipe_buf_init(&buf, 4096);
    sp_status status = sp_placement_value(&placement, &key, &buf, &err);
    if (expected) {
        assert_string_equal(err.text, "");
        assert_int_equal(buf.len, strlen(expected));
        assert_string_equal(buf.ptr, expected);
    } else {
        assert_true(*err.text != '\0');
        assert_null(strstr(err.text, "sesame"));
    }
    sp_wipe_buf_done(&buf);
    return status;
}

static void templates_are_filled_in(void **state)
{
    (void)state;
    set(0, "sk_1", 4);
    set(1, "Aladdin", 7);
    set(2, "open sesame", 11);
    assert_int_equal(value_of(SP_PLACE_HEADER, "Bearer ", "{api_key}", false, "Bearer sk_1"),
                     0);
    assert_int_equal(value_of(SP_PLACE_HEADER, "", "{api_key}", false, "sk_1"), 0);
    assert_int_equal(value_of(SP_PLACE_HEADER, "", "a{{b}}{api_key}", false, "a{b}sk_1"), 0);
    /* RFC 7617 section 2 */
    assert_int_equal(value_of(SP_PLACE_HEADER, "Basic ", "{username}:{password}", true,
                              "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
                     0);
    assert_int_equal(value_of(SP_PLACE_QUERY, "", "{password}", false, "open sesame"), 0);
}

static void a_wrong_template_is_refused(void **state)
{
    static const char *const templates[] = {"{nobody}", "{api_key", "api_key}",   "{",
                                            "}",        "{}",       "{api_key}}", "{Api_Key}"};
    (void)state;
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        assert_int_equal(value_of(SP_PLACE_HEADER, "", templates[i], false, NULL), SP_EINVAL);
        assert_int_equal(value_of(SP_PLACE_HEADER, "", templates[i], true, NULL), SP_EINVAL);
    }
}

static void T49_a_secret_with_line_ends_fits_nowhere(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool query; /* fits into a query all the same */
    } rows[] = {{"sesame\r\nX: y", 12, false}, {"sesame\n", 7, false},
                {"ses\0ame", 7, false},        {"", 0, false},
                {"ses\tame", 7, true},         {"sesam\xc3\xa9", 7, true},
                {"sesame\x7f", 7, true},       {" sesame", 7, true},
                {"sesame ", 7, true}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set(0, rows[i].bytes, rows[i].len);
        assert_int_equal(value_of(SP_PLACE_HEADER, "", "{api_key}", false, NULL), SP_EINVAL);
        const char *fits = rows[i].query ? rows[i].bytes : NULL;
        assert_int_equal(value_of(SP_PLACE_QUERY, "", "{api_key}", false, fits),
                         rows[i].query ? SP_OK : SP_EINVAL);
    }
    set(0, NULL, 4);
    assert_int_equal(value_of(SP_PLACE_HEADER, "", "{api_key}", false, NULL), SP_ESEALED);
    static char huge[5000];
    memset(huge, 'a', sizeof huge);
    set(0, huge, sizeof huge);
    assert_int_equal(value_of(SP_PLACE_HEADER, "", "{api_key}", false, NULL), SP_ETOOBIG);
}

static sp_status target_of(const char *url, const char *name, const char *expected)
{
    const struct sp_placement placements[] = {
        {.place = SP_PLACE_HEADER, .name = SP_TEXT("x"), .template = SP_TEXT("{api_key}")},
        {.place = SP_PLACE_QUERY, .name = sp_text_of(name), .template = SP_TEXT("{api_key}")}};
    const struct sp_plan plan = {.placements = placements, .n_placements = 2};
    struct sp_arena arena;
    struct sp_url parsed;
    struct sp_wipe_buf buf;
    struct sp_error err = {""};
    sp_arena_init(&arena, 1 << 20);
    sp_wipe_buf_init(&buf, 4096);
    assert_int_equal(sp_url_parse(&arena, sp_text_of(url), &parsed, NULL), SP_OK);
    sp_status status = sp_placement_target(&plan, &key, &parsed, &buf, &err);
    if (expected) {
        assert_string_equal(err.text, "");
        assert_string_equal(buf.ptr, expected);
    }
    sp_wipe_buf_done(&buf);
    sp_arena_done(&arena);
    return status;
}

static void a_query_placement_stands_behind_the_clients_own(void **state)
{
    (void)state;
    set(0, "a b&c=d/\xc3\xa9+~", 12);
    assert_int_equal(target_of("https://h.example", "key", "/?key=a%20b%26c%3Dd%2F%C3%A9%2B~"),
                     0);
    set(0, "sk_1", 4);
    assert_int_equal(target_of("https://h.example/x/?", "key", "/x/?key=sk_1"), 0);
    assert_int_equal(target_of("https://h.example/x?a=1&b", "key", "/x?a=1&b&key=sk_1"), 0);
    assert_int_equal(target_of("https://h.example/x?a=1", "api key", "/x?a=1&api%20key=sk_1"),
                     0);
}

static void a_clients_parameter_of_that_name_is_refused(void **state)
{
    static const char *const urls[] = {
        "https://h.example/?key=mine",   "https://h.example/?KEY=mine",
        "https://h.example/?a=1&key",    "https://h.example/?key[]=mine",
        "https://h.example/?k%65y=mine", "https://h.example/?key[a]=mine"};
    (void)state;
    set(0, "sk_1", 4);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        assert_int_equal(target_of(urls[i], "key", NULL), SP_EINVAL);
    }
    assert_int_equal(
        target_of("https://h.example/?keys=1&ke=2", "key", "/?keys=1&ke=2&key=sk_1"), 0);
}

static void a_parameter_goes_behind_whatever_the_target_holds(void **state)
{
    static const char *const before[] = {"", "/x", "/x?", "/x?a=1"};
    static const char *const after[] = {"?k=-._~", "/x?k=-._~", "/x?k=-._~", "/x?a=1&k=-._~"};
    (void)state;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        const struct sp_url url = {.n_query = 0};
        struct sp_wipe_buf target;
        sp_wipe_buf_init(&target, 64);
        sp_wipe_buf_add_str(&target, before[i]);
        assert_int_equal(
            sp_placement_add_query(SP_TEXT("k"), SP_TEXT("-._~"), &url, &target, NULL), SP_OK);
        assert_string_equal(target.ptr, after[i]);
        sp_wipe_buf_done(&target);
    }
}

static void a_key_that_fits_nowhere_ends_the_target(void **state)
{
    const struct sp_placement placements[] = {
        {.place = SP_PLACE_QUERY, .name = SP_TEXT("a"), .template = SP_TEXT("{nobody}")},
        {.place = SP_PLACE_QUERY, .name = SP_TEXT("b"), .template = SP_TEXT("{api_key}")}};
    struct sp_plan plan = {.placements = placements, .n_placements = 2};
    const struct sp_url url = {.n_query = 0};
    struct sp_wipe_buf buf;
    struct sp_error err = {""};
    (void)state;
    set(0, "sesame", 6);
    sp_wipe_buf_init(&buf, 4096);
    assert_int_equal(sp_placement_target(&plan, &key, &url, &buf, &err), SP_EINVAL);
    assert_true(!buf.ptr || !strstr(buf.ptr, "sesame")); /* nothing behind what failed */
    sp_wipe_buf_done(&buf);
    plan = (struct sp_plan){.placements = placements + 1, .n_placements = 1};
    sp_wipe_buf_init(&buf, 8); /* no room for it */
    assert_int_equal(sp_placement_target(&plan, &key, &url, &buf, &err), SP_ETOOBIG);
    assert_string_equal(err.text, "url: too long with the key in it");
    sp_wipe_buf_done(&buf);
}

static void nothing_to_place_is_an_empty_secret(void **state)
{
    (void)state;
    assert_int_equal(value_of(SP_PLACE_HEADER, "", "", false, NULL), SP_EINVAL);
    assert_int_equal(value_of(SP_PLACE_QUERY, "", "", false, NULL), SP_EINVAL);
}

static void a_form_takes_the_key_as_its_last_pair(void **state)
{
    struct sp_placement placement = {
        .place = SP_PLACE_QUERY, .name = SP_TEXT("api key"), .template = SP_TEXT("{api_key}")};
    struct sp_wipe_buf body;
    struct sp_error err = {""};
    (void)state;
    set(0, "a&b", 3);
    sp_wipe_buf_init(&body, 64);
    assert_int_equal(sp_placement_form(&placement, &key, &body, &err), SP_OK);
    assert_string_equal(body.ptr, "api%20key=a%26b");
    assert_int_equal(sp_placement_form(&placement, &key, &body, &err), SP_OK);
    assert_string_equal(body.ptr, "api%20key=a%26b&api%20key=a%26b");
    placement.template = SP_TEXT("{nobody}");
    assert_int_equal(sp_placement_form(&placement, &key, &body, &err), SP_EINVAL);
    assert_string_equal(body.ptr, "api%20key=a%26b&api%20key=a%26b");
    sp_wipe_buf_done(&body);
}

static bool out_of_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return out_of_memory ? NULL : __real_malloc(size);
}

static void T41_half_a_target_is_none(void **state)
{
    const struct sp_plan plan = {.n_placements = 0};
    struct sp_arena arena;
    struct sp_url url;
    struct sp_wipe_buf buf;
    struct sp_error err = {""};
    (void)state;
    sp_arena_init(&arena, 1 << 20);
    assert_int_equal(sp_url_parse(&arena, SP_TEXT("https://h.example/x?a=1"), &url, NULL),
                     SP_OK);
    sp_wipe_buf_init(&buf, 4096);
    out_of_memory = true;
    sp_status status = sp_placement_target(&plan, &key, &url, &buf, &err);
    out_of_memory = false;
    assert_int_equal(status, SP_ETOOBIG);
    sp_wipe_buf_done(&buf);
    sp_arena_done(&arena);
}

static void wiping_buffers_keep_to_their_cap(void **state)
{
    struct sp_wipe_buf buf;
    (void)state;
    sp_wipe_buf_init(&buf, 8);
    assert_string_equal(sp_wipe_buf_text(&buf).ptr, "");
    sp_wipe_buf_add_str(&buf, "1234");
    sp_wipe_buf_add_str(&buf, "56789");
    assert_true(buf.failed);
    assert_string_equal(buf.ptr, "1234");
    sp_wipe_buf_reset(&buf);
    sp_wipe_buf_add_str(&buf, "12345678");
    assert_false(buf.failed);
    assert_string_equal(buf.ptr, "12345678");
    sp_wipe_buf_done(&buf);
    sp_wipe_buf_done(&buf);
}

static void wiping_memory_grows_and_moves(void **state)
{
    (void)state;
    char *ptr = sp_wipe_realloc(NULL, 10);
    memcpy(ptr, "123456789", 10);
    ptr = sp_wipe_realloc(ptr, 100000);
    assert_string_equal(ptr, "123456789");
    ptr = sp_wipe_realloc(ptr, 3);
    assert_memory_equal(ptr, "123", 3);
    sp_wipe_free(ptr);
    sp_wipe_free(NULL);
    assert_null(sp_wipe_malloc(SIZE_MAX - 3));
    assert_null(sp_wipe_calloc(SIZE_MAX / 2, 3));
    int *zeros = sp_wipe_calloc(4, sizeof *zeros);
    assert_int_equal(zeros[0] | zeros[1] | zeros[2] | zeros[3], 0);
    sp_wipe_free(zeros);
    char *copy = sp_wipe_strdup("copy");
    assert_string_equal(copy, "copy");
    sp_wipe_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_filled_in),
        cmocka_unit_test(a_wrong_template_is_refused),
        cmocka_unit_test(T49_a_secret_with_line_ends_fits_nowhere),
        cmocka_unit_test(a_query_placement_stands_behind_the_clients_own),
        cmocka_unit_test(a_clients_parameter_of_that_name_is_refused),
        cmocka_unit_test(a_parameter_goes_behind_whatever_the_target_holds),
        cmocka_unit_test(a_key_that_fits_nowhere_ends_the_target),
        cmocka_unit_test(nothing_to_place_is_an_empty_secret),
        cmocka_unit_test(a_form_takes_the_key_as_its_last_pair),
        cmocka_unit_test(T41_half_a_target_is_none),
        cmocka_unit_test(wiping_buffers_keep_to_their_cap),
        cmocka_unit_test(wiping_memory_grows_and_moves),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
