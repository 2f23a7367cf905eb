#include "placement.h"

#include <sodium.h>

static const struct sp_key_secret *find_secret(const struct sp_key *key, struct sp_text name)
{
    for (size_t i = 0; i < key->n_secrets; i++) {
        if (sp_text_eq(key->secrets[i].name, name)) {
            return &key->secrets[i];
        }
    }
    return NULL;
}

sp_status sp_placement_secret(const struct sp_key *key, struct sp_text name,
                              struct sp_text *ret_secret, struct sp_error *err)
{
    const struct sp_key_secret *secret = find_secret(key, name);
    if (!secret) {
        return sp_fail(err, SP_EINVAL,
                       "key %.*s: the plan places a secret `%.*s` that the key does not hold; "
                       "rotate the key with it",
                       (int)key->id.len, key->id.ptr, (int)name.len, name.ptr);
    }
    if (!secret->value.ptr) {
        return sp_fail(err, SP_ESEALED, "key %.*s: the host was sealed", (int)key->id.len,
                       key->id.ptr);
    }
    *ret_secret = sp_secret_text(&secret->value);
    return SP_OK;
}

static sp_status add_secret(const struct sp_key *key, struct sp_text name,
                            struct sp_wipe_buf *buf, struct sp_error *err)
{
    struct sp_text secret;
    sp_status status = sp_placement_secret(key, name, &secret, err);
    if (!status) {
        sp_wipe_buf_add_text(buf, secret);
    }
    return status;
}

/* "{name}" is a secret, "{{" and "}}" are braces; a lone brace is the plugin's mistake. */
static sp_status fill_template(struct sp_text template, const struct sp_key *key,
                               struct sp_wipe_buf *buf, struct sp_error *err)
{
    for (size_t i = 0; i < template.len; i++) {
        char c = template.ptr[i];
        if (c != '{' && c != '}') {
            sp_wipe_buf_add_byte(buf, (uint8_t)c);
            continue;
        }
        if (i + 1 < template.len && template.ptr[i + 1] == c) {
            sp_wipe_buf_add_byte(buf, (uint8_t)c);
            i++;
            continue;
        }
        const char *start = template.ptr + i + 1;
        const char *end = c == '{' ? memchr(start, '}', template.len - i - 1) : NULL;
        if (!end) {
            return sp_fail(err, SP_EINVAL, "the plan's template has a lone brace");
        }
        struct sp_text name = {start, (size_t)(end - start)};
        sp_status status = add_secret(key, name, buf, err);
        if (status) {
            return status;
        }
        i += name.len + 1;
    }
    return SP_OK;
}

static sp_status fill_base64(struct sp_text template, const struct sp_key *key,
                             struct sp_wipe_buf *buf, struct sp_error *err)
{
    struct sp_wipe_buf plain;
    sp_wipe_buf_init(&plain, SP_PLACED_MAX_BYTES);
    sp_status status = fill_template(template, key, &plain, err);
    if (!status && !plain.failed) {
        size_t room = sodium_base64_encoded_len(plain.len, sodium_base64_VARIANT_ORIGINAL);
        sp_wipe_buf_reserve(buf, room);
        if (!buf->failed) {
            sodium_bin2base64(buf->ptr + buf->len, room, (const unsigned char *)plain.ptr,
                              plain.len, sodium_base64_VARIANT_ORIGINAL);
            buf->len += room - 1; /* its NUL */
        }
    }
    buf->failed = buf->failed || plain.failed;
    sp_wipe_buf_done(&plain);
    return status;
}

static bool fits_header(struct sp_text value)
{
    if (value.len == 0 || value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static bool fits_query(struct sp_text value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0') {
            return false;
        }
    }
    return value.len > 0;
}

sp_status sp_placement_value(const struct sp_placement *placement, const struct sp_key *key,
                             struct sp_wipe_buf *buf, struct sp_error *err)
{
    size_t start = buf->len;
    sp_wipe_buf_add_text(buf, placement->prefix);
    sp_status status = placement->base64 ? fill_base64(placement->template, key, buf, err)
                                         : fill_template(placement->template, key, buf, err);
    if (status) {
        return status;
    }
    if (buf->failed) {
        return sp_fail(err, SP_ETOOBIG, "key %.*s: its secret does not fit into a request",
                       (int)key->id.len, key->id.ptr);
    }
    struct sp_text value = {buf->ptr + start, buf->len - start};
    bool header = placement->place == SP_PLACE_HEADER;
    if (header ? !fits_header(value) : !fits_query(value)) {
        return sp_fail(
            err, SP_EINVAL,
            "key %.*s: a secret is empty or holds bytes that a %s cannot carry (line "
            "ends, NUL%s); rotate the key with the right value",
            (int)key->id.len, key->id.ptr, header ? "header" : "query parameter",
            header ? ", anything but visible ASCII" : "");
    }
    return SP_OK;
}

