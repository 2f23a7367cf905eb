/* A plugin with one fault, chosen when it is compiled (FAULT_…): what each test of `sallyport
 * plugin check` is there to find. Without one it has none. */
#include <sallyport/help.h>
#include <sallyport/http.h>
#include <sallyport/lease.h>
#include <sallyport/rotate.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

SALLYPORT_PLUGIN_NOTE;

enum { POOL = 16, LONG_BYTES = 200, SLOW_S = 3 };

static int n_open, n_plans;

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    char version[32] = "1";
#ifdef FAULT_MANIFEST
    (void)snprintf(version, sizeof version, "%p", (void *)version); /* another each time */
#endif
    const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("manners"),
        .version = sallyport_text_of(version),
        .description = SALLYPORT_TEXT("One fault"),
    };
    static const struct sallyport_field fields[] = {
        {.size = sizeof fields[0],
         .type = SALLYPORT_FIELD_SECRET,
         .flags = SALLYPORT_FIELD_REQUIRED,
         .name = SALLYPORT_TEXT("api_key"),
         .description = SALLYPORT_TEXT("The key")},
        {.size = sizeof fields[0],
         .type = SALLYPORT_FIELD_STRING,
         .max_bytes = 4096,
         .name = SALLYPORT_TEXT("region"),
         .description = SALLYPORT_TEXT("Where"),
         .fallback = SALLYPORT_TEXT("eu")},
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    if (!status) {
        status = sallyport_host_name(host, call, "api.example.com");
    }
    for (unsigned i = 0; !status && i < 2; i++) {
        status = host->push_field(host, call, &fields[i]);
    }
    return status;
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text region = sallyport_setting_of(key, "region");
    char *copy = malloc(region.len + 1);
#ifndef FAULT_ALLOCATIONS
    if (!copy) {
        return SALLYPORT_E_MEMORY;
    }
#endif
    memcpy(copy, region.ptr, region.len);
    copy[region.len] = '\0';
#ifdef FAULT_LEAK
    static void *lost[2];
    lost[0] = lost[1];
    lost[1] = malloc(100 + (size_t)(lost[0] != NULL));
#endif
#ifdef FAULT_LONG
    if (region.len > LONG_BYTES) {
        abort();
    }
#endif
#ifdef FAULT_SILENT
    if (region.len > LONG_BYTES) {
        free(copy);
        return SALLYPORT_E_CONFIG; /* and not a word */
    }
#endif
#ifdef FAULT_POOL
    if (n_open == POOL) {
        free(copy);
        return sallyport_refuse(host, call, "too many instances");
    }
#endif
#ifdef FAULT_VERSION
    if (host->abi_minor != SALLYPORT_ABI_MINOR) {
        free(copy);
        return sallyport_refuse(host, call, "another host");
    }
#endif
    (void)host;
    (void)call;
    n_open++;
    *ret_instance = copy;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    n_open--;
    free(instance);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
#ifdef FAULT_PICKY
    return sallyport_refuse(host, call, "the moon is not right");
#else
    return sallyport_host_name(host, call, "api.example.com");
#endif
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *instance)
{
    char count[16] = "0";
    (void)instance;
#ifdef FAULT_OVERSIZE
    static char large[5000];
    memset(large, 'x', sizeof large);
    return sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "x-count",
                                (struct sallyport_text){large, sizeof large});
#elif defined FAULT_HOSTILE
    return sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "x-count",
                                sallyport_text_of("1\r\nauthorization: mine"));
#endif
#ifdef FAULT_UNSTABLE
    (void)snprintf(count, sizeof count, "%d", n_plans);
#endif
    n_plans++;
    int32_t status = sallyport_place_header(host, call, "x-api-key", "", "{api_key}", 0);
#ifdef FAULT_PUSHES
    if (status) {
        abort(); /* "cannot happen" */
    }
#endif
    if (!status) {
        status = sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "x-count",
                                      sallyport_text_of(count));
    }
#ifdef FAULT_UNNOTICED
    status = SALLYPORT_OK;
#endif
    return status;
}

