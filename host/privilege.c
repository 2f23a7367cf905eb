#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCKED_BYTES = 16 << 20 }; /* of secrets; LimitMEMLOCK in the unit says the same */

sp_status sp_privilege_find(const char *name, uid_t *ret_uid, gid_t *ret_gid,
                            struct sp_error *err)
{
    const struct passwd *found = getpwnam(name);
    if (!found) {
        return sp_fail(err, SP_ENOENT, "there is no user '%s' (`adduser --system --group %s`)",
                       name, name);
    }
    *ret_uid = found->pw_uid;
    *ret_gid = found->pw_gid;
    return SP_OK;
}

const char *sp_privilege_default(void)
{
    return getpwnam(SP_PRIVILEGE_USER) ? SP_PRIVILEGE_USER : "root";
}

/* Root alone may lock without a limit; what it may set, it sets for the user to come. */
static void keep_locked_memory(void)
{
    const struct rlimit limit = {LOCKED_BYTES, LOCKED_BYTES};
    struct rlimit now;
    if (getrlimit(RLIMIT_MEMLOCK, &now) == 0 && now.rlim_cur < limit.rlim_cur) {
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    }
}

static sp_status become(const char *name, uid_t uid, gid_t gid, struct sp_error *err)
{
    keep_locked_memory();
    /* Groups while it is still allowed; all three ids each, so that none is left to go back to.
     */
    if (initgroups(name, gid) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)) {
        return sp_fail(err, SP_EDENIED, "cannot become '%s': %s", name, strerror(errno));
    }
    if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        return sp_fail(err, SP_EDENIED, "became '%s', and could be root again", name);
    }
    /* A change of user lets go of this (T59). */
    (void)prctl(PR_SET_DUMPABLE, 0);
    return SP_OK;
}

sp_status sp_privilege_drop(const char *name, bool *ret_root, struct sp_error *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    bool is_root = uid == 0;
    *ret_root = false;
    if (!*name && !is_root) {
        return SP_OK;
    }
    if (!*name && strcmp(sp_privilege_default(), "root") == 0) {
        return sp_fail(err, SP_EDENIED,
                       "root started it, and nothing needs root: make the user it shall run as "
                       "(`adduser --system --group " SP_PRIVILEGE_USER "`), or say whom in "
                       "[host] user = NAME; `user = root` if it must be");
    }
    name = *name ? name : SP_PRIVILEGE_USER;
    sp_status status = sp_privilege_find(name, &uid, &gid, err);
    if (status) {
        return status;
    }
    if (!is_root) {
        return uid == geteuid()
                   ? SP_OK
                   : sp_fail(err, SP_EDENIED,
                             "the settings say user = %s, and somebody else started it", name);
    }
    *ret_root = uid == 0;
    return *ret_root ? SP_OK : become(name, uid, gid, err);
}

sp_status sp_privilege_as_owner(const char *dir, struct sp_error *err)
{
    struct stat st;
    if (geteuid() != 0 || stat(dir, &st) || st.st_uid == 0) {
        return SP_OK;
    }
    const struct passwd *owner = getpwuid(st.st_uid);
    if (!owner) {
        return sp_fail(err, SP_ENOENT, "%s: belongs to nobody (uid %u)", dir, st.st_uid);
    }
    return become(owner->pw_name, owner->pw_uid, owner->pw_gid, err);
}
