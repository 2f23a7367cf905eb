/* GitHub Apps: an installation token that may do what a scope can use, and no more. The App's
 * private key signs a JWT for ten minutes (the longest that GitHub takes); that mints a token
 * for an hour, for the repositories and permissions asked for.
 *
 * Sources: GitHub's REST API documentation, "Generating an installation access token for a
 * GitHub App", "Create an installation access token for an app", "Permissions required for
 * GitHub Apps". */
#include "github.h"

#include <sallyport/http.h>

#include <stdio.h>

#define JWT_LIFE_S 540u /* exp at most 10 minutes after iat, which is a minute ago */
#define TOKEN_LIFE_MS 3600000u
#define URL_BYTES 1400
#define BODY_BYTES (60 * 1024)
#define SEGMENTS_MAX 6

/* ---- permissions ------------------------------------------------------------------------- */

/* Which permission covers what lies under /repos/{owner}/{repo}/NAME. */
static const struct {
    const char *name, *permission;
} repository_areas[] = {
    {"actions", "actions"},
    {"assignees", "issues"},
    {"branches", "contents"},
    {"check-runs", "checks"},
    {"check-suites", "checks"},
    {"code-scanning", "security_events"},
    {"commits", "contents"},
    {"compare", "contents"},
    {"contents", "contents"},
    {"deployments", "deployments"},
    {"environments", "environments"},
    {"git", "contents"},
    {"hooks", "repository_hooks"},
    {"issues", "issues"},
    {"labels", "issues"},
    {"merges", "contents"},
    {"milestones", "issues"},
    {"pages", "pages"},
    {"pulls", "pull_requests"},
    {"readme", "contents"},
    {"releases", "contents"},
    {"secret-scanning", "secret_scanning_alerts"},
    {"statuses", "statuses"},
    {"tarball", "contents"},
    {"zipball", "contents"},
};

struct path {
    struct sallyport_text segments[SEGMENTS_MAX]; /* the first ones */
    unsigned n;
};

static struct path split(struct sallyport_text text)
{
    struct path path = {.n = 0};
    uint64_t at = 0;
    while (at < text.len && path.n < SEGMENTS_MAX) {
        struct sallyport_text segment = {text.ptr + at + 1, 0};
        for (at++; at < text.len && text.ptr[at] != '/'; at++) {
            segment.len++;
        }
        if (segment.len) {
            path.segments[path.n++] = segment;
        }
    }
    return path;
}

static int has_star(struct sallyport_text text)
{
    return text.len && memchr(text.ptr, '*', text.len) != NULL;
}

static int is_repository_name(struct sallyport_text text)
{
    for (uint64_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return 0;
        }
    }
    return text.len > 0 && text.len <= 100;
}

/* Only GET, HEAD and OPTIONS. */
static int only_reads(struct sallyport_text methods)
{
    static const char *const writes[] = {"POST", "PUT", "PATCH", "DELETE"};
    for (unsigned i = 0; i < sizeof writes / sizeof *writes; i++) {
        size_t n = strlen(writes[i]);
        for (uint64_t at = 0; at + n <= methods.len; at++) {
            if (memcmp(methods.ptr + at, writes[i], n) == 0) {
                return 0;
            }
        }
    }
    return 1;
}

static int32_t push(const struct sallyport_host *host, uint64_t call, const char *what,
                    struct sallyport_text value)
{
    const struct sallyport_lease_host *lease = host->extension(host, SALLYPORT_LEASE);
    char word[160];
    int n = snprintf(word, sizeof word, "%s:%.*s", what, (int)value.len, value.ptr);
    struct sallyport_text text = {word, (uint64_t)n};
    return lease ? lease->push_permission(host, call, &text) : SALLYPORT_E_UNSUPPORTED;
}

static int32_t push_level(const struct sallyport_host *host, uint64_t call, const char *name,
                          int reads)
{
    return push(host, call, name, sallyport_text_of(reads ? "read" : "write"));
}

