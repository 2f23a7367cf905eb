/* May this call be made? Token, life, binding, principal, key, scope, caveats, rates: in this
 * order, so that nobody learns about a scope whose token he cannot prove. */
#include "inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- scopes
 * ---------------------------------------------------------------------------------- */

static enum sp_code code_of(const struct sp_match *matched)
{
    return matched->reason == SP_VERDICT_DENY_RULE ? SP_CODE_DENIED : SP_CODE_NOT_ALLOWED;
}

/* The scope of a grant is compiled at its first call: of many tokens few may be in use, each
 * with arguments of its own. Without memory for that the interpreter judges. */
static const struct sp_matcher *matcher_of(struct frozen *frozen)
{
    if (!frozen->matcher) {
        (void)sp_matcher_new(frozen->scope, &frozen->matcher);
    }
    return frozen->matcher;
}

/* What the caller's own caveats say: they are small, and may be others at each call, so they
 * are not worth compiling. */
static void interpret(struct sp_engine *engine, struct sp_call *call,
                      const struct sp_scope *scope, struct sp_match *ret_match)
{
    struct sp_verdict verdict;
    if (call->request->body_kind == SP_BODY_UNREAD &&
        sp_scope_wants_body(scope, call->request)) {
        engine->config.judge_body(call->arena, call->request);
    }
    sp_scope_match(scope, call->request, &verdict);
    *ret_match = (struct sp_match){verdict.allowed, verdict.reason, verdict.rule};
}

static void match(struct sp_engine *engine, struct sp_call *call, struct frozen *frozen,
                  struct sp_match *ret_match)
{
    const struct sp_matcher *matcher = matcher_of(frozen);
    if (!matcher) {
        interpret(engine, call, frozen->scope, ret_match);
        return;
    }
    if (call->request->body_kind == SP_BODY_UNREAD &&
        sp_matcher_wants_body(matcher, call->request)) {
        engine->config.judge_body(call->arena, call->request);
    }
    sp_matcher_decide(matcher, call->request, ret_match);
}

/* One of the scopes that all have to allow it: into the decision. */
static bool note_match(const struct sp_call *call, const struct sp_match *matched,
                       const char *which, struct sp_decision *decision)
{
    struct sp_verdict verdict;
    if (matched->rule) {
        copy_name(sp_rule_label(matched->rule), decision->rule, sizeof decision->rule);
    }
    if (!matched->allowed) {
        sp_match_explain(matched, call->request, &verdict);
        decide(decision, code_of(matched), "`sallyport policy explain` shows rule by rule why",
               "%s%s", which, verdict.detail);
    }
    return matched->allowed;
}

/* The end of a caveat's time: not yet, and noted where it is the earliest. */
static bool until_allows(struct sp_engine *engine, const struct sp_scope *caveat,
                         uint64_t *in_out_until_ms, struct sp_decision *decision)
{
    uint64_t until = sp_scope_until_ms(caveat);
    if (until && (uint64_t)engine_wall(engine) >= until) {
        decide(decision, SP_CODE_TOKEN_EXPIRED, "ask for a new one",
               "the token was narrowed to a time that is over");
        return false;
    }
    if (until && (!*in_out_until_ms || until < *in_out_until_ms)) {
        *in_out_until_ms = until;
    }
    return true;
}

/* The holder's own, in order, then the grant's. */
static bool caveats_allow(struct sp_engine *engine, struct sp_call *call,
                          const struct chain *chain, const struct live_token *token,
                          uint64_t *ret_until_ms, struct sp_decision *decision)
{
    static const char which[] = "a caveat of the token: ";
    struct sp_match matched;
    *ret_until_ms = 0;
    for (size_t i = 0; i < chain->n; i++) {
        if (!until_allows(engine, chain->scopes[i], ret_until_ms, decision)) {
            return false;
        }
        interpret(engine, call, chain->scopes[i], &matched);
        if (!note_match(call, &matched, which, decision)) {
            return false;
        }
    }
    if (!token->caveat) {
        return true;
    }
    if (!until_allows(engine, token->caveat->scope, ret_until_ms, decision)) {
        return false;
    }
    match(engine, call, token->caveat, &matched);
    return note_match(call, &matched, which, decision);
}

