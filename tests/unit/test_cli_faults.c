/* T41 for the commands that need no host: each allocation and each call for a file that they
 * make fails in turn. A verdict is the right one or none: where the exit status is that of a
 * run in which nothing failed, so is every byte that was printed; else the command says that it
 * could not (2 or 4), and files are as they were or as they should be. */
#include "engine_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_main(int argc, char **argv); /* host/cli/main.c, by another name */

/* ---- what fails -----------------------------------------------------------------------------
 */

enum fault { MEMORY, FILES, FAULTS };

static int armed = -1;
static size_t counted, fail_at;

static bool fails(enum fault fault)
{
    if (armed != (int)fault || counted++ != fail_at) {
        return false;
    }
    errno = fault == MEMORY ? ENOMEM : EIO;
    return true;
}

#define FAILS(fault, type, name, params, args, failed)                                         \
    type __real_##name params;                                                                 \
    type __wrap_##name params;                                                                 \
    type __wrap_##name params                                                                  \
    {                                                                                          \
        return fails(fault) ? (failed) : __real_##name args;                                   \
    }

FAILS(MEMORY, void *, malloc, (size_t size), (size), NULL)
FAILS(MEMORY, void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAILS(MEMORY, void *, realloc, (void *memory, size_t size), (memory, size), NULL)
FAILS(MEMORY, char *, strdup, (const char *text), (text), NULL)
FAILS(MEMORY, char *, strndup, (const char *text, size_t len), (text, len), NULL)
FAILS(MEMORY, void *, sp_arena_alloc, (struct sp_arena * arena, size_t size), (arena, size),
      NULL)
FAILS(MEMORY, void *, sp_arena_array, (struct sp_arena * arena, size_t n, size_t size),
      (arena, n, size), NULL)
FAILS(MEMORY, struct sp_text, sp_arena_copy, (struct sp_arena * arena, struct sp_text text),
      (arena, text), ((struct sp_text){NULL, 0}))
FAILS(FILES, ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len), -1)
FAILS(FILES, ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len), -1)
FAILS(FILES, ssize_t, pread, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at),
      -1)
