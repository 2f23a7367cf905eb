/* The token's bytes: shape, tag, caveats; and an oracle in another language for the tag. */
#include "grant.h"
#include "token.h"

#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char vector[] =
    "spt_AAECAwQFBgcICQoLDA0ODwAgYWxsb3cgR0VUIGh0dHBzOi8vYS5leGFtcGxlL3gvKg";

struct made {
    struct sp_arena arena;
    struct sp_token token;
    uint8_t key[32], grant[32];
    struct sp_buf text;
};

static int setup(void **state)
{
    static struct made m;
    uint8_t id[16];
    sp_arena_init(&m.arena, 4 << 20);
    sp_buf_init(&m.text, SP_TOKEN_MAX_BYTES);
    for (unsigned i = 0; i < 32; i++) {
        m.key[i] = (uint8_t)(0x40 + i);
        m.grant[i] = (uint8_t)(0x80 + i);
        id[i % 16] = (uint8_t)(i % 16);
    }
    sp_token_mint(m.key, id, m.grant, &m.token);
    sp_token_print(&m.token, &m.text);
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    struct made *m = *state;
    sp_buf_done(&m->text);
    sp_arena_done(&m->arena);
    return 0;
}

static bool holds(struct made *m, struct sp_text text)
{
    struct sp_token token;
    return sp_token_parse(&m->arena, text, &token) == SP_OK &&
           sp_token_verify(&token, m->key, m->grant) == SP_OK;
}

static void a_minted_token_holds_and_reads_as_it_was_written(void **state)
{
    struct made *m = *state;
    assert_true(holds(m, sp_buf_text(&m->text)));
    assert_int_equal(m->text.len, 4 + 64);
    m->grant[0] ^= 1;
    assert_false(holds(m, sp_buf_text(&m->text)));
    m->grant[0] ^= 1;
    m->key[31] ^= 1;
    assert_false(holds(m, sp_buf_text(&m->text)));
    m->key[31] ^= 1;
}

static void T10_no_single_bit_and_no_truncation_holds(void **state)
{
    struct made *m = *state;
    char copy[256];
    for (size_t i = 0; i < m->text.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, m->text.ptr, m->text.len);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            if (holds(m, (struct sp_text){copy, m->text.len})) {
                fail_msg("byte %zu, bit %u", i, bit);
            }
        }
        assert_false(holds(m, (struct sp_text){m->text.ptr, i}));
    }
    sp_arena_reset(&m->arena);
}

static void T14_a_caveat_can_be_added_and_never_taken_away(void **state)
{
    struct made *m = *state;
    struct sp_token one = m->token, two;
    struct sp_text a = SP_TEXT("allow GET https://a.example/x/*"),
                   b = SP_TEXT("deny * https://a.example/x/y");
    assert_int_equal(sp_token_narrow(&one, a, NULL), SP_OK);
    two = one;
    assert_int_equal(sp_token_narrow(&two, b, NULL), SP_OK);
    assert_int_equal(sp_token_verify(&one, m->key, m->grant), SP_OK);
    assert_int_equal(sp_token_verify(&two, m->key, m->grant), SP_OK);
    struct sp_token forged = two;
    forged.n_caveats = 1;
    assert_int_equal(sp_token_verify(&forged, m->key, m->grant), SP_ECRYPTO);
    forged.n_caveats = 0;
    assert_int_equal(sp_token_verify(&forged, m->key, m->grant), SP_ECRYPTO);
    forged = two;
    forged.caveats[0] = b;
    forged.caveats[1] = a;
    assert_int_equal(sp_token_verify(&forged, m->key, m->grant), SP_ECRYPTO);
    forged = two;
    forged.caveats[0] = SP_TEXT("allow * https://a.example/x/*");
    assert_int_equal(sp_token_verify(&forged, m->key, m->grant), SP_ECRYPTO);
    struct sp_buf text;
    struct sp_token read;
    sp_buf_init(&text, SP_TOKEN_MAX_BYTES);
    sp_token_print(&two, &text);
    assert_int_equal(sp_token_parse(&m->arena, sp_buf_text(&text), &read), SP_OK);
    assert_int_equal(read.n_caveats, 2);
    assert_true(sp_text_eq(read.caveats[1], b));
    assert_int_equal(sp_token_verify(&read, m->key, m->grant), SP_OK);
    sp_buf_done(&text);
}