/* ---- keys
 * ------------------------------------------------------------------------------------ */

static bool names_key(const struct sp_scope *scope, struct sp_text id)
{
    for (size_t i = 0; i < sp_scope_n_keys(scope); i++) {
        if (sp_text_eq(sp_scope_key(scope, i), id)) {
            return true;
        }
    }
    return false;
}

bool judge_insists(const struct sp_scope *scope, const struct key_version *key,
                   struct sp_decision *decision)
{
    struct sp_text name, wanted;
    for (size_t i = 0; sp_scope_insist(scope, i, &name, &wanted); i++) {
        struct sp_text value = SP_TEXT("");
        bool has = key_has_setting(key, name, &value);
        if (!has || !sp_text_eq(value, wanted)) {
            decide(decision, SP_CODE_KEY_NOT_IN_SCOPE,
                   "ask the operator: the key is not, or no longer, of the kind that the scope "
                   "is for",
                   "the scope insists on %.*s = \"%.*s\"; for key %.*s it is %s%.*s%s",
                   (int)name.len, name.ptr, (int)wanted.len, wanted.ptr,
                   (int)key->public.id.len, key->public.id.ptr, has ? "\"" : "not set",
                   (int)value.len, value.ptr, has ? "\"" : "");
            return false;
        }
    }
    return true;
}

bool sp_engine_insists(const struct sp_engine *engine, const struct sp_scope *scope,
                       struct sp_decision *ret_decision)
{
    for (size_t i = 0; i < sp_scope_n_keys(scope); i++) {
        const struct key_version *key = key_find(engine, sp_scope_key(scope, i));
        if (key && !judge_insists(scope, key, ret_decision)) {
            return false;
        }
    }
    return true;
}

/* The one key of the scope that is for this host. */
static struct key_version *choose_key(const struct sp_engine *engine,
                                      const struct sp_call *call,
                                      const struct live_token *token,
                                      struct sp_decision *decision)
{
    const struct sp_scope *scope = token->scope->scope;
    struct key_version *found = NULL;
    bool missing = false;
    for (size_t i = 0; i < sp_scope_n_keys(scope); i++) {
        struct sp_text id = sp_scope_key(scope, i);
        struct key_version *key = key_find(engine, id);
        if ((call->key.len && !sp_text_eq(id, call->key)) ||
            (token->narrow && !names_key(token->narrow->scope, id))) {
            continue;
        }
        missing = missing || !key;
        if (!key || !sp_key_covers(&key->public, call->request->url.host)) {
            continue;
        }
        if (found) {
            decide(decision, SP_CODE_AMBIGUOUS_KEY, "name one: key = \"…\"",
                   "two keys of the scope are for this host");
            return NULL;
        }
        found = key;
    }
    if (!found && missing) {
        decide(decision, SP_CODE_KEY_UNKNOWN, "ask the operator",
               "the scope's key was removed");
    } else if (!found) {
        decide(decision, SP_CODE_KEY_NOT_IN_SCOPE, "",
               call->key.len ? "the scope has no such key for this host"
                             : "no key of the scope is for this host");
    } else {
        copy_name(found->public.id, decision->key, sizeof decision->key);
        if (!judge_insists(scope, found, decision)) {
            return NULL;
        }
    }
    return found;
}

static bool agrees(struct sp_text *first, struct sp_text text)
{
    if (!first->ptr) {
        *first = text;
    }
    return sp_text_eq(*first, text);
}

