/* The paths of one host: breadth first, the rules of both scopes side by side. */
#include "prove.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

enum { HOST_RULES_MAX = 50000, METS_MAX = 14 };

/* A rule and how many of its segments are behind us. A deny that takes %2F for '/' walks on its
 * own once there was one. */
struct item {
    uint32_t rule;
    uint16_t at;
    bool split;
};

struct node {
    struct node *parent, *next_in_queue;
    struct sp_segment segment; /* the one that led here */
    size_t depth;
    uint64_t told; /* what path conditions made of the segments so far */
    struct item *items;
    size_t n_items;
};

struct rule_of_host {
    const struct sp_rule *rule;
    bool is_inner;
    const struct condition **path_atoms;
    size_t n_path_atoms;
};

struct product {
    struct prove *p;
    struct rule_of_host *rules;
    size_t n_rules;
    struct node **seen; /* open addressing */
    size_t seen_room, n_seen;
    struct node *head, *tail;
    bool has_denies;
};

/* ---- rules ----------------------------------------------------------------------------------
 */

static void path_atoms_of(struct prove *p, const struct condition *c, struct rule_of_host *rule)
{
    if (c->left) {
        path_atoms_of(p, c->left, rule);
        if (c->right) {
            path_atoms_of(p, c->right, rule);
        }
        return;
    }
    if (c->field.source == FIELD_PATH) {
        const struct condition **more = prove_alloc(p, rule->n_path_atoms + 1, sizeof *more);
        if (more) {
            for (size_t i = 0; i < rule->n_path_atoms; i++) {
                more[i] = rule->path_atoms[i];
            }
            more[rule->n_path_atoms++] = c;
            rule->path_atoms = more;
        }
    }
}

static bool same_host(const struct url_pattern *a, const struct url_pattern *b)
{
    return a->https == b->https && a->port == b->port && sp_text_eq(a->host, b->host);
}

static void add_rules(struct product *product, const struct sp_scope *scope, bool is_inner,
                      const struct url_pattern *host)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (!same_host(&rule->url, host)) {
            continue;
        }
        struct rule_of_host *one = &product->rules[product->n_rules++];
        *one = (struct rule_of_host){.rule = rule, .is_inner = is_inner};
        if (rule->where) {
            path_atoms_of(product->p, rule->where, one);
        }
        product->has_denies = product->has_denies || rule->denies;
    }
}

/* ---- one segment on -------------------------------------------------------------------------
 */

static const struct segment *segment_at(const struct sp_rule *rule, size_t at)
{
    const struct url_pattern *url = &rule->url;
    if (at < url->n_segments) {
        return &url->segments[at];
    }
    bool rest = url->n_segments > 0 && url->segments[url->n_segments - 1].kind == SEGMENT_REST;
    return rest ? &url->segments[url->n_segments - 1] : NULL;
}

static bool step_one(const struct sp_rule *rule, uint16_t *at, const struct sp_segment *segment)
{
    const struct segment *pattern = segment_at(rule, *at);
    if (!pattern || !match_segment(pattern, segment, rule->denies)) {
        return false;
    }
    *at = (uint16_t)(*at < rule->url.n_segments ? *at + 1 : *at);
    return true;
}

static bool step_split(const struct sp_rule *rule, uint16_t *at, struct sp_text text)
{
    for (;;) {
        const char *slash = memchr(text.ptr, '/', text.len);
        size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
        if (!step_one(rule, at, &(struct sp_segment){{text.ptr, len}, false})) {
            return false;
        }
        if (!slash) {
            return true;
        }
        text = (struct sp_text){slash + 1, text.len - len - 1};
    }
}

/* The items that survive a segment, and what the path conditions say of it. */
static size_t advance(struct product *product, const struct node *node,
                      const struct sp_segment *segment, struct item *out, uint64_t *ret_told)
{
    size_t n = 0;
    uint64_t told = node->told;
    struct sp_value value = {.kind = SP_VALUE_FORM};
    value.as.text = segment->text;
    (void)prove_step(product->p, node->n_items);
    for (size_t i = 0; i < node->n_items; i++) {
        struct item item = node->items[i], split = item;
        const struct rule_of_host *rule = &product->rules[item.rule];
        bool splits = rule->rule->denies && segment->has_slash && !item.split;
        if (item.split ? step_split(rule->rule, &item.at, segment->text)
                       : step_one(rule->rule, &item.at, segment)) {
            out[n++] = item;
            for (size_t a = 0; a < rule->n_path_atoms; a++) {
                const struct condition *c = rule->path_atoms[a];
                if (c->field.segment == node->depth) {
                    told = (told ^ (uint64_t)(match_value(c, &value) + 1)) * 1099511628211u;
                }
            }
        }
        split.split = true;
        if (splits && step_split(rule->rule, &split.at, segment->text)) {
            out[n++] = split;
        }
    }
    *ret_told = told;
    return n;
}