static int32_t permissions(const struct sallyport_host *host, uint64_t call, void *instance,
                           const struct sallyport_reach *const *reaches, uint32_t n_reaches)
{
    (void)host;
    (void)call;
    (void)instance;
    (void)reaches;
    (void)n_reaches;
#ifdef FAULT_HANG
    for (volatile unsigned i = 0;; i++) {
    }
#endif
#ifdef FAULT_SLOW
    static int n; /* once in a process: other tests ask it hundreds of times */
    struct timespec began, now;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while (n == 0 && now.tv_sec < began.tv_sec + SLOW_S);
    n++;
#endif
    return SALLYPORT_OK;
}

/* POST to /PATH, with what is captured of the answer: SALLYPORT_OK for a 2xx alone. */
static int32_t post(const struct sallyport_host *host, uint64_t call, const char *url,
                    const struct sallyport_http_capture *const *captures, uint32_t n_captures)
{
    const struct sallyport_http *http = host->extension(host, SALLYPORT_HTTP);
    const struct sallyport_http_request request = {
        .size = sizeof request,
        .method = SALLYPORT_TEXT("POST"),
        .url = sallyport_text_of(url),
        .captures = captures,
        .n_captures = n_captures,
    };
    struct sallyport_http_answer answer = {.size = sizeof answer};
    int32_t status = http->perform(host, call, &request, &answer);
    if (!status && answer.status / 100 != 2) {
        (void)sallyport_refuse(host, call, "the upstream said no");
        status = SALLYPORT_E_UPSTREAM;
    }
    return status;
}

static int32_t renew(const struct sallyport_host *host, uint64_t call, void *instance,
                     const struct sallyport_text *lease,
                     const struct sallyport_text *const *words, uint32_t n_words,
                     struct sallyport_lease_result *ret_result)
{
    (void)instance;
    (void)lease;
    (void)words;
    (void)n_words;
    int32_t status = post(host, call, "https://api.example.com/mint", NULL, 0);
#ifdef FAULT_ANSWERS
    status = SALLYPORT_OK;
#endif
    ret_result->life_ms = 1000;
    return status;
}

static int32_t revoke(const struct sallyport_host *host, uint64_t call, void *instance,
                      const struct sallyport_text *lease)
{
    (void)host;
    (void)call;
    (void)instance;
    (void)lease;
#ifdef FAULT_REVOKE
    return sallyport_refuse(host, call, "there is nothing to revoke");
#else
    return SALLYPORT_OK;
#endif
}

static int32_t rotate(const struct sallyport_host *host, uint64_t call, void *instance)
{
    static const struct sallyport_http_capture capture = {.size = sizeof capture,
                                                          .pointer = SALLYPORT_TEXT("/token"),
                                                          .name = SALLYPORT_TEXT("api_key")};
    static const struct sallyport_http_capture *const captures[] = {&capture};
    (void)instance;
    int32_t status = post(host, call, "https://api.example.com/keys", captures, 1);
#ifdef FAULT_ROTATE
    status = SALLYPORT_OK;
#endif
    return status;
}

static int32_t finish(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
    return post(host, call, "https://api.example.com/keys/revoke", NULL, 0);
}

static const struct sallyport_lease lease = {
    .size = sizeof lease, .permissions = permissions, .renew = renew, .revoke = revoke};
static const struct sallyport_rotate rotation = {
    .size = sizeof rotation, .rotate = rotate, .finish = finish};

static const void *extension(const char *id)
{
    if (strcmp(id, SALLYPORT_ROTATE) == 0) {
        return &rotation;
    }
#ifdef FAULT_ANY_EXTENSION
    return strncmp(id, "sallyport.", 10) == 0 ? &lease : NULL;
#elif defined FAULT_TWO_TABLES
    static const struct sallyport_lease other = {
        .size = sizeof other, .permissions = permissions, .renew = renew, .revoke = revoke};
    static int n;
    return strcmp(id, SALLYPORT_LEASE) == 0 ? (n++ % 2 ? &other : &lease) : NULL;
#else
    return strcmp(id, SALLYPORT_LEASE) == 0 ? &lease : NULL;
#endif
}

const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    static const struct sallyport_plugin plugin = {
        .size = sizeof plugin,
        .abi_minor = SALLYPORT_ABI_MINOR,
        .describe = describe,
        .open = open_instance,
        .close = close_instance,
        .check = check,
        .plan = plan,
        .extension = extension,
    };
    (void)host;
    return &plugin;
}