/* Of the scope's keys that are asked for: their one provider and host. */
static void choose_host(const struct sp_engine *engine, const struct sp_call *call,
                        const struct sp_scope *scope, const struct sp_destination *to,
                        struct sp_decision *decision, struct sp_text *ret_host)
{
    struct sp_text provider = {NULL, 0}, first = {NULL, 0};
    bool one_provider = true, one_host = true, named = false;
    for (size_t i = 0; i < sp_scope_n_keys(scope); i++) {
        const struct key_version *key = key_find(engine, sp_scope_key(scope, i));
        if (!key || key->public.n_hosts == 0 ||
            (to->provider.len && !sp_text_eq(key->public.provider, to->provider)) ||
            (call->key.len && !sp_text_eq(key->public.id, call->key))) {
            continue;
        }
        one_provider = agrees(&provider, key->public.provider) && one_provider;
        one_host = agrees(&first, key->public.hosts[0]) && one_host;
        named = named || sp_key_covers(&key->public, to->named);
    }
    if (!first.ptr) {
        decide(decision, SP_CODE_KEY_NOT_IN_SCOPE, "ask for a token of another scope",
               call->key.len ? "the scope has no such key here"
                             : "the token's scope has no key of this provider");
    } else if (!one_provider) {
        decide(decision, SP_CODE_AMBIGUOUS_KEY, "use a listener of that provider",
               "the token's scope has keys of two providers");
    } else if (!named && !one_host) {
        decide(decision, SP_CODE_AMBIGUOUS_KEY, "name one in the header Sallyport-Key",
               "the token's scope has keys for two hosts");
    } else {
        *ret_host = named ? to->named : first;
    }
}

void sp_engine_route(struct sp_engine *engine, const struct sp_call *call,
                     const struct sp_destination *to, struct sp_decision *ret_decision,
                     struct sp_text *ret_host)
{
    struct sp_token parsed;
    struct live_token *token = NULL;
    *ret_decision = (struct sp_decision){.code = SP_CODE_OK};
    if (!token_prove(engine, call->arena, call->token, true, &parsed, &token, ret_decision)) {
        return;
    }
    if (token->bind[0] && !sp_text_is(call->curve, token->bind)) {
        decide(ret_decision, SP_CODE_TOKEN_BINDING, "use the client key that it was issued for",
               "the token is bound to another client key");
        return;
    }
    choose_host(engine, call, token->scope->scope, to, ret_decision, ret_host);
}

/* ---- rates
 * ----------------------------------------------------------------------------------- */

/* What is counted together: root, where it is one token's. */
static void bucket_of_limit(const char *principal, const char *scope, struct sp_text label,
                            const uint8_t *root, bool is_budget, uint8_t ret_bucket[16])
{
    struct sp_hash hash;
    uint8_t digest[SP_HASH_BYTES];
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, principal, strlen(principal));
    sp_hash_part(&hash, scope, strlen(scope));
    sp_hash_part(&hash, label.ptr, label.len);
    sp_hash_part(&hash, root, root ? SP_TOKEN_ID_BYTES : 0);
    if (is_budget) {
        sp_hash_part(&hash, "budget", 6);
    }
    sp_hash_done(&hash, digest);
    memcpy(ret_bucket, digest, 16);
}

static void add_use(struct judged *judged, struct sp_rate rate, const char *principal,
                    const char *scope, struct sp_text label, const uint8_t *root)
{
    if (rate.count) {
        struct sp_rate_use *use = &judged->uses[judged->n_uses++];
        bucket_of_limit(principal, scope, label, root, false, use->bucket);
        use->rate = rate;
    }
}

/* False where the request does not say what it takes. The checker has made sure that it does
 * wherever the rule applies; under `mode observe` a scope's sum may meet one that does not. */
static bool add_budget(struct judged *judged, const struct sp_budget *budget,
                       const struct sp_call *call, const struct live_token *token,
                       struct sp_text label)
{
    uint64_t amount;
    if (!budget) {
        return true;
    }
    if (sp_budget_takes(budget, call->request, &amount)) {
        return false;
    }
    struct sp_budget_use *use = &judged->budgets[judged->n_budgets++];
    *use = (struct sp_budget_use){
        .limit = budget->limit, .window_ms = budget->window_ms, .amount = amount};
    bucket_of_limit(token->principal, token->scope_name, label,
                    budget->per_token ? token->id : NULL, true, use->bucket);
    return true;
}

