#include "sign.h"

#include "placement.h"
#include "sign_names.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    VALUE_MAX_BYTES = 4096,
    KEY_MAX_BYTES = 4096,
    QUERY_PAIRS_MAX = 256,
    MAC_MAX_BYTES = crypto_auth_hmacsha512_BYTES,
    HASH_HEX_BYTES = 2 * crypto_hash_sha256_BYTES + 1,
};

/* One request's signing. What a template yields goes into `put`, piece by piece, so that a body
 * is never copied. */
struct signing {
    const struct sp_signature *signature;
    const struct sp_request *request;
    const struct sp_sign_moment *moment;
    struct sp_text path, query; /* of the target, as sent */
    char canonical_sha256[HASH_HEX_BYTES];
    char encoded[2 * MAC_MAX_BYTES + 1]; /* {signature} */
    bool failed;                         /* out of memory, or too many parameters */
};

typedef void (*put_fn)(void *to, struct sp_text piece);

/* ---- where pieces go ------------------------------------------------------------------------
 */

struct mac {
    bool sha512;
    union {
        crypto_auth_hmacsha256_state s256;
        crypto_auth_hmacsha512_state s512;
    } as;
};

static size_t mac_bytes(const struct mac *mac)
{
    return mac->sha512 ? crypto_auth_hmacsha512_BYTES : crypto_auth_hmacsha256_BYTES;
}

static void mac_begin(struct mac *mac, struct sp_text key)
{
    const unsigned char *bytes = (const unsigned char *)key.ptr;
    if (mac->sha512) {
        (void)crypto_auth_hmacsha512_init(&mac->as.s512, bytes, key.len);
    } else {
        (void)crypto_auth_hmacsha256_init(&mac->as.s256, bytes, key.len);
    }
}

static void put_mac(void *to, struct sp_text piece)
{
    struct mac *mac = to;
    const unsigned char *bytes = (const unsigned char *)piece.ptr;
    if (mac->sha512) {
        (void)crypto_auth_hmacsha512_update(&mac->as.s512, bytes, piece.len);
    } else {
        (void)crypto_auth_hmacsha256_update(&mac->as.s256, bytes, piece.len);
    }
}

static void mac_end(struct mac *mac, unsigned char ret_bytes[MAC_MAX_BYTES])
{
    if (mac->sha512) {
        (void)crypto_auth_hmacsha512_final(&mac->as.s512, ret_bytes);
    } else {
        (void)crypto_auth_hmacsha256_final(&mac->as.s256, ret_bytes);
    }
    sodium_memzero(&mac->as, sizeof mac->as);
}

static void put_hash(void *to, struct sp_text piece)
{
    (void)crypto_hash_sha256_update(to, (const unsigned char *)piece.ptr, piece.len);
}

static void put_buf(void *to, struct sp_text piece)
{
    sp_wipe_buf_add_text(to, piece);
}

/* ---- names ----------------------------------------------------------------------------------
 */

static void put_time(const struct signing *s, bool whole, put_fn put, void *to)
{
    char text[32];
    struct tm parts;
    time_t seconds = (time_t)(s->moment->unix_ms / 1000);
    size_t n = 0;
    if (gmtime_r(&seconds, &parts)) {
        n = whole ? strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)
                  : strftime(text, sizeof text, "%Y%m%d", &parts);
    }
    put(to, (struct sp_text){text, n});
}

static void put_number(uint64_t number, put_fn put, void *to)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    put(to, sp_text_of(text));
}

static void put_body_hash(const struct signing *s, bool base64, put_fn put, void *to)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[HASH_HEX_BYTES];
    struct sp_text body = s->request->body;
    (void)crypto_hash_sha256(hash, (const unsigned char *)(body.len ? body.ptr : ""), body.len);
    if (base64) {
        (void)sodium_bin2base64(text, sizeof text, hash, sizeof hash,
                                sodium_base64_VARIANT_ORIGINAL);
    } else {
        (void)sodium_bin2hex(text, sizeof text, hash, sizeof hash);
    }
    put(to, sp_text_of(text));
}

