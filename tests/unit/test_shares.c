/* Shares of places: who floods has a share and no more, and nothing is left behind. */
#include "shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after those four */
#include <cmocka.h>

static void T51_a_client_over_its_share_is_told_apart_from_others(void **state)
{
    struct sp_shares *shares;
    struct sp_share *taken[4];
    (void)state;
    assert_int_equal(sp_shares_new(3, 8, &shares), SP_OK);
    for (size_t i = 0; i < 4; i++) {
        taken[i] = sp_share_take(shares, SP_TEXT("flood"));
        assert_non_null(taken[i]);
        assert_int_equal(sp_share_is_over(shares, taken[i]), i == 3);
    }
    struct sp_share *other = sp_share_take(shares, SP_TEXT("floo"));
    assert_false(sp_share_is_over(shares, other));
    sp_share_give(shares, taken[3]);
    assert_false(sp_share_is_over(shares, taken[0]));
    sp_share_give(shares, other);
    for (size_t i = 0; i < 3; i++) {
        sp_share_give(shares, taken[i]);
    }
    sp_share_give(shares, NULL);
    sp_shares_free(shares);
}

static void places_that_were_given_back_are_there_for_anybody(void **state)
{
    enum { CLIENTS = 600 }; /* more than there are buckets */
    struct sp_share *taken[CLIENTS];
    struct sp_shares *shares;
    (void)state;
    assert_int_equal(sp_shares_new(1, CLIENTS, &shares), SP_OK);
    for (int round = 0; round < 3; round++) {
        char name[16];
        for (int i = 0; i < CLIENTS; i++) {
            struct sp_text id = {name, (size_t)snprintf(name, sizeof name, "%d-%d", round, i)};
            taken[i] = sp_share_take(shares, id);
            assert_non_null(taken[i]);
            assert_false(sp_share_is_over(shares, taken[i]));
        }
        assert_null(sp_share_take(shares, SP_TEXT("one more")));
        struct sp_share *again = sp_share_take(shares, SP_TEXT("0-0"));
        assert_true(round == 0 ? again == taken[0] : again == NULL);
        sp_share_give(shares, again);
        for (int i = 0; i < CLIENTS; i++) { /* in another order than they were taken */
            sp_share_give(shares, taken[(i * 7) % CLIENTS]);
        }
    }
    sp_shares_free(shares);
}

static void an_id_may_hold_any_bytes(void **state)
{
    struct sp_shares *shares;
    const struct sp_text a = {"\0\0\0\1", 4}, b = {"\0\0\0\2", 4}, c = {"\0\0\0", 3};
    (void)state;
    assert_int_equal(sp_shares_new(1, 3, &shares), SP_OK);
    struct sp_share *first = sp_share_take(shares, a), *second = sp_share_take(shares, b),
                    *third = sp_share_take(shares, c);
    assert_true(first != second && second != third && first != third);
    assert_false(sp_share_is_over(shares, first) || sp_share_is_over(shares, third));
    sp_shares_free(shares);
}

static void more_clients_than_memory_are_refused_at_the_start(void **state)
{
    struct sp_shares *shares = NULL;
    (void)state;
    assert_int_equal(sp_shares_new(1, SIZE_MAX / 2, &shares), SP_ENOMEM);
    assert_null(shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T51_a_client_over_its_share_is_told_apart_from_others),
        cmocka_unit_test(places_that_were_given_back_are_there_for_anybody),
        cmocka_unit_test(an_id_may_hold_any_bytes),
        cmocka_unit_test(more_clients_than_memory_are_refused_at_the_start),
    };
    return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