bool judge_rates(struct sp_engine *engine, const struct judged *judged, bool take,
                 int64_t now_ms, struct sp_decision *decision)
{
    size_t which = 0;
    if (judged->n_uses == 0) {
        return true;
    }
    sp_status status = sp_rates_admit(engine->rates, judged->uses, judged->n_uses, now_ms, take,
                                      &decision->retry_after_ms, &which);
    if (status == SP_EDENIED) {
        struct sp_rate rate = judged->uses[which].rate;
        decide(decision, SP_CODE_RATE_LIMITED, "wait for retry_after_ms",
               "the rate of %" PRIu32 " in %" PRIu64 " s is used up", rate.count,
               rate.window_ms / 1000);
    } else if (status) {
        decide(decision, SP_CODE_BUSY, "try again in a moment", "too many rates are in use");
    }
    return status == SP_OK;
}

/* "hex:count/window/burst" for each: what a restart needs to know. */
void record_uses(struct sp_buf *buf, const struct judged *judged)
{
    char hex[33];
    if (judged->n_uses == 0) {
        return;
    }
    sp_buf_add_str(buf, ",\"rates\":[");
    for (size_t i = 0; i < judged->n_uses; i++) {
        const struct sp_rate_use *use = &judged->uses[i];
        sp_hex_encode(use->bucket, sizeof use->bucket, hex);
        sp_buf_addf(buf, "%s\"%s:%" PRIu32 "/%" PRIu64 "/%" PRIu32 "\"", i ? "," : "", hex,
                    use->rate.count, use->rate.window_ms, use->rate.burst);
    }
    sp_buf_add_byte(buf, ']');
}

/* "hex:amount" for each. */
void record_budgets(struct sp_buf *buf, const struct judged *judged)
{
    char hex[33];
    if (judged->n_budgets == 0) {
        return;
    }
    sp_buf_add_str(buf, ",\"budgets\":[");
    for (size_t i = 0; i < judged->n_budgets; i++) {
        const struct sp_budget_use *use = &judged->budgets[i];
        sp_hex_encode(use->bucket, sizeof use->bucket, hex);
        sp_buf_addf(buf, "%s\"%s:%" PRIu64 "\"", i ? "," : "", hex, use->amount);
    }
    sp_buf_add_byte(buf, ']');
}

/* ---- replay
 * ---------------------------------------------------------------------------------- */

enum { REPLAY_RECORDS = 200000 };

struct replay {
    struct sp_engine *engine;
    int64_t wall_ms, boot_ms;
};

static bool parse_use(struct sp_text text, struct sp_rate_use *ret_use)
{
    char copy[128];
    unsigned long count, burst;
    unsigned long long window;
    char *end;
    if (text.len >= sizeof copy || text.len < 34 || text.ptr[32] != ':' ||
        sp_hex_decode((struct sp_text){text.ptr, 32}, ret_use->bucket, 16)) {
        return false;
    }
    memcpy(copy, text.ptr + 33, text.len - 33);
    copy[text.len - 33] = '\0';
    count = strtoul(copy, &end, 10);
    window = *end == '/' ? strtoull(end + 1, &end, 10) : 0;
    burst = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    if (*end || count == 0 || count > 1000000 || burst > 1000000 || window == 0 ||
        window > INT64_MAX / 1000) {
        return false;
    }
    ret_use->rate = (struct sp_rate){(uint32_t)count, window, (uint32_t)burst};
    return true;
}

/* "2026-11-23T06:36:49.123Z" at the place where every line has it. */
static bool parse_line_time(struct sp_text line, int64_t *ret_ms)
{
    static const char mark[] = "\",\"time\":\"";
    const char *at = memmem(line.ptr, line.len < 200 ? line.len : 200, mark, sizeof mark - 1);
    struct sp_scope *scope = NULL;
    char caveat[64];
    if (!at || (size_t)(line.ptr + line.len - at) < sizeof mark + 24) {
        return false;
    }
    /* The language's own reader of times does it. */
    int n = snprintf(caveat, sizeof caveat, "until \"%.24s\"", at + sizeof mark - 1);
    if (sp_caveat_parse((struct sp_text){caveat, (size_t)n}, &scope, NULL)) {
        return false;
    }
    *ret_ms = (int64_t)sp_scope_until_ms(scope);
    sp_scope_free(scope);
    return true;
}

