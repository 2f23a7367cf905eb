/* The compiled matcher: hosts, their two automata, and the verdict. */
#include "automaton.h"
#include "match.h"

#include <stdlib.h>

/* ---- making --------------------------------------------------------------------------
 */

static size_t host_slot(bool https, uint16_t port, struct sp_text name)
{
    return text_hash(name) ^ (size_t)port * 2 ^ https;
}

static const struct host *host_find(const struct sp_matcher *m, bool https, uint16_t port,
                                    struct sp_text name)
{
    for (size_t i = host_slot(https, port, name);; i++) {
        uint32_t at = m->host_slots[i & (m->n_host_slots - 1)];
        if (at == NONE) {
            return NULL;
        }
        const struct host *host = &m->hosts[at];
        if (host->https == https && host->port == port && sp_text_eq(host->name, name)) {
            return host;
        }
    }
}

/* Room for as many hosts as there are rules: slots are never moved. */
static bool hosts_init(struct sp_matcher *m, size_t n_rules)
{
    m->n_host_slots = 16;
    while (m->n_host_slots < 2 * n_rules) {
        m->n_host_slots *= 2;
    }
    m->host_slots = malloc(m->n_host_slots * sizeof *m->host_slots);
    for (size_t i = 0; m->host_slots && i < m->n_host_slots; i++) {
        m->host_slots[i] = NONE;
    }
    return m->host_slots != NULL;
}

static struct host *host_for(struct sp_matcher *m, const struct url_pattern *url)
{
    static const struct side none = {.first_rule = NONE, .last_rule = NONE};
    const struct host *found = host_find(m, url->https, url->port, url->host);
    if (found) {
        return &m->hosts[found - m->hosts];
    }
    if (!room_for((void **)&m->hosts, m->n_hosts, &m->hosts_room, sizeof *m->hosts)) {
        return NULL;
    }
    size_t i = host_slot(url->https, url->port, url->host);
    while (m->host_slots[i & (m->n_host_slots - 1)] != NONE) {
        i++;
    }
    m->host_slots[i & (m->n_host_slots - 1)] = (uint32_t)m->n_hosts;
    m->hosts[m->n_hosts] = (struct host){url->https, url->port, url->host, {none, none}};
    return &m->hosts[m->n_hosts++];
}

static bool sort_rules(struct sp_matcher *m)
{
    const struct sp_scope *scope = m->scope;
    m->next_rule = malloc((scope->n_rules + 1) * sizeof *m->next_rule);
    for (uint32_t i = 0; m->next_rule && i < scope->n_rules; i++) {
        struct host *host = host_for(m, &scope->rules[i]->url);
        if (!host) {
            return false;
        }
        struct side *side = &host->sides[scope->rules[i]->denies];
        if (side->last_rule == NONE) {
            side->first_rule = i;
        } else {
            m->next_rule[side->last_rule] = i;
        }
        side->last_rule = i;
        m->next_rule[i] = NONE;
        side->n_rules++;
    }
    return m->next_rule != NULL;
}

static sp_status side_build(struct sp_matcher *m, struct trie *trie, struct side *side,
                            bool denies, size_t states_max)
{
    sp_status status = SP_OK;
    if (side->n_rules > 0) {
        status = segments_build(m, trie, side, states_max);
    }
    if (status == SP_ETOOBIG) {
        side->bits = bits_new(m, side, denies);
        status = side->bits ? SP_OK : SP_ENOMEM;
        m->n_bits++;
    }
    return status;
}

static sp_status build_all(struct sp_matcher *m, size_t states_max)
{
    if (!hosts_init(m, m->scope->n_rules) || !sort_rules(m) || labels_add(m, NULL, 0) == NONE ||
        states_add(m, &state_dead) == NONE) {
        return SP_ENOMEM;
    }
    struct trie *trie = trie_new(m);
    sp_status status = trie ? SP_OK : SP_ENOMEM;
    for (size_t i = 0; status == SP_OK && i < 2 * m->n_hosts; i++) {
        status = side_build(m, trie, &m->hosts[i / 2].sides[i % 2], i % 2 == 1, states_max);
    }
    trie_free(trie);
    return status;
}

/* What only building needs. */
static void forget(struct sp_matcher *m)
{
    sequences_done(&m->labels.known);
    free(m->next_rule);
    free(m->ranks);
    free(m->by_rank);
    m->next_rule = m->ranks = m->by_rank = NULL;
}

sp_status matcher_new_bounded(const struct sp_scope *scope, size_t states_max,
                              struct sp_matcher **ret_matcher)
{
    if (scope->n_rules > AST_RULES_MAX) {
        return SP_ETOOBIG;
    }
    struct sp_matcher *m = calloc(1, sizeof *m);
    if (!m) {
        return SP_ENOMEM;
    }
    m->scope = scope;
    for (size_t i = 0; i < scope->n_rules && !m->reads_body; i++) {
        m->reads_body = scope->rules[i]->reads_body;
    }
    sp_status status = build_all(m, states_max);
    forget(m);
    if (status != SP_OK) {
        sp_matcher_free(m);
        return status;
    }
    *ret_matcher = m;
    return SP_OK;
}

