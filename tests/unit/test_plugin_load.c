/* The loader against real libraries: T46, T47, and a plugin's bad habits (T49). */
#include "asking.h"
#include "plugin_symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct sp_plugin_rules dev_rules(void)
{
    return (struct sp_plugin_rules){.dev = true, .owner_uid = (uint32_t)geteuid()};
}

static void assert_load_refused(const char *path, const struct sp_plugin_rules *rules,
                                sp_status status, const char *words)
{
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    sp_status got = sp_plugin_load(path, rules, &provider, &err);
    if (got != status) {
        fail_msg("%s: status %d (%s), not %d", path, got, err.text, status);
    }
    assert_null(provider);
    assert_says(&err, words);
    assert_says(&err, path); /* it names the file that somebody has to look at */
    assert_says(&err, "; "); /* and, behind what is wrong, what to do about it */
}

static void assert_bad(const char *name, sp_status status, const char *words)
{
    char path[1024];
    struct sp_plugin_rules rules = dev_rules();
    (void)snprintf(path, sizeof path, "%s/%s.so", BAD_DIR, name);
    assert_load_refused(path, &rules, status, words);
}

/* ---- the kernel holds a page of the copy ------------------------------------------------ */

/* Of fcntl's calls that add seals, so many are refused as the kernel does. */
static int busy_seals;

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    int arg = va_arg(args, int);
    va_end(args);
    if (command == F_ADD_SEALS && busy_seals > 0) {
        busy_seals--;
        errno = EBUSY;
        return -1;
    }
    return __real_fcntl(fd, command, arg);
}

static void a_copy_that_the_kernel_holds_is_sealed_when_it_lets_go(void **state)
{
    (void)state;
    struct sp_plugin_rules rules = dev_rules();
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    busy_seals = 3;
    assert_int_equal(sp_plugin_load(STRIPE_SO, &rules, &provider, &err), SP_OK);
    assert_int_equal(busy_seals, 0);
    provider->ops->free(provider);
    busy_seals = 1000;
    assert_load_refused(STRIPE_SO, &rules, SP_EIO, "cannot be sealed");
    busy_seals = 0;
}

/* ---- T46: what the library is ----------------------------------------------------------- */

static void T46_wrong_major_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_major", SP_EUNSUPPORTED, "ABI 2.7");
}

static void T46_library_without_a_note_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_no_note", SP_EINVAL, "no Sallyport note");
}

static void T46_two_notes_are_refused(void **state)
{
    (void)state;
    assert_bad("bad_two_notes", SP_EINVAL, "two Sallyport notes");
}

static void T46_short_table_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_short_table", SP_EINVAL, "8 bytes short of ABI 1.0");
}

static void T46_missing_function_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_null_function", SP_EINVAL, "is NULL");
}

static void T46_short_or_empty_table_of_an_extension_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_short_lease", SP_EINVAL, "is short, or has a NULL");
    assert_bad("bad_null_lease", SP_EINVAL, "is short, or has a NULL");
}

static void T46_missing_symbol_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_no_symbol", SP_EINVAL, "does not export sallyport_plugin_v1");
}

static void T46_unresolved_symbol_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_unresolved", SP_EINVAL, "cannot be loaded");
}

/* The plugin needs "libgcc_s.so.1", which is allowed; a library of that name, loaded before,
 * has the entry point that the plugin itself lacks. dlsym finds it there. */
