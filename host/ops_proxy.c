/* The forward proxy's own: which tunnels there are, and the authority that certifies them. What
 * comes out of a tunnel is a request like any other (ops_http.c). */
#include "host.h"

#include "http_answer.h"
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 1200 };

/* ---- the authority --------------------------------------------------------------------------
 */

static bool is_wanted(const struct sp_host *host)
{
    for (size_t i = 0; i < host->config.n_http; i++) {
        if (host->config.http[i].forward) {
            return true;
        }
    }
    return false;
}

static void say_failed(struct sp_host *host, const char *why)
{
    SP_LOG(&host->log, SP_LOG_ERROR, "proxy.authority", {"reason", sp_text_of(why)},
           {"effect", SP_TEXT("the forward proxy refuses CONNECT")});
}

/* A new file in the place of an old one: whoever reads it sees one or the other. */
static bool write_certificate(const struct sp_host *host, struct sp_text pem)
{
    char path[PATH_ROOM], fresh[PATH_ROOM + 8];
    (void)snprintf(path, sizeof path, "%s/ca.pem", host->config.state_dir);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool good = fd >= 0 && write(fd, pem.ptr, pem.len) == (ssize_t)pem.len;
    if (fd >= 0) {
        good = close(fd) == 0 && good;
    }
    return good && rename(fresh, path) == 0 && sp_sync_parent(path);
}

static void open_authority(struct sp_host *host)
{
    struct sp_error err = {""};
    if (sp_ca_open(sp_engine_authority(host->engine), &host->ca, &err)) {
        say_failed(host, err.text);
    } else if (!write_certificate(host, sp_ca_certificate(host->ca))) {
        say_failed(host, strerror(errno));
    }
}

static void on_put(void *user, sp_status status, const struct sp_error *err)
{
    struct sp_host *host = user;
    if (status) {
        say_failed(host, err ? err->text : sp_status_name(status));
    } else if (sp_engine_authority(host->engine).ptr) {
        open_authority(host);
        SP_LOG(&host->log, SP_LOG_INFO, "proxy.authority_made",
               {"hint",
                SP_TEXT("clients of the forward proxy trust ca.pem in the host's folder")});
    }
}

void sp_ops_proxy_announce(struct sp_host *host)
{
    struct sp_error err = {""};
    struct sp_secret pem;
    sp_ca_free(host->ca);
    host->ca = NULL;
    if (!is_wanted(host) || sp_engine_state(host->engine) != SP_ENGINE_READY) {
        return;
    }
    if (sp_engine_authority(host->engine).ptr) {
        open_authority(host);
    } else if (sp_ca_make(sp_engine_pool(host->engine), &pem, &err)) {
        say_failed(host, err.text);
    } else {
        sp_engine_authority_put(host->engine, &pem, on_put, host);
    }
}

/* ---- tunnels --------------------------------------------------------------------------------
 */

struct looking {
    struct sp_text host;
    bool found;
};

static void look(void *user, const struct sp_key *key)
{
    struct looking *looking = user;
    looking->found = looking->found || sp_key_covers(key, looking->host);
}

static struct sp_tls_context *refuse(struct sp_host *host, struct sp_http_exchange *exchange,
                                     enum sp_code code, const char *reason, const char *hint)
{
    struct sp_decision decision = {.code = code};
    (void)snprintf(decision.reason, sizeof decision.reason, "%s", reason);
    (void)snprintf(decision.hint, sizeof decision.hint, "%s", hint);
    sp_ops_note_refusal(host, exchange, &decision);
    sp_buf_reset(&exchange->reply);
    sp_http_put_refusal(&exchange->reply, (struct sp_http_form){.close = true}, &decision);
    return NULL;
}

struct sp_tls_context *sp_ops_proxy_connect(void *user, struct sp_http_exchange *exchange,
                                            char ret_host[SP_HTTP_HOST_BYTES])
{
    static const char https[] = ":443";
    struct sp_host *host = user;
    struct sp_text target = exchange->request->target, name = target;
    struct looking looking = {SP_TEXT(""), false};
    struct sp_tls_context *context = NULL;
    struct sp_error err = {""};
    size_t port = sizeof https - 1;
    if (host->draining) {
        return refuse(host, exchange, SP_CODE_SHUTTING_DOWN, "the host is shutting down", "");
    }
    if (target.len <= port || memcmp(target.ptr + target.len - port, https, port) != 0) {
        return refuse(host, exchange, SP_CODE_KEY_NOT_IN_SCOPE,
                      "keys are used over https on port 443 alone", "");
    }
    name.len -= port;
    if (sp_host_parse(&exchange->arena, name, &looking.host, &err)) {
        return refuse(host, exchange, SP_CODE_BAD_REQUEST, err.text, "");
    }
    sp_engine_each_key(host->engine, look, &looking);
    if (!looking.found) {
        return refuse(host, exchange, SP_CODE_KEY_NOT_IN_SCOPE,
                      "no registered key is for this host, and nothing else is tunnelled",
                      "reach it without the proxy (NO_PROXY)");
    }
    if (!host->ca) {
        return refuse(host, exchange, SP_CODE_SEALED, "the host is sealed",
                      "an operator has to unseal it");
    }
    if (looking.host.len >= SP_HTTP_HOST_BYTES ||
        sp_ca_context(host->ca, looking.host, &context, &err)) {
        return refuse(host, exchange, SP_CODE_INTERNAL, err.text, "");
    }
    (void)snprintf(ret_host, SP_HTTP_HOST_BYTES, "%.*s", (int)looking.host.len,
                   looking.host.ptr);
    return context;
}
