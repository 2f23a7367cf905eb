/* Keys that a plugin should take, and keys that it has to survive. */
#include "probe.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static bool is_set(const struct probe_key *key, struct sp_text name)
{
    for (size_t i = 0; i < key->n_settings; i++) {
        if (sp_text_eq(key->settings[i].name, name)) {
            return true;
        }
    }
    for (size_t i = 0; i < key->n_secrets; i++) {
        if (sp_text_eq(key->secrets[i], name)) {
            return true;
        }
    }
    return false;
}

static void set(struct probe_key *key, struct sp_text name, struct sp_text value)
{
    if (!is_set(key, name) && key->n_settings < 2 * PROBE_FIELDS_MAX) {
        key->settings[key->n_settings++] = (struct sp_setting){name, value};
    }
}

static void hold(struct probe_key *key, const struct sp_field *field)
{
    if (!is_set(key, field->name) && key->n_secrets < PROBE_FIELDS_MAX) {
        key->secrets[key->n_secrets++] = field->name;
        if (field->derives.len && field->n_prefixes) {
            set(key, field->derives, field->prefixes[0].label);
        }
    }
}

static struct sp_text plausible(const struct sp_field *field)
{
    switch (field->type) {
    case SP_FIELD_HOST:
        return SP_TEXT("api.example.com");
    case SP_FIELD_INTEGER:
        return SP_TEXT("1");
    case SP_FIELD_BOOLEAN:
        return SP_TEXT("true");
    case SP_FIELD_STRING:
    case SP_FIELD_SECRET:
    default:
        return SP_TEXT("value");
    }
}

/* What the operator gave, and what has to be there. */
static void begin_key(const struct probe *probe, struct probe_key *key)
{
    const struct sp_manifest *m = &probe->host.manifest;
    *key = probe->given;
    key->id = SP_TEXT("probe-key");
    key->version = 1;
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct sp_field *field = &m->fields[i];
        if (field->required && field->type == SP_FIELD_SECRET) {
            hold(key, field);
        } else if (field->required && !field->fallback.len) {
            set(key, field->name, plausible(field));
        }
    }
    for (size_t i = 0; i < key->n_secrets; i++) { /* those of the operator derive, too */
        const struct sp_field *field = sp_manifest_field(m, key->secrets[i]);
        if (field && field->derives.len && field->n_prefixes) {
            set(key, field->derives, field->prefixes[0].label);
        }
    }
}

static bool is_taken(struct probe *probe, const struct probe_key *key)
{
    struct probe_said checked, planned;
    probe_ask(probe, SP_HOOK_CHECK, key, &checked);
    probe_ask(probe, SP_HOOK_PLAN, key, &planned);
    bool good = !checked.status && !planned.status && checked.pushed.len && planned.pushed.len;
    if (!good && !*probe->refused) {
        (void)snprintf(probe->refused, sizeof probe->refused, "%s",
                       checked.status ? checked.reason : planned.reason);
    }
    probe_said_done(&checked);
    probe_said_done(&planned);
    return good;
}

