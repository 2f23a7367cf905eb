/* Rates: exact windows, GCRA, all buckets or none. */
#include "rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Times that are the same in every run. */
static uint32_t drawn = 20261123;

static int draw(void)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 17;
    drawn ^= drawn << 5;
    return (int)(drawn >> 1);
}

static struct sp_rate_use use_of(uint8_t name, uint32_t count, uint64_t window_ms,
                                 uint32_t burst)
{
    struct sp_rate_use use = {.rate = {count, window_ms, burst}};
    use.bucket[0] = name;
    return use;
}

static bool admit(struct sp_rates *rates, struct sp_rate_use use, int64_t now,
                  uint64_t *ret_wait)
{
    size_t which;
    uint64_t wait = 0;
    sp_status status = sp_rates_admit(rates, &use, 1, now, true, &wait, &which);
    assert_true(status == SP_OK || status == SP_EDENIED);
    if (ret_wait) {
        *ret_wait = wait;
    }
    return status == SP_OK;
}

static void T15_no_window_of_a_minute_admits_more_than_N(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct sp_rates *rates;
        int64_t taken[4000], now = 1000;
        size_t n = 0;
        uint32_t limit = 1 + (uint32_t)draw() % 40;
        assert_int_equal(sp_rates_new(100, &rates), SP_OK);
        for (unsigned i = 0; i < 4000; i++) {
            now += draw() % 3000 == 0 ? draw() % 120000 : draw() % (round % 2 ? 400 : 4000);
            if (admit(rates, use_of(1, limit, 60000, 0), now, NULL)) {
                taken[n++] = now;
            }
        }
        for (size_t i = limit; i < n; i++) {
            assert_true(taken[i] - taken[i - limit] > 60000);
        }
        assert_true(n >= limit);
        sp_rates_free(rates);
    }
}

static void the_wait_that_is_told_is_exact(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    assert_int_equal(sp_rates_new(100, &rates), SP_OK);
    for (int burst = 0; burst < 2; burst++) {
        struct sp_rate_use use = use_of((uint8_t)(5 + burst), 3, 60000, burst ? 2 : 0);
        int64_t now = 500;
        while (admit(rates, use, now, &wait)) {
            now += 7;
        }
        assert_true(wait > 0);
        assert_false(admit(rates, use, now + (int64_t)wait - 1, NULL));
        assert_true(admit(rates, use, now + (int64_t)wait, NULL));
    }
    sp_rates_free(rates);
}

static void T54_any_window_admits_at_most_burst_and_its_share(void **state)
{
    (void)state;
    struct sp_rates *rates;
    int64_t taken[20000], now = 0;
    size_t n = 0;
    assert_int_equal(sp_rates_new(100, &rates), SP_OK);
    struct sp_rate_use use = use_of(2, 60, 60000, 10); /* one a second, ten at once */
    for (unsigned i = 0; i < 20000; i++) {
        now += draw() % 500 == 0 ? draw() % 30000 : draw() % 300;
        if (admit(rates, use, now, NULL)) {
            taken[n++] = now;
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n && j < i + 200; j++) {
            assert_true((int64_t)(j - i + 1) <= 10 + (taken[j] - taken[i]) / 1000);
        }
    }
    assert_true(n > 100);
    sp_rates_free(rates);
}

static void a_call_takes_from_all_of_its_rates_or_from_none(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    size_t which;
    assert_int_equal(sp_rates_new(100, &rates), SP_OK);
    struct sp_rate_use both[] = {use_of(1, 10, 60000, 0), use_of(2, 1, 60000, 0)};
    assert_int_equal(sp_rates_admit(rates, both, 2, 1, true, &wait, &which), SP_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sp_rates_admit(rates, both, 2, 2, true, &wait, &which), SP_EDENIED);
        assert_int_equal(which, 1);
    }
    for (int i = 0; i < 9; i++) {
        assert_true(admit(rates, both[0], 3, NULL));
    }
    assert_false(admit(rates, both[0], 3, NULL));
    sp_rates_return(rates, both, 1, 3);
    assert_int_equal(sp_rates_admit(rates, both, 1, 4, false, &wait, &which), SP_OK);
    assert_true(admit(rates, both[0], 4, NULL));
    assert_false(admit(rates, both[0], 4, NULL));
    /* a larger N on the same bucket sees what was admitted under the smaller */
    struct sp_rate_use wider = use_of(1, 12, 60000, 0);
    assert_true(admit(rates, wider, 5, NULL));
    assert_true(admit(rates, wider, 5, NULL));
    assert_false(admit(rates, wider, 5, NULL));
    sp_rates_free(rates);
}