static void T46_symbol_from_a_dependency_is_refused(void **state)
{
    (void)state;
    if (dlopen("libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD)) {
        skip(); /* the real one is in this process already: a sanitizer's */
    }
    assert_non_null(dlopen(BAD_DIR "/impostor.so", RTLD_NOW | RTLD_LOCAL));
    assert_bad("bad_foreign_symbol", SP_EDENIED, "another library's");
}

static void T46_symbol_of_another_library_is_told_apart(void **state)
{
    (void)state;
    void *one = dlopen(BAD_DIR "/bad_nothing.so", RTLD_NOW | RTLD_LOCAL);
    void *two = dlopen(BAD_DIR "/bad_newer.so", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(one);
    assert_non_null(two);
    void *symbol = dlsym(one, "sallyport_plugin_v1");
    assert_non_null(symbol);
    assert_true(sp_symbol_is_own(one, symbol));
    assert_false(sp_symbol_is_own(two, symbol));
    /* What is found through a library's dependencies is not its own either. */
    void *foreign = dlsym(one, "malloc");
    assert_non_null(foreign);
    assert_false(sp_symbol_is_own(one, foreign));
}

static void T46_refusal_by_the_plugin_is_told(void **state)
{
    (void)state;
    assert_bad("bad_null_table", SP_EUNSUPPORTED, "cannot work with this host");
}

static void T46_plugin_without_a_manifest_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_silent", SP_EINVAL, "no manifest");
}

static void T46_two_actions_of_one_name_are_refused(void **state)
{
    (void)state;
    assert_bad("bad_twice", SP_EINVAL, "things.list is there twice");
}

static void T46_newer_plugin_with_longer_structures_is_loaded(void **state)
{
    (void)state;
    struct sp_provider *provider = load_fine(BAD_DIR "/bad_newer.so");
    assert_true(sp_text_is(provider->manifest->id, "newer"));
    provider->ops->free(provider);
}

static void T46_what_looks_for_other_libraries_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_runpath", SP_EDENIED, "RUNPATH");
    assert_bad("bad_rpath", SP_EDENIED, "RUNPATH");
    assert_bad("bad_filter", SP_EDENIED, "filter");
    assert_bad("bad_auxiliary", SP_EDENIED, "filter");
    assert_bad("bad_audit", SP_EDENIED, "audit");
    assert_bad("bad_interpose", SP_EDENIED, "interpose");
}

static void T46_library_outside_the_allow_list_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_needed", SP_EDENIED, "libstranger.so.1");
}

static void T46_executable_stack_is_refused(void **state)
{
    (void)state;
    assert_bad("bad_stack", SP_EDENIED, "noexecstack");
}

static void T46_program_and_text_are_refused(void **state)
{
    (void)state;
    struct sp_plugin_rules rules = dev_rules();
    assert_load_refused(SOURCE_DIR "/tests/unit/test_plugin_load.c", &rules, SP_EINVAL,
                        "no ELF file");
    rules.owner_uid = 0;
    assert_load_refused("/usr/bin/env", &rules, SP_EINVAL, "program");
}

/* ---- T47: where the library lies -------------------------------------------------------- */

struct place { /* a folder of our own with a copy of a plugin in it */
    char folder[64], file[128], other[128];
};

static void copy_file(const char *from, const char *to)
{
    char chunk[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, chunk, sizeof chunk)) > 0;) {
        assert_int_equal(write(out, chunk, (size_t)n), n);
    }
    assert_int_equal(close(in) | close(out), 0);
}

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/sallyport-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->file, sizeof place->file, "%s/stripe.so", place->folder);
    (void)snprintf(place->other, sizeof place->other, "%s/other.so", place->folder);
    copy_file(STRIPE_SO, place->file);
    *state = place;
    return 0;
}

static int place_remove(void **state)
{
    struct place *place = *state;
    (void)unlink(place->file);
    (void)unlink(place->other);
    (void)rmdir(place->folder);
    free(place);
    return 0;
}

static void T47_file_writable_by_others_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules(); /* --dev-plugins skips the pin, not this */
    static const mode_t modes[] = {0620, 0602, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(place->file, modes[i]), 0);
        assert_load_refused(place->file, &rules, SP_EDENIED, "chmod go-w");
    }
    assert_int_equal(chmod(place->file, 0644), 0);
    struct sp_provider *provider = load_fine(place->file);
    provider->ops->free(provider);
}

