/* Budgets in the store: exact at the edges of their window, never early, bounded in rows. */
#include "store.h"
#include "unit/folder.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { START_MS = 1800000000, MINUTE = 60000, HOUR = 3600000 };

struct world {
    char folder[64], path[96];
    struct sp_store *store;
    uint64_t wait_ms;
};

static void open_store(struct world *w)
{
    struct sp_error err = {""};
    if (sp_store_open(w->path, true, &w->store, &err)) {
        fail_msg("%s", err.text);
    }
}

static int setup(void **state)
{
    static struct world w;
    memcpy(w.folder, "/tmp/sp-budget-XXXXXX", 22);
    assert_non_null(mkdtemp(w.folder));
    (void)snprintf(w.path, sizeof w.path, "%s/store.db", w.folder);
    open_store(&w);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sp_store_close(w->store);
    return folder_remove(w->folder);
}

static struct sp_budget_use use_of(uint64_t limit, uint64_t window_ms, uint64_t amount)
{
    return (struct sp_budget_use){
        .bucket = {1}, .limit = limit, .window_ms = window_ms, .amount = amount};
}

static sp_status take_use(struct world *w, struct sp_budget_use *use, int64_t now_ms)
{
    struct sp_error err = {""};
    assert_int_equal(sp_store_begin(w->store, &err), SP_OK);
    sp_status status = sp_store_budget_take(w->store, use, now_ms, &w->wait_ms, &err);
    if (status && status != SP_EDENIED) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(sp_store_commit(w->store, &err), SP_OK);
    return status;
}

static bool take(struct world *w, uint64_t limit, uint64_t window_ms, uint64_t amount,
                 int64_t now_ms)
{
    struct sp_budget_use use = use_of(limit, window_ms, amount);
    return take_use(w, &use, now_ms) == SP_OK;
}

static sp_status count_row(void *user, const struct sp_budget_use *row)
{
    (void)row;
    ++*(size_t *)user;
    return SP_OK;
}

static size_t n_rows(struct world *w)
{
    size_t n = 0;
    assert_int_equal(sp_store_budget_list(w->store, count_row, &n, NULL), SP_OK);
    return n;
}

static void a_limit_is_exact(void **state)
{
    struct world *w = *state;
    assert_true(take(w, 10, HOUR, 4, START_MS));
    assert_true(take(w, 10, HOUR, 6, START_MS));
    assert_false(take(w, 10, HOUR, 1, START_MS));
    assert_true(take(w, 10, HOUR, 0, START_MS));
    assert_true(take(w, 11, HOUR, 1, START_MS));
    assert_false(take(w, 11, HOUR, 1, START_MS));
}

static void what_leaves_the_window_leaves_it_to_the_millisecond_of_its_slot(void **state)
{
    struct world *w = *state;
    struct sp_budget_use first = use_of(10, HOUR, 10), again = use_of(10, HOUR, 10);
    assert_int_equal(take_use(w, &first, START_MS), SP_OK);
    assert_true(first.at_ms > START_MS && first.at_ms <= START_MS + HOUR / 64 + 1);
    assert_int_equal(take_use(w, &again, START_MS + 5000), SP_EDENIED);
    int64_t free_ms = first.at_ms + HOUR;
    assert_int_equal(w->wait_ms, free_ms - (START_MS + 5000));
    assert_int_equal(take_use(w, &again, free_ms - 1), SP_EDENIED);
    assert_int_equal(w->wait_ms, 1);
    assert_int_equal(take_use(w, &again, free_ms), SP_OK);
}

static void the_wait_is_for_as_much_as_is_asked(void **state)
{
    struct world *w = *state;
    struct sp_budget_use early = use_of(10, HOUR, 4), late = use_of(10, HOUR, 6);
    assert_int_equal(take_use(w, &early, START_MS), SP_OK);
    assert_int_equal(take_use(w, &late, START_MS + HOUR / 2), SP_OK);
    int64_t now = START_MS + HOUR / 2 + 1000;
    assert_false(take(w, 10, HOUR, 4, now));
    assert_int_equal(w->wait_ms, early.at_ms + HOUR - now);
    assert_false(take(w, 10, HOUR, 5, now));
    assert_int_equal(w->wait_ms, late.at_ms + HOUR - now);
    assert_false(take(w, 10, HOUR, 11, now));
    assert_int_equal(w->wait_ms, 0); /* never */
}

static void a_call_that_was_not_made_gives_back(void **state)
{
    struct world *w = *state;
    struct sp_budget_use use = use_of(10, HOUR, 10);
    struct sp_error err = {""};
    assert_int_equal(take_use(w, &use, START_MS), SP_OK);
    assert_int_equal(sp_store_budget_return(w->store, &use, &err), SP_OK);
    assert_true(take(w, 10, HOUR, 3, START_MS + 1));
    /* A second return is a fault of ours, and still no credit. */
    assert_int_equal(sp_store_budget_return(w->store, &use, &err), SP_OK);
    assert_int_equal(sp_store_budget_return(w->store, &use, &err), SP_OK);
    assert_false(take(w, 10, HOUR, 11, START_MS + 2));
    assert_true(take(w, 10, HOUR, 10, START_MS + 3));
}

