/* Any bytes as an audit file: verify and read end, and give no fault. */
#include "audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sp_status ignore(void *user, uint64_t seq, struct sp_text line)
{
    (void)user;
    (void)seq;
    (void)line;
    return SP_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[64], path[128];
    struct sp_audit_report report;
    struct sp_error err;
    if (!*folder) {
        (void)snprintf(folder, sizeof folder, "/dev/shm/sp-fuzz-%d", (int)getpid());
        if (mkdir(folder, 0700) && errno != EEXIST) {
            abort();
        }
        (void)snprintf(path, sizeof path, "%s/audit-00000000000000000001.jsonl", folder);
    }
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) {
        abort();
    }
    (void)sp_audit_verify(folder, 0, NULL, &report, &err);
    (void)sp_audit_read(folder, 0, ignore, NULL, &err);
    return 0;
}