static void put_path_encoded(const struct signing *s, put_fn put, void *to)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s->path.len; i++) {
        unsigned char c = (unsigned char)s->path.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~/", c));
        const char escaped[] = {'%', hex[c >> 4], hex[c & 15]};
        put(to, plain ? (struct sp_text){s->path.ptr + i, 1} : (struct sp_text){escaped, 3});
    }
}

struct pair {
    struct sp_text name, value;
};

static int by_name_and_value(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = sp_text_cmp(x->name, y->name);
    return order ? order : sp_text_cmp(x->value, y->value);
}

static void put_query_sorted(struct signing *s, put_fn put, void *to)
{
    struct pair pairs[QUERY_PAIRS_MAX];
    size_t n = 0;
    for (size_t at = 0; at < s->query.len; n++) {
        const char *start = s->query.ptr + at;
        const char *end = memchr(start, '&', s->query.len - at);
        size_t len = end ? (size_t)(end - start) : s->query.len - at;
        const char *equals = memchr(start, '=', len);
        size_t name_len = equals ? (size_t)(equals - start) : len;
        if (n == QUERY_PAIRS_MAX) {
            s->failed = true;
            return;
        }
        pairs[n].name = (struct sp_text){start, name_len};
        pairs[n].value =
            equals ? (struct sp_text){equals + 1, len - name_len - 1} : SP_TEXT("");
        at += len + 1;
    }
    qsort(pairs, n, sizeof *pairs, by_name_and_value);
    for (size_t i = 0; i < n; i++) {
        put(to, i ? SP_TEXT("&") : SP_TEXT(""));
        put(to, pairs[i].name);
        put(to, SP_TEXT("="));
        put(to, pairs[i].value);
    }
}

static void put_host(const struct signing *s, put_fn put, void *to)
{
    const struct sp_url *url = &s->request->url;
    char port[8];
    put(to, url->host);
    if (url->port != (url->https ? 443 : 80)) {
        (void)snprintf(port, sizeof port, ":%u", url->port);
        put(to, sp_text_of(port));
    }
}

static void put_name(struct signing *s, enum sp_sign_name name, put_fn put, void *to)
{
    char nonce[2 * SP_SIGN_NONCE_BYTES + 1];
    switch (name) {
    case SP_SIGN_METHOD:
        put(to, sp_text_of(sp_method_name(s->request->method)));
        break;
    case SP_SIGN_HOST:
        put_host(s, put, to);
        break;
    case SP_SIGN_PATH:
        put(to, s->path);
        break;
    case SP_SIGN_PATH_ENCODED:
        put_path_encoded(s, put, to);
        break;
    case SP_SIGN_QUERY:
        put(to, s->query);
        break;
    case SP_SIGN_QUERY_SORTED:
        put_query_sorted(s, put, to);
        break;
    case SP_SIGN_TARGET:
        put(to, s->path);
        if (s->query.len) {
            put(to, SP_TEXT("?"));
            put(to, s->query);
        }
        break;
    case SP_SIGN_BODY:
        put(to, s->request->body);
        break;
    case SP_SIGN_BODY_SHA256:
    case SP_SIGN_BODY_SHA256_BASE64:
        put_body_hash(s, name == SP_SIGN_BODY_SHA256_BASE64, put, to);
        break;
    case SP_SIGN_TIMESTAMP:
        put_number(s->moment->unix_ms / 1000, put, to);
        break;
    case SP_SIGN_TIMESTAMP_MS:
        put_number(s->moment->unix_ms, put, to);
        break;
    case SP_SIGN_DATE:
        put_time(s, false, put, to);
        break;
    case SP_SIGN_DATETIME:
        put_time(s, true, put, to);
        break;
    case SP_SIGN_NONCE:
        (void)sodium_bin2hex(nonce, sizeof nonce, s->moment->nonce, sizeof s->moment->nonce);
        put(to, sp_text_of(nonce));
        break;
    case SP_SIGN_CANONICAL_SHA256:
        put(to, sp_text_of(s->canonical_sha256));
        break;
    case SP_SIGN_SIGNATURE:
        put(to, sp_text_of(s->encoded));
        break;
    case SP_SIGN_LITERAL:
        break;
    }
}