/* ---- nodes ----------------------------------------------------------------------------------
 */

static uint64_t node_hash(const struct node *node)
{
    uint64_t hash = node->told + 14695981039346656037u;
    for (size_t i = 0; i < node->n_items; i++) {
        const struct item *item = &node->items[i];
        hash = (hash ^ item->rule) * 1099511628211u;
        hash = (hash ^ (item->at * 2u + item->split)) * 1099511628211u;
    }
    return hash;
}

static bool node_equal(const struct node *a, const struct node *b)
{
    bool equal = a->told == b->told && a->n_items == b->n_items;
    for (size_t i = 0; equal && i < a->n_items; i++) {
        equal = a->items[i].rule == b->items[i].rule && a->items[i].at == b->items[i].at &&
                a->items[i].split == b->items[i].split; /* uncovered: hashed apart before */
    }
    return equal;
}

static void seen_grow(struct product *product)
{
    size_t room = product->seen_room ? 2 * product->seen_room : 256;
    struct node **table = prove_alloc(product->p, room, sizeof *table);
    if (!table) {
        return;
    }
    for (size_t i = 0; i < product->seen_room; i++) {
        struct node *node = product->seen[i];
        if (node) {
            size_t slot = node_hash(node) & (room - 1);
            while (table[slot]) {
                slot = (slot + 1) & (room - 1);
            }
            table[slot] = node;
        }
    }
    product->seen = table;
    product->seen_room = room;
}

/* Queue the node unless its like was there before. */
static void node_add(struct product *product, const struct node *like)
{
    if (2 * product->n_seen >= product->seen_room) {
        seen_grow(product);
    }
    if (product->p->out_of_memory) { /* how many there are, the arena and the steps bound */
        return;
    }
    assert(product->seen);
    size_t slot = node_hash(like) & (product->seen_room - 1);
    while (product->seen[slot]) {
        if (node_equal(product->seen[slot], like)) {
            return;
        }
        slot = (slot + 1) & (product->seen_room - 1);
    }
    struct node *node = prove_alloc(product->p, 1, sizeof *node);
    struct item *items = prove_alloc(product->p, like->n_items, sizeof *items);
    if (!node || !items) {
        return;
    }
    *node = *like;
    node->items = items;
    memcpy(items, like->items, like->n_items * sizeof *items); /* an allow of inner at least */
    product->seen[slot] = node;
    product->n_seen++;
    if (product->tail) {
        product->tail->next_in_queue = node;
    } else {
        product->head = node;
    }
    product->tail = node;
}

/* ---- the alphabet ---------------------------------------------------------------------------
 */

struct letters {
    struct prove *p;
    struct sp_segment *list;
    size_t n, room;
};

static void letter_add(struct letters *letters, struct sp_text text, bool has_slash)
{
    if (letters->n == letters->room) {
        size_t room = letters->room ? 2 * letters->room : 32;
        struct sp_segment *list = prove_alloc(letters->p, room, sizeof *list);
        if (!list) {
            return;
        }
        if (letters->n) {
            memcpy(list, letters->list, letters->n * sizeof *list);
        }
        letters->list = list;
        letters->room = room;
    }
    letters->list[letters->n++] = (struct sp_segment){text, has_slash};
}

/* A segment that a request can have: else it is left out. */
static void letter_try(struct letters *letters, struct sp_text head, struct sp_text tail)
{
    struct sp_buf text;
    struct sp_url url;
    sp_buf_init(&text, 3 * SP_URL_MAX_BYTES);
    sp_buf_add_str(&text, "https://h/");
    for (int part = 0; part < 2; part++) {
        struct sp_text bytes = part ? tail : head;
        for (size_t i = 0; i < bytes.len; i++) {
            sp_buf_addf(&text, "%%%02X", (unsigned char)bytes.ptr[i]);
        }
    }
    struct sp_text copy = sp_arena_copy(&letters->p->arena, sp_buf_text(&text));
    sp_status status = text.out_of_memory || !copy.ptr ? SP_ENOMEM
                       : text.failed                   ? SP_ETOOBIG
                                     : sp_url_parse(&letters->p->arena, copy, &url, NULL);
    if (status == SP_OK && url.n_segments == 1) {
        letter_add(letters, url.segments[0].text, url.segments[0].has_slash);
    }
    letters->p->out_of_memory = letters->p->out_of_memory || status == SP_ENOMEM;
    sp_buf_done(&text);
}