/* Which of the App's permissions: NULL where that is not known, and all are needed. */
static const char *permission_of(const struct path *path, int reads)
{
    if (path->n == 3) {
        return reads ? "metadata" : "administration"; /* the repository itself */
    }
    for (unsigned i = 0; i < sizeof repository_areas / sizeof *repository_areas; i++) {
        if (sallyport_text_is(path->segments[3], repository_areas[i].name)) {
            return repository_areas[i].permission;
        }
    }
    return NULL;
}

static int32_t repository_reach(const struct sallyport_host *host, uint64_t call,
                                const struct path *path, int reads)
{
    struct sallyport_text name = path->segments[2];
    int32_t status;
    if (has_star(path->segments[1]) || has_star(name)) {
        status = push(host, call, "repository", sallyport_text_of("*"));
    } else if (is_repository_name(name)) {
        status = push(host, call, "repository", name);
    } else {
        return sallyport_refuse(host, call,
                                "a rule of the scope names a repository that cannot be");
    }
    const char *permission = permission_of(path, reads);
    if (status) {
        return status;
    }
    return permission ? push_level(host, call, permission, reads)
                      : push(host, call, "permission", sallyport_text_of("*"));
}

static int32_t one_reach(const struct sallyport_host *host, uint64_t call,
                         const struct github *github, const struct sallyport_reach *reach)
{
    int reads = only_reads(reach->methods);
    static const char enterprise[] = "/api/v3";
    struct sallyport_text rest = reach->path;
    if (github->hosts_len && rest.len > sizeof enterprise - 1 &&
        memcmp(rest.ptr, enterprise, sizeof enterprise - 1) == 0) {
        rest.ptr += sizeof enterprise - 1;
        rest.len -= sizeof enterprise - 1;
    }
    struct path path = split(rest);
    if (path.n >= 3 && sallyport_text_is(path.segments[0], "repos")) {
        return repository_reach(host, call, &path, reads);
    }
    if (path.n >= 1 && reads &&
        (sallyport_text_is(path.segments[0], "rate_limit") ||
         sallyport_text_is(path.segments[0], "meta"))) {
        return push_level(host, call, "metadata", 1);
    }
    /* An organisation, a search, or a pattern that says nothing. */
    int32_t status = push(host, call, "repository", sallyport_text_of("*"));
    return status ? status : push(host, call, "permission", sallyport_text_of("*"));
}

static int32_t permissions(const struct sallyport_host *host, uint64_t call, void *data,
                           const struct sallyport_reach *const *reaches, uint32_t n_reaches)
{
    int32_t status = SALLYPORT_OK;
    for (uint32_t i = 0; !status && i < n_reaches; i++) {
        status = one_reach(host, call, data, reaches[i]);
    }
    return status;
}

/* ---- requests ---------------------------------------------------------------------------- */

struct text_buffer {
    char *at, *end;
    int full;
};

static void add(struct text_buffer *buf, const char *bytes, size_t len)
{
    if ((size_t)(buf->end - buf->at) < len) {
        buf->full = 1;
    } else {
        memcpy(buf->at, bytes, len);
        buf->at += len;
    }
}

static void add_string(struct text_buffer *buf, const char *string)
{
    add(buf, string, strlen(string));
}

static int starts(const struct sallyport_text *word, const char *with,
                  struct sallyport_text *ret_rest)
{
    size_t n = strlen(with);
    if (word->len < n || memcmp(word->ptr, with, n) != 0) {
        return 0;
    }
    ret_rest->ptr = word->ptr + n;
    ret_rest->len = word->len - n;
    return 1;
}

static int has_word(const struct sallyport_text *const *words, uint32_t n, const char *word)
{
    for (uint32_t i = 0; i < n; i++) {
        if (sallyport_text_is(*words[i], word)) {
            return 1;
        }
    }
    return 0;
}

static void add_repositories(struct text_buffer *buf, const struct sallyport_text *const *words,
                             uint32_t n)
{
    const char *between = "\"repositories\":[\"";
    struct sallyport_text name;
    if (has_word(words, n, "repository:*")) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (starts(words[i], "repository:", &name)) {
            add_string(buf, between);
            add(buf, name.ptr, name.len);
            between = "\",\"";
        }
    }
    if (between[0] == '"' && between[1] == ',') {
        add_string(buf, "\"],");
    }
}