/* With up to two of the optional secrets, and the optional settings unset, then set. */
bool probe_find_key(struct probe *probe, struct probe_key *ret_key)
{
    const struct sp_manifest *m = &probe->host.manifest;
    for (unsigned with_settings = 0; with_settings < 2; with_settings++) {
        for (size_t a = 0; a <= m->n_fields; a++) {
            for (size_t b = a; b <= m->n_fields; b++) {
                begin_key(probe, ret_key);
                for (size_t i = 0; i < m->n_fields; i++) {
                    const struct sp_field *field = &m->fields[i];
                    if (field->type == SP_FIELD_SECRET && (i == a || i == b)) {
                        hold(ret_key, field);
                    } else if (field->type != SP_FIELD_SECRET && with_settings &&
                               !field->fallback.len) {
                        set(ret_key, field->name, plausible(field));
                    }
                }
                if (is_taken(probe, ret_key)) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* ---- hard keys ------------------------------------------------------------------------------
 */

struct dice {
    unsigned char bytes[4096];
    size_t at;
};

static void throw_dice(struct dice *dice, uint64_t seed, uint64_t n)
{
    unsigned char from[randombytes_SEEDBYTES] = {0};
    memcpy(from, &seed, sizeof seed);
    memcpy(from + sizeof seed, &n, sizeof n);
    randombytes_buf_deterministic(dice->bytes, sizeof dice->bytes, from);
    dice->at = 0;
}

static unsigned roll(struct dice *dice, unsigned n)
{
    unsigned value = (unsigned)dice->bytes[dice->at % sizeof dice->bytes] << 8 |
                     dice->bytes[(dice->at + 1) % sizeof dice->bytes];
    dice->at += 2;
    return value % n;
}

/* Pieces that careless code stumbles over; what the field does not allow is thrown out by its
 * own check, so that the plugin meets what a host would let through. */
static struct sp_text hard_value(struct probe *probe, struct dice *dice,
                                 const struct sp_field *field)
{
    static const char *const pieces[] = {"{",
                                         "}",
                                         "{{",
                                         "}}",
                                         "{api_key}",
                                         "%n%s%x",
                                         "%00",
                                         "/../",
                                         "\\",
                                         "\"",
                                         "'",
                                         ",",
                                         ",,",
                                         " ",
                                         "\xc3\xa9",
                                         "\xe2\x80\xae",
                                         "\xf0\x9f\x94\x91",
                                         "0",
                                         "-1",
                                         "9223372036854775807",
                                         "99999999999999999999",
                                         "true",
                                         "a",
                                         "https://",
                                         "://",
                                         "?",
                                         "#",
                                         ";",
                                         "=",
                                         "&",
                                         "\n",
                                         "-----BEGIN",
                                         "api.example.com",
                                         "EXAMPLE.COM.",
                                         "xn--",
                                         "[::1]",
                                         ".",
                                         "..",
                                         "*",
                                         "**"};
    enum { N = sizeof pieces / sizeof *pieces, TRIES = 8 };
    uint32_t max = field->max_bytes < 65536 ? field->max_bytes : 65536;
    for (unsigned try = 0; try < TRIES; try++) {
        char *text = sp_arena_array(&probe->hard, (size_t)max + 1, 1);
        size_t len = 0;
        if (!text) {
            break;
        }
        if (roll(dice, 4) == 0) { /* as long as it may be, of one byte */
            memset(text, 'a' + (int)roll(dice, 26), max);
            len = roll(dice, 2) ? max : max / 2;
        }
        for (unsigned i = roll(dice, 6); i > 0; i--) {
            const char *piece = pieces[roll(dice, N)];
            size_t n = strlen(piece);
            if (len + n <= max) {
                memcpy(text + len, piece, n);
                len += n;
            }
        }
        struct sp_text value = {text, len};
        if (!sp_field_check(field, value, NULL, NULL)) {
            return value;
        }
    }
    return plausible(field);
}

void probe_hard_key(struct probe *probe, uint64_t n, struct probe_key *ret_key)
{
    const struct sp_manifest *m = &probe->host.manifest;
    struct dice dice;
    sp_arena_reset(&probe->hard);
    throw_dice(&dice, probe->seed, n);
    *ret_key = (struct probe_key){.id = SP_TEXT("probe-key"), .version = roll(&dice, 3)};
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct sp_field *field = &m->fields[i];
        if (field->type == SP_FIELD_SECRET) {
            if (field->required || roll(&dice, 2)) {
                hold(ret_key, field);
            }
        } else if (field->required || roll(&dice, 3)) {
            set(ret_key, field->name, hard_value(probe, &dice, field));
        }
    }
}

void probe_print_key(const struct probe_key *key, char *ret_text, size_t room)
{
    size_t at = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < key->n_settings && at + 100 < room; i++) {
        char value[40];
        sp_shown(key->settings[i].value, value, sizeof value);
        at += (size_t)snprintf(
            ret_text + at, room - at, "%s%.*s=%s%s", i ? " " : "",
            (int)(key->settings[i].name.len < 30 ? key->settings[i].name.len : 30),
            key->settings[i].name.ptr, value, key->settings[i].value.len > 39 ? "…" : "");
    }
}