/* The token that a record of that type names at its beginning; NULL: another record, or none
 * that lives. */
static struct live_token *recorded_token(const struct replay *replay, struct sp_text line,
                                         const char *mark, size_t mark_len)
{
    uint8_t root[SP_TOKEN_ID_BYTES];
    const char *at = memmem(line.ptr, line.len < 256 ? line.len : 256, mark, mark_len);
    size_t left = at ? (size_t)(line.ptr + line.len - at) : 0;
    bool named = left >= mark_len + 2 * sizeof root &&
                 sp_hex_decode((struct sp_text){at + mark_len, 2 * sizeof root}, root,
                               sizeof root) == SP_OK;
    return named ? token_find(replay->engine, root) : NULL;
}

/* A revocation that was recorded holds, even where somebody took it out of the store. */
static void replay_revocation(struct replay *replay, struct sp_text line)
{
    static const char mark[] = "\"type\":\"revoke\",\"root\":\"";
    struct live_token *token = recorded_token(replay, line, mark, sizeof mark - 1);
    if (token && !token->revoked_ms) {
        token->revoked_ms = replay->wall_ms;
    }
}

/* So does a suspension, until it was lifted. One that the store has is lifted by nothing that
 * stands here: where that record was written and the store was not, nobody was told. */
static void replay_suspension(struct replay *replay, struct sp_text line)
{
    static const char suspend[] = "\"type\":\"suspend\",\"root\":\"";
    static const char resume[] = "\"type\":\"resume\",\"root\":\"";
    bool suspends = true;
    struct live_token *token = recorded_token(replay, line, suspend, sizeof suspend - 1);
    if (!token) {
        suspends = false;
        token = recorded_token(replay, line, resume, sizeof resume - 1);
    }
    if (token && suspends && !token->suspended_ms) {
        token->suspended_by_audit = true;
        if (!parse_line_time(line, &token->suspended_ms)) {
            token->suspended_ms = replay->wall_ms;
        }
    } else if (token && !suspends && token->suspended_by_audit) {
        token->suspended_by_audit = false;
        token->suspended_ms = 0;
    }
}

/* How far the store had got then. What a restore put there later is no older for that. */
static void replay_stored(struct replay *replay, struct sp_text line)
{
    static const char mark[] = "\"type\":\"store\",\"head\":";
    const char *at = memmem(line.ptr, line.len < 256 ? line.len : 256, mark, sizeof mark - 1);
    uint64_t head = 0;
    for (at = at ? at + sizeof mark - 1 : NULL; at && *at >= '0' && *at <= '9'; at++) {
        head = head * 10 + (uint64_t)(*at - '0');
    }
    if (head > replay->engine->stored_seen) {
        replay->engine->stored_seen = head;
    }
}

static sp_status replay_line(void *user, uint64_t seq, struct sp_text line)
{
    static const char mark[] = ",\"rates\":[";
    struct replay *replay = user;
    const char *at = memmem(line.ptr, line.len, mark, sizeof mark - 1);
    int64_t wall_ms;
    (void)seq;
    replay_revocation(replay, line);
    replay_suspension(replay, line);
    replay_stored(replay, line);
    if (!at || !memmem(line.ptr, line.len, "\"type\":\"intent\"", 15) ||
        !parse_line_time(line, &wall_ms)) {
        return SP_OK;
    }
    int64_t age_ms = replay->wall_ms > wall_ms ? replay->wall_ms - wall_ms : 0;
    int64_t then_ms = replay->boot_ms - age_ms;
    const char *end = line.ptr + line.len;
    for (at += sizeof mark - 1; at < end && *at == '"';) {
        const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
        struct sp_rate_use use;
        uint64_t wait;
        size_t which;
        if (!close) {
            break;
        }
        if (parse_use((struct sp_text){at + 1, (size_t)(close - at - 1)}, &use) &&
            age_ms <= (int64_t)use.rate.window_ms) {
            (void)sp_rates_admit(replay->engine->rates, &use, 1, then_ms, true, &wait, &which);
        }
        at = close + 1 + (close + 1 < end && close[1] == ',');
    }
    return SP_OK;
}