sp_status sp_matcher_new(const struct sp_scope *scope, struct sp_matcher **ret_matcher)
{
    return matcher_new_bounded(scope, SIZE_MAX, ret_matcher);
}

void sp_matcher_free(struct sp_matcher *m)
{
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->n_hosts; i++) {
        bits_free(m->hosts[i].sides[0].bits);
        bits_free(m->hosts[i].sides[1].bits);
    }
    free(m->hosts);
    free(m->host_slots);
    free(m->symbols.texts);
    free(m->symbols.slots);
    sp_arena_done(&m->symbols.folded);
    free(m->states);
    free(m->prefixes);
    free(m->edges.slots);
    free(m->labels.at);
    free(m->labels.lists);
    free(m->labels.conditionals);
    free(m->labels.atoms);
    free(m->labels.ops);
    free(m->cells);
    free(m);
}

size_t sp_matcher_n_states(const struct sp_matcher *m)
{
    return m->n_states;
}

bool sp_matcher_is_bit_parallel(const struct sp_matcher *m)
{
    return m->n_bits > 0;
}

/* ---- deciding ------------------------------------------------------------------------
 */

static bool holds_slash(const struct sp_url *url)
{
    bool slash = false;
    for (size_t i = 0; i < url->n_segments && !slash; i++) {
        slash = url->segments[i].has_slash;
    }
    return slash;
}

static uint32_t deny_once(const struct sp_matcher *m, const struct side *side,
                          const struct sp_request *request, bool split)
{
    return side->bits ? bits_deny(m, side->bits, request, split)
                      : label_deny(m, segments_run(m, side->root, &request->url, true, split),
                                   request, split);
}

/* The first deny that fires, on the path as it is or split; NONE is above all rules. */
static uint32_t deny(const struct sp_matcher *m, const struct side *side,
                     const struct sp_request *request)
{
    uint32_t rule = deny_once(m, side, request, false);
    if (holds_slash(&request->url)) {
        uint32_t split = deny_once(m, side, request, true);
        rule = split < rule ? split : rule;
    }
    return rule;
}

static void allow(const struct sp_matcher *m, const struct side *side,
                  const struct sp_request *request, struct sp_match *ret_decision)
{
    if (side->bits) {
        bits_allow(m, side->bits, request, ret_decision);
    } else {
        label_allow(m, segments_run(m, side->root, &request->url, false, false), request,
                    ret_decision);
    }
}

static bool is_one_method(unsigned method)
{
    return method != 0 && (method & (method - 1)) == 0 && method <= SP_METHOD_ALL;
}

void sp_matcher_decide(const struct sp_matcher *m, const struct sp_request *request,
                       struct sp_match *ret_decision)
{
    const struct sp_url *url = &request->url;
    *ret_decision = (struct sp_match){false, SP_VERDICT_HOST, NULL};
    if (!is_one_method(request->method)) {
        ret_decision->reason = SP_VERDICT_METHOD;
        return; /* no method, or several */
    }
    const struct host *host = host_find(m, url->https, url->port, url->host);
    if (host && host->sides[1].n_rules > 0) {
        uint32_t rule = deny(m, &host->sides[1], request);
        if (rule != NONE) {
            *ret_decision =
                (struct sp_match){false, SP_VERDICT_DENY_RULE, m->scope->rules[rule]};
            return;
        }
    }
    if (host && host->sides[0].n_rules > 0) {
        allow(m, &host->sides[0], request, ret_decision);
    }
    if (m->scope->is_caveat && !m->scope->has_allow) {
        *ret_decision = (struct sp_match){true, SP_VERDICT_ALLOWED, NULL};
    }
}

static bool side_wants_body(const struct sp_matcher *m, const struct side *side,
                            const struct sp_request *request, bool denies, bool split)
{
    if (side->n_rules == 0) {
        return false;
    }
    return side->bits
               ? bits_wants_body(m, side->bits, request, denies, split)
               : label_wants_body(m, segments_run(m, side->root, &request->url, denies, split),
                                  request);
}

bool sp_matcher_wants_body(const struct sp_matcher *m, const struct sp_request *request)
{
    const struct sp_url *url = &request->url;
    if (!m->reads_body || !is_one_method(request->method)) {
        return false;
    }
    const struct host *host = host_find(m, url->https, url->port, url->host);
    return host &&
           (side_wants_body(m, &host->sides[0], request, false, false) ||
            side_wants_body(m, &host->sides[1], request, true, false) ||
            (holds_slash(url) && side_wants_body(m, &host->sides[1], request, true, true)));
}
