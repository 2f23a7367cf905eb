#include "status.h"

#include <stdarg.h>
#include <stdio.h>

sp_status sp_fail(struct sp_error *err, sp_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return status;
}

const char *sp_status_name(sp_status status)
{
    switch (status) {
    case SP_OK:
        return "ok";
    case SP_ENOMEM:
        return "no memory";
    case SP_EINVAL:
        return "bad input";
    case SP_ENOENT:
        return "not found";
    case SP_EEXIST:
        return "exists already";
    case SP_EIO:
        return "input or output failed";
    case SP_ECORRUPT:
        return "stored data is damaged";
    case SP_ECRYPTO:
        return "verification failed";
    case SP_ESEALED:
        return "sealed";
    case SP_EDENIED:
        return "denied";
    case SP_ETOOBIG:
        return "too big";
    case SP_EBUSY:
        return "busy";
    case SP_ECONFLICT:
        return "conflict";
    case SP_ECLOCK:
        return "the clock went back";
    case SP_EUNSUPPORTED:
        return "not supported";
    default:
        return "unknown status";
    }
}