FAILS(FILES, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
FAILS(FILES, int, fsync, (int fd), (fd), -1)
FAILS(FILES, int, fstat, (int fd, struct stat *ret_st), (fd, ret_st), -1)
FAILS(FILES, int, stat, (const char *path, struct stat *ret_st), (path, ret_st), -1)
FAILS(FILES, int, rename, (const char *from, const char *to), (from, to), -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(FILES) ? -1 : __real_open(path, flags, mode);
}

/* ---- one run --------------------------------------------------------------------------------
 */

enum { PRINTED_MAX = 1 << 16, WORDS_MAX = 18 };

struct printed {
    int status;
    size_t len;
    char text[PRINTED_MAX];
};

/* @ in a word stands for the folder. */
static void run_command(const char *const *words, const char *folder, struct printed *ret)
{
    char room[WORDS_MAX][256], *argv[WORDS_MAX + 1] = {room[0]};
    int argc = 1, kept[2], sink[2];
    (void)snprintf(room[0], sizeof room[0], "sallyport");
    for (; words[argc - 1]; argc++) {
        const char *word = words[argc - 1], *at = strchr(word, '@');
        (void)snprintf(room[argc], sizeof room[argc], "%.*s%s%s",
                       (int)(at ? at - word : (long)strlen(word)), word, at ? folder : "",
                       at ? at + 1 : "");
        argv[argc] = room[argc];
    }
    argv[argc] = NULL;
    for (int i = 0; i < 2; i++) { /* standard output, and standard error */
        (void)fflush(i ? stderr : stdout);
        kept[i] = dup(1 + i);
        sink[i] = memfd_create("printed", MFD_CLOEXEC);
        assert_true(kept[i] >= 0 && sink[i] >= 0);
        assert_int_equal(dup2(sink[i], 1 + i), 1 + i);
    }
    optind = 0;
    counted = 0;
    ret->status = cli_main(argc, argv);
    armed = -1;
    for (int i = 0; i < 2; i++) {
        (void)fflush(i ? stderr : stdout);
        assert_int_equal(dup2(kept[i], 1 + i), 1 + i);
        (void)close(kept[i]);
    }
    ssize_t n = pread(sink[0], ret->text, sizeof ret->text, 0);
    ret->len = n > 0 ? (size_t)n : 0;
    (void)close(sink[0]);
    (void)close(sink[1]);
}

/* ---- the commands ---------------------------------------------------------------------------
 */

static const char old_policy[] =
    "sallyport 1\n"
    "let small = {\"a\", \"b\"}\n"
    "scope s(owner) {\n  key k\n  ttl 1h\n  rate 5/min burst 2\n"
    "  @read allow GET https://api.example/things/*\n"
    "  @own allow GET https://api.example/of/{owner}/{n:int}\n"
    "  @pay allow POST https://api.example/pay where body.amount in 1..5000 and body.to in "
    "small\n"
    "    and has body.charge and not body.x = 1\n"
    "    budget sum(body.amount) <= 20000 per day\n"
    "  @no deny * https://api.example/things/secret\n"
    "  expect allow given (owner = \"acme\") GET https://api.example/things/1\n"
    "  expect deny given (owner = \"acme\") POST https://api.example/pay\n    form {amount: "
    "5001}\n}\n"
    "scope open {\n  key k\n  @any allow {GET POST} https://api.example/**\n}\n"
    "principal desk {\n  curve \"" KIT_DESK "\"\n  may issue s(owner = \"acme\") for 1h\n}\n";
static const char new_policy[] =
    "sallyport 1\n# as it is to be\n"
    "scope s(owner) { key k\n ttl 2h\n rate 5/min\n"
    "  @read allow {GET HEAD} https://api.example/things/*\n"
    "  @pay allow POST https://api.example/pay where body.amount in 1..6000\n}\n"
    "scope open { key k\n @any allow GET https://api.example/** }\n"
    "principal desk { curve \"" KIT_DESK "\"\n may issue s(owner = \"acme\") for 1h }\n";
static const char bad_policy[] =
    "sallyport 1\nscope s { key k\n allow GET https://api.example/**/x\n"
    " allow GIT https://api.example/{y}\n}\nscope s { }\n";

/* Where nothing fails, they end with this status. */
static const struct {
    int status;
    const char *words[WORDS_MAX + 1];
} commands[] = {
    {0, {"policy", "check", "@/old.scope"}},
    {0, {"--json", "policy", "check", "@/new.scope"}},
    {2, {"policy", "check", "@/bad.scope"}},
    {2, {"--json", "policy", "check", "@/bad.scope"}},
    {0, {"policy", "test", "@/old.scope"}},
    {0, {"--json", "policy", "test", "@/old.scope"}},
    {1, {"policy", "fmt", "--check", "@/new.scope"}},
    {1, {"policy", "fmt", "--diff", "@/new.scope"}},
    {0, {"policy", "fmt", "@/fmt.scope"}},
    {1, {"policy", "diff", "@/old.scope", "@/new.scope"}},
    {1, {"--json", "policy", "diff", "@/old.scope", "@/new.scope", "--scope", "s"}},
    {0,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme", "GET",
      "https://api.example/things/2"}},
    {1,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme", "POST",
      "https://api.example/pay", "--data", "@/body.json", "--header",
      "Content-Type: application/json"}},
    {1,
     {"--json", "policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme",
      "DELETE", "https://api.example/thinks/2"}},
    {0, {"policy", "explain", "--audit", "8", "--audit-dir", "@/audit", "@/old.scope"}},
    {1,
     {"--json", "policy", "explain", "--audit", "10", "--audit-dir", "@/audit", "@/old.scope"}},
    {1, {"policy", "replay", "@/new.scope", "--audit-dir", "@/audit"}},
    {1, {"--json", "policy", "replay", "@/new.scope", "--audit-dir", "@/audit"}},
    {0, {"--dir", "@", "audit", "verify"}},
    {0, {"--dir", "@", "--json", "audit", "verify", "--from", "2"}},
    {0, {"--dir", "@", "audit", "tail"}},
    {0,
     {"token", "narrow", "--with", "allow GET https://api.example/things/1", "--token-file",
      "@/token"}},
    {2, {"token", "narrow", "--with", "allow GET", "--token-file", "@/token"}},
    {0, {"client", "keygen", "@/client.key"}},
    {0, {"--help"}},
    {0, {"key", "--help"}},
    {0, {"key", "add", "--help"}},
    {2, {"key", "ad"}},
    {2, {"--timeout", "0", "status"}},
    {2, {"--dir"}},
    {2, {"--dir", "@/nowhere", "status"}},
    {1, {"--dir", "@/nowhere", "doctor"}},
    {2, {"--dir", "@/nowhere", "key", "list"}},
    {2, {"--dir", "@/nowhere", "token", "list"}},
    {2, {"--dir", "@/nowhere", "unseal", "--file", "@/token"}},
    {2, {"--dir", "@/nowhere", "client", "add", "x", "--curve", KIT_AGENT}},
    {2,
     {"--dir", "@/nowhere", "call", "--token-file", "@/token", "GET",
      "https://api.example/things/1", "--data", "@/body.json", "--header", "Accept: a/b"}},
    {2,
     {"--dir", "@/nowhere", "token", "issue", "--scope", "s", "--arg", "owner=acme", "--ttl",
      "5m"}},
    {2, {"--dir", "@/nowhere", "token", "issue", "--scope-json", "@/body.json"}},
    {2, {"--dir", "@/nowhere", "lease", "list"}},
    {2,
     {"--dir", "@/nowhere", "--json", "call", "--token-file", "@/token", "--key", "k", "--id",
      "i", "--include", "POST", "https://api.example/pay", "--data", "@/body.json"}},
    {2,
     {"--dir", "@/nowhere", "call", "--token-file", "@/token", "GET", "https://api.example/",
      "--header", "none"}},
    {2, {"call", "GET", "https://api.example/"}},
    {2, {"call", "GET"}},
    {2, {"status", "more"}},
    {2, {"token", "issue", "--scope"}},
    {2, {"token", "issue", "--nothing"}},
    {2, {"token", "inspect", "--token-file", "@/lost"}},
    {2,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner", "GET",
      "https://api.example/"}},
    {2,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme", "GET",
      "https://api.example/a/../b"}},
    {2,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme", "GET",
      "https://api.example/things/1", "--header", "none"}},
    {2,
     {"policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme", "GET",
      "https://api.example/things/1", "--data", "@/lost"}},
    {0,
     {"--json", "policy", "explain", "@/old.scope", "--scope", "s", "--arg", "owner=acme",
      "GET", "https://api.example/of/acme/7"}},
    {1, {"--json", "policy", "diff", "@/new.scope", "@/old.scope"}},
    {2, {"policy", "diff", "@/old.scope", "@/new.scope", "--scope", "none"}},
    {1, {"--json", "policy", "fmt", "--diff", "@/new.scope"}},
    {2, {"policy", "fmt", "@/bad.scope"}},
    {2, {"policy", "fmt", "@/lost.scope"}},
    {2, {"policy", "check", "@"}},
    {2, {"audit", "verify", "@/audit", "--from", "x"}},
    {2, {"audit", "verify", "@/lost"}},
    {2, {"init", "--nothing"}},
    {1, {"--dir", "@", "doctor"}},
    {125, {"--dir", "@/nowhere", "run", "--scope", "s", "--", "true"}},
};
enum { COMMANDS = sizeof commands / sizeof commands[0], ALL = 150, MORE = 100 };

