#include "code.h"

#include <stddef.h>

#define SP_CODE_ROW(constant, name, retryable, meaning) {name, meaning, retryable},
static const struct {
    const char *name, *meaning;
    bool retryable;
} rows[] = {SP_CODES(SP_CODE_ROW)};

const char *sp_code_name(enum sp_code code)
{
    return rows[code].name;
}

const char *sp_code_meaning(enum sp_code code)
{
    return rows[code].meaning;
}

bool sp_code_retryable(enum sp_code code)
{
    return rows[code].retryable;
}
