/* Does what its setting `case` says: pushes at the wrong time, from another thread, after a
 * failure, keeps numbers of past calls, lies in what it returns, and counts its instances. */
#include "bad.h"

#include <pthread.h>
#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

struct instance {
    char name[32];
    uint64_t open_call;
};

static int instances; /* told to the test by the case `count` */

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text name = sallyport_setting_of(key, "case");
    if (sallyport_text_is(name, "open-refuses")) {
        return sallyport_refuse(host, call, "open says no");
    }
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance || name.len >= sizeof instance->name) {
        free(instance);
        return SALLYPORT_E_MEMORY;
    }
    if (name.len) {
        memcpy(instance->name, name.ptr, name.len);
    }
    instance->open_call = call;
    instances++;
    *ret_instance = instance;
    if (sallyport_text_is(name, "push-in-open")) {
        (void)fine_plan(host, call, NULL);
    }
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *data)
{
    struct instance *instance = data;
    /* Whatever is pushed now is for nobody. */
    (void)fine_plan(host, instance->open_call, NULL);
    (void)fine_plan(host, instance->open_call + 1, NULL);
    instances--;
    free(instance);
}

struct from_thread {
    const struct sallyport_host *host;
    uint64_t call;
    int32_t returned;
};

static void *push_from_thread(void *data)
{
    struct from_thread *from = data;
    from->returned =
        sallyport_place_header(from->host, from->call, "x-from-thread", "", "{api_key}", 0);
    return NULL;
}

static int32_t plan_from_thread(const struct sallyport_host *host, uint64_t call)
{
    struct from_thread from = {host, call, SALLYPORT_OK};
    pthread_t thread;
    if (pthread_create(&thread, NULL, push_from_thread, &from)) {
        return SALLYPORT_E_MEMORY;
    }
    (void)pthread_join(thread, NULL);
    return from.returned == SALLYPORT_E_CALL ? fine_plan(host, call, NULL)
                                             : SALLYPORT_E_INVALID;
}

/* Each answer to a misused push is checked here; a wrong one shows as another error. */
static int32_t plan(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    struct sallyport_text name = sallyport_text_of(instance->name);
    if (sallyport_text_is(name, "thread")) {
        return plan_from_thread(host, call);
    }
    if (sallyport_text_is(name, "stale-call")) {
        int32_t stale = fine_plan(host, instance->open_call, NULL);
        return stale == SALLYPORT_E_CALL ? fine_plan(host, call, NULL) : SALLYPORT_E_INVALID;
    }
    if (sallyport_text_is(name, "wrong-hook")) {
        int32_t wrong = fine_check(host, call, NULL);
        return wrong == SALLYPORT_E_CALL ? SALLYPORT_OK : SALLYPORT_E_UPSTREAM;
    }
    if (sallyport_text_is(name, "push-after-failure")) {
        (void)sallyport_refuse(host, call, "the first reason");
        (void)sallyport_refuse(host, call, "the second reason");
        return fine_plan(host, call, NULL) == SALLYPORT_E_FAILED ? SALLYPORT_OK
                                                                 : SALLYPORT_E_UPSTREAM;
    }
    if (sallyport_text_is(name, "unexplained")) {
        return -12345;
    }
    if (sallyport_text_is(name, "positive")) {
        (void)fine_plan(host, call, NULL);
        return 1;
    }
    if (sallyport_text_is(name, "nothing")) {
        return SALLYPORT_OK;
    }
    if (sallyport_text_is(name, "count") && instances != 1) {
        return sallyport_refuse(host, call, "more than one instance is open");
    }
    return fine_plan(host, call, NULL);
}

/* The host's answer to an extension is asked for here: there is none yet. */
static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    struct sallyport_text name = sallyport_text_of(instance->name);
    if (sallyport_text_is(name, "no-host")) {
        return SALLYPORT_OK;
    }
    if (sallyport_text_is(name, "other-host")) {
        return sallyport_host_name(host, call, "evil.example.net");
    }
    if (host->extension(host, "sallyport.http/1") || host->extension(host, "no.such/1")) {
        return sallyport_refuse(host, call, "an extension that should not be there");
    }
    return fine_check(host, call, data);
}

static const struct sallyport_plugin table = {
    .size = sizeof table,
    .abi_minor = SALLYPORT_ABI_MINOR,
    .describe = fine_describe,
    .open = open_instance,
    .close = close_instance,
    .check = check,
    .plan = plan,
    .extension = fine_extension,
};
ENTRY
