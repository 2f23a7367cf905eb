/* What a worker that was taken over may say (T48, T49): each value of each message, of another
 * kind, another length, another range. And what the host asks, read by the worker. */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TREE_MAX_BYTES = 1 << 20 };

static const struct sp_field_prefix prefixes[] = {{{"sk_", 3}, {"true", 4}}};
static const struct sp_field fields[] = {{.name = {"api_key", 7},
                                          .type = SP_FIELD_SECRET,
                                          .required = true,
                                          .min_bytes = 1,
                                          .max_bytes = 100,
                                          .prefixes = prefixes,
                                          .n_prefixes = 1,
                                          .derives = {"livemode", 8}}};
static const struct sp_action_field action_fields[] = {{{"body.amount", 11}, {"integer", 7}}};
static const struct sp_action actions[] = {{.name = {"a.b", 3},
                                            .method = {"GET", 3},
                                            .path = {"/a", 2},
                                            .fields = action_fields,
                                            .n_fields = 1,
                                            .escalates = true}};
static const struct sp_text hosts[] = {{"api.example.com", 15}};
static const struct sp_text headers[] = {{"x-trace", 7}};
static const struct sp_manifest manifest = {.id = {"x", 1},
                                            .version = {"1", 1},
                                            .hosts = hosts,
                                            .n_hosts = 1,
                                            .request_headers = headers,
                                            .n_request_headers = 1,
                                            .fields = fields,
                                            .n_fields = 1,
                                            .actions = actions,
                                            .n_actions = 1};
static const struct sp_placement placements[] = {
    {SP_PLACE_HEADER, {"authorization", 13}, {"Bearer ", 7}, {"{api_key}", 9}, false}};
static const struct sp_setting fixed[] = {{{"x-version", 9}, {"1", 1}}};

static const struct sp_hook_capture captures[] = {{{"/token", 6}, {"api_key", 7}, true, true}};
static const struct sp_hook_jwt jwts[] = {
    {{"jwt", 3}, {"api_key", 7}, {"a", 1}, {"b", 1}, {"c", 1}, 60}};
static const struct sp_hook_request request = {.method = {"POST", 4},
                                               .url = {"https://api.example.com/x", 25},
                                               .body = {"{}", 2},
                                               .headers = fixed,
                                               .n_headers = 1,
                                               .placements = placements,
                                               .n_placements = 1,
                                               .captures = captures,
                                               .n_captures = 1,
                                               .jwts = jwts,
                                               .n_jwts = 1};

static const struct sp_text derive[] = {{"{date}", 6}};
static const struct sp_sign_output outputs[] = {{.place = SP_PLACE_HEADER,
                                                 .name = {"x-signature", 11},
                                                 .template = {"v1={signature}", 14}}};
static const struct sp_signature signature = {.secret = {"api_key", 7},
                                              .message = {"{method}\n{target}", 17},
                                              .derive = derive,
                                              .n_derive = 1,
                                              .outputs = outputs,
                                              .n_outputs = 1};

static void put(struct sp_buf *buf, enum worker_question question)
{
    const struct sp_plan plan = {.placements = placements,
                                 .n_placements = 1,
                                 .headers = fixed,
                                 .n_headers = 1,
                                 .defaults = NULL,
                                 .signature = &signature};
    switch (question) {
    case WORKER_LOAD:
        worker_put_manifest(buf, &manifest);
        break;
    case WORKER_CHECK:
        worker_put_hosts(buf, hosts, 1);
        break;
    case WORKER_PLAN:
        worker_put_plan(buf, &plan);
        break;
    case WORKER_PERMISSIONS:
        worker_put_permissions(buf, hosts, 1);
        break;
    case WORKER_RENEW: /* what it asks for meanwhile */
        worker_put_http(buf, &request);
        break;
    case WORKER_REVOKE:
    case WORKER_ROTATE:
    case WORKER_FINISH:
    case WORKER_QUESTIONS:
        break;
    }
}