static struct sp_text other_case(struct prove *p, struct sp_text text, int how)
{
    char *copy = prove_alloc(p, text.len + 1, 1);
    bool first = true;
    for (size_t i = 0; copy && i < text.len; i++) {
        char c = text.ptr[i], low = (char)(c | 0x20);
        bool letter = low >= 'a' && low <= 'z';
        copy[i] = c;
        if (letter) {
            copy[i] = how == 0 ? (char)(c & ~0x20) : low;
            copy[i] = how == 2 ? (first ? (char)(c ^ 0x20) : c) : copy[i];
            first = false;
        }
    }
    return copy ? (struct sp_text){copy, text.len} : text;
}

static void letters_of_constant(struct letters *letters, const struct constant *constant)
{
    char digits[24];
    struct sp_buf buf;
    if (constant->kind == CONSTANT_STRING) {
        letter_try(letters, constant->text, SP_TEXT(""));
        return;
    }
    if (constant->kind == CONSTANT_BOOL) {
        letter_try(letters, SP_TEXT("true"), SP_TEXT(""));
        letter_try(letters, SP_TEXT("false"), SP_TEXT(""));
        return;
    }
    for (int64_t by = -1; by <= 1; by++) {
        if (constant->integer > -999999999999999999 && constant->integer < 999999999999999999) {
            sp_buf_over(&buf, digits, sizeof digits);
            sp_buf_addf(&buf, "%lld", (long long)(constant->integer + by));
            letter_try(letters, sp_buf_text(&buf), SP_TEXT(""));
        }
    }
}

static void letters_of_atom(struct letters *letters, const struct condition *c, bool *ret_ints)
{
    struct constant end = {.kind = CONSTANT_INT};
    switch ((int)c->kind) {
    case CONDITION_IN:
        for (size_t i = 0; i < c->n_set; i++) {
            letters_of_constant(letters, &c->set[i]);
            *ret_ints = *ret_ints || c->set[i].kind == CONSTANT_INT;
        }
        break;
    case CONDITION_RANGE:
        *ret_ints = true;
        end.integer = c->low;
        letters_of_constant(letters, &end);
        end.integer = c->high;
        letters_of_constant(letters, &end);
        break;
    case CONDITION_STARTS:
        letter_try(letters, c->constant.text, SP_TEXT(""));
        letter_try(letters, c->constant.text, letters->p->word);
        break;
    default:
        *ret_ints = *ret_ints || c->constant.kind == CONSTANT_INT;
        letters_of_constant(letters, &c->constant);
    }
}

static void letters_of_pattern(struct product *product, struct letters *letters,
                               const struct node *node, const struct sp_rule *rule,
                               const struct segment *pattern, bool *ret_prefixes)
{
    struct prove *p = product->p;
    if (pattern->kind != SEGMENT_LITERAL && pattern->kind != SEGMENT_PREFIX) {
        if (pattern->kind == SEGMENT_SLASH && !rule->denies) {
            letter_add(letters, p->slashed_word, true);
            /* Nor is all looked at that a deny sees in such a segment, read as several. */
            p->incomplete = p->incomplete || product->has_denies;
        }
        return;
    }
    bool prefix = pattern->kind == SEGMENT_PREFIX;
    *ret_prefixes = *ret_prefixes || prefix;
    for (int how = -1; how < (rule->denies ? 3 : 0); how++) {
        struct sp_text text = how < 0 ? pattern->text : other_case(p, pattern->text, how);
        letter_add(letters, text, false);
        if (prefix) {
            letter_try(letters, text, p->word);
            letter_try(letters, text, p->number);
        }
    }
    if (!rule->denies || node->n_items > 2000) {
        return;
    }
    /* What begins as an allow's prefix and goes on as this deny does. */
    for (size_t i = 0; i < node->n_items && prove_step(p, 1); i++) {
        const struct sp_rule *other = product->rules[node->items[i].rule].rule;
        const struct segment *head = segment_at(other, node->items[i].at);
        if (other->denies || !head || head->kind != SEGMENT_PREFIX ||
            head->text.len >= pattern->text.len) {
            continue;
        }
        struct sp_text tail = {pattern->text.ptr + head->text.len,
                               pattern->text.len - head->text.len};
        for (int how = -1; how < 3; how++) {
            letter_try(letters, head->text, how < 0 ? tail : other_case(p, tail, how));
        }
    }
}

