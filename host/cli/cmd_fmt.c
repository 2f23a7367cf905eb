/* policy fmt: scope files in their one layout; needs no host. */
#include "cli.h"

#include "policy.h"
#include "policy_files.h"
#include "sync.h"
#include "text_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX_BYTES = 16 << 20, PATH_ROOM = PATH_MAX + 64 };

struct formatting {
    const struct cli *cli;
    bool check, diff;     /* diff: check, and show what would change */
    struct sp_buf report; /* --json: one object for each file */
    bool changed;         /* some file was, or would be */
    int result;           /* the worst so far */
};

/* ---- writing -------------------------------------------------------------------------------
 */

static bool write_all(int fd, struct sp_text text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text.ptr += n > 0 ? n : 0;
        text.len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool fill(int fd, const struct stat *old, struct sp_text text)
{
    struct stat mine;
    if (fstat(fd, &mine)) {
        return false;
    }
    bool owned = mine.st_uid == old->st_uid && mine.st_gid == old->st_gid;
    return (owned || fchown(fd, old->st_uid, old->st_gid) == 0) &&
           fchmod(fd, old->st_mode & 07777) == 0 && write_all(fd, text) && fsync(fd) == 0;
}

/* Put a text in a file's place: whoever reads it sees all of the old or all of the new. A
 * symbolic link stays, and what it points to is replaced. Owner and mode stay as they were. */
static bool replace(const char *path, struct sp_text text)
{
    char target[PATH_MAX], temporary[PATH_ROOM] = "";
    struct stat old;
    int fd = -1;
    bool good = false;
    if (!realpath(path, target) || stat(target, &old)) {
        goto out;
    }
    (void)snprintf(temporary, sizeof temporary, "%s.XXXXXX", target);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        temporary[0] = '\0';
        goto out;
    }
    good = fill(fd, &old, text) && rename(temporary, target) == 0;
    if (good) {
        temporary[0] = '\0';
        good = sp_sync_parent(target);
    }
out:
    if (!good) {
        (void)cli_error(CLI_USAGE, "%s: %s", path, strerror(errno));
    }
    if (temporary[0]) {
        (void)unlink(temporary);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

/* ---- one file ------------------------------------------------------------------------------
 */

static void worst(struct formatting *f, int result)
{
    f->result = result > f->result ? result : f->result;
}

static void print_diags(const struct formatting *f, const struct sp_diags *diags,
                        const struct sp_source *source)
{
    struct sp_buf out;
    sp_buf_init(&out, TEXT_MAX_BYTES);
    sp_diags_print(diags, source, f->cli->colour, &out);
    (void)fwrite(sp_buf_text(&out).ptr, 1, out.len, stderr);
    sp_buf_done(&out);
}

static void print_diff(struct formatting *f, const struct sp_source *source,
                       struct sp_text text)
{
    struct sp_buf diff;
    sp_buf_init(&diff, 4 * TEXT_MAX_BYTES);
    text_diff(source->name, source->text, text, &diff);
    if (diff.failed) {
        worst(f, cli_error(CLI_INTERNAL, "%s: too large to compare", source->name));
    } else if (f->cli->json) {
        sp_buf_add_str(&f->report, ",\"diff\":");
        sp_buf_add_json(&f->report, sp_buf_text(&diff));
    } else { /* comments may hold anything: a terminal gets no controls of theirs */
        for (size_t i = 0; i < diff.len; i++) {
            bool harmless =
                (unsigned char)diff.ptr[i] >= ' ' || diff.ptr[i] == '\n' || diff.ptr[i] == '\t';
            (void)putchar(harmless ? diff.ptr[i] : '?');
        }
    }
    sp_buf_done(&diff);
}

static void report(struct formatting *f, const struct sp_source *source, bool parses,
                   bool changed, struct sp_text text)
{
    const char *path = source->name;
    sp_buf_add_str(&f->report, f->report.len > 1 ? ",{\"file\":" : "{\"file\":");
    sp_buf_add_json(&f->report, sp_text_of(path));
    sp_buf_addf(&f->report, ",\"parses\":%s,\"changed\":%s", parses ? "true" : "false",
                changed ? "true" : "false");
    if (f->diff && changed) {
        print_diff(f, source, text);
    }
    sp_buf_add_byte(&f->report, '}');
    if (!f->cli->json && changed && !f->diff) {
        worst(f, cli_print_text(sp_text_of(path)));
        (void)putchar('\n');
    }
}

static void format_one(struct formatting *f, const struct sp_source *source, bool to_stdout)
{
    struct sp_diags diags;
    struct sp_buf text;
    sp_diags_init(&diags);
    sp_buf_init(&text, TEXT_MAX_BYTES);
    sp_status status = sp_policy_format(source, &diags, &text);
    bool changed = !status && !sp_text_eq(source->text, sp_buf_text(&text));
    if (status == SP_EINVAL) {
        print_diags(f, &diags, source);
        worst(f, CLI_USAGE);
    } else if (status) {
        worst(f, cli_error(CLI_INTERNAL, "%s: too large to lay out", source->name));
    } else if (to_stdout && !f->check) {
        (void)fwrite(sp_buf_text(&text).ptr, 1, text.len, stdout);
    } else if (changed && !f->check && !replace(source->name, sp_buf_text(&text))) {
        changed = false;
        worst(f, CLI_USAGE);
    }
    if (!to_stdout || f->check) {
        report(f, source, status == SP_OK, changed, sp_buf_text(&text));
    }
    f->changed = f->changed || changed;
    sp_buf_done(&text);
    sp_diags_done(&diags);
}

/* ---- the command ---------------------------------------------------------------------------
 */

static void format_stdin(struct formatting *f)
{
    struct sp_buf text;
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    if (cli_read("-", &text)) {
        struct sp_source source = {"-", sp_buf_text(&text)};
        format_one(f, &source, true);
    } else {
        worst(f, CLI_USAGE);
    }
    sp_buf_done(&text);
}

static void format_path(struct formatting *f, const char *path)
{
    struct sp_policy_files files;
    struct sp_error err = {""};
    struct stat st;
    sp_policy_files_init(&files);
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    sp_status status = folder ? sp_policy_files_folder(&files, path, &err)
                              : sp_policy_files_add(&files, path, &err);
    if (status) {
        worst(f, cli_error(CLI_USAGE, "%s", err.text));
    }
    for (size_t i = 0; !status && i < files.n_sources; i++) {
        format_one(f, &files.sources[i], false);
    }
    sp_policy_files_done(&files);
}

int cli_run_policy_fmt(struct cli *cli, int argc, char **argv)
{
    struct cli_list paths;
    struct formatting f = {.cli = cli, .result = CLI_YES};
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"check", NULL, &f.check, NULL}, {"diff", NULL, &f.diff, NULL}),
                  1, CLI_LIST_MAX, &paths)) {
        return CLI_USAGE;
    }
    f.check = f.check || f.diff;
    sp_buf_init(&f.report, TEXT_MAX_BYTES);
    sp_buf_add_byte(&f.report, '[');
    bool only_stdin = true;
    for (size_t i = 0; i < paths.n; i++) {
        bool is_stdin = strcmp(paths.items[i], "-") == 0;
        only_stdin = only_stdin && is_stdin;
        if (is_stdin) {
            format_stdin(&f);
        } else {
            format_path(&f, paths.items[i]);
        }
    }
    sp_buf_add_str(&f.report, "]\n");
    if (cli->json && (f.check || !only_stdin)) {
        worst(&f, cli_print_whole(&f.report, CLI_YES));
    }
    sp_buf_done(&f.report);
    worst(&f, f.check && f.changed ? CLI_NO : CLI_YES);
    return f.result;
}
