/* The tables below the automaton. Hashes are not keyed: requests only look things up, and who
 * writes rules can only slow down the rules' own host. */
#include "automaton.h"

#include <stdlib.h>

enum { SLOTS_MIN = 16, FOLDED_MAX_BYTES = 256 << 20 };

bool room_for(void **items, size_t n, size_t *room, size_t size)
{
    if (n < *room) {
        return true;
    }
    size_t more = *room ? *room * 2 : SLOTS_MIN;
    void *grown = more >= UINT32_MAX ? NULL : realloc(*items, more * size);
    if (!grown) {
        return false;
    }
    *items = grown;
    *room = more;
    return true;
}

bool words_add(struct words *words, uint32_t word)
{
    if (!room_for((void **)&words->at, words->n, &words->room, sizeof *words->at)) {
        return false;
    }
    words->at[words->n++] = word;
    return true;
}

bool words_add_all(struct words *words, const uint32_t *from, size_t n)
{
    bool good = true;
    for (size_t i = 0; good && i < n; i++) {
        good = words_add(words, from[i]);
    }
    return good;
}

static int compare_words(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t words_sort(uint32_t *at, size_t n)
{
    size_t kept = 0;
    if (n > 1) {
        qsort(at, n, sizeof *at, compare_words);
    }
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || at[kept - 1] != at[i]) {
            at[kept++] = at[i];
        }
    }
    return kept;
}

/* ---- texts ----------------------------------------------------------------------------------
 */

/* Up to eight bytes, of at least one; with the length, they are the text. */
static inline uint64_t load(const char *from, size_t n)
{
    uint64_t word = 0;
    uint32_t low, high;
    if (n >= 8) {
        memcpy(&word, from, 8);
    } else if (n >= 4) {
        memcpy(&low, from, 4);
        memcpy(&high, from + n - 4, 4);
        word = low | (uint64_t)high << 32;
    } else {
        word = (uint64_t)(uint8_t)from[0] | (uint64_t)(uint8_t)from[n / 2] << 8 |
               (uint64_t)(uint8_t)from[n - 1] << 16;
    }
    return word;
}

/* Eight bytes, A-Z as a-z: a byte's top bit says whether it is a capital. */
static inline uint64_t fold_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low = word & (0x7f * ones);
    uint64_t from_a = low + ones * (0x80 - 'A'), past_z = low + ones * (0x80 - 'Z' - 1);
    return word | ((from_a & ~past_z & ~word & (0x80 * ones)) >> 2);
}

/* Every bit of the word counts in every bit of this: literals that are numbered one after the
 * other must not crowd into the same slots. */
static inline uint64_t mix(uint64_t word)
{
    __extension__ unsigned __int128 product =
        (__extension__(unsigned __int128) word) * 0xd6e8feb86659fd93u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t hash_text(struct sp_text text, bool fold)
{
    uint64_t hash = text.len * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < text.len; i += 8) {
        uint64_t word = load(text.ptr + i, text.len - i);
        hash = mix(hash ^ (fold ? fold_word(word) : word));
    }
    return (uint32_t)hash;
}

uint32_t text_hash(struct sp_text text)
{
    return hash_text(text, false);
}

/* known is in lower case already, where fold is asked for. */
static inline bool same_text(struct sp_text known, struct sp_text text, bool fold)
{
    if (known.len != text.len) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 8) {
        uint64_t word = load(text.ptr + i, text.len - i);
        if (load(known.ptr + i, text.len - i) != (fold ? fold_word(word) : word)) {
            return false;
        }
    }
    return true;
}

bool symbol_is(struct sp_text known, struct sp_text text, bool fold)
{
    return same_text(known, text, fold);
}