static void buckets_are_bounded_and_idle_ones_forgotten(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    size_t which, busy = 0;
    assert_int_equal(sp_rates_new(64, &rates), SP_OK);
    for (unsigned i = 0; i < 100; i++) {
        struct sp_rate_use use = use_of((uint8_t)i, 5, 1000, 0);
        busy += sp_rates_admit(rates, &use, 1, 10, true, &wait, &which) == SP_EBUSY;
    }
    assert_int_equal(busy, 36);
    for (unsigned i = 0; i < 1000; i++) {
        struct sp_rate_use use = use_of((uint8_t)(100 + i % 60), 5, 1000, 0);
        (void)sp_rates_admit(rates, &use, 1, 100000 + i * 10, true, &wait, &which);
    }
    struct sp_rate_use use = use_of(77, 5, 1000, 0);
    assert_int_equal(sp_rates_admit(rates, &use, 1, 900000, true, &wait, &which), SP_OK);
    sp_rates_free(rates);
    sp_rates_free(NULL);
}

/* ---- admissions that are given back, and memory that is short -------------------------- */

static void a_returned_admission_leaves_the_others_where_they_were(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    assert_int_equal(sp_rates_new(100, &rates), SP_OK);
    struct sp_rate_use use = use_of(1, 4, 1000, 0);
    for (int64_t now = 10; now <= 40; now += 10) {
        assert_true(admit(rates, use, now, NULL));
    }
    sp_rates_return(rates, &use, 1, 25); /* nobody was admitted then */
    assert_false(admit(rates, use, 50, NULL));
    sp_rates_return(rates, &use, 1, 20);
    assert_true(admit(rates, use, 50, NULL));
    /* What is left in the window: 10, 30, 40, 50. */
    assert_false(admit(rates, use, 60, &wait));
    assert_int_equal(wait, 10 + 1000 + 1 - 60);
    assert_true(admit(rates, use, 1011, NULL));
    assert_false(admit(rates, use, 1012, &wait));
    assert_int_equal(wait, 30 + 1000 + 1 - 1012);
    sp_rates_free(rates);
}

static void a_returned_burst_may_be_taken_again(void **state)
{
    (void)state;
    struct sp_rates *rates;
    assert_int_equal(sp_rates_new(100, &rates), SP_OK);
    struct sp_rate_use use = use_of(1, 60, 60000, 2), other = use_of(9, 60, 60000, 2);
    assert_true(admit(rates, use, 5, NULL));
    assert_true(admit(rates, use, 6, NULL));
    assert_false(admit(rates, use, 7, NULL));
    sp_rates_return(rates, &other, 1, 6); /* a bucket that is not there */
    assert_false(admit(rates, use, 7, NULL));
    sp_rates_return(rates, &use, 1, 6);
    assert_true(admit(rates, use, 7, NULL));
    assert_false(admit(rates, use, 8, NULL));
    sp_rates_free(rates);
}

/* A commit that takes long may give back to a bucket that was forgotten and made anew. */
static void T54_a_late_return_neither_shuts_a_new_bucket_nor_widens_it(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    size_t which;
    assert_int_equal(sp_rates_new(64, &rates), SP_OK);
    struct sp_rate_use use = use_of(1, 10, 1000, 2);
    assert_true(admit(rates, use, 0, NULL));
    for (unsigned i = 0; i < 200; i++) { /* others come and are swept, and so is this one */
        struct sp_rate_use other = use_of((uint8_t)(2 + i), 10, 1000, 2);
        (void)sp_rates_admit(rates, &other, 1, 5000 + i * 200, true, &wait, &which);
    }
    int64_t now = 60000;
    assert_int_equal(sp_rates_admit(rates, &use, 1, now, false, &wait, &which), SP_OK);
    sp_rates_return(rates, &use, 1, 0);
    assert_true(admit(rates, use, now, NULL));
    assert_true(admit(rates, use, now + 1, NULL));
    assert_false(admit(rates, use, now + 2, NULL));
    sp_rates_free(rates);
}

static void T54_what_has_run_out_of_a_bucket_is_not_given_back(void **state)
{
    (void)state;
    struct sp_rates *rates;
    uint64_t wait;
    assert_int_equal(sp_rates_new(64, &rates), SP_OK);
    struct sp_rate_use use = use_of(1, 10, 1000, 2); /* one in 100 ms */
    assert_true(admit(rates, use, 0, NULL));
    assert_true(admit(rates, use, 500, NULL)); /* a full burst of its own */
    assert_true(admit(rates, use, 501, NULL));
    assert_false(admit(rates, use, 502, NULL));
    sp_rates_return(rates, &use, 1, 0);
    assert_false(admit(rates, use, 503, &wait));
    assert_int_equal(wait, 601 - 503);
    /* Half of the one at 1000 has run out when the next one comes: the other half returns. */
    assert_true(admit(rates, use, 1000, NULL));
    assert_true(admit(rates, use, 1050, NULL));
    assert_false(admit(rates, use, 1051, NULL));
    sp_rates_return(rates, &use, 1, 1000);
    assert_true(admit(rates, use, 1051, NULL));
    assert_false(admit(rates, use, 1052, &wait));
    assert_int_equal(wait, 1151 - 1052);
    sp_rates_free(rates);
}