/* Replay an answer in a host of its own, which may keep so much of it; *ret_failed: whether the
 * hook failed. */
static sp_status replay_within(size_t cap_bytes, enum worker_question question,
                               struct sp_arena *tree, const struct sp_wire_value *answer,
                               bool *ret_failed)
{
    static const enum sp_hook hooks[] = {SP_HOOK_DESCRIBE, SP_HOOK_CHECK, SP_HOOK_PLAN,
                                         SP_HOOK_PERMISSIONS, SP_HOOK_RENEW};
    static const struct sp_plugin_rules rules = {.dev = true};
    struct sp_text secret = SP_TEXT("api_key");
    struct sp_key_view key = {SP_TEXT("k"), 1, NULL, 0, &secret, 1};
    struct sp_plugin_host host;
    struct sp_arena arena;
    struct sp_error err = {""};
    sp_arena_init(&arena, cap_bytes);
    sp_plugin_host_init(&host, "x.so", &rules);
    uint64_t call = sp_hook_begin(&host, hooks[question], &arena, &key);
    struct sp_hook_request asked;
    sp_status status = question == WORKER_RENEW
                           ? worker_replay_http(&host, call, tree, answer, &asked, &err)
                           : worker_replay(&host, call, question, tree, answer, &err);
    assert_true(status == SP_OK || err.text[0]);
    *ret_failed = sp_hook_end(&host, SALLYPORT_OK, NULL) != SP_OK;
    sp_arena_done(&arena);
    return status;
}

static sp_status replay(enum worker_question question, struct sp_arena *tree,
                        const struct sp_wire_value *answer, bool *ret_failed)
{
    return replay_within(TREE_MAX_BYTES, question, tree, answer, ret_failed);
}

struct spoiling {
    enum worker_question question;
    struct sp_arena tree;
    struct sp_wire_value *root;
    unsigned n;
};

static void assert_taken(struct spoiling *s, bool expected)
{
    bool failed;
    sp_status status = replay(s->question, &s->tree, s->root, &failed);
    assert_int_equal(status, expected ? SP_OK : SP_EINVAL);
    assert_true(!expected || !failed);
    s->n++;
}

/* This value, and then all within it: nil instead; for numbers, out of their range; for lists
 * of a fixed length (those in lists), one too few. */
static void spoil(struct spoiling *s, struct sp_wire_value *value, bool is_fixed)
{
    static const int64_t wrong[] = {-1, (int64_t)UINT32_MAX + 1, INT64_MIN, INT64_MAX};
    struct sp_wire_value kept = *value;
    value->kind = SP_WIRE_NIL;
    assert_taken(s, false);
    *value = kept;
    for (size_t i = 0; kept.kind == SP_WIRE_INT && i < sizeof wrong / sizeof *wrong; i++) {
        value->as.integer = wrong[i];
        assert_taken(s, false);
        *value = kept;
    }
    if (kept.kind != SP_WIRE_ARRAY) {
        return;
    }
    if (is_fixed) {
        value->as.array.n--;
        assert_taken(s, false);
        *value = kept;
    }
    for (size_t i = 0; i < kept.as.array.n; i++) {
        struct sp_wire_value *within =
            (struct sp_wire_value *)(uintptr_t)&kept.as.array.items[i];
        /* Lists of lists: the outer has any length, those within have a form. */
        spoil(s, within, !is_fixed);
    }
}