static void T62_a_caveat_holds_rules_and_a_time_and_nothing_else(void **state)
{
    struct made *m = *state;
    static const char *const bad[] = {
        "",
        "use \"x\"",
        "let a = {1}",
        "key other",
        "rate 1/min",
        "ttl 9h",
        "scope x {",
        "}",
        "allow GET https://a.example/{x}",
        "until \"tomorrow\"",
        "until \"2026-02-30T00:00:00Z\"",
        "until \"2030-01-01T00:00:00Z\" until \"2031-01-01T00:00:00Z\"",
        "allow GET https://a.example/x where body.a in nosuchset",
        "allow GET https://a.example/\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_token token = m->token;
        struct sp_error err = {""};
        if (sp_token_narrow(&token, sp_text_of(bad[i]), &err) != SP_EINVAL || token.n_caveats) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    static char huge[SP_CAVEAT_MAX_BYTES + 2];
    memset(huge, ' ', sizeof huge - 1);
    struct sp_token token = m->token;
    assert_int_equal(sp_token_narrow(&token, sp_text_of(huge), NULL), SP_EINVAL);
    for (int i = 0; i < SP_CAVEATS_MAX; i++) {
        assert_int_equal(
            sp_token_narrow(&token, SP_TEXT("until \"2030-01-01T00:00:00.5Z\""), NULL),
            SP_EINVAL);
        assert_int_equal(
            sp_token_narrow(&token, SP_TEXT("until \"2030-01-01T00:00:00.500Z\""), NULL),
            SP_OK);
    }
    assert_int_equal(sp_token_narrow(&token, SP_TEXT("until \"2030-01-01T00:00:00Z\""), NULL),
                     SP_ETOOBIG);
}

static void a_token_may_wear_one_disguise_of_a_closed_list(void **state)
{
    struct made *m = *state;
    char text[512];
    static const char *const good[] = {"sk_test_", "rk_live_", "ghp_", "github_pat_"};
    static const char *const bad[] = {"sk_", "Bearer ", "spt_", "sk_test_sk_test_", " "};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof text, "%s%s", good[i], m->text.ptr);
        assert_true(holds(m, sp_text_of(text)));
    }
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof text, "%s%s", bad[i], m->text.ptr);
        assert_false(holds(m, sp_text_of(text)));
    }
    assert_false(holds(m, SP_TEXT("spt_")));
    assert_false(holds(m, sp_text_of(vector)));
}

/* Python's hashlib computes the tag from docs/tokens.md's description alone. */
static void the_tag_agrees_with_an_oracle_in_python(void **state)
{
    struct made *m = *state;
    struct sp_token token = m->token;
    struct sp_buf text;
    char line[1024] = "";
    sp_buf_init(&text, SP_TOKEN_MAX_BYTES);
    assert_int_equal(sp_token_narrow(&token, SP_TEXT("allow GET https://a.example/x"), NULL),
                     SP_OK);
    sp_token_print(&token, &text);
    int fds[2];
    pid_t pid;
    char script[] = SOURCE_DIR "/tests/property/token_oracle.py", python[] = "/usr/bin/python3";
    char *argv[] = {python, script, NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fds[1], 1), 0);
    assert_int_equal(posix_spawn(&pid, python, &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    FILE *file = fdopen(fds[0], "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, text.ptr);
    sp_buf_done(&text);
}

static void a_grant_reads_as_it_was_written_and_in_no_other_way(void **state)
{
    struct made *m = *state;
    struct sp_arg args[] = {{SP_TEXT("owner"), SP_TEXT("ac\"me*/")}};
    struct sp_grant grant = {.principal = SP_TEXT("desk"),
                             .scope_name = SP_TEXT("s"),
                             .scope = SP_TEXT("text"),
                             .args = args,
                             .n_args = 1,
                             .issued_ms = 1,
                             .expires_ms = -2,
                             .expires_boot_ms = 3,
                             .boot_id = SP_TEXT("b")},
                    read;
    struct sp_buf buf, again;
    uint8_t hash[32], other[32];
    sp_buf_init(&buf, 4096);
    sp_buf_init(&again, 4096);
    sp_grant_encode(&grant, &buf);
    sp_grant_hash(sp_buf_text(&buf), hash);
    assert_int_equal(sp_grant_decode(&m->arena, sp_buf_text(&buf), &read), SP_OK);
    assert_true(sp_text_eq(read.args[0].value, args[0].value) && read.expires_ms == -2);
    sp_grant_encode(&read, &again);
    assert_true(sp_text_eq(sp_buf_text(&buf), sp_buf_text(&again)));
    for (size_t len = 0; len < buf.len; len++) {
        assert_int_equal(sp_grant_decode(&m->arena, (struct sp_text){buf.ptr, len}, &read),
                         SP_ECORRUPT);
    }
    sp_buf_add_byte(&buf, 0);
    assert_int_equal(sp_grant_decode(&m->arena, sp_buf_text(&buf), &read), SP_ECORRUPT);
    for (size_t i = 0; i + 1 < buf.len; i++) { /* whatever still reads has another hash */
        buf.ptr[i] ^= 1;
        sp_grant_hash((struct sp_text){buf.ptr, buf.len - 1}, other);
        assert_memory_not_equal(hash, other, 32);
        buf.ptr[i] ^= 1;
    }
    sp_buf_done(&buf);
    sp_buf_done(&again);
}

/* ---- edges ----------------------------------------------------------------------------------
 */

static sp_status parse_raw(struct sp_arena *arena, const uint8_t *raw, size_t len)
{
    struct sp_token token;
    struct sp_buf text;
    sp_buf_init(&text, 4 * SP_TOKEN_MAX_BYTES);
    sp_buf_add_str(&text, "spt_");
    sp_base64url_encode(raw, len, &text);
    sp_status status = sp_token_parse(arena, sp_buf_text(&text), &token);
    sp_buf_done(&text);
    return status;
}

static void T10_caveats_fill_what_lies_between_id_and_tag(void **state)
{
    enum { FRAME = SP_TOKEN_ID_BYTES + SP_HASH_BYTES, ROOM = SP_TOKEN_MAX_BYTES };
    static uint8_t raw[ROOM];
    struct made *m = *state;
    uint8_t *at = raw + SP_TOKEN_ID_BYTES;
    assert_int_equal(parse_raw(&m->arena, raw, FRAME), SP_OK);
    assert_int_equal(parse_raw(&m->arena, raw, FRAME - 1), SP_EINVAL);
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 1), SP_EINVAL); /* half a length */
    at[1] = 3;
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 2 + 3), SP_OK);
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 2 + 2), SP_EINVAL); /* it says more */
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 2 + 4), SP_EINVAL); /* and less */
    at[1] = 0;
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 2), SP_EINVAL); /* an empty one */
    at[0] = (SP_CAVEAT_MAX_BYTES + 1) >> 8;
    at[1] = (SP_CAVEAT_MAX_BYTES + 1) & 0xff;
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 2 + SP_CAVEAT_MAX_BYTES + 1), SP_EINVAL);
    /* As many as there may be, and one more. */
    for (size_t i = 0; i <= SP_CAVEATS_MAX; i++) {
        memcpy(at + 3 * i, "\0\1x", 3);
    }
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 3 * SP_CAVEATS_MAX), SP_OK);
    assert_int_equal(parse_raw(&m->arena, raw, FRAME + 3 * (SP_CAVEATS_MAX + 1)), SP_EINVAL);
    /* More bytes than caveats can have, in a text that is not too long; and one that is. */
    assert_int_equal(parse_raw(&m->arena, raw, SP_TOKEN_MAX_BYTES / 4 * 3 - 3), SP_EINVAL);
    assert_int_equal(parse_raw(&m->arena, raw, SP_TOKEN_MAX_BYTES / 4 * 3), SP_EINVAL);
    memset(raw, 0, sizeof raw);
}