/* Words are sorted: NAME:read comes before NAME:write, which has both. */
static void add_permissions(struct text_buffer *buf, const struct sallyport_text *const *words,
                            uint32_t n)
{
    struct sallyport_text rest;
    if (has_word(words, n, "permission:*")) {
        return;
    }
    add_string(buf, "\"permissions\":{\"metadata\":\"read\"");
    for (uint32_t i = 0; i < n; i++) {
        const char *colon = memchr(words[i]->ptr, ':', words[i]->len);
        if (!colon || starts(words[i], "repository:", &rest) ||
            starts(words[i], "metadata:", &rest)) {
            continue;
        }
        size_t name_len = (size_t)(colon - words[i]->ptr),
               level_len = words[i]->len - name_len - 1;
        if (i + 1 < n && words[i + 1]->len > name_len &&
            memcmp(words[i + 1]->ptr, words[i]->ptr, name_len + 1) == 0) {
            continue; /* its write follows */
        }
        add_string(buf, ",\"");
        add(buf, words[i]->ptr, name_len);
        add_string(buf, "\":\"");
        add(buf, colon + 1, level_len);
        add_string(buf, "\"");
    }
    add_string(buf, "},");
}

static void url_of(const struct github *github, const char *path, const char *id,
                   uint64_t id_len, const char *tail, char url[URL_BYTES])
{
    const char *comma = memchr(github->hosts, ',', github->hosts_len);
    uint64_t len = comma ? (uint64_t)(comma - github->hosts) : github->hosts_len;
    (void)snprintf(url, URL_BYTES, "https://%.*s%s%s%.*s%s", len ? (int)len : 14,
                   len ? github->hosts : "api.github.com", len ? "/api/v3" : "", path,
                   (int)id_len, id, tail);
}

/* GitHub's headers, and an authorization that is placed. */
static int32_t perform(const struct sallyport_host *host, uint64_t call,
                       const struct github *github, const char *template_text,
                       struct sallyport_http_request *request,
                       struct sallyport_http_answer *ret_answer)
{
    const struct sallyport_http *http = host->extension(host, SALLYPORT_HTTP);
    const struct sallyport_placement placement = {
        .size = sizeof placement,
        .place = SALLYPORT_PLACE_HEADER,
        .name = SALLYPORT_TEXT("authorization"),
        .prefix = SALLYPORT_TEXT("Bearer "),
        .template_text = sallyport_text_of(template_text),
    };
    const struct sallyport_placement *const placements[] = {&placement};
    const struct sallyport_header headers[] = {
        {sizeof headers[0], SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("accept"),
         SALLYPORT_TEXT("application/vnd.github+json")},
        {sizeof headers[0], SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("user-agent"),
         SALLYPORT_TEXT("sallyport")},
        {sizeof headers[0],
         SALLYPORT_HEADER_FIXED,
         SALLYPORT_TEXT("x-github-api-version"),
         {github->version, github->version_len}},
        {sizeof headers[0], SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("content-type"),
         SALLYPORT_TEXT("application/json")},
    };
    const struct sallyport_header *const list[] = {&headers[0], &headers[1], &headers[2],
                                                   &headers[3]};
    if (!http) {
        (void)sallyport_refuse(host, call,
                               "a GitHub App needs a host that performs HTTP for its plugins: "
                               "set plugin_isolation = worker");
        return SALLYPORT_E_UNSUPPORTED;
    }
    request->size = sizeof *request;
    request->headers = list;
    request->n_headers = request->body.len ? 4 : 3;
    request->placements = placements;
    request->n_placements = 1;
    ret_answer->size = sizeof *ret_answer;
    return http->perform(host, call, request, ret_answer);
}

