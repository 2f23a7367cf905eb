/* The language's own tests: each tests/policy/NAME.scope is compiled, its `expect` lines are
 * run by the compiler, and what the compiler says must be exactly what comments in it announce:
 *
 *   allow get https://h.test/  # error: E042
 *   # world: key-1=host.one,host.two key-2=host.one
 *
 * A file without such comments must compile without a word. */
#include "policy.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those four */
#include <cmocka.h>

enum { FILES_MAX = 100, SAID_MAX = 8192, KEYS_MAX = 8, HOSTS_MAX = 8 };

struct world {
    struct sp_text ids[KEYS_MAX];
    struct sp_text hosts[KEYS_MAX][HOSTS_MAX];
    size_t n_hosts[KEYS_MAX], n;
};

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    const struct world *world = user;
    for (size_t i = 0; i < world->n; i++) {
        if (sp_text_eq(world->ids[i], id)) {
            *ret_hosts = world->hosts[i];
            *ret_n_hosts = world->n_hosts[i];
            return true;
        }
    }
    return false;
}

static struct sp_text until(struct sp_text text, const char *stops)
{
    size_t n = 0;
    while (n < text.len && !strchr(stops, text.ptr[n])) {
        n++;
    }
    return (struct sp_text){text.ptr, n};
}

static struct sp_text past(struct sp_text text, size_t n)
{
    return (struct sp_text){text.ptr + n, text.len - n};
}

/* "id=host,host id=host" up to the end of the line. */
static void read_world(struct sp_text text, struct world *world)
{
    const char *at = memmem(text.ptr, text.len, "# world: ", 9);
    if (!at) {
        return;
    }
    struct sp_text line = until(past(text, (size_t)(at + 9 - text.ptr)), "\n");
    while (line.len > 0) {
        assert_true(world->n < KEYS_MAX);
        struct sp_text id = until(line, "=");
        world->ids[world->n] = id;
        line = past(line, id.len + 1);
        for (;;) {
            struct sp_text host = until(line, ", ");
            world->hosts[world->n][world->n_hosts[world->n]++] = host;
            bool more = line.len > host.len && line.ptr[host.len] == ',';
            line = past(line, host.len + (line.len > host.len));
            if (!more) {
                break;
            }
        }
        world->n++;
    }
}

/* "LINE CODE\n" for each announced code, in the order of lines and then of the comment. */
static void announced(struct sp_text text, struct sp_buf *ret)
{
    static const char *const marks[] = {"# error: ", "# warning: "};
    unsigned number = 1;
    while (text.len > 0) {
        struct sp_text line = until(text, "\n");
        for (size_t m = 0; m < 2; m++) {
            const char *at = memmem(line.ptr, line.len, marks[m], strlen(marks[m]));
            size_t from = at ? (size_t)(at - line.ptr) + strlen(marks[m]) : line.len;
            for (struct sp_text rest = until(past(line, from), "#"); rest.len > 0;) {
                struct sp_text code = until(rest, " ");
                if (code.len > 0) {
                    sp_buf_addf(ret, "%05u %.*s\n", number, (int)code.len, code.ptr);
                }
                rest = past(rest, code.len + (rest.len > code.len));
            }
        }
        text = past(text, line.len + (text.len > line.len));
        number++;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a text, sorted. */
static void sort_lines(struct sp_buf *buf)
{
    char *lines[512], *copy = strdup(sp_buf_text(buf).ptr), *at = copy;
    size_t n = 0;
    for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        assert_true(n < 512);
        lines[n++] = at;
    }
    qsort(lines, n, sizeof *lines, by_text);
    sp_buf_reset(buf);
    for (size_t i = 0; i < n; i++) {
        sp_buf_addf(buf, "%s\n", lines[i]);
    }
    free(copy);
}

static void said(const struct sp_diags *diags, const struct sp_source *source,
                 struct sp_buf *ret)
{
    for (const struct sp_diag *diag = diags->first; diag; diag = diag->next) {
        uint32_t line, column;
        sp_source_position(source, diag->span.start, &line, &column);
        sp_buf_addf(ret, "%05u %s\n", line, diag->code);
    }
}

static void read_file(const char *path, struct sp_buf *ret_text)
{
    FILE *file = fopen(path, "rb");
    char chunk[4096];
    assert_non_null(file);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) {
        sp_buf_add(ret_text, chunk, n);
    }
    (void)fclose(file);
}

static void compiles_as_announced(void **state)
{
    const char *path = *state;
    struct sp_buf text, want, got, shown;
    struct world world = {.n = 0};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    sp_buf_init(&text, 1 << 20);
    sp_buf_init(&want, 1 << 16);
    sp_buf_init(&got, 1 << 16);
    sp_buf_init(&shown, 1 << 20);
    sp_diags_init(&diags);
    read_file(path, &text);
    struct sp_source source = {path, sp_buf_text(&text)};
    read_world(source.text, &world);
    struct sp_world outside = {.user = &world, .key_hosts = world.n ? key_hosts : NULL};
    sp_status status = sp_policy_compile(&source, 1, &outside, &diags, &policy);
    announced(source.text, &want);
    said(&diags, &source, &got);
    sort_lines(&want);
    sort_lines(&got);
    sp_diags_print(&diags, &source, false, &shown);
    if (!sp_text_eq(sp_buf_text(&want), sp_buf_text(&got))) {
        (void)fwrite(shown.ptr, 1, shown.len, stderr);
    }
    bool broken = strstr(path, "/errors_") != NULL;
    assert_true(broken || status == SP_OK || diags.n_errors > 0);
    assert_int_equal(status, broken ? SP_EINVAL : SP_OK);
    assert_true(!broken || policy == NULL); /* T20: whole or not at all */
    if (!strstr(path, "errors_empty") && !strstr(path, "errors_half")) {
        assert_string_equal(sp_buf_text(&got).ptr, sp_buf_text(&want).ptr);
    }
    sp_policy_free(policy);
    sp_diags_done(&diags);
    sp_buf_done(&shown);
    sp_buf_done(&got);
    sp_buf_done(&want);
    sp_buf_done(&text);
}

static int is_scope(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 6 && strcmp(entry->d_name + len - 6, ".scope") == 0;
}

/* One test for each file, called as the file is. */
static size_t add_folder(const char *folder, struct CMUnitTest *tests, size_t n)
{
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, is_scope, alphasort);
    for (int i = 0; i < found && n < FILES_MAX; i++) {
        size_t room = strlen(folder) + strlen(entries[i]->d_name) + 2;
        char *path = malloc(room), *name = strdup(entries[i]->d_name);
        (void)snprintf(path, room, "%s/%s", folder, entries[i]->d_name);
        name[strlen(name) - 6] = '\0';
        for (char *c = name; *c; c++) {
            *c = *c == '-' ? '_' : *c;
        }
        tests[n++] = (struct CMUnitTest){
            .name = name, .test_func = compiles_as_announced, .initial_state = path};
    }
    for (int i = 0; i < found; i++) {
        free(entries[i]);
    }
    free(entries);
    return n;
}

int main(void)
{
    static struct CMUnitTest tests[FILES_MAX];
    size_t n = add_folder(SOURCE_DIR "/tests/policy", tests, 0);
    if (n < 10) {
        return 1; /* the files are not where they should be */
    }
    n = add_folder(SOURCE_DIR "/examples", tests, n);
    int failed = _cmocka_run_group_tests("scope files", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)tests[i].name);
        free(tests[i].initial_state);
    }
    return failed;
}