sp_status audit_replay(struct sp_engine *engine, struct sp_error *err)
{
    char folder[1200];
    struct sp_head head;
    struct sp_buf path;
    struct replay replay = {engine, engine_wall(engine), engine_boot(engine)};
    sp_buf_init(&path, sizeof folder - 1);
    sp_buf_addf(&path, "%s/audit", engine->config.dir);
    copy_name(sp_buf_text(&path), folder, sizeof folder);
    sp_buf_done(&path);
    sp_audit_head(engine->audit, &head);
    uint64_t from = head.seq > REPLAY_RECORDS ? head.seq - REPLAY_RECORDS : 1;
    return sp_audit_read(folder, from, replay_line, &replay, err);
}

/* ---- the judgement
 * --------------------------------------------------------------------------- */

/* The scope itself; under `mode observe` its refusals are only noted. */
static bool own_scope_allows(struct sp_engine *engine, struct sp_call *call,
                             const struct live_token *token, struct judged *judged,
                             struct sp_decision *decision)
{
    struct sp_match matched;
    const struct sp_scope *scope = token->scope->scope;
    match(engine, call, token->scope, &matched);
    if (!note_match(call, &matched, "", decision)) {
        if (!sp_scope_observes(scope)) {
            return false;
        }
        decision->observed = true;
        decision->code = SP_CODE_OK;
    }
    add_use(judged, sp_scope_rate(scope), token->principal, token->scope_name, SP_TEXT(""),
            NULL);
    if (matched.rule && matched.allowed) {
        add_use(judged, sp_rule_rate(matched.rule), token->principal, token->scope_name,
                sp_rule_label(matched.rule), NULL);
    }
    if (!add_budget(judged, sp_scope_budget(scope), call, token, SP_TEXT("")) ||
        (matched.rule && matched.allowed &&
         !add_budget(judged, sp_rule_budget(matched.rule), call, token,
                     sp_rule_label(matched.rule)))) {
        decide(decision, SP_CODE_NOT_ALLOWED, "",
               "the request does not say what it would take of the budget");
        return false;
    }
    if (token->narrow) {
        struct sp_match narrow;
        match(engine, call, token->narrow, &narrow);
        if (!note_match(call, &narrow, "", decision)) {
            return false;
        }
        add_use(judged, sp_scope_rate(token->narrow->scope), token->principal,
                token->scope_name, SP_TEXT("json"), token->id);
    }
    /* The rule that is named is the scope's own. */
    copy_name(matched.rule ? sp_rule_label(matched.rule) : SP_TEXT(""), decision->rule,
              sizeof decision->rule);
    return true;
}

/* Everything that had a say about a call, in turn: the token's scope, what narrows it, the
 * grant's caveat, the holder's; NULL where it has none. */
enum { GRANT_SAYS = 3 };
static const struct sp_scope *nth_say(const struct live_token *token, const struct chain *chain,
                                      size_t i)
{
    const struct frozen *const own[GRANT_SAYS] = {token->scope, token->narrow, token->caveat};
    if (i < GRANT_SAYS) {
        return own[i] ? own[i]->scope : NULL;
    }
    return chain->scopes[i - GRANT_SAYS];
}

/* A copy: a caveat's parsed form may go before the call ends. */
static bool copy_redaction(struct sp_arena *arena, const struct sp_redaction *one,
                           struct sp_redaction *ret_copy)
{
    struct sp_text *names = sp_arena_array(arena, one->n_names, sizeof *names);
    bool good = names != NULL;
    for (size_t i = 0; good && i < one->n_names; i++) {
        names[i] = sp_arena_copy(arena, one->names[i]);
        good = names[i].ptr != NULL;
    }
    *ret_copy = (struct sp_redaction){names, one->n_names};
    return good;
}

