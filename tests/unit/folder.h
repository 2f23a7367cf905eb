/* A folder of a test's own: made, and removed with all that is in it. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static inline int folder_entry_remove(const char *path, const struct stat *st, int flag,
                                      struct FTW *walk)
{
    (void)st;
    (void)flag;
    (void)walk;
    return remove(path);
}

static inline int folder_remove(const char *path)
{
    return nftw(path, folder_entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