/* Templates were looked at when they were pushed. */
static void fill(struct signing *s, struct sp_text template, put_fn put, void *to)
{
    enum sp_sign_name name;
    struct sp_text literal;
    while (sp_sign_next(&template, &name, &literal)) {
        if (name == SP_SIGN_LITERAL) {
            put(to, literal);
        } else {
            put_name(s, name, put, to);
        }
    }
    s->failed = s->failed || template.len > 0;
}

/* ---- the key --------------------------------------------------------------------------------
 */

/* Append prefix and secret, decoded where they are base64. */
static sp_status key_fill(const struct sp_signature *signature, const struct sp_key *key,
                          struct sp_wipe_buf *buf, struct sp_error *err)
{
    struct sp_text secret;
    size_t len = 0;
    sp_status status = sp_placement_secret(key, signature->secret, &secret, err);
    if (status) {
        return status;
    }
    sp_wipe_buf_add_text(buf, signature->key_prefix);
    if (!signature->key_base64) {
        sp_wipe_buf_add_text(buf, secret);
    } else {
        sp_wipe_buf_reserve(buf, secret.len);
        if (!buf->failed &&
            sodium_base642bin((unsigned char *)buf->ptr + buf->len, secret.len, secret.ptr,
                              secret.len, "\n", &len, NULL, sodium_base64_VARIANT_ORIGINAL)) {
            return sp_fail(err, SP_EINVAL,
                           "key %.*s: its %.*s is no base64; rotate the key with the right "
                           "value",
                           (int)key->id.len, key->id.ptr, (int)signature->secret.len,
                           signature->secret.ptr);
        }
        buf->len += buf->failed ? 0 : len;
    }
    return buf->failed || buf->len == 0
               ? sp_fail(err, SP_ETOOBIG,
                         "key %.*s: its secret cannot sign: empty, or too long",
                         (int)key->id.len, key->id.ptr)
               : SP_OK;
}

/* The signature of the message, in s->encoded. */
static sp_status sign(struct signing *s, const struct sp_key *key, struct sp_error *err)
{
    unsigned char bytes[MAC_MAX_BYTES];
    struct mac mac = {.sha512 = s->signature->sha512};
    struct sp_wipe_buf start;
    sp_wipe_buf_init(&start, KEY_MAX_BYTES);
    sp_status status = key_fill(s->signature, key, &start, err);
    if (!status) {
        struct sp_text with = sp_wipe_buf_text(&start);
        for (size_t i = 0; i <= s->signature->n_derive; i++) {
            bool last = i == s->signature->n_derive;
            mac_begin(&mac, with);
            fill(s, last ? s->signature->message : s->signature->derive[i], put_mac, &mac);
            mac_end(&mac, bytes);
            with = (struct sp_text){(const char *)bytes, mac_bytes(&mac)};
        }
        if (s->signature->base64) {
            (void)sodium_bin2base64(s->encoded, sizeof s->encoded, bytes, mac_bytes(&mac),
                                    sodium_base64_VARIANT_ORIGINAL);
        } else {
            (void)sodium_bin2hex(s->encoded, sizeof s->encoded, bytes, mac_bytes(&mac));
        }
    }
    sodium_memzero(bytes, sizeof bytes);
    sp_wipe_buf_done(&start);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------
 */

void sp_sign_now(struct sp_sign_moment *ret_moment)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ret_moment->unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    randombytes_buf(ret_moment->nonce, sizeof ret_moment->nonce);
}

