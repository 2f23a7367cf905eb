/* Every action of GitHub's API in its published description, one line each in actions.h, which
 * plugins/catalogue/generate makes. An action that is missing here can still be allowed by
 * method and path, but nothing then knows that it escalates.
 *
 * An Enterprise server has the same actions below /api/v3. Those that escalate are told a
 * second time, since no wildcard may reach them there either. */
#include "catalogue.h"

#include <sallyport/catalogue.h>

#include <stdio.h>

#define E SALLYPORT_ACTION_ESCALATES

static const struct sallyport_row rows[] = {
#include "actions.h"
};

/* The description is of REST alone. One path does everything else that the API can do, so it
 * escalates, and by its name the host knows that rules have to pin its document. */
static const struct sallyport_row graphql[] = {
    {"graphql", "POST", "/graphql", "body.query:string body.operationName:string", E},
    {"enterprise/graphql", "POST", "/api/graphql",
     "body.query:string body.operationName:string", E},
};

static int32_t push_enterprise(const struct sallyport_host *host, uint64_t call,
                               const struct sallyport_row *row)
{
    char name[160], path[512];
    struct sallyport_row moved = *row;
    int name_len = snprintf(name, sizeof name, "enterprise/%s", row->name);
    int path_len = snprintf(path, sizeof path, "/api/v3%s", row->path);
    if (name_len < 0 || (size_t)name_len >= sizeof name || path_len < 0 ||
        (size_t)path_len >= sizeof path) {
        return SALLYPORT_E_LIMIT;
    }
    moved.name = name;
    moved.path = path;
    return sallyport_push_row(host, call, &moved);
}

int32_t github_push_actions(const struct sallyport_host *host, uint64_t call)
{
    int32_t status = sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
    if (!status) {
        status = sallyport_push_rows(host, call, graphql, sizeof graphql / sizeof *graphql);
    }
    for (size_t i = 0; !status && i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].flags & E) {
            status = push_enterprise(host, call, &rows[i]);
        }
    }
    return status;
}