static void T49_each_value_of_an_answer_that_has_not_its_form_is_refused(void **state)
{
    static const unsigned least[] = {40, 2, 20, 2, 40};
    (void)state;
    for (unsigned q = WORKER_LOAD; q <= WORKER_RENEW; q++) {
        struct spoiling s = {.question = (enum worker_question)q};
        struct sp_wire_value root;
        struct sp_text map;
        size_t taken;
        struct sp_buf buf;
        sp_buf_init(&buf, TREE_MAX_BYTES);
        sp_arena_init(&s.tree, TREE_MAX_BYTES);
        put(&buf, s.question);
        assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
        assert_int_equal(sp_wire_read_reply(&s.tree, map, &root, NULL), SP_OK);
        s.root = &root;
        assert_taken(&s, true);
        for (size_t i = 0; i < root.as.map.n; i++) {
            const struct sp_wire_pair *pair = &root.as.map.pairs[i];
            if (!sp_text_is(pair->name, "status")) { /* that one is worker_read_said's */
                spoil(&s, (struct sp_wire_value *)(uintptr_t)&pair->value,
                      sp_text_is(pair->name, "manifest") || sp_text_is(pair->name, "http"));
            }
        }
        assert_taken(&s, true); /* all is as it was */
        assert_true(s.n >= least[q]);
        sp_arena_done(&s.tree);
        sp_buf_done(&buf);
    }
}

static void an_answer_without_one_of_its_names_is_refused(void **state)
{
    struct sp_wire_value root = {.kind = SP_WIRE_MAP};
    struct sp_arena tree;
    bool failed;
    (void)state;
    sp_arena_init(&tree, TREE_MAX_BYTES);
    for (unsigned q = WORKER_LOAD; q <= WORKER_RENEW; q++) {
        assert_int_equal(replay((enum worker_question)q, &tree, &root, &failed), SP_EINVAL);
    }
    sp_arena_done(&tree);
}

/* With any amount of memory for the lists: out of memory, or all is well. */
static void an_answer_that_there_is_no_memory_for_is_told_apart(void **state)
{
    (void)state;
    struct sp_wire_value root;
    struct sp_text map;
    struct sp_arena tree, little;
    struct sp_buf buf;
    size_t taken;
    bool failed;
    sp_buf_init(&buf, TREE_MAX_BYTES);
    sp_arena_init(&tree, TREE_MAX_BYTES);
    put(&buf, WORKER_LOAD);
    assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
    assert_int_equal(sp_wire_read_reply(&tree, map, &root, NULL), SP_OK);
    sp_arena_init(&little, 1);
    assert_int_equal(replay(WORKER_LOAD, &little, &root, &failed), SP_ENOMEM);
    sp_arena_done(&little);
    sp_arena_done(&tree);
    sp_buf_done(&buf);
}

/* The n-th of what the host has to keep is what finds no room, for each n. */
static void an_answer_that_the_host_has_no_room_for_fails_the_hook(void **state)
{
    (void)state;
    for (unsigned q = WORKER_LOAD; q <= WORKER_RENEW; q++) {
        struct sp_wire_value root;
        struct sp_text map;
        struct sp_arena tree;
        struct sp_buf buf;
        size_t taken, cap = 0;
        bool failed = true;
        sp_buf_init(&buf, TREE_MAX_BYTES);
        sp_arena_init(&tree, TREE_MAX_BYTES);
        put(&buf, (enum worker_question)q);
        assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
        assert_int_equal(sp_wire_read_reply(&tree, map, &root, NULL), SP_OK);
        while (replay_within(cap, (enum worker_question)q, &tree, &root, &failed) || failed) {
            cap += 8;
            assert_true(cap < TREE_MAX_BYTES);
        }
        assert_true(cap > 0);
        sp_arena_done(&tree);
        sp_buf_done(&buf);
    }
}

/* ---- answers, as they come ----------------------------------------------------------------
 */

static sp_status read_said(struct sp_buf *buf, struct worker_said *ret_said)
{
    struct sp_arena arena;
    struct sp_text map;
    size_t taken;
    sp_arena_init(&arena, TREE_MAX_BYTES);
    worker_frame_end(buf);
    assert_int_equal(worker_frame_cut(sp_buf_text(buf), &map, &taken), SP_OK);
    struct sp_error err = {""};
    sp_status status = worker_read_said(&arena, map, ret_said, &err);
    assert_true(status == SP_OK || err.text[0]);
    sp_arena_done(&arena);
    return status;
}

