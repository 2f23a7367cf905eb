/* sp_status and sp_error: how every function of sallyport says that it failed.
 *
 * A function that can fail returns an sp_status: SP_OK (0) or one of the negative codes below.
 * Where a person has to act on the failure, it also takes a `struct sp_error *`, which the
 * caller owns and which may be NULL; the text says what was being done, to what, and what to
 * do about it. No text ever holds a secret, a token or a request body.
 */
#ifndef SP_STATUS_H
#define SP_STATUS_H

typedef int sp_status;

enum {
    SP_OK = 0,
    SP_ENOMEM = -1,        /* out of memory; nothing was changed */
    SP_EINVAL = -2,        /* bad input: syntax, type, range */
    SP_ENOENT = -3,        /* no such thing */
    SP_EEXIST = -4,        /* there is one already, or somebody else changed it first */
    SP_EIO = -5,           /* the file system or the store failed */
    SP_ECORRUPT = -6,      /* stored data is not what was written */
    SP_ECRYPTO = -7,       /* a tag or a signature does not hold */
    SP_ESEALED = -8,       /* the engine is sealed */
    SP_EDENIED = -9,       /* the caller may not do this */
    SP_ETOOBIG = -10,      /* over a cap */
    SP_EBUSY = -11,        /* a queue or a pool is full; try again */
    SP_ECONFLICT = -12,    /* the same id names another request */
    SP_ECLOCK = -13,       /* the clock stands behind the persisted high-water mark */
    SP_EUNSUPPORTED = -14, /* well-formed, but this version does not do it */
};

struct sp_error {
    char text[512]; /* NUL-terminated; empty while nothing failed */
};

/* Write a formatted text into err (cut at its size; NULL err is ignored) and return `status`,
 * so that a failure is one statement: `return sp_fail(err, SP_EINVAL, "…", …);` */
sp_status sp_fail(struct sp_error *err, sp_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A short, stable name of a status code, for logs: "no memory". Never NULL. */
const char *sp_status_name(sp_status status);

#endif
