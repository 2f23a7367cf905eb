#include "audit_format.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void audit_file_name(uint64_t first_seq, char ret_name[AUDIT_NAME_BYTES])
{
    (void)snprintf(ret_name, AUDIT_NAME_BYTES, "audit-%020" PRIu64 ".jsonl", first_seq);
}

/* A decimal number without leading zeros, at most 19 digits; returns its length or 0. */
static size_t number_len(struct sp_text text, uint64_t *ret_number)
{
    size_t n = 0;
    uint64_t number = 0;
    while (n < text.len && n < 19 && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
        number = number * 10 + (uint64_t)(text.ptr[n] - '0');
        n++;
    }
    *ret_number = number;
    return n > 1 && text.ptr[0] == '0' ? 0 : n;
}

static bool is_file_name(const char *name, uint64_t *ret_seq)
{
    char again[AUDIT_NAME_BYTES];
    if (strncmp(name, "audit-", 6) != 0) {
        return false;
    }
    *ret_seq = strtoull(name + 6, NULL, 10);
    audit_file_name(*ret_seq, again);
    return strcmp(again, name) == 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

sp_status audit_list(const char *folder, uint64_t **ret_seqs, size_t *ret_n,
                     struct sp_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        return sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO, "audit folder %s: %s", folder,
                       strerror(errno));
    }
    uint64_t *seqs = NULL, seq;
    size_t n = 0, room = 0;
    sp_status status = SP_OK;
    errno = 0;
    for (struct dirent *entry; !status && (entry = readdir(dir)); errno = 0) {
        if (!is_file_name(entry->d_name, &seq)) {
            continue;
        }
        if (n == room) {
            room = room ? 2 * room : 16;
            uint64_t *more = realloc(seqs, room * sizeof *more);
            status = more ? SP_OK : SP_ENOMEM;
            seqs = more ? more : seqs;
        }
        if (!status) {
            seqs[n++] = seq;
        }
    }
    if (!status && errno) { /* half a list would be taken for a log that ends early */
        status = sp_fail(err, SP_EIO, "audit folder %s: %s", folder, strerror(errno));
    }
    (void)closedir(dir);
    if (status) {
        free(seqs);
        return status;
    }
    if (n > 0) {
        qsort(seqs, n, sizeof *seqs, by_number);
    }
    *ret_seqs = seqs;
    *ret_n = n;
    return SP_OK;
}

/* Cut what must stand at the head of rest; false where something else stands there. */
static bool take(struct sp_text *rest, struct sp_text head)
{
    if (!sp_text_starts(*rest, head)) {
        return false;
    }
    rest->ptr += head.len;
    rest->len -= head.len;
    return true;
}

bool audit_fields_good(struct sp_text fields)
{
    for (size_t i = 0; i < fields.len; i++) {
        if ((unsigned char)fields.ptr[i] < 0x20 || fields.ptr[i] == 0x7f) {
            return false;
        }
    }
    return sp_text_starts(fields, SP_TEXT("\"type\":\""));
}

bool audit_line_is_checkpoint(const struct audit_line *line)
{
    return sp_text_starts(line->fields, SP_TEXT("\"type\":\"checkpoint\""));
}

/* As sp_time_print writes it. */
static bool take_time(struct sp_text *rest)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    size_t n = sizeof shape - 1;
    bool good = rest->len >= n;
    for (size_t i = 0; good && i < n; i++) {
        char c = rest->ptr[i];
        good = shape[i] == '0' ? c >= '0' && c <= '9' : c == shape[i];
    }
    if (good) {
        rest->ptr += n;
        rest->len -= n;
    }
    return good;
}

bool audit_line_parse(struct sp_text line, struct audit_line *ret_line)
{
    struct sp_text rest = line;
    if (!take(&rest, SP_TEXT("{\"seq\":"))) {
        return false;
    }
    size_t n = number_len(rest, &ret_line->seq);
    if (n == 0) {
        return false;
    }
    rest.ptr += n;
    rest.len -= n;
    if (!take(&rest, SP_TEXT(",\"prev\":\"")) || rest.len < 64 ||
        sp_hex_decode((struct sp_text){rest.ptr, 64}, ret_line->prev, SP_HASH_BYTES)) {
        return false;
    }
    rest.ptr += 64;
    rest.len -= 64;
    if (!take(&rest, SP_TEXT("\",\"time\":\"")) || !take_time(&rest) ||
        !take(&rest, SP_TEXT("\",")) || rest.len == 0 || rest.ptr[rest.len - 1] != '}') {
        return false;
    }
    ret_line->fields = (struct sp_text){rest.ptr, rest.len - 1};
    return audit_fields_good(ret_line->fields);
}

void audit_line_hash(struct sp_text line, uint8_t ret_hash[SP_HASH_BYTES])
{
    (void)crypto_generichash(ret_hash, SP_HASH_BYTES, (const uint8_t *)line.ptr, line.len, NULL,
                             0);
}

void audit_signed_bytes(uint64_t seq, const uint8_t prev[SP_HASH_BYTES],
                        uint8_t ret_bytes[AUDIT_SIGNED_BYTES])
{
    static const char label[24] = "sallyport checkpoint v1";
    memcpy(ret_bytes, label, sizeof label);
    for (unsigned i = 0; i < 8; i++) {
        ret_bytes[24 + i] = (uint8_t)(seq >> (8 * i));
    }
    memcpy(ret_bytes + 32, prev, SP_HASH_BYTES);
}