static char fold_byte(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

uint32_t symbols_find(const struct symbols *symbols, struct sp_text text, bool fold)
{
    if (symbols->n == 0) {
        return NONE;
    }
    uint32_t hash = hash_text(text, fold);
    for (size_t i = hash;; i++) {
        const struct symbol_slot *slot = &symbols->slots[i & (symbols->n_slots - 1)];
        if (slot->symbol == NONE) {
            return NONE;
        }
        if (slot->hash == hash && slot->len == text.len &&
            same_text(text.len <= SHORT_TEXT ? (struct sp_text){slot->text, slot->len}
                                             : symbols->texts[slot->symbol],
                      text, fold)) {
            return slot->symbol;
        }
    }
}

static void symbols_put(struct symbols *symbols, uint32_t symbol)
{
    struct sp_text text = symbols->texts[symbol];
    struct symbol_slot slot = {hash_text(text, false), symbol, (uint32_t)text.len, ""};
    size_t i = slot.hash;
    while (symbols->slots[i & (symbols->n_slots - 1)].symbol != NONE) {
        i++;
    }
    if (text.len <= SHORT_TEXT) {
        memcpy(slot.text, text.ptr, text.len);
    }
    symbols->slots[i & (symbols->n_slots - 1)] = slot;
}

static bool symbols_grow(struct symbols *symbols)
{
    size_t n = symbols->n_slots ? symbols->n_slots * 2 : SLOTS_MIN;
    if (symbols->n * 2 < symbols->n_slots) {
        return true;
    }
    struct symbol_slot *slots = calloc(n, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        slots[i].symbol = NONE;
    }
    free(symbols->slots);
    symbols->slots = slots;
    symbols->n_slots = n;
    for (size_t i = 0; i < symbols->n; i++) {
        symbols_put(symbols, (uint32_t)i);
    }
    return true;
}

static bool fold_copy(struct symbols *symbols, struct sp_text *text)
{
    if (symbols->folded.cap_bytes == 0) {
        sp_arena_init(&symbols->folded, FOLDED_MAX_BYTES);
    }
    char *copy = sp_arena_alloc(&symbols->folded, text->len + 1);
    for (size_t i = 0; copy && i < text->len; i++) {
        copy[i] = fold_byte(text->ptr[i]);
    }
    text->ptr = copy;
    return copy != NULL;
}

uint32_t symbols_add(struct symbols *symbols, struct sp_text text, bool fold)
{
    uint32_t found = symbols_find(symbols, text, fold);
    if (found != NONE) {
        return found;
    }
    if (!symbols_grow(symbols) ||
        !room_for((void **)&symbols->texts, symbols->n, &symbols->room,
                  sizeof *symbols->texts) ||
        (fold && !fold_copy(symbols, &text))) {
        return NONE;
    }
    symbols->texts[symbols->n] = text;
    symbols_put(symbols, (uint32_t)symbols->n);
    return (uint32_t)symbols->n++;
}

/* ---- edges ----------------------------------------------------------------------------------
 */

static inline size_t edge_slot(uint32_t state, uint32_t symbol)
{
    uint64_t hash = ((uint64_t)state << 32 | symbol) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32);
}

uint32_t *edges_find(const struct edges *edges, uint32_t state, uint32_t symbol)
{
    if (edges->n == 0) {
        return NULL;
    }
    for (size_t i = edge_slot(state, symbol);; i++) {
        struct edge *edge = &edges->slots[i & (edges->n_slots - 1)];
        if (edge->target == NONE) {
            return NULL;
        }
        if (edge->state == state && edge->symbol == symbol) {
            return &edge->target;
        }
    }
}

static void edges_put(struct edges *edges, struct edge edge)
{
    size_t i = edge_slot(edge.state, edge.symbol);
    while (edges->slots[i & (edges->n_slots - 1)].target != NONE) {
        i++;
    }
    edges->slots[i & (edges->n_slots - 1)] = edge;
}

static bool edges_grow(struct edges *edges)
{
    struct edges more = {.n_slots = edges->n_slots ? edges->n_slots * 2 : SLOTS_MIN};
    if (edges->n * 2 < edges->n_slots) {
        return true;
    }
    more.slots = malloc(more.n_slots * sizeof *more.slots);
    if (!more.slots) {
        return false;
    }
    for (size_t i = 0; i < more.n_slots; i++) {
        more.slots[i].target = NONE;
    }
    for (size_t i = 0; i < edges->n_slots; i++) {
        if (edges->slots[i].target != NONE) {
            edges_put(&more, edges->slots[i]);
        }
    }
    more.n = edges->n;
    free(edges->slots);
    *edges = more;
    return true;
}

bool edges_add(struct edges *edges, uint32_t state, uint32_t symbol, uint32_t target)
{
    if (!edges_grow(edges)) {
        return false;
    }
    edges_put(edges, (struct edge){state, symbol, target});
    edges->n++;
    return true;
}

