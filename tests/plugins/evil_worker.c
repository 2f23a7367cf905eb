/* A worker that was taken over: it speaks the protocol's frames and breaks everything behind
 * them. The name of the plugin's file says how. Descriptor 3 is the host. */
#include "frames.h"

#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

static const char *mode;
static struct sp_buf out;

static bool is(const char *name)
{
    return strstr(mode, name) != NULL;
}

static void say(void)
{
    for (size_t at = 0; at < out.len;) {
        ssize_t put = write(WORKER_SOCKET, out.ptr + at, out.len - at);
        if (put <= 0) {
            _exit(1);
        }
        at += (size_t)put;
    }
}

static void say_manifest(void)
{
    static const struct sp_text host = {"api.example.com", 15};
    static const struct sp_field field = {
        .name = {"api_key", 7}, .type = SP_FIELD_SECRET, .min_bytes = 1, .max_bytes = 99};
    static const struct sp_manifest manifest = {.id = {"evil", 4},
                                                .version = {"1", 1},
                                                .hosts = &host,
                                                .n_hosts = 1,
                                                .fields = &field,
                                                .n_fields = 1};
    worker_put_manifest(&out, &manifest);
    say();
}

static void load(void)
{
    if (is("load-hangs")) {
        for (;;) {
            (void)pause();
        }
    } else if (is("load-chatters")) {
        for (int i = 0; i < 2 * WORKER_LOGS_MAX; i++) {
            worker_put_log(&out, 1, SP_TEXT("x"));
            say();
        }
    } else if (is("load-nonsense")) {
        worker_frame_begin(&out);
        sp_wire_put_nil(&out);
        worker_frame_end(&out);
        say();
    } else if (is("load-floods")) {
        static const char length[] = "\xff\xff\xff\x7f";
        sp_buf_reset(&out);
        sp_buf_add(&out, length, 4);
        say();
    } else if (is("load-lies")) {
        worker_put_failure(&out, INT16_MIN, SP_TEXT("a status that there is none of"));
        say();
    }
    say_manifest();
    if (is("unasked")) { /* an answer to no question */
        worker_put_hosts(&out, NULL, 0);
        say();
    }
}

static void answer(void)
{
    static const struct sp_text host = {"api.example.com", 15};
    static const struct sp_plan nothing = {.placements = NULL};
    if (is("form")) {
        worker_frame_begin(&out);
        sp_wire_put_map(&out, 2);
        sp_wire_pair_int(&out, "status", 0);
        sp_wire_pair_str(&out, "hosts", SP_TEXT("no list"));
        worker_frame_end(&out);
    } else if (is("no-hosts") || is("unasked")) {
        worker_put_hosts(&out, NULL, 0);
    } else if (is("no-plan")) {
        worker_put_plan(&out, &nothing);
    } else if (is("other-host")) {
        static const struct sp_text other = {"evil.example.net", 16};
        worker_put_hosts(&out, &other, 1);
    } else if (is("no-memory")) {
        worker_put_failure(&out, SP_ENOMEM, SP_TEXT("out of memory"));
    } else {
        worker_put_hosts(&out, &host, 1);
    }
    say();
}

int main(int argc, char **argv)
{
    static char in[BUFFER_BYTES];
    mode = argc == 2 ? argv[1] : "";
    sp_buf_init(&out, BUFFER_BYTES);
    bool loaded = false;
    while (read(WORKER_SOCKET, in, sizeof in) >
           0) { /* questions come one at a time, and whole */
        if (loaded) {
            answer();
        } else {
            load();
        }
        loaded = true;
    }
    return 0;
}
