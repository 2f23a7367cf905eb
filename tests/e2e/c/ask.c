/* A program of somebody who has the installed library alone: asks what its arguments say, and
 * prints what came of it, `name value` lines for the test. */
#include <sallyport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const struct sallyport_error *err)
{
    printf("status %d\ncause %u\ncode %s\nrule %s\nretryable %u\nwait %u\nid %s\ntext %s\n",
           (int)err->status, (unsigned)err->cause, err->code, err->rule,
           (unsigned)err->retryable, (unsigned)err->retry_after_ms, err->request_id, err->text);
    return 1;
}

static void print_texts(struct sallyport_reply *reply)
{
    static const char *const names[] = {"token",  "root", "scope",  "version",  "state",
                                        "reason", "code", "caveat", "principal"};
    static const char *const flags[] = {"ready", "allowed", "replayed"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = sallyport_reply_text(reply, names[i]);
        if (text) {
            printf("%s %s\n", names[i], text);
        }
    }
    for (i = 0; i < sizeof flags / sizeof *flags; i++) {
        printf("%s %d\n", flags[i], sallyport_reply_flag(reply, flags[i]));
    }
    printf("expires_in_ms %ld\n", (long)sallyport_reply_number(reply, "expires_in_ms", -1));
}

static void print_answer(struct sallyport_reply *reply)
{
    const char *name, *value;
    size_t n, i;
    const char *body = sallyport_reply_body(reply, &n);
    printf("http %d\n", sallyport_reply_status(reply));
    for (i = 0; (value = sallyport_reply_header_at(reply, i, &name)); i++) {
        printf("header-%s %s\n", name, value);
    }
    printf("type %s\n", sallyport_reply_header(reply, "Content-Type"));
    printf("body %.*s\n", (int)n, body);
}

/* The body to standard output, each piece as it comes. */
static int copy_out(struct sallyport_stream *stream, struct sallyport_error *err)
{
    const void *data;
    size_t n = 1;
    while (n > 0) {
        int status = sallyport_stream_read(stream, &data, &n, err);
        if (status) {
            return status;
        }
        fwrite(data, 1, n, stdout);
        fflush(stdout);
    }
    return sallyport_stream_read(stream, &data, &n, err) || n; /* the end stays the end */
}

static void say_trailers(struct sallyport_stream *stream, const char *when)
{
    const char *name = NULL, *value;
    size_t n = 0;
    while ((value = sallyport_stream_trailer_at(stream, n, &name))) {
        fprintf(stderr, "trailer %s %s\n", name, value);
        n++;
    }
    fprintf(stderr, "trailers %s %lu\n", when, (unsigned long)n);
    if (n > 0) {
        fprintf(stderr, "checksum %s none %d\n", sallyport_stream_trailer(stream, "X-Checksum"),
                !sallyport_stream_trailer(stream, "x-none"));
    }
}

/* argv: DIR KEY-FILE TIMEOUT-MS ENDPOINT|- HOST-KEY|- OPERATION ARGUMENTS… */
int main(int argc, char **argv)
{
    struct sallyport_settings settings = SALLYPORT_SETTINGS_INIT;
    struct sallyport_want issue = SALLYPORT_WANT_INIT;
    struct sallyport_call call = SALLYPORT_CALL_INIT;
    struct sallyport_client *client = NULL;
    struct sallyport_reply *reply = NULL;
    struct sallyport_error err;
    struct sallyport_pair header = {"X-Other", "1"};
    const char *op = argc > 6 ? argv[6] : "";
    int status = 0;
    if (argc < 7) {
        return 2;
    }
    settings.dir = argv[1];
    settings.key_file = strcmp(argv[2], "-") != 0 ? argv[2] : NULL;
    settings.timeout_ms = (uint32_t)strtoul(argv[3], NULL, 10);
    settings.connect_timeout_ms = settings.timeout_ms < 5000 ? settings.timeout_ms : 5000;
    settings.endpoint = strcmp(argv[4], "-") != 0 ? argv[4] : NULL;
    settings.host_key = strcmp(argv[5], "-") != 0 ? argv[5] : NULL;
    if (sallyport_open(&settings, &client, &err)) {
        return failed(&err);
    }
    if (strcmp(op, "status") == 0) {
        status = sallyport_status(client, &reply, &err);
    } else if (strcmp(op, "issue") == 0 && argc > 7) {
        issue.scope = argv[7];
        issue.ttl = argc > 8 ? argv[8] : NULL;
        status = sallyport_issue(client, &issue, &reply, &err);
    } else if (strcmp(op, "inspect") == 0 && argc > 7) {
        status = sallyport_inspect(client, argv[7], &reply, &err);
    } else if (strcmp(op, "revoke") == 0 && argc > 7) {
        status = strncmp(argv[7], "spt_", 4) == 0
                     ? sallyport_revoke(client, argv[7], NULL, &reply, &err)
                     : sallyport_revoke(client, NULL, argv[7], &reply, &err);
    } else if (strcmp(op, "narrow") == 0 && argc > 8) {
        static char token[SALLYPORT_TOKEN_BYTES];
        status = sallyport_narrow(argv[7], argv[8], token, sizeof token, &err);
        if (!status) {
            printf("token %s\n", token);
        }
    } else if (argc > 9) { /* proxy or check: TOKEN METHOD URL [BODY [ID]] */
        call.token = argv[7];
        call.method = argv[8];
        call.url = argv[9];
        call.body = argc > 10 && *argv[10] ? argv[10] : NULL;
        call.body_bytes = call.body ? strlen(argv[10]) : 0;
        call.id = argc > 11 ? argv[11] : NULL;
        call.headers = &header;
        call.n_headers = 1;
        if (strcmp(op, "stream") == 0) {
            struct sallyport_stream *stream = NULL;
            status = sallyport_stream_open(client, &call, &stream, &err);
            if (!status) {
                fprintf(stderr, "%d\n", sallyport_reply_status(sallyport_stream_head(stream)));
                say_trailers(stream, "before");
                status = copy_out(stream, &err);
                say_trailers(stream, "after");
            }
            sallyport_stream_close(stream);
            sallyport_close(client);
            return status ? failed(&err) : 0;
        }
        status = strcmp(op, "check") == 0 ? sallyport_check(client, &call, &reply, &err)
                                          : sallyport_proxy(client, &call, &reply, &err);
        if (!status && strcmp(op, "proxy") == 0) {
            print_answer(reply);
        }
    }
    if (reply) {
        print_texts(reply);
    }
    sallyport_close(client);
    sallyport_reply_free(reply); /* lives on */
    return status ? failed(&err) : 0;
}
