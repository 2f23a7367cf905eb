/* An engine on a store in a folder of its own, driven step by step: each step waits for its
 * callback, which has to come exactly once. One world: key k for api.example, a desk that
 * issues, an agent that calls. Steps may fail; what came of the last one is in the kit. */
#ifndef ENGINE_KIT_H
#define ENGINE_KIT_H

#include "engine.h"
#include "lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* after those three */
#include <cmocka.h>

#define KIT_DESK "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KIT_AGENT "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KIT_ADMIN "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
#define KIT_URL "https://api.example/things/1"
#define KIT_PAY_URL "https://api.example/pay"

struct engine_kit {
    char folder[64];
    _Atomic int64_t wall, boot; /* the commit thread asks, too */
    struct sp_engine_config config;
    struct sp_engine *engine; /* NULL: not open */
    unsigned n_called;        /* callbacks since the step began */
    sp_status status;         /* of a plain step */
    char why[512];
    struct sp_decision decision;
    char token[4096]; /* the last that was issued */
    uint8_t root[SP_TOKEN_ID_BYTES];
    struct sp_ticket *ticket;
    bool has_answer;
    struct sp_lease *lease;
};

/* A store is made; the engine is not open yet. */
void kit_make(struct engine_kit *kit);
void kit_remove(struct engine_kit *kit);

/* Open and unsealed, or closed again; the policy is in force. */
sp_status kit_open(struct engine_kit *kit);
void kit_close(struct engine_kit *kit);
sp_status kit_set_policy(struct engine_kit *kit);

void kit_await(struct engine_kit *kit, unsigned n);
void kit_done(void *user, sp_status status, const struct sp_error *err);

/* A secret of the engine's pool. */
sp_status kit_secret(struct engine_kit *kit, const char *text, struct sp_secret *ret_secret);
/* add, rotate, set or refresh: key `id` with this secret. */
enum kit_key_step { KIT_ADD, KIT_ROTATE, KIT_SET, KIT_REFRESH };
void kit_key(struct engine_kit *kit, enum kit_key_step step, const char *id,
             const char *secret);

enum sp_code kit_issue(struct engine_kit *kit, const struct sp_issue *issue);
enum sp_code kit_issue_open(struct engine_kit *kit);

/* One request, ready to be judged. */
struct kit_call {
    struct sp_arena arena;
    struct sp_request request;
    struct sp_call call;
};
struct kit_call *kit_call_new(struct engine_kit *kit, const char *method, const char *url,
                              const char *body, const char *id);
void kit_call_free(struct kit_call *call);
/* Begun; finished too where it was admitted. */
enum sp_code kit_begin(struct engine_kit *kit, struct kit_call *call);
void kit_finish(struct engine_kit *kit, const struct sp_outcome *outcome);
enum sp_code kit_proxy(struct engine_kit *kit, const char *method, const char *url,
                       const char *body, const char *id, bool held_key);

#endif
