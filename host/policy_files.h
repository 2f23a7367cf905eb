/* sp_policy_files: the .scope files of a folder (or files named one by one), read and compiled
 * as one policy. Used by the host at start and reload, and by `sallyport policy`. */
#ifndef SP_POLICY_FILES_H
#define SP_POLICY_FILES_H

#include "policy.h"

enum { SP_POLICY_FILES_MAX = 1024 };

struct sp_policy_files {
    struct sp_arena arena; /* names and texts */
    struct sp_source *sources;
    size_t n_sources;
    struct sp_diags diags;
};

void sp_policy_files_init(struct sp_policy_files *files);
void sp_policy_files_done(struct sp_policy_files *files);

/* Every *.scope of a folder, in order of names. SP_ENOENT, SP_EIO, SP_ETOOBIG with err. */
sp_status sp_policy_files_folder(struct sp_policy_files *files, const char *folder,
                                 struct sp_error *err);
sp_status sp_policy_files_add(struct sp_policy_files *files, const char *path,
                              struct sp_error *err);

/* Compile them. keys: what is known of registered keys (NULL: nothing); its read_use is not
 * asked: a `use` reads a file relative to the one that says so, and stays below that file's
 * folder. Diagnostics stay in files->diags. */
sp_status sp_policy_files_compile(struct sp_policy_files *files, const struct sp_world *keys,
                                  struct sp_policy **ret_policy);

#endif