static void buckets_are_apart(void **state)
{
    struct world *w = *state;
    struct sp_budget_use other = use_of(1, HOUR, 1);
    other.bucket[15] = 1;
    assert_true(take(w, 1, HOUR, 1, START_MS));
    assert_false(take(w, 1, HOUR, 1, START_MS));
    assert_int_equal(take_use(w, &other, START_MS), SP_OK);
}

static void a_longer_window_after_a_reload_counts_what_stands(void **state)
{
    struct world *w = *state;
    assert_true(take(w, 5, HOUR, 5, START_MS));
    assert_false(take(w, 5, 2 * HOUR, 1, START_MS + 1000));
    assert_true(take(w, 6, 2 * HOUR, 1, START_MS + 1000));
    assert_false(take(w, 6, HOUR, 1, START_MS + 2000));
}

static void it_survives_closing_and_is_purged_when_it_is_over(void **state)
{
    struct world *w = *state;
    assert_true(take(w, 1, HOUR, 1, START_MS));
    sp_store_close(w->store);
    open_store(w);
    assert_false(take(w, 1, HOUR, 1, START_MS + 1));
    assert_int_equal(sp_store_budget_purge(w->store, START_MS + HOUR, NULL), SP_OK);
    assert_int_equal(n_rows(w), 1);
    assert_int_equal(sp_store_budget_purge(w->store, START_MS + 2 * HOUR, NULL), SP_OK);
    assert_int_equal(n_rows(w), 0);
}

static void a_transaction_that_is_undone_takes_nothing(void **state)
{
    struct world *w = *state;
    struct sp_budget_use use = use_of(1, HOUR, 1);
    struct sp_error err = {""};
    assert_int_equal(sp_store_begin(w->store, &err), SP_OK);
    assert_int_equal(sp_store_budget_take(w->store, &use, START_MS, &w->wait_ms, &err), SP_OK);
    sp_store_rollback(w->store);
    assert_true(take(w, 1, HOUR, 1, START_MS));
}

/* Against a list of every single take: in no window is more than the limit, and what would fit
 * a window of a 64th more (at least a second) is not refused. */
static void a_random_life_keeps_the_limit_in_every_window(void **state)
{
    struct world *w = *state;
    enum { N = 1500 };
    static struct {
        int64_t at_ms;
        uint64_t amount;
    } taken[N];
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    size_t n = 0, refused = 0;
    int64_t now = START_MS;
    for (size_t i = 0; i < N; i++) {
        seed = seed * 1103515245 + 12345;
        now += seed >> 8 & 0x7ff;
        uint64_t amount = 1 + (seed >> 20) % 20, exact = 0, wide = 0;
        for (size_t k = 0; k < n; k++) {
            exact += taken[k].at_ms > now - MINUTE ? taken[k].amount : 0;
            wide += taken[k].at_ms > now - MINUTE - 1000 ? taken[k].amount : 0;
        }
        if (take(w, 200, MINUTE, amount, now)) {
            assert_true(exact + amount <= 200);
            taken[n].at_ms = now;
            taken[n++].amount = amount;
        } else {
            assert_true(wide + amount > 200);
            assert_true(w->wait_ms > 0 && w->wait_ms <= MINUTE + 1000);
            refused++;
        }
        assert_true(n_rows(w) <= 66);
    }
    assert_true(n > N / 10 && refused > N / 10);
}

static void T12_a_clock_set_back_frees_nothing(void **state)
{
    struct world *w = *state;
    assert_true(take(w, 1, HOUR, 1, START_MS + 24 * HOUR));
    assert_false(take(w, 1, HOUR, 1, START_MS));
    assert_false(take(w, 1, HOUR, 1, START_MS + 24 * HOUR + 1000));
}

static void exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL)) {
        fail_msg("%s", sqlite3_errmsg(db));
    }
}

/* A store of the first version, as it was before there were budgets. */
static void an_older_store_is_upgraded(void **state)
{
    struct world *w = *state;
    sqlite3 *db = NULL;
    sp_store_close(w->store);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    exec(db,
         "DROP TABLE budgets; DROP TABLE leases; DROP TABLE lease_users;"
         "ALTER TABLE tokens DROP COLUMN guard_hits; ALTER TABLE tokens DROP COLUMN guard_key;"
         "ALTER TABLE tokens DROP COLUMN suspended_ms; ALTER TABLE keys DROP COLUMN since;"
         "PRAGMA user_version = 1");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    open_store(w);
    assert_true(take(w, 1, HOUR, 1, START_MS));
    assert_false(take(w, 1, HOUR, 1, START_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_limit_is_exact),
        TEST(what_leaves_the_window_leaves_it_to_the_millisecond_of_its_slot),
        TEST(the_wait_is_for_as_much_as_is_asked),
        TEST(a_call_that_was_not_made_gives_back),
        TEST(buckets_are_apart),
        TEST(a_longer_window_after_a_reload_counts_what_stands),
        TEST(it_survives_closing_and_is_purged_when_it_is_over),
        TEST(a_transaction_that_is_undone_takes_nothing),
        TEST(a_random_life_keeps_the_limit_in_every_window),
        TEST(T12_a_clock_set_back_frees_nothing),
        TEST(an_older_store_is_upgraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