static int letter_cmp(const void *a, const void *b)
{
    const struct sp_segment *x = a, *y = b;
    return sp_text_cmp(x->text, y->text);
}

/* One segment of each kind that the rules at this node can tell apart. */
static void letters_of_node(struct product *product, const struct node *node,
                            struct letters *letters)
{
    bool ints = false, prefixes = false;
    letter_add(letters, product->p->word, false);
    letter_add(letters, product->p->number, false);
    for (size_t i = 0; i < node->n_items && prove_step(product->p, 1); i++) {
        const struct rule_of_host *rule = &product->rules[node->items[i].rule];
        const struct segment *pattern = segment_at(rule->rule, node->items[i].at);
        if (!pattern) {
            continue;
        }
        letters_of_pattern(product, letters, node, rule->rule, pattern, &prefixes);
        for (size_t a = 0; a < rule->n_path_atoms; a++) {
            if (rule->path_atoms[a]->field.segment == node->depth) {
                letters_of_atom(letters, rule->path_atoms[a], &ints);
            }
        }
    }
    /* A number that begins in a certain way and lies in a certain range is not looked for. */
    product->p->incomplete = product->p->incomplete || (ints && prefixes);
    if (letters->n > 1) {
        qsort(letters->list, letters->n, sizeof *letters->list, letter_cmp);
    }
    size_t kept = letters->n > 0;
    for (size_t i = 1; i < letters->n; i++) {
        if (!sp_text_eq(letters->list[kept - 1].text, letters->list[i].text)) {
            letters->list[kept++] = letters->list[i];
        }
    }
    letters->n = kept;
}

/* ---- where a path ends ----------------------------------------------------------------------
 */

static void met_rules(struct product *product, const struct node *node, bool trailing,
                      unsigned method, struct met *met)
{
    for (size_t i = 0; i < node->n_items; i++) {
        const struct item *item = &node->items[i];
        const struct rule_of_host *one = &product->rules[item->rule];
        const struct sp_rule *rule = one->rule;
        const struct url_pattern *url = &rule->url;
        bool rest =
            url->n_segments > 0 && url->segments[url->n_segments - 1].kind == SEGMENT_REST;
        if (item->at < url->n_segments || !(rule->methods & method) ||
            (!rule->denies && !rest && url->trailing_slash != trailing)) {
            continue;
        }
        const struct sp_rule **list =
            one->is_inner ? (rule->denies ? met->inner_denies : met->inner_allows)
                          : (rule->denies ? met->outer_denies : met->outer_allows);
        size_t *n = one->is_inner
                        ? (rule->denies ? &met->n_inner_denies : &met->n_inner_allows)
                        : (rule->denies ? &met->n_outer_denies : &met->n_outer_allows);
        if (*n == 0 || list[*n - 1] != rule) { /* not as itself and split */
            list[(*n)++] = rule;
        }
    }
}

static bool met_new(struct product *product, size_t room, struct met *met)
{
    struct prove *p = product->p;
    *met = (struct met){
        .inner_allows = prove_alloc(p, room, sizeof(struct sp_rule *)),
        .inner_denies = prove_alloc(p, room, sizeof(struct sp_rule *)),
        .outer_allows = prove_alloc(p, room, sizeof(struct sp_rule *)),
        .outer_denies = prove_alloc(p, room, sizeof(struct sp_rule *)),
    };
    return !p->out_of_memory;
}

static bool list_equal(const struct sp_rule **a, size_t n_a, const struct sp_rule **b,
                       size_t n_b)
{
    return n_a == n_b &&
           (n_a == 0 || memcmp((const void *)a, (const void *)b, n_a * sizeof *a) == 0);
}

static bool met_equal(const struct met *a, const struct met *b)
{
    return list_equal(a->inner_allows, a->n_inner_allows, b->inner_allows, b->n_inner_allows) &&
           list_equal(a->inner_denies, a->n_inner_denies, b->inner_denies, b->n_inner_denies) &&
           list_equal(a->outer_allows, a->n_outer_allows, b->outer_allows, b->n_outer_allows) &&
           list_equal(a->outer_denies, a->n_outer_denies, b->outer_denies, b->n_outer_denies);
}

static bool has_unconditional(const struct sp_rule **rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!rules[i]->where) {
            return true;
        }
    }
    return false;
}

