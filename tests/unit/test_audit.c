/* The audit: whatever is done to the files, verify names it. */
#include "audit.h"
#include "crypto.h"
#include "unit/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t seed[32] = {7};
static const char first_file[] = "audit-00000000000000000001.jsonl";

struct log {
    char folder[64], path[128];
    struct sp_head head;
    char text[1 << 16];
    size_t len;
};

static void load(struct log *log)
{
    FILE *file = fopen(log->path, "r");
    assert_non_null(file);
    log->len = fread(log->text, 1, sizeof log->text - 1, file);
    log->text[log->len] = '\0';
    fclose(file);
}

static void store(const struct log *log, const char *text, size_t len)
{
    FILE *file = fopen(log->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void append(struct sp_audit *audit, int i)
{
    char fields[128];
    struct sp_error err = {""};
    (void)snprintf(fields, sizeof fields, "\"type\":\"test\",\"n\":%d", i);
    assert_int_equal(sp_audit_append(audit, 1000 + i, sp_text_of(fields), &err), SP_OK);
}

static void make(struct log *log, int n, uint64_t rotate)
{
    struct sp_audit *audit;
    struct sp_error err = {""};
    bool torn;
    memcpy(log->folder, "/tmp/sp-audit-XXXXXX", 21);
    assert_non_null(mkdtemp(log->folder));
    (void)snprintf(log->path, sizeof log->path, "%s/%s", log->folder, first_file);
    assert_int_equal(sp_audit_open(log->folder, rotate, &audit, &torn, &err), SP_OK);
    assert_int_equal(sp_audit_sign_with(audit, seed, &err), SP_OK);
    for (int i = 0; i < n; i++) {
        append(audit, i);
    }
    assert_int_equal(sp_audit_checkpoint(audit, 5000, &err), SP_OK);
    assert_int_equal(sp_audit_flush(audit, &err), SP_OK);
    sp_audit_head(audit, &log->head);
    sp_audit_close(audit);
    load(log);
}

static void clear(struct log *log)
{
    assert_int_equal(folder_remove(log->folder), 0);
}

static sp_status verify(const struct log *log, struct sp_audit_report *report)
{
    struct sp_error err = {""};
    return sp_audit_verify(log->folder, 0, &log->head, report, &err);
}

static void T55_every_changed_byte_is_found_and_its_record_named(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    make(&log, 8, 1 << 20);
    assert_int_equal(verify(&log, &report), SP_OK);
    assert_int_equal(report.n_records, 9);
    assert_int_equal(report.n_checkpoints, 1);
    uint64_t line = 1;
    for (size_t i = 0; i < log.len; i++) {
        char old = log.text[i];
        log.text[i] = (char)(old ^ 1);
        store(&log, log.text, log.len);
        sp_status status = verify(&log, &report);
        if (status != SP_ECORRUPT) {
            fail_msg("byte %zu ('%c') was changed unseen", i, old);
        }
        if (old != '\n' && (report.bad_seq > line + 1 || report.bad_seq + 1 < line)) {
            fail_msg("byte %zu of record %llu was blamed on %llu", i, (unsigned long long)line,
                     (unsigned long long)report.bad_seq);
        }
        log.text[i] = old;
        line += old == '\n';
    }
    clear(&log);
}

static const char *line_at(const struct log *log, unsigned n)
{
    const char *at = log->text;
    while (n-- > 0) {
        at = strchr(at, '\n') + 1;
    }
    return at;
}

static void T55_a_changed_record_is_named_by_its_own_number(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    make(&log, 8, 1 << 20);
    char *at = strstr(log.text, "\"n\":3");
    at[4] = '9';
    store(&log, log.text, log.len);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 4);
    assert_int_equal(report.bad_line, 4);
    clear(&log);
}

static void T55_deleted_inserted_and_reordered_records_are_named(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    char text[1 << 16];
    make(&log, 8, 1 << 20);
    const char *second = line_at(&log, 1), *third = line_at(&log, 2),
               *fourth = line_at(&log, 3);
    size_t head = (size_t)(second - log.text), tail = log.len - (size_t)(third - log.text);
    memcpy(text, log.text, head); /* without the second */
    memcpy(text + head, third, tail);
    store(&log, text, head + tail);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 2);
    size_t one = (size_t)(third - second); /* the second twice */
    memcpy(text, log.text, head + one);
    memcpy(text + head + one, second, log.len - head);
    store(&log, text, log.len + one);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 3);
    size_t two = (size_t)(fourth - third); /* second and third changed places */
    memcpy(text, log.text, head);
    memcpy(text + head, third, two);
    memcpy(text + head + two, second, one);
    memcpy(text + head + two + one, fourth, log.len - (size_t)(fourth - log.text));
    store(&log, text, log.len);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 2);
    clear(&log);
}