static struct engine_kit kit;

static void put_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", kit.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool file_is(const char *name, const char *text)
{
    char path[128], found[4096];
    (void)snprintf(path, sizeof path, "%s/%s", kit.folder, name);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(found, 1, sizeof found - 1, file) : 0;
    found[n] = '\0';
    if (file) {
        (void)fclose(file);
    }
    return strcmp(found, text) == 0;
}

/* A folder with an audit in which things happened, and files to work on. */
static int setup(void **state)
{
    (void)state;
    kit_make(&kit);
    assert_int_equal(kit_open(&kit), SP_OK);
    kit_key(&kit, KIT_ADD, "k", "canary");
    assert_int_equal(kit_set_policy(&kit), SP_OK);
    assert_int_equal(kit_issue(&kit,
                               &(struct sp_issue){
                                   .curve = SP_TEXT(KIT_DESK),
                                   .scope = SP_TEXT("s"),
                                   .args = (const struct sp_arg[]){{{"owner", 5}, {"acme", 4}}},
                                   .n_args = 1}),
                     SP_CODE_OK);
    assert_int_equal(kit_proxy(&kit, "GET", KIT_URL, NULL, "", false), SP_CODE_OK);
    assert_int_equal(kit_proxy(&kit, "POST", KIT_PAY_URL, "amount=5", "", false), SP_CODE_OK);
    (void)kit_proxy(&kit, "GET", "https://api.example/things/secret", NULL, "", false);
    kit_close(&kit);
    put_file("old.scope", old_policy);
    put_file("new.scope", new_policy);
    put_file("bad.scope", bad_policy);
    put_file("token", kit.token);
    put_file("body.json", "{\"amount\": 7, \"to\": \"a\", \"charge\": \"c\"}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_remove(&kit);
    return 0;
}

static void before(void)
{
    char path[128];
    put_file("fmt.scope", new_policy);
    (void)snprintf(path, sizeof path, "%s/client.key", kit.folder);
    (void)unlink(path);
}

/* The first ones all, then steps that grow, so that each command takes about as long. */
static size_t after_this(size_t at)
{
    return at < ALL ? at + 1 : at + 1 + (at - ALL) / MORE * 7 + (at % 3);
}

static bool has_word(const char *const *words, const char *word)
{
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* A status that means yes or no is the right one, and so is what was printed. */
static void check_verdict(const char *const *words, size_t at, const struct printed *whole,
                          const struct printed *got)
{
    bool cautious = has_word(words, "verify") && got->status == 1; /* unread is not verified */
    /* Random; for people; coarser, and "too hard to prove" where there is no memory for a
     * proof. */
    bool free_form =
        has_word(words, "keygen") || has_word(words, "doctor") || has_word(words, "--diff") ||
        has_word(words, "diff") ||
        (has_word(words, "explain") && (got->status == 1 || has_word(words, "--audit")));
    assert_true((got->status >= 0 && got->status <= 4) || got->status == whole->status);
    if (got->status >= 2 || cautious) {
        return;
    }
    if (got->status != whole->status) {
        fail_msg("%s %s: %d, not %d, where call %zu fails", words[0], words[1], got->status,
                 whole->status, at);
    }
    if (!free_form &&
        (got->len != whole->len || memcmp(got->text, whole->text, got->len) != 0)) {
        fail_msg("%s %s: another answer where call %zu fails:\n%.*s", words[0], words[1], at,
                 (int)got->len, got->text);
    }
}

static size_t try_command(const char *const *words, int status, enum fault fault)
{
    static struct printed whole, got;
    char formatted[4096] = "";
    before();
    run_command(words, kit.folder, &whole);
    if (whole.status != status) {
        fail_msg("%s %s %s: %d", words[0], words[1], words[2], whole.status);
    }
    if (strcmp(words[1] ? words[1] : "", "fmt") == 0 && strcmp(words[2], "@/fmt.scope") == 0) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/fmt.scope", kit.folder);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        formatted[fread(formatted, 1, sizeof formatted - 1, file)] = '\0';
        (void)fclose(file);
    }
    size_t n = 0;
    for (size_t at = 0;; at = after_this(at), n++) {
        before();
        fail_at = at;
        armed = (int)fault;
        run_command(words, kit.folder, &got);
        if (counted <= at) {
            return n;
        }
        check_verdict(words, at, &whole, &got);
        assert_true(!formatted[0] || file_is("fmt.scope", new_policy) ||
                    file_is("fmt.scope", formatted));
    }
}

static void check_faults(enum fault fault)
{
    size_t n = 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        n += try_command(commands[i].words, commands[i].status, fault);
    }
    print_message("%zu calls failed\n", n);
    assert_true(n > 100);
}

static void T41_each_allocation_of_a_command_fails_in_turn(void **state)
{
    (void)state;
    check_faults(MEMORY);
}

static void T41_each_call_for_a_file_of_a_command_fails_in_turn(void **state)
{
    (void)state;
    check_faults(FILES);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T41_each_allocation_of_a_command_fails_in_turn),
        cmocka_unit_test(T41_each_call_for_a_file_of_a_command_fails_in_turn),
    };
    return cmocka_run_group_tests_name("cli faults", tests, setup, teardown);
}