/* Nothing to find: inner allows nothing here, or outer all. */
static bool is_settled(const struct product *product, const struct met *met)
{
    return met->n_inner_allows == 0 ||
           has_unconditional(met->inner_denies, met->n_inner_denies) ||
           (!product->p->has_limits && met->n_outer_denies == 0 &&
            has_unconditional(met->outer_allows, met->n_outer_allows));
}

static void path_set(struct product *product, const struct node *node, bool trailing)
{
    struct sp_url *url = &product->p->request.url;
    struct sp_segment *segments = prove_alloc(product->p, node->depth, sizeof *segments);
    url->segments = segments;
    url->n_segments = segments ? node->depth : 0;
    url->trailing_slash = trailing;
    for (const struct node *at = node; segments && at->parent; at = at->parent) {
        segments[at->depth - 1] = at->segment;
    }
}

static bool try_ends(struct product *product, const struct node *node)
{
    struct met *mets = prove_alloc(product->p, METS_MAX, sizeof *mets);
    size_t n = 0;
    for (unsigned trailing = 0; mets && trailing < (node->depth ? 2 : 1); trailing++) {
        for (unsigned method = 1; method < SP_METHOD_ALL; method <<= 1) {
            if (!met_new(product, node->n_items, &mets[n])) {
                return false;
            }
            met_rules(product, node, trailing > 0, method, &mets[n]);
            bool known = is_settled(product, &mets[n]);
            for (size_t i = 0; i < n && !known; i++) {
                known = met_equal(&mets[i], &mets[n]);
            }
            if (known) {
                continue;
            }
            product->p->request.method = method;
            path_set(product, node, trailing > 0);
            if (prove_fields(product->p, &mets[n])) {
                return true;
            }
            n++;
        }
    }
    return false;
}

/* ---- the walk -------------------------------------------------------------------------------
 */

static bool any_inner_allow(const struct product *product, const struct node *node)
{
    for (size_t i = 0; i < node->n_items; i++) {
        const struct rule_of_host *one = &product->rules[node->items[i].rule];
        if (one->is_inner && !one->rule->denies) {
            return true;
        }
    }
    return false;
}

static bool walk(struct product *product)
{
    for (const struct node *node = product->head; node; node = node->next_in_queue) {
        struct letters letters = {.p = product->p};
        if (!prove_step(product->p, node->n_items)) {
            return false;
        }
        if (try_ends(product, node)) {
            return true;
        }
        if (node->depth == SP_URL_MAX_SEGMENTS) {
            continue;
        }
        letters_of_node(product, node, &letters);
        struct item *items = prove_alloc(product->p, 2 * node->n_items, sizeof *items);
        for (size_t i = 0; items && i < letters.n && prove_step(product->p, 1); i++) {
            struct node next = {.parent = (struct node *)(uintptr_t)node,
                                .segment = letters.list[i],
                                .depth = node->depth + 1,
                                .items = items};
            next.n_items = advance(product, node, &letters.list[i], items, &next.told);
            if (any_inner_allow(product, &next)) {
                node_add(product, &next);
            }
        }
    }
    return false;
}

static bool prove_host(struct prove *p, const struct url_pattern *host)
{
    struct product product = {.p = p};
    size_t n = p->inner->n_rules + p->outer->n_rules;
    product.rules = prove_alloc(p, n, sizeof *product.rules);
    struct item *items = prove_alloc(p, n, sizeof *items);
    if (!product.rules || !items || n > HOST_RULES_MAX) {
        p->incomplete = true;
        return false;
    }
    add_rules(&product, p->inner, true, host);
    add_rules(&product, p->outer, false, host);
    for (size_t i = 0; i < product.n_rules; i++) {
        items[i] = (struct item){.rule = (uint32_t)i};
    }
    p->request.url.https = host->https;
    p->request.url.host = host->host;
    p->request.url.port = host->port;
    node_add(&product, &(struct node){.items = items, .n_items = product.n_rules});
    return walk(&product);
}

bool prove_paths(struct prove *p)
{
    for (size_t i = 0; i < p->inner->n_rules; i++) {
        const struct sp_rule *rule = p->inner->rules[i];
        bool before = rule->denies;
        for (size_t j = 0; j < i && !before; j++) {
            before =
                !p->inner->rules[j]->denies && same_host(&p->inner->rules[j]->url, &rule->url);
        }
        if (!before && prove_host(p, &rule->url)) {
            return true;
        }
    }
    return false;
}