static size_t n_allocations, fail_at = SIZE_MAX;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return n_allocations++ == fail_at ? NULL : __real_malloc(size);
}

/* Half a token looks like none: whoever prints one knows that it failed. */
static void T41_a_token_is_printed_whole_or_the_buffer_has_failed(void **state)
{
    struct made *m = *state;
    struct sp_token token = m->token;
    struct sp_buf small, text;
    sp_buf_init(&small, 16);
    sp_token_print(&token, &small);
    assert_true(small.failed);
    sp_buf_done(&small);
    static const char caveat[] =
        "allow GET "
        "https://api.example.com/a/rather/long/path/that/goes/on/and/on/for/more/than/"
        "two/hundred/bytes/so/that/it/is/encoded/in/more/than/one/run/of/one/hundred/and/"
        "ninety/two/bytes/and/nothing/else";
    assert_int_equal(sp_token_narrow(&token, sp_text_of(caveat), NULL), SP_OK);
    bool failed = true;
    for (size_t n = 0; failed; n++) {
        sp_buf_init(&text, SP_TOKEN_MAX_BYTES);
        n_allocations = 0;
        fail_at = n;
        sp_token_print(&token, &text);
        failed = n_allocations > fail_at;
        fail_at = SIZE_MAX;
        assert_true(text.failed == failed);
        assert_true(failed || holds(m, sp_buf_text(&text)));
        sp_buf_done(&text);
        assert_true(n < 64);
    }
    struct sp_arena little;
    sp_arena_init(&little, 16);
    assert_int_equal(sp_token_parse(&little, sp_buf_text(&m->text), &token), SP_EINVAL);
    sp_arena_done(&little);
}

