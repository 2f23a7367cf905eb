/* sallyport/help.h: small inline helpers for plugins. Nothing in here crosses the boundary; a
 * plugin can do without. */
#ifndef SALLYPORT_HELP_H
#define SALLYPORT_HELP_H

#include "plugin.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text over a C string, which it borrows. */
static inline struct sallyport_text sallyport_text_of(const char *string)
{
    struct sallyport_text text;
    text.ptr = string;
    text.len = string ? strlen(string) : 0;
    return text;
}

static inline int sallyport_text_is(struct sallyport_text text, const char *string)
{
    return text.len == strlen(string) &&
           (text.len == 0 || memcmp(text.ptr, string, text.len) == 0);
}

/* The value of a setting: borrowed from key, with length 0 where it is not set. */
static inline struct sallyport_text sallyport_setting_of(const struct sallyport_key *key,
                                                         const char *name)
{
    uint32_t i;
    for (i = 0; i < key->n_settings; i++) {
        if (sallyport_text_is(key->settings[i]->name, name)) {
            return key->settings[i]->value;
        }
    }
    return sallyport_text_of(NULL);
}

static inline int sallyport_has_secret(const struct sallyport_key *key, const char *name)
{
    uint32_t i;
    for (i = 0; i < key->n_secrets; i++) {
        if (sallyport_text_is(*key->secrets[i], name)) {
            return 1;
        }
    }
    return 0;
}

/* Fail the call with a reason and the error to return: return sallyport_refuse(host, call,
 * "…"); */
static inline int32_t sallyport_refuse(const struct sallyport_host *host, uint64_t call,
                                       const char *reason)
{
    struct sallyport_text text = sallyport_text_of(reason);
    (void)host->refuse(host, call, &text);
    return SALLYPORT_E_CONFIG;
}

static inline int32_t sallyport_host_name(const struct sallyport_host *host, uint64_t call,
                                          const char *name)
{
    struct sallyport_text text = sallyport_text_of(name);
    return host->push_host(host, call, &text);
}

/* Push each name of a list with commas, white space around them dropped: a HOST field's value.
 */
static inline int32_t sallyport_host_names(const struct sallyport_host *host, uint64_t call,
                                           struct sallyport_text list)
{
    int32_t status = SALLYPORT_OK;
    uint64_t at = 0;
    while (status == SALLYPORT_OK && at < list.len) {
        struct sallyport_text name = sallyport_text_of("");
        while (at < list.len && (list.ptr[at] == ' ' || list.ptr[at] == '\t')) {
            at++;
        }
        name.ptr = list.ptr + at;
        while (at < list.len && list.ptr[at] != ',') {
            at++;
            name.len++;
        }
        at++;
        while (name.len > 0 &&
               (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t')) {
            name.len--;
        }
        status = host->push_host(host, call, &name);
    }
    return status;
}

/* A secret into a header: `name: prefix template`. */
static inline int32_t sallyport_place_header(const struct sallyport_host *host, uint64_t call,
                                             const char *name, const char *prefix,
                                             const char *template_text, uint32_t flags)
{
    struct sallyport_placement placement;
    memset(&placement, 0, sizeof placement);
    placement.size = sizeof placement;
    placement.place = SALLYPORT_PLACE_HEADER;
    placement.flags = flags;
    placement.name = sallyport_text_of(name);
    placement.prefix = sallyport_text_of(prefix);
    placement.template_text = sallyport_text_of(template_text);
    return host->push_placement(host, call, &placement);
}

/* kind: SALLYPORT_HEADER_FIXED or SALLYPORT_HEADER_DEFAULT. */
static inline int32_t sallyport_set_header(const struct sallyport_host *host, uint64_t call,
                                           uint32_t kind, const char *name,
                                           struct sallyport_text value)
{
    struct sallyport_header header;
    memset(&header, 0, sizeof header);
    header.size = sizeof header;
    header.kind = kind;
    header.name = sallyport_text_of(name);
    header.value = value;
    return host->push_header(host, call, &header);
}

#ifdef __cplusplus
}
#endif

#endif
