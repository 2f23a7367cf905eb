/* docs/protocol.md against the tables that the code goes by: every operation with its fields,
 * every error code, every example. Run with an argument it prints the parts that the tables
 * make, to be pasted where a test says that they are out of date. */
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DOC_CAP = 1 << 20, ARENA_CAP = 64 << 20 };

static void add_field(struct sp_buf *buf, const struct sp_message_field *field)
{
    char kinds[SP_WIRE_KINDS_BYTES], bytes[32] = "";
    sp_wire_kinds_print(field->kinds, kinds);
    if (field->max_bytes > 0 && field->min_bytes == field->max_bytes) {
        (void)snprintf(bytes, sizeof bytes, "%u", field->max_bytes);
    } else if (field->max_bytes > 0) {
        (void)snprintf(bytes, sizeof bytes, "%u to %u", field->min_bytes, field->max_bytes);
    }
    sp_buf_addf(buf, "| `%s` | %s | %s | %s | %s |\n", field->name, kinds,
                field->required ? "yes" : "no", bytes, field->meaning);
}

static void add_fields(struct sp_buf *buf, const struct sp_message_field *fields, size_t n)
{
    sp_buf_add_str(buf,
                   "| field | type | required | bytes | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        add_field(buf, &fields[i]);
    }
}

static void add_op(struct sp_buf *buf, const struct sp_message_op *op)
{
    sp_buf_addf(buf, "#### `%s`\n\n%s\n\n", op->name, op->summary);
    if (op->n_fields > 0) {
        add_fields(buf, op->fields, op->n_fields);
    } else {
        sp_buf_add_str(buf, "No fields.\n");
    }
    sp_buf_addf(buf, "\nReply: %s%s%s\n", *op->reply ? "`" : "",
                *op->reply ? op->reply : "no more", *op->reply ? "`" : ".");
}

static void add_codes(struct sp_buf *buf)
{
    sp_buf_add_str(buf, "| code | retryable | meaning |\n|---|---|---|\n");
    for (unsigned code = SP_CODE_OK + 1; code < SP_CODE_COUNT; code++) {
        sp_buf_addf(buf, "| `%s` | %s | %s |\n", sp_code_name((enum sp_code)code),
                    sp_code_retryable((enum sp_code)code) ? "yes" : "no",
                    sp_code_meaning((enum sp_code)code));
    }
}

static struct sp_buf read_doc(void)
{
    struct sp_buf doc;
    char bytes[4096];
    size_t n;
    FILE *file = fopen(SOURCE_DIR "/docs/protocol.md", "rb");
    assert_non_null(file);
    sp_buf_init(&doc, DOC_CAP);
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0) {
        sp_buf_add(&doc, bytes, n);
    }
    (void)fclose(file);
    assert_false(doc.failed);
    return doc;
}

static void assert_in_doc(const struct sp_buf *part)
{
    struct sp_buf doc = read_doc();
    if (!strstr(doc.ptr, part->ptr)) {
        fail_msg("docs/protocol.md has to say:\n%s", part->ptr);
    }
    sp_buf_done(&doc);
}

static void every_operation_is_documented_with_its_fields(void **state)
{
    (void)state;
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        struct sp_buf part;
        sp_buf_init(&part, DOC_CAP);
        add_op(&part, &sp_message_ops[op]);
        assert_in_doc(&part);
        sp_buf_done(&part);
    }
}

static void common_fields_and_the_json_form_are_documented(void **state)
{
    (void)state;
    struct sp_buf part;
    sp_buf_init(&part, DOC_CAP);
    add_fields(&part, sp_message_common, 3);
    assert_in_doc(&part);
    sp_buf_reset(&part);
    add_fields(&part, sp_message_scope_fields, 6);
    assert_in_doc(&part);
    sp_buf_done(&part);
}

static void every_error_code_is_documented(void **state)
{
    (void)state;
    struct sp_buf part;
    sp_buf_init(&part, DOC_CAP);
    add_codes(&part);
    assert_in_doc(&part);
    sp_buf_done(&part);
}