static int32_t refused(const struct sallyport_host *host, uint64_t call, uint32_t status)
{
    char text[160];
    if (status == 401) {
        (void)sallyport_refuse(host, call,
                               "GitHub does not accept the App's signature: app_id and "
                               "private_key do not belong together");
    } else if (status == 404) {
        (void)sallyport_refuse(host, call, "the GitHub App has no installation of that id");
    } else if (status == 422) {
        (void)sallyport_refuse(
            host, call,
            "the GitHub App's installation does not have the repositories or "
            "permissions that the scope can use");
    } else {
        (void)snprintf(text, sizeof text, "GitHub answered %u when a token was to be minted",
                       (unsigned)status);
        (void)sallyport_refuse(host, call, text);
    }
    return SALLYPORT_E_UPSTREAM;
}

static int32_t renew(const struct sallyport_host *host, uint64_t call, void *data,
                     const struct sallyport_text *lease,
                     const struct sallyport_text *const *words, uint32_t n_words,
                     struct sallyport_lease_result *ret_result)
{
    const struct github *github = data;
    const struct sallyport_http_jwt jwt = {
        .size = sizeof jwt,
        .algorithm = SALLYPORT_JWT_RS256,
        .name = SALLYPORT_TEXT("app_jwt"),
        .key = SALLYPORT_TEXT("private_key"),
        .issuer = {github->app, github->app_len},
        .life_s = JWT_LIFE_S,
    };
    const struct sallyport_http_capture capture = {
        .size = sizeof capture,
        .pointer = SALLYPORT_TEXT("/token"),
        .name = SALLYPORT_TEXT("token"),
    };
    const struct sallyport_http_jwt *const jwts[] = {&jwt};
    const struct sallyport_http_capture *const captures[] = {&capture};
    struct sallyport_http_answer answer = {.size = sizeof answer};
    char url[URL_BYTES];
    static char body[BODY_BYTES]; /* hooks run one at a time */
    struct text_buffer buf = {body, body + sizeof body, 0};
    (void)lease;
    url_of(github, "/app/installations/", github->installation, github->installation_len,
           "/access_tokens", url);
    add_string(&buf, "{");
    add_repositories(&buf, words, n_words);
    add_permissions(&buf, words, n_words);
    if (buf.at > body + 1) {
        buf.at--; /* the last comma */
    }
    add_string(&buf, "}");
    if (buf.full) {
        return sallyport_refuse(host, call, "the scope names too many repositories");
    }
    struct sallyport_http_request request = {
        .method = SALLYPORT_TEXT("POST"),
        .url = sallyport_text_of(url),
        .body = {body, (uint64_t)(buf.at - body)},
        .captures = captures,
        .jwts = jwts,
        .n_captures = 1,
        .n_jwts = 1,
    };
    int32_t status = perform(host, call, github, "{app_jwt}", &request, &answer);
    if (!status && answer.status != 201) {
        status = refused(host, call, answer.status);
    }
    if (!status) {
        ret_result->life_ms = TOKEN_LIFE_MS;
    }
    return status;
}

static int32_t revoke(const struct sallyport_host *host, uint64_t call, void *data,
                      const struct sallyport_text *lease)
{
    const struct github *github = data;
    struct sallyport_http_answer answer = {.size = sizeof answer};
    char url[URL_BYTES];
    (void)lease;
    if (!github->has_minted) {
        return SALLYPORT_OK; /* none that we hold: it ends within the hour */
    }
    url_of(github, "/installation/token", "", 0, "", url);
    struct sallyport_http_request request = {.method = SALLYPORT_TEXT("DELETE"),
                                             .url = sallyport_text_of(url)};
    int32_t status = perform(host, call, github, "{lease.token}", &request, &answer);
    if (status || answer.status == 204 || answer.status == 401 || answer.status == 404) {
        return status; /* 401 and 404: it is gone already */
    }
    (void)sallyport_refuse(host, call, "GitHub did not revoke an installation token");
    return SALLYPORT_E_UPSTREAM;
}

const struct sallyport_lease github_lease = {
    .size = sizeof github_lease,
    .permissions = permissions,
    .renew = renew,
    .revoke = revoke,
};