static void put_pair(struct sp_buf *buf, const char *name, int64_t number,
                     const char *text_name, const char *text)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, text_name ? 2 : 1);
    sp_wire_pair_int(buf, name, number);
    if (text_name && text) {
        sp_wire_pair_str(buf, text_name, sp_text_of(text));
    } else if (text_name) {
        sp_wire_pair_int(buf, text_name, 1);
    }
}

static void T48_an_answer_is_a_log_a_failure_or_a_success(void **state)
{
    static const struct {
        const char *name;
        int64_t number;
        const char *text_name, *text;
        bool good;
    } cases[] = {
        {"status", 0, NULL, NULL, true},
        {"status", -1, "reason", "x", true},
        {"status", INT16_MIN, "reason", "", true},
        {"log", 0, "text", "x", true},
        {"log", SALLYPORT_LOG_ERROR, "text", "", true},
        {"status", 1, "reason", "x", false},
        {"status", -1, NULL, NULL, false},
        {"status", -1, "reason", NULL, false},
        {"status", (int64_t)INT16_MIN - 1, "reason", "x", false},
        {"log", 4, "text", "x", false},
        {"log", -1, "text", "x", false},
        {"log", 0, NULL, NULL, false},
        {"log", 0, "text", NULL, false},
        {"other", 0, NULL, NULL, false},
        {"status", -1, "text", "x", false},
    };
    struct worker_said said;
    struct sp_buf buf;
    (void)state;
    sp_buf_init(&buf, TREE_MAX_BYTES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_pair(&buf, cases[i].name, cases[i].number, cases[i].text_name, cases[i].text);
        assert_int_equal(read_said(&buf, &said), cases[i].good ? SP_OK : SP_EINVAL);
    }
    worker_frame_begin(&buf);
    sp_wire_put_map(&buf, 1);
    sp_wire_pair_str(&buf, "status", SP_TEXT("0"));
    assert_int_equal(read_said(&buf, &said), SP_EINVAL);
    worker_frame_begin(&buf);
    sp_buf_add_byte(&buf, 0xc1);
    assert_int_not_equal(read_said(&buf, &said), SP_OK);
    sp_buf_done(&buf);
}

static void T48_frames_are_whole_and_not_too_long(void **state)
{
    static const char long_one[] = "\x01\x00\x00\x01", whole[] = "\x01\x00\x00\x00\xc0\xff";
    struct sp_text map;
    size_t taken;
    (void)state;
    for (size_t n = 0; n < 5; n++) {
        assert_int_equal(worker_frame_cut((struct sp_text){whole, n}, &map, &taken), SP_EBUSY);
    }
    assert_int_equal(worker_frame_cut((struct sp_text){whole, 6}, &map, &taken), SP_OK);
    assert_int_equal(taken, 5);
    assert_int_equal(map.len, 1);
    assert_int_equal(worker_frame_cut((struct sp_text){long_one, 4}, &map, &taken), SP_ETOOBIG);
    /* A frame that did not fit its buffer is not sent. */
    struct sp_buf small;
    sp_buf_init(&small, 8);
    worker_put_failure(&small, SP_EINVAL, SP_TEXT("a reason"));
    assert_true(small.failed);
    sp_buf_done(&small);
}

/* ---- questions ------------------------------------------------------------------------------
 */

static sp_status read_question(struct sp_buf *buf, struct worker_asked *ret_asked)
{
    struct sp_arena arena;
    struct sp_text map;
    size_t taken;
    sp_arena_init(&arena, TREE_MAX_BYTES);
    worker_frame_end(buf);
    assert_int_equal(worker_frame_cut(sp_buf_text(buf), &map, &taken), SP_OK);
    sp_status status = worker_read_question(&arena, map, ret_asked, NULL);
    sp_arena_done(&arena);
    return status;
}