static void T55_a_cut_tail_is_found_with_the_head(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    make(&log, 8, 1 << 20);
    store(&log, log.text, (size_t)(line_at(&log, 6) - log.text));
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 7);
    clear(&log);
}

static void a_torn_line_is_cut_off_and_the_chain_goes_on(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    struct sp_audit *audit;
    struct sp_error err = {""};
    bool torn = false;
    make(&log, 3, 1 << 20);
    FILE *file = fopen(log.path, "a");
    assert_true(fputs("{\"seq\":5,\"prev", file) >= 0);
    fclose(file);
    assert_int_equal(sp_audit_open(log.folder, 1 << 20, &audit, &torn, &err), SP_OK);
    assert_true(torn);
    assert_int_equal(sp_audit_sign_with(audit, seed, &err), SP_OK);
    append(audit, 4);
    assert_int_equal(sp_audit_flush(audit, &err), SP_OK);
    sp_audit_head(audit, &log.head);
    assert_int_equal(log.head.seq, 5);
    sp_audit_close(audit);
    assert_int_equal(verify(&log, &report), SP_OK);
    clear(&log);
}

static void rotated_files_are_one_chain_and_a_missing_one_is_named(void **state)
{
    (void)state;
    struct log log;
    struct sp_audit_report report;
    char path[160];
    make(&log, 40, 1000);
    assert_int_equal(verify(&log, &report), SP_OK);
    assert_true(report.n_checkpoints > 3);
    struct sp_audit *audit;
    struct sp_error err = {""};
    bool torn;
    assert_int_equal(sp_audit_open(log.folder, 1000, &audit, &torn, &err), SP_OK);
    assert_int_equal(sp_audit_holds(audit, &log.head, &err), SP_OK);
    log.head.hash[0] ^= 1;
    assert_int_equal(sp_audit_holds(audit, &log.head, &err), SP_ECORRUPT);
    log.head.hash[0] ^= 1;
    log.head.seq++;
    assert_int_equal(sp_audit_holds(audit, &log.head, &err), SP_ECORRUPT);
    log.head.seq--;
    sp_audit_close(audit);
    assert_int_equal(unlink(log.path), 0);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 1);
    (void)path;
    clear(&log);
}

static void another_signing_key_is_refused_and_a_forged_checkpoint_named(void **state)
{
    (void)state;
    static const uint8_t other[32] = {8};
    struct log log;
    struct sp_audit *audit;
    struct sp_audit_report report;
    struct sp_error err = {""};
    bool torn;
    make(&log, 3, 1 << 20);
    assert_int_equal(sp_audit_open(log.folder, 1 << 20, &audit, &torn, &err), SP_OK);
    assert_int_equal(sp_audit_sign_with(audit, other, &err), SP_ECORRUPT);
    sp_audit_close(audit);
    char *signature = strstr(log.text, "signature\":\"") + 12;
    signature[0] = signature[0] == '0' ? '1' : '0';
    store(&log, log.text, log.len);
    assert_int_equal(verify(&log, &report), SP_ECORRUPT);
    assert_int_equal(report.bad_seq, 4);
    clear(&log);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T55_every_changed_byte_is_found_and_its_record_named),
        cmocka_unit_test(T55_a_changed_record_is_named_by_its_own_number),
        cmocka_unit_test(T55_deleted_inserted_and_reordered_records_are_named),
        cmocka_unit_test(T55_a_cut_tail_is_found_with_the_head),
        cmocka_unit_test(a_torn_line_is_cut_off_and_the_chain_goes_on),
        cmocka_unit_test(rotated_files_are_one_chain_and_a_missing_one_is_named),
        cmocka_unit_test(another_signing_key_is_refused_and_a_forged_checkpoint_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
