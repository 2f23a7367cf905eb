/* What the tests of egress share: a loop with an egress on it, keys, plans, and calls that go
 * the whole way from the raw request to the reply. */
#ifndef TEST_EGRESS_KIT_H
#define TEST_EGRESS_KIT_H

#include "egress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>

#include "loopback.h"

#define KIT_SECRET "sk_test_4eC39HqLyjWDarjtT1zdp7dc"

struct kit {
    uv_loop_t loop;
    struct sp_egress_config config;
    struct sp_egress *egress;
    struct sp_arena arena; /* of the calls */
};

void kit_open(struct kit *kit);
/* The same with limits of the test's own: change kit->config between the two. */
void kit_config(struct kit *kit);
void kit_start(struct kit *kit);
void kit_close(struct kit *kit);

struct kit_key {
    struct sp_key key;
    struct sp_text hosts[1];
    struct sp_key_secret secrets[4];
    struct sp_key_setting settings[4];
    char upstream[128];
};
/* A key for api.example.com; upstream: scheme and port of a loopback server, or NULL. */
void kit_key(struct kit_key *key, const char *id, const char *secret, const char *scheme,
             uint16_t port);
void kit_key_set(struct kit_key *key, const char *name, const char *value);
void kit_key_secret(struct kit_key *key, const char *name, const char *value);
void kit_key_done(struct kit_key *key);

/* "Authorization: Bearer {api_key}" */
extern const struct sp_plan kit_bearer;

struct kit_reply {
    unsigned n_done;
    enum sp_code code;
    char reason[256];
    bool sent;
    int http_status;
    char *headers, *trailers; /* "name: value\n" each */
    char *body;
    size_t body_len;
    struct kit *kit;
};
void kit_reply_done(struct kit_reply *reply);
/* The sp_egress_done whose user is a zeroed kit_reply. */
void kit_on_reply(void *user, const struct sp_reply *reply);

struct kit_call {
    const char *method, *url;
    const char *headers[8][2]; /* up to the first NULL */
    const char *body;
    const struct sp_plan *plan; /* NULL: kit_bearer */
    struct sp_manifest *manifest;
};
/* Canonicalise, filter, send. */
sp_status kit_send(struct kit *kit, const struct kit_key *key, const struct kit_call *call,
                   struct kit_reply *reply, uint64_t *ret_id, struct sp_error *err);
/* Run the loop until n calls of reply are done, or fail after 30 s. */
void kit_wait(struct kit *kit, struct kit_reply *reply);
/* Both; the call must be accepted. */
void kit_do(struct kit *kit, const struct kit_key *key, const struct kit_call *call,
            struct kit_reply *reply);
/* GET url with kit_bearer. */
void kit_get(struct kit *kit, const struct kit_key *key, const char *url,
             struct kit_reply *reply);

void kit_run_ms(struct kit *kit, uint64_t ms);

#endif