/* Which part of a question is left out or spoiled. */
enum spoilt {
    WHOLE,
    NO_ID,
    ID_NIL,
    VERSION_LOW,
    VERSION_HIGH,
    SETTING_TEXT,
    SETTING_LONG,
    NAME_INT,
    VALUE_INT,
    SECRET_INT,
    SECRETS_NIL,
    DO_OTHER,
    N_SPOILT
};

static void put_question(struct sp_buf *buf, enum spoilt spoilt)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, spoilt == NO_ID ? 4 : 5);
    sp_wire_pair_str(buf, "do", spoilt == DO_OTHER ? SP_TEXT("open") : SP_TEXT("plan"));
    if (spoilt == ID_NIL) {
        sp_wire_put_str(buf, SP_TEXT("id"));
        sp_wire_put_nil(buf);
    } else if (spoilt != NO_ID) {
        sp_wire_pair_str(buf, "id", SP_TEXT("k"));
    }
    sp_wire_pair_int(buf, "version",
                     spoilt == VERSION_LOW    ? -1
                     : spoilt == VERSION_HIGH ? (int64_t)UINT32_MAX + 1
                                              : 1);
    sp_wire_put_str(buf, SP_TEXT("settings"));
    sp_wire_put_array(buf, 1);
    if (spoilt == SETTING_TEXT) {
        sp_wire_put_str(buf, SP_TEXT("name"));
    } else {
        sp_wire_put_array(buf, spoilt == SETTING_LONG ? 3 : 2);
        for (int i = 0; i < (spoilt == SETTING_LONG ? 3 : 2); i++) {
            if ((spoilt == NAME_INT && i == 0) || (spoilt == VALUE_INT && i == 1)) {
                sp_wire_put_int(buf, 1);
            } else {
                sp_wire_put_text(buf, SP_TEXT("text"));
            }
        }
    }
    sp_wire_put_str(buf, SP_TEXT("secrets"));
    if (spoilt == SECRETS_NIL) {
        sp_wire_put_nil(buf);
        return;
    }
    sp_wire_put_array(buf, 1);
    if (spoilt == SECRET_INT) {
        sp_wire_put_int(buf, 1);
    } else {
        sp_wire_put_text(buf, SP_TEXT("api_key"));
    }
}

static void a_question_has_its_form_or_is_refused(void **state)
{
    struct worker_asked asked;
    struct sp_buf buf;
    (void)state;
    sp_buf_init(&buf, TREE_MAX_BYTES);
    for (unsigned i = WHOLE; i < N_SPOILT; i++) {
        put_question(&buf, (enum spoilt)i);
        sp_status status = read_question(&buf, &asked);
        assert_true(i == WHOLE ? status == SP_OK : status != SP_OK);
    }
    assert_int_equal(asked.question, WORKER_PLAN);
    worker_put_question(&buf, &(struct worker_asked){.question = WORKER_LOAD});
    assert_int_equal(read_question(&buf, &asked), SP_OK);
    assert_int_equal(asked.question, WORKER_LOAD);
    worker_frame_begin(&buf);
    sp_wire_put_map(&buf, 1);
    sp_wire_pair_str(&buf, "do", SP_TEXT("check"));
    assert_int_equal(read_question(&buf, &asked), SP_EINVAL);
    worker_frame_begin(&buf);
    sp_wire_put_nil(&buf);
    assert_int_not_equal(read_question(&buf, &asked), SP_OK);
    sp_buf_done(&buf);
}

static const struct sp_reach reaches[] = {
    {{"GET HEAD", 8}, {"api.example.com", 15}, {"/a/**", 5}}};