static void T47_folder_writable_by_others_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    static const mode_t modes[] = {0770, 0707, 01777};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(place->folder, modes[i]), 0);
        assert_load_refused(place->file, &rules, SP_EDENIED, "may write its folder");
    }
}

static void T47_file_of_another_user_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    if (geteuid() != 0) {
        skip(); /* only root can give a file away */
    }
    assert_int_equal(chown(place->file, 54321, (gid_t)-1), 0);
    assert_load_refused(place->file, &rules, SP_EDENIED, "belongs to user 54321");
    rules.owner_uid = 54321;
    struct sp_provider *provider = NULL;
    assert_int_equal(sp_plugin_load(place->file, &rules, &provider, NULL), SP_OK);
    provider->ops->free(provider);
}

static void T47_folder_of_another_user_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    if (geteuid() == 0) {
        assert_int_equal(chown(place->folder, 54321, (gid_t)-1), 0);
    } else {
        rules.owner_uid = (uint32_t)geteuid() + 1;
    }
    assert_load_refused(place->file, &rules, SP_EDENIED, "its folder belongs to user");
}

static void T47_symbolic_link_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    assert_int_equal(symlink(place->file, place->other), 0);
    assert_load_refused(place->other, &rules, SP_EDENIED, "symbolic link");
    struct sp_plugin_info info;
    assert_int_equal(sp_plugin_inspect(place->other, &info, NULL), SP_EDENIED);
}

static void T47_what_is_no_regular_file_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    assert_int_equal(mkfifo(place->other, 0600), 0); /* and does not hang the host */
    assert_load_refused(place->other, &rules, SP_EINVAL, "not a regular file");
    assert_load_refused(place->folder, &rules, SP_EDENIED, "others may write its folder");
    rules.owner_uid = 0;
    assert_load_refused("/usr/lib", &rules, SP_EINVAL, "not a regular file");
    assert_load_refused("/tmp/no/such/plugin.so", &rules, SP_ENOENT, "its folder");
    assert_int_equal(unlink(place->other), 0);
    rules = dev_rules();
    assert_load_refused(place->other, &rules, SP_ENOENT, "No such file");
    char *path = calloc(1, 5001);
    assert_non_null(path);
    memset(path, '/', 5000);
    struct sp_error err = {""};
    struct sp_plugin_info info;
    path[4999] = 'x';
    assert_int_equal(sp_plugin_inspect(path, &info, &err), SP_EINVAL);
    assert_says(&err, "too long");
    free(path);
}

static void T47_hash_that_is_not_pinned_is_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_info info, again;
    uint8_t pins[2][32] = {{1}, {2}};
    struct sp_plugin_rules rules = {.owner_uid = (uint32_t)geteuid()};
    struct sp_provider *provider = NULL;
    assert_load_refused(place->file, &rules, SP_EDENIED, "sallyport plugin pin");
    assert_int_equal(sp_plugin_inspect(place->file, &info, NULL), SP_OK);
    assert_int_equal(info.abi_major, 1);
    rules.pins = (const uint8_t(*)[32])pins;
    rules.n_pins = 2;
    memcpy(pins[1], info.hash, 32);
    pins[1][31] ^= 1;
    assert_load_refused(place->file, &rules, SP_EDENIED, "after checking where it came from");
    pins[1][31] ^= 1;
    assert_int_equal(sp_plugin_load(place->file, &rules, &provider, NULL), SP_OK);
    assert_memory_equal(provider->hash, info.hash, 32);
    provider->ops->free(provider);
    /* One byte more at the end changes nothing that runs, and is another file all the same. */
    int fd = open(place->file, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_load_refused(place->file, &rules, SP_EDENIED, "not pinned");
    assert_int_equal(sp_plugin_inspect(place->file, &again, NULL), SP_OK);
    assert_memory_not_equal(info.hash, again.hash, 32);
}

