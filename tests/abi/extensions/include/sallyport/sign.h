/* sallyport/sign.h: requests that are signed, one by one, with a secret of the key.
 *
 * The plugin says once, in its plan, what is signed and where the signature goes; the host does
 * the arithmetic for every request. So the secret never crosses, nor does any request, and a
 * plugin that hangs or crashes holds up no call whose plan is known.
 *
 *   const struct sallyport_sign *sign = host->extension(host, SALLYPORT_SIGN);
 *   if (!sign) {
 *       return sallyport_refuse(host, call, "this host cannot sign requests");
 *   }
 *   return sign->push_signature(host, call, &signature);
 */
#ifndef SALLYPORT_SIGN_H
#define SALLYPORT_SIGN_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_SIGN "sallyport.sign/1" /* of the host */

#define SALLYPORT_SIGN_HMAC_SHA256 0u
#define SALLYPORT_SIGN_HMAC_SHA512 1u

#define SALLYPORT_SIGN_BASE64 1u     /* flag: {signature} in base64; else in lower-case hex */
#define SALLYPORT_SIGN_KEY_BASE64 2u /* flag: the secret is the base64 of the key */

/* What is written into the request. */
struct sallyport_sign_output {
    uint32_t size;
    uint32_t place;                      /* SALLYPORT_PLACE_HEADER … */
    struct sallyport_text name;          /* a header in lower case, or a query parameter */
    struct sallyport_text template_text; /* "HMAC {timestamp}:{signature}" */
};

/* Templates as in placements: {name} is filled in by the host, "{{" and "}}" are braces.
 *
 *   {method} {host}        as sent; the host with its port where that is not the scheme's own
 *   {path} {query} {target}
 *                          as sent; the query without its "?", empty where there is none. What
 *                          outputs put into it is in it, but for a {signature}
 *   {path_encoded}         {path}, percent-encoded once more but for its slashes
 *   {query_sorted}         name=value pairs, sorted by name, then by value
 *   {body} {body_sha256} {body_sha256_base64}
 *                          the bytes as sent; their hash, of no bytes where there are none
 *   {timestamp} {timestamp_ms} {date} {datetime}
 *                          the host's clock: seconds, milliseconds, 20260131, 20260131T235959Z
 *   {nonce}                32 hex digits, never the same twice
 *   {canonical_sha256}     in the message: SHA-256 of the filled `canonical`, in hex
 *   {signature}            in outputs
 *
 * Messages and canonical forms may hold line feeds. Derivations know the times alone; outputs
 * the times, {nonce}, {body_sha256}, {body_sha256_base64} and {signature}. */
struct sallyport_signature {
    uint32_t size;
    uint32_t algorithm; /* SALLYPORT_SIGN_HMAC_SHA256 … */
    uint32_t flags;     /* SALLYPORT_SIGN_BASE64 … */
    uint32_t n_derive, n_outputs;
    uint32_t reserved;                /* 0 */
    struct sallyport_text secret;     /* name of a secret that this key holds */
    struct sallyport_text key_prefix; /* put before the secret: "AWS4"; mostly empty */
    struct sallyport_text canonical;  /* may be empty */
    struct sallyport_text message;    /* what is signed */
    /* The key is first replaced by its HMAC over each of these, in turn; mostly none. */
    const struct sallyport_text *const *derive;
    const struct sallyport_sign_output *const *outputs; /* one of them has {signature} */
};

struct sallyport_sign {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* [in a hook: plan] At most once. A plan that signs needs no placement. Where a request
     * cannot be signed it is refused, never sent without. */
    int32_t (*push_signature)(const struct sallyport_host *host, uint64_t call,
                              const struct sallyport_signature *signature);
};

#ifdef __cplusplus
}
#endif

#endif