/* Whatever is given back, and however late: the calls that were made keep to the rate. */
static void T54_calls_that_were_made_fit_the_rate_whatever_is_returned(void **state)
{
    enum { CALLS = 400, BURST = 3, EACH_MS = 20 };
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct sp_rates *rates;
        int64_t at[CALLS], now = 0;
        bool made[CALLS];
        size_t n = 0;
        assert_int_equal(sp_rates_new(64, &rates), SP_OK);
        struct sp_rate_use use = use_of(1, 1000 / EACH_MS, 1000, BURST);
        while (n < CALLS) {
            now += draw() % (draw() % 8 ? 9 : 90);
            if (admit(rates, use, now, NULL)) {
                at[n] = now;
                made[n++] = true;
            }
            size_t which = n - 1 - (size_t)draw() % 4;
            if (draw() % 4 == 0 && which < n && made[which]) {
                made[which] = false;
                sp_rates_return(rates, &use, 1, at[which]);
            }
        }
        for (size_t first = 0; first < n; first++) {
            int64_t count = 0;
            for (size_t last = first; last < n; last++) {
                count += made[last];
                /* times are cut to whole milliseconds */
                assert_true(count * EACH_MS <= BURST * EACH_MS + at[last] - at[first] + 1);
            }
        }
        sp_rates_free(rates);
    }
}

static size_t n_allocations, fail_at = SIZE_MAX;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return n_allocations++ == fail_at ? NULL : __real_calloc(n, size);
}

static void T41_without_memory_nobody_is_admitted_and_nothing_is_taken(void **state)
{
    (void)state;
    struct sp_rates *rates = NULL;
    uint64_t wait;
    size_t which;
    for (fail_at = 0; fail_at < 2; fail_at++) { /* the books, their table */
        n_allocations = 0;
        assert_int_equal(sp_rates_new(100, &rates), SP_ENOMEM);
        assert_null(rates);
    }
    fail_at = SIZE_MAX;
    assert_int_equal(sp_rates_new((size_t)1 << 22, &rates), SP_OK); /* chains, not a table */
    struct sp_rate_use both[] = {use_of(1, 2, 60000, 0), use_of(2, 2, 60000, 0)};
    static const sp_status refused[] = {SP_EBUSY, SP_ENOMEM, SP_EBUSY, SP_ENOMEM};
    for (size_t nth = 0; nth < 4; nth++) { /* each anew: bucket, ring, bucket, ring */
        struct sp_rates *fresh;
        fail_at = SIZE_MAX;
        assert_int_equal(sp_rates_new(100, &fresh), SP_OK);
        n_allocations = 0;
        fail_at = nth;
        assert_int_equal(sp_rates_admit(fresh, both, 2, 1, true, &wait, &which), refused[nth]);
        fail_at = SIZE_MAX;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sp_rates_admit(fresh, both, 2, 1, true, &wait, &which), SP_OK);
        }
        assert_int_equal(sp_rates_admit(fresh, both, 2, 1, true, &wait, &which), SP_EDENIED);
        sp_rates_free(fresh);
    }
    sp_rates_free(rates);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T15_no_window_of_a_minute_admits_more_than_N),
        cmocka_unit_test(the_wait_that_is_told_is_exact),
        cmocka_unit_test(T54_any_window_admits_at_most_burst_and_its_share),
        cmocka_unit_test(a_call_takes_from_all_of_its_rates_or_from_none),
        cmocka_unit_test(buckets_are_bounded_and_idle_ones_forgotten),
        cmocka_unit_test(a_returned_admission_leaves_the_others_where_they_were),
        cmocka_unit_test(a_returned_burst_may_be_taken_again),
        cmocka_unit_test(T54_a_late_return_neither_shuts_a_new_bucket_nor_widens_it),
        cmocka_unit_test(T54_what_has_run_out_of_a_bucket_is_not_given_back),
        cmocka_unit_test(T54_calls_that_were_made_fit_the_rate_whatever_is_returned),
        cmocka_unit_test(T41_without_memory_nobody_is_admitted_and_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