static void T47_hash_is_sha256(void **state)
{
    struct place *place = *state;
    struct sp_plugin_info info;
    char line[65] = "", hex[65];
    assert_int_equal(sp_plugin_inspect(place->file, &info, NULL), SP_OK);
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", info.hash[i]);
    }
    /* Another implementation's opinion: coreutils. */
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execl("/usr/bin/sha256sum", "sha256sum", place->file, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(close(out[1]), 0);
    assert_int_equal(read(out[0], line, 64), 64);
    assert_int_equal(close(out[0]), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(line, hex);
}

static void T47_file_that_changes_after_loading_changes_nothing(void **state)
{
    struct place *place = *state;
    struct sp_text secret = SP_TEXT("api_key");
    struct sp_key_view key = {.id = SP_TEXT("k"), .secrets = &secret, .n_secrets = 1};
    struct sp_provider *provider = load_fine(place->file);
    assert_int_equal(truncate(place->file, 0), 0); /* would be SIGBUS in a mapped file */
    struct answer answer = ask_plan(provider, &key);
    assert_int_equal(answer.status, SP_OK);
    sp_plan_done(&answer.plan);
    provider->ops->free(provider);
}

static void T47_empty_and_cut_files_are_refused(void **state)
{
    struct place *place = *state;
    struct sp_plugin_rules rules = dev_rules();
    static const off_t lengths[] = {16384, 4096, 200, 64, 63, 4, 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(place->file, lengths[i]), 0);
        assert_load_refused(place->file, &rules, SP_EINVAL, "plugin");
    }
    assert_int_equal(truncate(place->file, 0), 0);
    assert_load_refused(place->file, &rules, SP_EINVAL, "the file is empty");
}

/* ---- one after the other ---------------------------------------------------------------- */

/* A descriptor number that is used again has given back the library loaded before. */
static void plugins_loaded_after_refused_ones_are_themselves(void **state)
{
    (void)state;
    struct sp_plugin_rules rules = dev_rules();
    struct sp_provider *stripe = load_fine(STRIPE_SO);
    assert_load_refused(BAD_DIR "/bad_needed.so", &rules, SP_EDENIED, "libstranger");
    struct sp_provider *github = load_fine(GITHUB_SO);
    assert_load_refused(BAD_DIR "/bad_unresolved.so", &rules, SP_EINVAL, "cannot be loaded");
    struct sp_provider *rest = load_fine(REST_SO);
    struct sp_provider *again = load_fine(STRIPE_SO);
    assert_true(sp_text_is(stripe->manifest->id, "stripe"));
    assert_true(sp_text_is(github->manifest->id, "github"));
    assert_true(sp_text_is(rest->manifest->id, "rest"));
    assert_true(sp_text_is(again->manifest->id, "stripe"));
    stripe->ops->free(stripe);
    github->ops->free(github);
    rest->ops->free(rest);
    again->ops->free(again);
}

static void inspecting_runs_no_code_and_tells_the_version(void **state)
{
    (void)state;
    struct sp_plugin_info info = {.abi_major = 99};
    struct sp_error err = {""};
    assert_int_equal(sp_plugin_inspect(TEMPLATE_SO, &info, &err), SP_OK);
    assert_int_equal(info.abi_major, 1);
    assert_int_equal(info.abi_minor, 0);
    info.abi_major = 99;
    assert_int_equal(sp_plugin_inspect(BAD_DIR "/bad_major.so", &info, &err), SP_EUNSUPPORTED);
    assert_int_equal(info.abi_major, 99);
    /* It has no entry point, which only running the linker would find. */
    assert_int_equal(sp_plugin_inspect(BAD_DIR "/bad_no_symbol.so", &info, &err), SP_OK);
}

/* ---- T49: bad habits -------------------------------------------------------------------- */