static void the_limits_are_documented(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        unsigned value;
    } limits[] = {
        {"containers in one another", SP_WIRE_MAX_DEPTH},
        {"array elements and map pairs of one request, together", SP_WIRE_MAX_ITEMS},
        {"pairs of one map", SP_WIRE_MAX_PAIRS},
        {"bytes of a map key", SP_WIRE_MAX_NAME_BYTES},
        {"headers of one call", SP_HEADERS_MAX},
        {"bytes of a request id", SP_MESSAGE_ID_MAX_BYTES},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct sp_buf part;
        sp_buf_init(&part, DOC_CAP);
        sp_buf_addf(&part, "| %s | %u |\n", limits[i].what, limits[i].value);
        assert_in_doc(&part);
        sp_buf_done(&part);
    }
}

/* ---- examples: fenced blocks "```hex client issue", "```hex admin …", "```hex reply OP"
 * -------- */

struct example {
    char kind[16], op[32];
    struct sp_buf bytes;
};

/* The next block at or after *at; false where there is none. */
static bool next_example(const char **at, struct example *ret_example)
{
    const char *start = strstr(*at, "```hex ");
    if (!start) {
        return false;
    }
    assert_int_equal(sscanf(start, "```hex %15s %31s", ret_example->kind, ret_example->op), 2);
    const char *c = strchr(start, '\n') + 1;
    const char *end = strstr(c, "```");
    assert_non_null(end);
    sp_buf_init(&ret_example->bytes, DOC_CAP);
    while (c < end) {
        unsigned byte;
        if (*c == ' ' || *c == '\n') {
            c++;
            continue;
        }
        assert_int_equal(sscanf(c, "%2x", &byte), 1);
        sp_buf_add_byte(&ret_example->bytes, (uint8_t)byte);
        c += 2;
    }
    *at = end + 3;
    return true;
}

static void check_request(const struct example *example, enum sp_door door)
{
    struct sp_arena arena;
    struct sp_message message;
    struct sp_decision refusal;
    sp_arena_init(&arena, ARENA_CAP);
    if (!sp_message_read(&arena, door, sp_buf_text(&example->bytes), &message, &refusal)) {
        fail_msg("the example of %s is refused: %s", example->op, refusal.reason);
    }
    assert_string_equal(sp_message_ops[message.op].name, example->op);
    sp_arena_done(&arena);
}

static bool promised(const char *list, struct sp_text name)
{
    const char *c = list;
    while (*c) {
        size_t len = strcspn(c, ", ?");
        if (sp_text_eq((struct sp_text){c, len}, name)) {
            return true;
        }
        c += len;
        c += strspn(c, ", ?");
    }
    return false;
}

static void check_reply(const struct example *example)
{
    struct sp_arena arena;
    struct sp_wire_value map;
    const char *list = "error";
    sp_arena_init(&arena, ARENA_CAP);
    assert_int_equal(sp_wire_read(&arena, sp_buf_text(&example->bytes), &map, NULL), SP_OK);
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        if (strcmp(example->op, sp_message_ops[op].name) == 0) {
            list = sp_message_ops[op].reply;
        }
    }
    for (size_t i = 0; i < map.as.map.n; i++) {
        struct sp_text name = map.as.map.pairs[i].name;
        if (!promised("v, ok, id", name) && !promised(list, name)) {
            fail_msg("reply of %s: %.*s", example->op, (int)name.len, name.ptr);
        }
    }
    sp_arena_done(&arena);
}

static void every_operation_has_an_example_that_is_read(void **state)
{
    (void)state;
    struct sp_buf doc = read_doc();
    struct example example;
    bool seen[SP_OP_COUNT] = {false};
    unsigned n_replies = 0;
    const char *at = doc.ptr;
    while (next_example(&at, &example)) {
        if (strcmp(example.kind, "reply") == 0) {
            check_reply(&example);
            n_replies++;
        } else {
            check_request(&example, example.kind[0] == 'c' ? SP_DOOR_CLIENT : SP_DOOR_ADMIN);
            for (unsigned op = 0; op < SP_OP_COUNT; op++) {
                seen[op] = seen[op] || strcmp(example.op, sp_message_ops[op].name) == 0;
            }
        }
        sp_buf_done(&example.bytes);
    }
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        if (!seen[op]) {
            fail_msg("%s has no example", sp_message_ops[op].name);
        }
    }
    assert_true(n_replies >= 7);
    sp_buf_done(&doc);
}

