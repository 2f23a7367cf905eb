/* Any bytes as an audit file: verify and read end, and give no fault. An input that begins with
 * byte 1 is a list of edits (what, offset, value) to a file that holds: what they change is
 * found. */
#include "audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 16 << 10, RECORDS = 6, EDIT_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], path[128], public_key[128];

/* A file that holds, and its head. */
static char good[FILE_MAX_BYTES];
static size_t good_len;
static struct sp_head head;

static sp_status ignore(void *user, uint64_t seq, struct sp_text line)
{
    (void)user;
    (void)seq;
    (void)line;
    return SP_OK;
}

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void leave(void)
{
    (void)unlink(path);
    (void)unlink(public_key);
    (void)rmdir(folder);
}

static void put(const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    must(file && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
}

static void make_good(void)
{
    static const uint8_t seed[32] = {7};
    static const char fields[] =
        "\"type\":\"call\",\"client\":\"c\",\"key\":\"k\",\"status\":200";
    struct sp_audit *audit = NULL;
    struct sp_error err = {""};
    bool torn;
    must(sp_audit_open(folder, 1 << 20, &audit, &torn, &err) == SP_OK &&
         sp_audit_sign_with(audit, seed, &err) == SP_OK);
    for (int i = 0; i < RECORDS; i++) {
        must(sp_audit_append(audit, 1000 + i, sp_text_of(fields), &err) == SP_OK);
    }
    must(sp_audit_checkpoint(audit, 5000, &err) == SP_OK &&
         sp_audit_flush(audit, &err) == SP_OK);
    sp_audit_head(audit, &head);
    sp_audit_close(audit);
    FILE *file = fopen(path, "r");
    must(file != NULL);
    good_len = fread(good, 1, sizeof good, file);
    must(fclose(file) == 0 && good_len > 0 && good_len < sizeof good / 2);
}

/* Change, drop or insert one byte, or cut the file. */
static size_t edit(char *text, size_t len, const uint8_t *how)
{
    size_t at = ((size_t)how[1] << 8 | how[2]) % (len + 1), rest = len - at;
    switch (how[0] % 4) {
    case 0:
        text[at] = rest > 0 ? (char)how[3] : text[at];
        return len;
    case 1:
        memmove(text + at, text + at + (rest > 0), rest - (rest > 0));
        return len - (rest > 0);
    case 2:
        memmove(text + at + 1, text + at, rest);
        text[at] = (char)how[3];
        return len + 1;
    default:
        return at;
    }
}

/* What verify passes is the file as it was; behind it may stand the beginning of a record that
 * was never acknowledged. */
static void check_edits(const uint8_t *edits, size_t size)
{
    static char text[FILE_MAX_BYTES];
    struct sp_audit_report report;
    struct sp_error err = {""};
    size_t len = good_len;
    memcpy(text, good, good_len);
    for (size_t at = 0; at + EDIT_BYTES <= size && len < sizeof text - 1; at += EDIT_BYTES) {
        len = edit(text, len, edits + at);
    }
    put(text, len);
    if (sp_audit_verify(folder, 0, &head, &report, &err) == SP_OK) {
        must(len >= good_len && memcmp(text, good, good_len) == 0 &&
             !memchr(text + good_len, '\n', len - good_len));
    } else {
        must(report.bad_seq > 0 && *report.reason);
    }
}

static void enter(void)
{
    (void)snprintf(folder, sizeof folder, "/dev/shm/sp-fuzz-%d", (int)getpid());
    must(mkdir(folder, 0700) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof path, "%s/audit-00000000000000000001.jsonl", folder);
    (void)snprintf(public_key, sizeof public_key, "%s/audit.pub", folder);
    (void)atexit(leave);
    make_good();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_audit_report report;
    struct sp_error err;
    if (!*folder) {
        enter();
    }
    if (size > 0 && data[0] == 1) {
        check_edits(data + 1, size - 1);
        return 0;
    }
    put(data, size);
    (void)sp_audit_verify(folder, 0, NULL, &report, &err);
    (void)sp_audit_read(folder, 0, ignore, NULL, &err);
    return 0;
}