static void T10_texts_have_one_spelling(void **state)
{
    uint8_t bytes[4], box[SP_BOX_OVERHEAD] = {0};
    (void)state;
    assert_int_equal(sp_hex_decode(SP_TEXT("00ff7a9b"), bytes, 4), SP_OK);
    assert_memory_equal(bytes, "\x00\xff\x7a\x9b", 4);
    static const char *const bad[] = {"00ff7a9",  "00ff7a9b0", "00FF7a9b",
                                      "00ff7a9/", "00ff7a9:",  "00ff7a9`",
                                      "00ff7a9g", "",          "0x00ff7a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sp_hex_decode(sp_text_of(bad[i]), bytes, 4), SP_EINVAL);
    }
    assert_int_equal(sp_box_open(box, SP_TEXT(""), box, SP_BOX_OVERHEAD - 1, bytes), SP_EINVAL);
    assert_int_equal(sp_box_open(box, SP_TEXT(""), box, SP_BOX_OVERHEAD, bytes), SP_ECRYPTO);
}

static void T43_a_box_opens_with_its_key_and_its_place_alone(void **state)
{
    struct made *m = *state;
    uint8_t box[SP_BOX_OVERHEAD + 5], plain[5];
    char hex[2 * sizeof plain + 1];
    sp_box_seal(m->key, SP_TEXT("keys|k|1|k1"), "hello", 5, box);
    assert_int_equal(sp_box_open(m->key, SP_TEXT("keys|k|1|k1"), box, sizeof box, plain),
                     SP_OK);
    assert_memory_equal(plain, "hello", 5);
    sp_hex_encode(plain, sizeof plain, hex);
    assert_string_equal(hex, "68656c6c6f");
    assert_int_equal(sp_box_open(m->key, SP_TEXT("keys|k|2|k1"), box, sizeof box, plain),
                     SP_ECRYPTO);
    assert_memory_equal(plain, "\0\0\0\0\0", 5);
    assert_int_equal(sp_box_open(m->grant, SP_TEXT("keys|k|1|k1"), box, sizeof box, plain),
                     SP_ECRYPTO);
    /* A number is hashed as its eight bytes, least significant first. */
    struct sp_hash one, other;
    uint8_t digests[2][SP_HASH_BYTES];
    sp_hash_init(&one, NULL);
    sp_hash_u64(&one, 0x0102030405060708);
    sp_hash_done(&one, digests[0]);
    sp_hash_init(&other, NULL);
    sp_hash_part(&other, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    sp_hash_done(&other, digests[1]);
    assert_memory_equal(digests[0], digests[1], SP_HASH_BYTES);
}

static void T12_a_grant_of_another_version_or_with_more_than_fits_is_none(void **state)
{
    struct made *m = *state;
    static const struct sp_arg args[] = {{{"owner", 5}, {"acme", 4}}};
    const struct sp_grant grant = {.principal = {"desk", 4},
                                   .scope_name = {"s", 1},
                                   .scope = {"scope s {}", 10},
                                   .args = args,
                                   .n_args = 1};
    struct sp_grant read;
    struct sp_buf bytes;
    sp_buf_init(&bytes, 4096);
    sp_grant_encode(&grant, &bytes);
    assert_int_equal(sp_grant_decode(&m->arena, sp_buf_text(&bytes), &read), SP_OK);
    struct sp_arena little;
    sp_arena_init(&little, 8);
    assert_int_equal(sp_grant_decode(&little, sp_buf_text(&bytes), &read), SP_ENOMEM);
    sp_arena_done(&little);
    size_t n_at = bytes.len - (8 + 5 + 8 + 4) - 8; /* behind it are the one argument's parts */
    for (int i = 0; i < 8; i++) {
        bytes.ptr[n_at + (size_t)i] = '\x7f';
    }
    assert_int_equal(sp_grant_decode(&m->arena, sp_buf_text(&bytes), &read), SP_ECORRUPT);
    bytes.ptr[0]++;
    assert_int_equal(sp_grant_decode(&m->arena, sp_buf_text(&bytes), &read), SP_ECORRUPT);
    assert_int_equal(sp_grant_decode(&m->arena, SP_TEXT(""), &read), SP_ECORRUPT);
    sp_buf_done(&bytes);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minted_token_holds_and_reads_as_it_was_written),
        cmocka_unit_test(T10_no_single_bit_and_no_truncation_holds),
        cmocka_unit_test(T14_a_caveat_can_be_added_and_never_taken_away),
        cmocka_unit_test(T62_a_caveat_holds_rules_and_a_time_and_nothing_else),
        cmocka_unit_test(a_token_may_wear_one_disguise_of_a_closed_list),
        cmocka_unit_test(the_tag_agrees_with_an_oracle_in_python),
        cmocka_unit_test(a_grant_reads_as_it_was_written_and_in_no_other_way),
        cmocka_unit_test(T10_caveats_fill_what_lies_between_id_and_tag),
        cmocka_unit_test(T41_a_token_is_printed_whole_or_the_buffer_has_failed),
        cmocka_unit_test(T10_texts_have_one_spelling),
        cmocka_unit_test(T43_a_box_opens_with_its_key_and_its_place_alone),
        cmocka_unit_test(T12_a_grant_of_another_version_or_with_more_than_fits_is_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