void sp_signed_init(struct sp_signed *signed_values)
{
    for (size_t i = 0; i < SP_SIGN_OUTPUTS_MAX; i++) {
        sp_wipe_buf_init(&signed_values->values[i], VALUE_MAX_BYTES);
    }
}

void sp_signed_done(struct sp_signed *signed_values)
{
    for (size_t i = 0; i < SP_SIGN_OUTPUTS_MAX; i++) {
        sp_wipe_buf_done(&signed_values->values[i]);
    }
}

static void target_cut(struct signing *s, const struct sp_wipe_buf *target)
{
    struct sp_text text = sp_wipe_buf_text(target);
    const char *mark = text.len ? memchr(text.ptr, '?', text.len) : NULL;
    s->path = (struct sp_text){text.ptr, mark ? (size_t)(mark - text.ptr) : text.len};
    s->query = mark ? (struct sp_text){mark + 1, text.len - s->path.len - 1} : SP_TEXT("");
}

/* The outputs that hold the signature, or those that do not. */
static sp_status put_outputs(struct signing *s, bool with_signature, struct sp_wipe_buf *target,
                             struct sp_signed *ret_signed, struct sp_error *err)
{
    sp_status status = SP_OK;
    for (size_t i = 0; i < s->signature->n_outputs && !status; i++) {
        const struct sp_sign_output *output = &s->signature->outputs[i];
        struct sp_wipe_buf *value = &ret_signed->values[i];
        if (output->is_signature != with_signature) {
            continue;
        }
        fill(s, output->template, put_buf, value);
        if (output->place == SP_PLACE_QUERY) {
            status = sp_placement_add_query(output->name, sp_wipe_buf_text(value),
                                            &s->request->url, target, err);
            sp_wipe_buf_reset(value);
            target_cut(s, target); /* it may have moved */
        }
    }
    return status;
}

sp_status sp_sign(const struct sp_signature *signature, const struct sp_key *key,
                  const struct sp_request *request, const struct sp_sign_moment *moment,
                  struct sp_wipe_buf *target, struct sp_signed *ret_signed,
                  struct sp_error *err)
{
    struct signing s = {.signature = signature, .request = request, .moment = moment};
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES];
    target_cut(&s, target);
    sp_status status = put_outputs(&s, false, target, ret_signed, err);
    if (!status) {
        (void)crypto_hash_sha256_init(&state);
        fill(&s, signature->canonical, put_hash, &state);
        (void)crypto_hash_sha256_final(&state, hash);
        (void)sodium_bin2hex(s.canonical_sha256, sizeof s.canonical_sha256, hash, sizeof hash);
        status = sign(&s, key, err);
    }
    if (!status) {
        status = put_outputs(&s, true, target, ret_signed, err);
    }
    bool failed = s.failed || target->failed;
    for (size_t i = 0; i < signature->n_outputs; i++) {
        failed = failed || ret_signed->values[i].failed;
    }
    sodium_memzero(&s, sizeof s);
    return !status && failed
               ? sp_fail(err, SP_ETOOBIG, "the request has more than a signature can take in")
               : status;
}

static bool names_body(struct sp_text template)
{
    enum sp_sign_name name;
    struct sp_text literal;
    bool found = false;
    while (!found && sp_sign_next(&template, &name, &literal)) {
        found = name == SP_SIGN_BODY || name == SP_SIGN_BODY_SHA256 ||
                name == SP_SIGN_BODY_SHA256_BASE64;
    }
    return found;
}

bool sp_sign_reads_body(const struct sp_signature *signature)
{
    bool found = names_body(signature->canonical) || names_body(signature->message);
    for (size_t i = 0; i < signature->n_outputs && !found; i++) {
        found = names_body(signature->outputs[i].template);
    }
    return found;
}