/* The union: order does not matter, and nothing takes one back. */
static bool gather_redactions(struct sp_arena *arena, const struct chain *chain,
                              struct judged *judged, struct sp_decision *decision)
{
    const struct sp_redaction *one;
    size_t n_says = GRANT_SAYS + chain->n, n = 0;
    for (size_t i = 0; i < n_says; i++) {
        n += sp_scope_n_redactions(nth_say(judged->token, chain, i));
    }
    struct sp_redaction *list = n > 0 ? sp_arena_array(arena, n, sizeof *list) : NULL;
    bool good = n == 0 || list;
    for (size_t i = 0; good && n > 0 && i < n_says; i++) {
        const struct sp_scope *say = nth_say(judged->token, chain, i);
        for (size_t k = 0; good && (one = sp_scope_redaction(say, k)); k++) {
            good = copy_redaction(arena, one, &list[judged->n_redactions++]);
        }
    }
    judged->redactions = list;
    if (!good) {
        decide(decision, SP_CODE_BUSY, "", "out of memory");
    }
    return good;
}

void judge(struct sp_engine *engine, struct sp_call *call, struct judged *ret_judged,
           struct sp_decision *ret_decision)
{
    struct sp_token parsed;
    struct live_token *token = NULL;
    struct sp_decision *d = ret_decision;
    *ret_judged = (struct judged){.n_uses = 0};
    *d = (struct sp_decision){.code = SP_CODE_OK};
    if (engine->state != SP_ENGINE_READY) {
        decide(d, SP_CODE_SEALED, "an operator has to unseal it", "the host is sealed");
        return;
    }
    if (!token_prove(engine, call->arena, call->token, false, &parsed, &token, d)) {
        return;
    }
    ret_judged->token = token;
    if (token->bind[0] && !sp_text_is(call->curve, token->bind)) {
        decide(d, SP_CODE_TOKEN_BINDING, "use the client key that it was issued for",
               "the token is bound to another client key");
        return;
    }
    if (!principal_find(engine, sp_text_of(token->principal))) {
        decide(d, SP_CODE_NOT_GRANTED, "ask the policy's author",
               "the principal that issued the token is no longer declared");
        return;
    }
    ret_judged->key = choose_key(engine, call, token, d);
    if (!ret_judged->key || !own_scope_allows(engine, call, token, ret_judged, d)) {
        return;
    }
    const struct chain *chain = token_chain(engine, &parsed);
    if (!chain) {
        decide(d, SP_CODE_TOKEN_INVALID, "", "a caveat of the token cannot be read");
        return;
    }
    char rule[sizeof d->rule];
    memcpy(rule, d->rule, sizeof rule);
    if (caveats_allow(engine, call, chain, token, &ret_judged->until_ms, d) &&
        gather_redactions(call->arena, chain, ret_judged, d)) {
        memcpy(d->rule, rule, sizeof rule);
    }
}

bool sp_engine_wants_body(struct sp_engine *engine, struct sp_call *call,
                          const struct sp_key **ret_key)
{
    struct sp_token parsed;
    struct live_token *token = NULL;
    struct sp_decision decision = {.code = SP_CODE_OK};
    *ret_key = NULL;
    if (engine->state != SP_ENGINE_READY ||
        !token_prove(engine, call->arena, call->token, false, &parsed, &token, &decision)) {
        return false;
    }
    const struct chain *chain = token_chain(engine, &parsed);
    struct key_version *key = choose_key(engine, call, token, &decision);
    if (!chain || !key) {
        return false;
    }
    for (size_t i = 0; i < GRANT_SAYS + chain->n; i++) {
        const struct sp_scope *say = nth_say(token, chain, i);
        if (say && (sp_scope_wants_body(say, call->request) ||
                    sp_budget_reads_body(sp_scope_budget(say)))) {
            return true;
        }
    }
    sp_key_ref(&key->public);
    *ret_key = &key->public;
    return false;
}

void sp_engine_check(struct sp_engine *engine, struct sp_call *call,
                     struct sp_decision *ret_decision)
{
    struct judged judged;
    judge(engine, call, &judged, ret_decision);
    if (ret_decision->code == SP_CODE_OK) {
        (void)judge_rates(engine, &judged, false, engine_boot(engine), ret_decision);
    } else if (ret_decision->code == SP_CODE_TOKEN_INVALID) {
        sp_engine_note_refusal(engine, call->peer, ret_decision->code);
    }
}