static void T49_reason_is_made_fit_to_be_shown(void **state)
{
    (void)state;
    struct sp_plugin_rules rules = dev_rules();
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    assert_int_equal(sp_plugin_load(BAD_DIR "/bad_reason.so", &rules, &provider, &err),
                     SP_EUNSUPPORTED);
    assert_says(&err, "no luck??2026-01-01 info all.well?[2J");
    for (const char *at = err.text; *at; at++) {
        assert_true((unsigned char)*at >= ' ' && (unsigned char)*at < 0x7f);
    }
}

struct heard {
    unsigned lines, level;
    char text[600];
};

static void hear(void *user, struct sp_text provider, unsigned level, struct sp_text text)
{
    struct heard *heard = user;
    (void)provider;
    heard->lines++;
    heard->level = level;
    (void)snprintf(heard->text, sizeof heard->text, "%.*s", (int)text.len, text.ptr);
}

static void what_a_plugin_logs_is_heard(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct sp_plugin_rules rules = dev_rules();
    struct sp_provider *provider = NULL;
    rules.log = hear;
    rules.log_user = &heard;
    assert_int_equal(sp_plugin_load(BAD_DIR "/bad_null_table.so", &rules, &provider, NULL),
                     SP_EUNSUPPORTED);
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.level, 3);
    assert_string_equal(heard.text, "this host is not for me");
}

static struct answer habit(const char *name, bool plan)
{
    struct sp_text secret = SP_TEXT("api_key");
    struct sp_setting setting = {SP_TEXT("case"), sp_text_of(name)};
    struct sp_key_view key = {.id = SP_TEXT("k"),
                              .settings = &setting,
                              .n_settings = 1,
                              .secrets = &secret,
                              .n_secrets = 1};
    struct sp_provider *provider = load_fine(BAD_DIR "/bad_habits.so");
    struct answer answer = plan ? ask_plan(provider, &key) : ask_check(provider, &key);
    provider->ops->free(provider);
    return answer;
}

static void assert_habit_refused(const char *name, bool plan, const char *words)
{
    struct answer answer = habit(name, plan);
    assert_int_not_equal(answer.status, SP_OK);
    assert_says(&answer.err, words);
}

static void assert_habit_harmless(const char *name)
{
    struct answer answer = habit(name, true);
    assert_int_equal(answer.status, SP_OK);
    assert_int_equal(answer.plan.n_placements, 1);
    assert_true(sp_text_is(answer.plan.placements[0].name, "x-api-key"));
    sp_plan_done(&answer.plan);
}

static void T49_push_from_another_thread_is_refused(void **state)
{
    (void)state;
    assert_habit_harmless("thread");
}

static void T49_push_with_a_stale_call_is_refused(void **state)
{
    (void)state;
    assert_habit_harmless("stale-call");
}

static void T49_push_in_the_wrong_hook_fails_the_call(void **state)
{
    (void)state;
    assert_habit_refused("push-in-open", true, "called push_placement in its open hook");
}

static void T49_push_after_failure_is_refused(void **state)
{
    (void)state;
    assert_habit_refused("push-after-failure", true, "the first reason");
    assert_habit_refused("open-refuses", true, "open says no");
}

static void T49_failure_without_a_reason_is_named(void **state)
{
    (void)state;
    assert_habit_refused("unexplained", true, "-12345");
    assert_habit_refused("positive", true, "plan hook failed with 1");
}

static void T49_plan_or_check_that_says_nothing_is_refused(void **state)
{
    (void)state;
    assert_habit_refused("nothing", true, "puts no secret anywhere");
    assert_habit_refused("no-host", false, "named no host");
}

static void T49_host_outside_manifest_and_settings_is_refused(void **state)
{
    (void)state;
    assert_habit_refused("other-host", false, "evil.example.net");
    assert_int_equal(habit("", false).status, SP_OK);
}

