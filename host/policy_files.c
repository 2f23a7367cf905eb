#include "policy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ARENA_MAX_BYTES = 64 << 20,
    PATH_ROOM = 2048,
};

void sp_policy_files_init(struct sp_policy_files *files)
{
    memset(files, 0, sizeof *files);
    sp_arena_init(&files->arena, ARENA_MAX_BYTES);
    sp_diags_init(&files->diags);
}

void sp_policy_files_done(struct sp_policy_files *files)
{
    sp_diags_done(&files->diags);
    sp_arena_done(&files->arena);
}

/* The whole text of an open regular file, in the arena. */
static sp_status read_text(struct sp_arena *arena, int fd, const char *path,
                           struct sp_text *ret_text, struct sp_error *err)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        return sp_fail(err, SP_EIO, "%s: is not a file", path);
    }
    if (st.st_size > SP_SOURCE_MAX_BYTES) {
        return sp_fail(err, SP_ETOOBIG, "%s: larger than %d bytes", path, SP_SOURCE_MAX_BYTES);
    }
    size_t room = (size_t)st.st_size, len = 0;
    char *text = sp_arena_alloc(arena, room + 1);
    if (!text) {
        return sp_fail(err, SP_ETOOBIG, "%s: the policy files are too large together", path);
    }
    while (len < room) {
        ssize_t n = read(fd, text + len, room - len);
        if (n < 0 && errno != EINTR) {
            return sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
        }
        if (n == 0) {
            break; /* it shrank: half-written files do not compile, and the old policy stays */
        }
        len += n > 0 ? (size_t)n : 0;
    }
    *ret_text = (struct sp_text){text, len};
    return SP_OK;
}

static sp_status read_source(struct sp_policy_files *files, const char *path,
                             struct sp_source *ret_source, struct sp_error *err)
{
    struct sp_text name = sp_arena_copy(&files->arena, sp_text_of(path));
    if (!name.ptr) {
        return SP_ENOMEM;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO, "%s: %s", path,
                       strerror(errno));
    }
    ret_source->name = name.ptr;
    sp_status status = read_text(&files->arena, fd, path, &ret_source->text, err);
    (void)close(fd);
    return status;
}

sp_status sp_policy_files_add(struct sp_policy_files *files, const char *path,
                              struct sp_error *err)
{
    if (!files->sources) {
        files->sources =
            sp_arena_array(&files->arena, SP_POLICY_FILES_MAX, sizeof *files->sources);
    }
    if (!files->sources || files->n_sources == SP_POLICY_FILES_MAX) {
        return sp_fail(err, SP_ETOOBIG, "more than %d policy files", SP_POLICY_FILES_MAX);
    }
    sp_status status = read_source(files, path, &files->sources[files->n_sources], err);
    files->n_sources += status == SP_OK;
    return status;
}

static int is_scope_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 6 && strcmp(entry->d_name + len - 6, ".scope") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

sp_status sp_policy_files_folder(struct sp_policy_files *files, const char *folder,
                                 struct sp_error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_scope_file, by_bytes);
    if (n < 0) {
        return sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO, "policy folder %s: %s",
                       folder, strerror(errno));
    }
    sp_status status = SP_OK;
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        int len = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (!status) {
            status = len < PATH_ROOM ? sp_policy_files_add(files, path, err)
                                     : sp_fail(err, SP_ETOOBIG, "%s: path too long", folder);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* The compiler's world: the caller's knowledge of keys, and files for `use`. */
struct reach {
    const struct sp_world *keys;
    struct sp_policy_files *files;
};

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    const struct sp_world *keys = ((struct reach *)user)->keys;
    return keys->key_hosts(keys->user, id, ret_hosts, ret_n_hosts);
}

static bool key_setting(void *user, struct sp_text id, struct sp_text name,
                        struct sp_text *ret_value)
{
    const struct sp_world *keys = ((struct reach *)user)->keys;
    return keys->key_setting(keys->user, id, name, ret_value);
}

static size_t catalogues(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    const struct sp_world *keys = ((struct reach *)user)->keys;
    return keys->catalogues(keys->user, id, ret_list);
}

/* A `use` names a file beside or below the one that says so: no leading '/', no "..". */
static sp_status read_use(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err)
{
    struct sp_policy_files *files = ((struct reach *)user)->files;
    char path[PATH_ROOM];
    const char *slash = strrchr(from, '/');
    int folder_len = slash ? (int)(slash - from + 1) : 0;
    if (name.len == 0 || name.ptr[0] == '/' || memchr(name.ptr, '\0', name.len) ||
        memmem(name.ptr, name.len, "..", 2)) {
        return sp_fail(err, SP_EINVAL,
                       "a used file must lie beside or below the file that uses it");
    }
    int len =
        snprintf(path, sizeof path, "%.*s%.*s", folder_len, from, (int)name.len, name.ptr);
    return len < PATH_ROOM ? read_source(files, path, ret_source, err)
                           : sp_fail(err, SP_ETOOBIG, "path too long");
}

sp_status sp_policy_files_compile(struct sp_policy_files *files, const struct sp_world *keys,
                                  struct sp_policy **ret_policy)
{
    struct reach reach = {keys, files};
    struct sp_world world = {.user = &reach,
                             .key_hosts = keys && keys->key_hosts ? key_hosts : NULL,
                             .key_setting = keys && keys->key_setting ? key_setting : NULL,
                             .catalogues = keys && keys->catalogues ? catalogues : NULL,
                             .read_use = read_use,
                             .leave_expects = keys && keys->leave_expects,
                             .hold_insists = keys && keys->hold_insists};
    return sp_policy_compile(files->sources, files->n_sources, &world, &files->diags,
                             ret_policy);
}