/* The examples of replies are what the writer writes, byte for byte. */
static void examples_of_replies_are_what_the_host_sends(void **state)
{
    (void)state;
    struct sp_issued issued = {.token = SP_TEXT("spt_AAECAwQFBgcICQoLDA0ODw"),
                               .root = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                               .expires_ms = 1795430400000,
                               .scope = SP_TEXT("repo-bot")};
    struct sp_decision refusal = {.code = SP_CODE_NOT_ALLOWED,
                                  .reason = "body.amount: 5001 is not in 1..5000",
                                  .rule = "refund"};
    struct sp_header header = {SP_TEXT("content-type"), SP_TEXT("application/json")};
    struct sp_reply upstream = {
        .http_status = 200, .headers = &header, .n_headers = 1, .body = SP_TEXT("{}")};
    struct sp_proxied proxied = {.reply = &upstream};
    struct sp_engine_status engine = {.state = SP_ENGINE_READY, .writes = true};
    struct sp_message_status status = {.version = "0.1.0", .engine = &engine};
    enum { N_REPLIES = 8 };
    struct sp_buf replies[N_REPLIES];
    static const char *const ops[N_REPLIES] = {"issue",  "error", "proxy", "revoke",
                                               "status", "proxy", "proxy", "proxy"};
    for (unsigned i = 0; i < N_REPLIES; i++) {
        sp_buf_init(&replies[i], DOC_CAP);
    }
    sp_message_put_issued(&replies[0], SP_TEXT("r-1"), &issued, 1795416000000);
    sp_message_put_error(&replies[1], SP_TEXT("r-2"), &refusal);
    sp_message_put_proxied(&replies[2], SP_TEXT("r-2"), &proxied);
    sp_message_put_revoked(&replies[3], SP_TEXT(""), issued.root);
    sp_message_put_status(&replies[4], SP_TEXT(""), SP_DOOR_CLIENT, &status);
    sp_message_put_stream_head(&replies[5], SP_TEXT("s-1"), &proxied);
    sp_message_put_stream_part(&replies[6], SP_TEXT("s-1"), 0, SP_TEXT("data: 1\n\n"));
    sp_message_put_stream_end(&replies[7], SP_TEXT("s-1"), 1, 9, NULL, 0);
    struct sp_buf doc = read_doc();
    for (unsigned i = 0; i < N_REPLIES; i++) {
        struct example example;
        const char *at = doc.ptr;
        bool found = false;
        while (!found && next_example(&at, &example)) {
            found = strcmp(example.kind, "reply") == 0 && strcmp(example.op, ops[i]) == 0 &&
                    sp_text_eq(sp_buf_text(&example.bytes), sp_buf_text(&replies[i]));
            sp_buf_done(&example.bytes);
        }
        if (!found) {
            fail_msg("the reply of %s is another one now", ops[i]);
        }
        sp_buf_done(&replies[i]);
    }
    sp_buf_done(&doc);
}

static void print_parts(void)
{
    struct sp_buf part;
    sp_buf_init(&part, DOC_CAP);
    add_fields(&part, sp_message_common, 3);
    sp_buf_add_str(&part, "\n");
    for (unsigned op = 0; op < SP_OP_COUNT; op++) {
        add_op(&part, &sp_message_ops[op]);
        sp_buf_add_str(&part, "\n");
    }
    add_fields(&part, sp_message_scope_fields, 6);
    sp_buf_add_str(&part, "\n");
    add_codes(&part);
    (void)fputs(part.ptr, stdout);
    sp_buf_done(&part);
}

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_documented_with_its_fields),
        cmocka_unit_test(common_fields_and_the_json_form_are_documented),
        cmocka_unit_test(every_error_code_is_documented),
        cmocka_unit_test(the_limits_are_documented),
        cmocka_unit_test(every_operation_has_an_example_that_is_read),
        cmocka_unit_test(examples_of_replies_are_what_the_host_sends),
    };
    if (argc > 1) {
        print_parts();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