/* Each edge after the hole moves into it, unless its own place lies behind the hole. */
void edges_remove(struct edges *edges, uint32_t state, uint32_t symbol)
{
    size_t mask = edges->n_slots - 1;
    if (!edges_find(edges, state, symbol)) {
        return;
    }
    size_t hole = edge_slot(state, symbol) & mask;
    while (edges->slots[hole].state != state || edges->slots[hole].symbol != symbol) {
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; edges->slots[i].target != NONE; i = (i + 1) & mask) {
        size_t home = edge_slot(edges->slots[i].state, edges->slots[i].symbol) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            edges->slots[hole] = edges->slots[i];
            hole = i;
        }
    }
    edges->slots[hole].target = NONE;
    edges->n--;
}

/* ---- sequences -----------------------------------------------------------------------
 */

static uint32_t hash_words(const uint32_t *words, size_t n)
{
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

uint32_t sequences_find(const struct sequences *all, const uint32_t *words, size_t n)
{
    uint32_t hash = hash_words(words, n);
    for (size_t i = hash; all->n_slots > 0; i++) {
        uint32_t at = all->slots[i & (all->n_slots - 1)];
        if (at == NONE) {
            break;
        }
        const struct sequence *one = &all->items[at];
        if (one->hash == hash && one->n == n &&
            (n == 0 || memcmp(&all->data.at[one->at], words, n * sizeof *words) == 0)) {
            return one->value;
        }
    }
    return NONE;
}

static bool sequences_grow(struct sequences *all)
{
    size_t n = all->n_slots ? all->n_slots * 2 : SLOTS_MIN;
    if (all->n * 2 < all->n_slots) {
        return true;
    }
    uint32_t *slots = malloc(n * sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        slots[i] = NONE;
    }
    for (size_t k = 0; k < all->n; k++) {
        size_t i = all->items[k].hash;
        while (slots[i & (n - 1)] != NONE) {
            i++;
        }
        slots[i & (n - 1)] = (uint32_t)k;
    }
    free(all->slots);
    all->slots = slots;
    all->n_slots = n;
    return true;
}

bool sequences_add(struct sequences *all, const uint32_t *words, size_t n, uint32_t value)
{
    struct sequence one = {(uint32_t)all->data.n, (uint32_t)n, hash_words(words, n), value};
    if (!sequences_grow(all) || !words_add_all(&all->data, words, n) ||
        !room_for((void **)&all->items, all->n, &all->room, sizeof *all->items)) {
        return false;
    }
    size_t i = one.hash;
    while (all->slots[i & (all->n_slots - 1)] != NONE) {
        i++;
    }
    all->slots[i & (all->n_slots - 1)] = (uint32_t)all->n;
    all->items[all->n++] = one;
    return true;
}

void sequences_done(struct sequences *all)
{
    free(all->data.at);
    free(all->items);
    free(all->slots);
    *all = (struct sequences){.n = 0};
}

/* ---- prefixes ------------------------------------------------------------------------
 */

void prefixes_link(struct prefix *prefixes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t parent = i > 0 ? (uint32_t)(i - 1) : NONE;
        while (parent != NONE && !sp_text_starts(prefixes[i].text, prefixes[parent].text)) {
            parent = prefixes[parent].parent;
        }
        prefixes[i].parent = parent;
    }
}

/* How many bytes a and text share. */
static size_t shared(struct sp_text a, struct sp_text text, bool fold)
{
    size_t i = 0, n = a.len < text.len ? a.len : text.len;
    while (i < n && a.ptr[i] == (fold ? fold_byte(text.ptr[i]) : text.ptr[i])) {
        i++;
    }
    return i;
}

/* The last that is not after text has the longest prefix of text among itself and its parents:
 * whatever sorts between a prefix of text and text begins with that prefix. */
uint32_t prefixes_find(const struct prefix *prefixes, size_t n, struct sp_text text, bool fold)
{
    size_t low = 0, high = n, common = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct sp_text one = prefixes[middle].text;
        size_t same = shared(one, text, fold);
        bool after = same < one.len &&
                     (same == text.len ||
                      (uint8_t)one.ptr[same] >
                          (uint8_t)(fold ? fold_byte(text.ptr[same]) : text.ptr[same]));
        if (after) {
            high = middle;
        } else {
            low = middle + 1;
            common = same;
        }
    }
    uint32_t found = low > 0 ? (uint32_t)(low - 1) : NONE;
    while (found != NONE && prefixes[found].text.len > common) {
        found = prefixes[found].parent;
    }
    return found;
}

bool segment_is_int(struct sp_text text)
{
    int64_t ignored;
    return text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9' &&
           sp_form_int(text, &ignored);
}