static void add_percent_encoded(struct sp_wipe_buf *buf, struct sp_text text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            sp_wipe_buf_add_byte(buf, c);
        } else {
            sp_wipe_buf_add(buf, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
        }
    }
}

static void add_pair(struct sp_wipe_buf *buf, struct sp_text name, struct sp_text value)
{
    add_percent_encoded(buf, name);
    sp_wipe_buf_add_byte(buf, '=');
    add_percent_encoded(buf, value);
}

/* Whether a client's parameter would be read in place of the placed one. */
static bool clashes(struct sp_text param, struct sp_text placed)
{
    if (param.len < placed.len) {
        return false;
    }
    struct sp_text head = {param.ptr, placed.len};
    return sp_text_eq_fold(head, placed) &&
           (param.len == placed.len || param.ptr[placed.len] == '[');
}

sp_status sp_placement_add_query(struct sp_text name, struct sp_text value,
                                 const struct sp_url *url, struct sp_wipe_buf *target,
                                 struct sp_error *err)
{
    for (size_t i = 0; i < url->n_query; i++) {
        if (clashes(url->query[i].name, name)) {
            return sp_fail(err, SP_EINVAL, "query: `%.*s` is where the key goes; leave it out",
                           (int)name.len, name.ptr);
        }
    }
    const char *mark = target->len ? memchr(target->ptr, '?', target->len) : NULL;
    if (!mark) {
        sp_wipe_buf_add_byte(target, '?');
    } else if (mark + 1 < target->ptr + target->len) {
        sp_wipe_buf_add_byte(target, '&');
    }
    add_pair(target, name, value);
    return SP_OK;
}

static sp_status add_query(const struct sp_placement *placement, const struct sp_key *key,
                           const struct sp_url *url, struct sp_wipe_buf *buf,
                           struct sp_error *err)
{
    struct sp_wipe_buf value;
    sp_wipe_buf_init(&value, SP_PLACED_MAX_BYTES);
    sp_status status = sp_placement_value(placement, key, &value, err);
    if (!status) {
        status =
            sp_placement_add_query(placement->name, sp_wipe_buf_text(&value), url, buf, err);
    }
    sp_wipe_buf_done(&value);
    return status;
}

sp_status sp_placement_target(const struct sp_plan *plan, const struct sp_key *key,
                              const struct sp_url *url, struct sp_wipe_buf *buf,
                              struct sp_error *err)
{
    struct sp_buf target; /* the client's part: no secret in it yet */
    sp_buf_init(&target, 4 * SP_URL_MAX_BYTES);
    sp_url_print_target(url, &target);
    bool failed = target.failed;
    sp_wipe_buf_add_text(buf, sp_buf_text(&target));
    sp_buf_done(&target);
    sp_status status = SP_OK;
    for (size_t i = 0; i < plan->n_placements && !status; i++) {
        if (plan->placements[i].place == SP_PLACE_QUERY) {
            status = add_query(&plan->placements[i], key, url, buf, err);
        }
    }
    if (!status && (failed || buf->failed)) {
        status = sp_fail(err, SP_ETOOBIG, "url: too long with the key in it");
    }
    return status;
}

sp_status sp_placement_form(const struct sp_placement *placement, const struct sp_key *key,
                            struct sp_wipe_buf *body, struct sp_error *err)
{
    struct sp_wipe_buf value;
    sp_wipe_buf_init(&value, SP_PLACED_MAX_BYTES);
    sp_status status = sp_placement_value(placement, key, &value, err);
    if (!status) {
        if (body->len) {
            sp_wipe_buf_add_byte(body, '&');
        }
        add_pair(body, placement->name, sp_wipe_buf_text(&value));
    }
    sp_wipe_buf_done(&value);
    return status;
}