/* A question whole, or with one of its parts left out, or with a number in a list's place p. */
static void put_asked(struct sp_buf *buf, const char *what, int leave_out, int p)
{
    static const char *const names[] = {"id",      "version", "settings",   "secrets",
                                        "reaches", "lease",   "permissions"};
    bool renew = strcmp(what, "renew") == 0;
    int wanted = renew ? 0x6f : 0x1f, n = renew ? 7 : 6;
    bool leaves = leave_out >= 0 && wanted >> leave_out & 1;
    worker_frame_begin(buf);
    sp_wire_put_map(buf, (size_t)(n - leaves));
    sp_wire_pair_str(buf, "do", sp_text_of(what));
    for (int i = 0; i < 7; i++) {
        if (!(wanted >> i & 1) || i == leave_out) {
            continue;
        }
        sp_wire_put_str(buf, sp_text_of(names[i]));
        if (i == 1) {
            sp_wire_put_int(buf, 1);
        } else if (i == 0 || i == 5) {
            sp_wire_put_text(buf, SP_TEXT("k"));
        } else if (i == 4) {
            sp_wire_put_array(buf, 1);
            if (p == 0) { /* no list */
                sp_wire_put_int(buf, 1);
                continue;
            }
            sp_wire_put_array(buf, p == 4 ? 2 : 3);
            for (int k = 1; k <= (p == 4 ? 2 : 3); k++) {
                if (p == k) {
                    sp_wire_put_int(buf, 1);
                } else {
                    sp_wire_put_text(buf, SP_TEXT("x"));
                }
            }
        } else {
            sp_wire_put_array(buf, i == 6);
            if (i == 6 && p == 0) {
                sp_wire_put_int(buf, 1);
            } else if (i == 6) {
                sp_wire_put_text(buf, SP_TEXT("issues:write"));
            }
        }
    }
}

static void a_question_about_leases_has_its_form_or_is_refused(void **state)
{
    static const char *const whats[] = {"permissions", "renew"};
    static const int wanted[] = {0x1f, 0x6f};
    struct worker_asked asked;
    struct sp_buf buf;
    (void)state;
    sp_buf_init(&buf, TREE_MAX_BYTES);
    for (size_t w = 0; w < 2; w++) {
        put_asked(&buf, whats[w], -1, -1);
        assert_int_equal(read_question(&buf, &asked), SP_OK);
        for (int i = 0; i < 7; i++) {
            put_asked(&buf, whats[w], i, -1);
            assert_int_equal(read_question(&buf, &asked),
                             wanted[w] >> i & 1 ? SP_EINVAL : SP_OK);
        }
        for (int p = 0; p < (w == 0 ? 5 : 1); p++) {
            put_asked(&buf, whats[w], -1, p);
            assert_int_equal(read_question(&buf, &asked), SP_EINVAL);
        }
    }
    sp_buf_done(&buf);
}

static void a_question_that_there_is_no_memory_for_is_told_apart(void **state)
{
    static const struct sp_setting settings[] = {{{"a", 1}, {"b", 1}}};
    static const struct sp_text secrets[] = {{"api_key", 7}}, words[] = {{"issues:write", 12}};
    const struct worker_asked whole[] = {{.question = WORKER_PERMISSIONS,
                                          .key = {{"k", 1}, 1, settings, 1, secrets, 1},
                                          .reaches = reaches,
                                          .n_reaches = 1},
                                         {.question = WORKER_RENEW,
                                          .key = {{"k", 1}, 1, settings, 1, secrets, 1},
                                          .lease = {"l", 1},
                                          .words = words,
                                          .n_words = 1}};
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct worker_asked asked = {.question = WORKER_LOAD};
        struct sp_text map;
        struct sp_buf buf;
        size_t taken, cap = 0;
        sp_status status;
        sp_buf_init(&buf, TREE_MAX_BYTES);
        worker_put_question(&buf, &whole[i]);
        assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
        do {
            struct sp_arena little;
            sp_arena_init(&little, cap);
            status = worker_read_question(&little, map, &asked, NULL);
            assert_int_not_equal(status, SP_EINVAL);
            assert_true(status == SP_OK || cap < TREE_MAX_BYTES);
            if (status == SP_OK) {
                assert_int_equal(asked.n_reaches, i == 0);
                assert_int_equal(asked.n_words, i == 1);
            }
            cap += 8;
            sp_arena_done(&little);
        } while (status);
        sp_buf_done(&buf);
    }
}