static void every_instance_that_was_opened_is_closed(void **state)
{
    (void)state;
    struct sp_text secret = SP_TEXT("api_key");
    struct sp_setting setting = {SP_TEXT("case"), SP_TEXT("push-in-open")};
    struct sp_key_view key = {.id = SP_TEXT("k"),
                              .settings = &setting,
                              .n_settings = 1,
                              .secrets = &secret,
                              .n_secrets = 1};
    struct sp_provider *provider = load_fine(BAD_DIR "/bad_habits.so");
    static const char *const cases[] = {"push-in-open", "open-refuses", "unexplained",
                                        "nothing", "positive"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setting.value = sp_text_of(cases[i]);
        assert_int_not_equal(ask_plan(provider, &key).status, SP_OK);
    }
    setting.value = SP_TEXT("count");
    struct answer answer = ask_plan(provider, &key);
    assert_int_equal(answer.status, SP_OK);
    sp_plan_done(&answer.plan);
    provider->ops->free(provider);
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: later ones may bring the real libgcc_s into the process. */
        cmocka_unit_test(T46_symbol_from_a_dependency_is_refused),
        cmocka_unit_test(T46_symbol_of_another_library_is_told_apart),
        cmocka_unit_test(a_copy_that_the_kernel_holds_is_sealed_when_it_lets_go),
        cmocka_unit_test(T46_wrong_major_is_refused),
        cmocka_unit_test(T46_library_without_a_note_is_refused),
        cmocka_unit_test(T46_two_notes_are_refused),
        cmocka_unit_test(T46_short_table_is_refused),
        cmocka_unit_test(T46_missing_function_is_refused),
        cmocka_unit_test(T46_short_or_empty_table_of_an_extension_is_refused),
        cmocka_unit_test(T46_missing_symbol_is_refused),
        cmocka_unit_test(T46_unresolved_symbol_is_refused),
        cmocka_unit_test(T46_refusal_by_the_plugin_is_told),
        cmocka_unit_test(T46_plugin_without_a_manifest_is_refused),
        cmocka_unit_test(T46_two_actions_of_one_name_are_refused),
        cmocka_unit_test(T46_newer_plugin_with_longer_structures_is_loaded),
        cmocka_unit_test(T46_what_looks_for_other_libraries_is_refused),
        cmocka_unit_test(T46_library_outside_the_allow_list_is_refused),
        cmocka_unit_test(T46_executable_stack_is_refused),
        cmocka_unit_test(T46_program_and_text_are_refused),
        PLACED(T47_file_writable_by_others_is_refused),
        PLACED(T47_folder_writable_by_others_is_refused),
        PLACED(T47_file_of_another_user_is_refused),
        PLACED(T47_folder_of_another_user_is_refused),
        PLACED(T47_symbolic_link_is_refused),
        PLACED(T47_what_is_no_regular_file_is_refused),
        PLACED(T47_hash_that_is_not_pinned_is_refused),
        PLACED(T47_hash_is_sha256),
        PLACED(T47_file_that_changes_after_loading_changes_nothing),
        PLACED(T47_empty_and_cut_files_are_refused),
        cmocka_unit_test(plugins_loaded_after_refused_ones_are_themselves),
        cmocka_unit_test(inspecting_runs_no_code_and_tells_the_version),
        cmocka_unit_test(T49_reason_is_made_fit_to_be_shown),
        cmocka_unit_test(what_a_plugin_logs_is_heard),
        cmocka_unit_test(T49_push_from_another_thread_is_refused),
        cmocka_unit_test(T49_push_with_a_stale_call_is_refused),
        cmocka_unit_test(T49_push_in_the_wrong_hook_fails_the_call),
        cmocka_unit_test(T49_push_after_failure_is_refused),
        cmocka_unit_test(T49_failure_without_a_reason_is_named),
        cmocka_unit_test(T49_plan_or_check_that_says_nothing_is_refused),
        cmocka_unit_test(T49_host_outside_manifest_and_settings_is_refused),
        cmocka_unit_test(every_instance_that_was_opened_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
