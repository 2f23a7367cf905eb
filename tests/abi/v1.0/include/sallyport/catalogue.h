/* sallyport/catalogue.h: an inline helper that pushes a table of actions, one line each.
 * Nothing in here crosses the boundary.
 *
 *   static const struct sallyport_row rows[] = {
 *       {"refunds.create", "POST", "/v1/refunds", "body.charge:string body.amount:integer", 0},
 *   };
 *   return sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
 */
#ifndef SALLYPORT_CATALOGUE_H
#define SALLYPORT_CATALOGUE_H

#include "help.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_ROW_FIELDS_MAX 32

struct sallyport_row {
    const char *name, *method, *path;
    const char *fields; /* "name:type" with single spaces between; "" for none */
    uint32_t flags;     /* SALLYPORT_ACTION_ESCALATES */
};

/* Cut the next "name:type" off *at. 0 at the end. */
static inline int sallyport_row_field(const char **at, struct sallyport_action_field *ret_field)
{
    const char *start = *at, *end = start + strcspn(start, " ");
    const char *colon = (const char *)memchr(start, ':', strcspn(start, " "));
    if (!colon) {
        return 0;
    }
    memset(ret_field, 0, sizeof *ret_field);
    ret_field->size = sizeof *ret_field;
    ret_field->name.ptr = start;
    ret_field->name.len = strcspn(start, ":");
    ret_field->type.ptr = colon + 1;
    ret_field->type.len = strcspn(colon + 1, " ");
    *at = *end ? end + 1 : end;
    return 1;
}

static inline int32_t sallyport_push_row(const struct sallyport_host *host, uint64_t call,
                                         const struct sallyport_row *row)
{
    struct sallyport_action_field fields[SALLYPORT_ROW_FIELDS_MAX];
    const struct sallyport_action_field *pointers[SALLYPORT_ROW_FIELDS_MAX];
    const char *at = row->fields;
    struct sallyport_action action;
    memset(&action, 0, sizeof action);
    action.size = sizeof action;
    action.flags = row->flags;
    action.name = sallyport_text_of(row->name);
    action.method = sallyport_text_of(row->method);
    action.path = sallyport_text_of(row->path);
    action.fields = pointers;
    while (action.n_fields < SALLYPORT_ROW_FIELDS_MAX &&
           sallyport_row_field(&at, &fields[action.n_fields])) {
        pointers[action.n_fields] = &fields[action.n_fields];
        action.n_fields++;
    }
    if (*at) { /* a slip in the table, or too many for this helper */
        return SALLYPORT_E_INVALID;
    }
    return host->push_action(host, call, &action);
}

static inline int32_t sallyport_push_rows(const struct sallyport_host *host, uint64_t call,
                                          const struct sallyport_row *rows, size_t n_rows)
{
    size_t i;
    for (i = 0; i < n_rows; i++) {
        int32_t status = sallyport_push_row(host, call, &rows[i]);
        if (status != SALLYPORT_OK) {
            return status;
        }
    }
    return SALLYPORT_OK;
}

#ifdef __cplusplus
}
#endif

#endif