static void what_the_host_answers_has_its_form_or_is_refused(void **state)
{
    static const char *const names[] = {"answer", "http_status", "body"};
    struct sp_hook_answer answer;
    struct sp_text map;
    struct sp_buf buf;
    size_t taken;
    (void)state;
    sp_buf_init(&buf, TREE_MAX_BYTES);
    for (size_t wrong = 0; wrong < 4; wrong++) {
        struct sp_arena arena;
        sp_arena_init(&arena, TREE_MAX_BYTES);
        worker_frame_begin(&buf);
        sp_wire_put_map(&buf, 3);
        for (size_t i = 0; i < 3; i++) {
            sp_wire_put_str(&buf, sp_text_of(names[i]));
            if (i == wrong) {
                sp_wire_put_nil(&buf);
            } else if (i == 2) {
                sp_wire_put_bin(&buf, SP_TEXT("{}"));
            } else {
                sp_wire_put_int(&buf, (int64_t)i * 200);
            }
        }
        worker_frame_end(&buf);
        assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
        assert_int_equal(worker_read_answer(&arena, map, &answer, NULL),
                         wrong == 3 ? SP_OK : SP_EINVAL);
        assert_int_not_equal(
            worker_read_answer(&arena, (struct sp_text){"\xc1", 1}, &answer, NULL), SP_OK);
        sp_arena_done(&arena);
    }
    assert_int_equal(answer.http_status, 200);
    sp_buf_done(&buf);
}

static void the_life_of_a_lease_is_a_number_that_is_there(void **state)
{
    static const struct {
        uint64_t put, read;
    } rows[] = {{0, 0}, {3600000, 3600000}, {UINT64_MAX, INT64_MAX}};
    uint64_t life = 7;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct worker_said said;
        struct sp_arena arena;
        struct sp_text map;
        struct sp_buf buf;
        size_t taken;
        sp_buf_init(&buf, TREE_MAX_BYTES);
        sp_arena_init(&arena, TREE_MAX_BYTES);
        worker_put_life(&buf, rows[i].put);
        assert_int_equal(worker_frame_cut(sp_buf_text(&buf), &map, &taken), SP_OK);
        assert_int_equal(worker_read_said(&arena, map, &said, NULL), SP_OK);
        assert_true(worker_read_life(&said.answer, &life));
        assert_true(life == rows[i].read);
        sp_arena_done(&arena);
        sp_buf_done(&buf);
    }
    const struct sp_wire_pair wrong[] = {{{"life", 4}, {.kind = SP_WIRE_INT, .as.integer = -1}},
                                         {{"life", 4}, {.kind = SP_WIRE_NIL}},
                                         {{"lief", 4}, {.kind = SP_WIRE_INT, .as.integer = 1}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct sp_wire_value answer = {.kind = SP_WIRE_MAP,
                                             .as.map = {.pairs = &wrong[i], .n = 1}};
        assert_false(worker_read_life(&answer, &life));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T49_each_value_of_an_answer_that_has_not_its_form_is_refused),
        cmocka_unit_test(an_answer_without_one_of_its_names_is_refused),
        cmocka_unit_test(an_answer_that_there_is_no_memory_for_is_told_apart),
        cmocka_unit_test(T48_an_answer_is_a_log_a_failure_or_a_success),
        cmocka_unit_test(T48_frames_are_whole_and_not_too_long),
        cmocka_unit_test(a_question_has_its_form_or_is_refused),
        cmocka_unit_test(an_answer_that_the_host_has_no_room_for_fails_the_hook),
        cmocka_unit_test(a_question_about_leases_has_its_form_or_is_refused),
        cmocka_unit_test(a_question_that_there_is_no_memory_for_is_told_apart),
        cmocka_unit_test(what_the_host_answers_has_its_form_or_is_refused),
        cmocka_unit_test(the_life_of_a_lease_is_a_number_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
