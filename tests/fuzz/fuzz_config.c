/* Any bytes as sallyport.conf: a configuration whose texts end and whose numbers are set, or an
 * error that says what is wrong. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/dev/shm/sp-fuzz-config-XXXXXX"; /* no disk: ten times the runs */
static int fd = -1;

static void leave(void)
{
    (void)unlink(path);
}

#define ENDS(text) (strnlen(text, sizeof(text)) < sizeof(text))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sp_config config;
    struct sp_error err = {""};
    if (fd < 0) {
        fd = mkstemp(path);
        (void)atexit(leave);
    }
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size) {
        abort();
    }
    memset(&config, 0xff, sizeof config);
    if (sp_config_read(path, &config, &err)) {
        if (!*err.text || !ENDS(err.text)) {
            abort();
        }
        return 0;
    }
    if (!ENDS(config.client_endpoint) || !ENDS(config.admin_endpoint) ||
        !ENDS(config.policy_dir) || !ENDS(config.ca_file) || !*config.admin_endpoint ||
        config.n_http > SP_CONFIG_HTTP_MAX || *err.text) {
        abort();
    }
    for (size_t i = 0; i < config.n_http; i++) {
        const struct sp_config_http *http = &config.http[i];
        if (!ENDS(http->name) || !ENDS(http->listen) || !*http->listen ||
            !ENDS(http->provider) || !ENDS(http->tls_cert) || !ENDS(http->tls_key)) {
            abort();
        }
    }
    return 0;
}
