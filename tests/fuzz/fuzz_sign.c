/* Any bytes as the templates of a signature, as a target and as a body: what is taken is cut
 * into pieces that are all of it, and signs without a fault, the same each time; what is not,
 * is not. The input is cut at NULs: message, canonical form, output, target, body. */
#include "sign.h"
#include "sign_names.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTS = 5 };

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* The pieces of a template that is well-formed have no more bytes than it has. */
static void check_pieces(struct sp_text template)
{
    enum sp_sign_name name;
    struct sp_text literal;
    size_t n = 0, len = template.len;
    unsigned names;
    bool good = !sp_sign_template_refused(template, SP_SIGN_IS(SP_SIGN_LITERAL) - 1, &names);
    while (sp_sign_next(&template, &name, &literal)) {
        require(name <= SP_SIGN_LITERAL && (name != SP_SIGN_LITERAL || literal.len > 0));
        n += name == SP_SIGN_LITERAL ? literal.len : 1;
    }
    require(good == (template.len == 0) && n <= len);
}

static void sign_once(const struct sp_signature *signature, const struct sp_request *request,
                      struct sp_text target, struct sp_wipe_buf *ret_value)
{
    static struct sp_key_secret secret = {.name = {"api_key", 7}};
    static const struct sp_sign_moment moment = {.unix_ms = 1440938160123};
    static unsigned char bytes[] = "sesame";
    secret.value = (struct sp_secret){.ptr = bytes, .len = 6};
    const struct sp_key key = {.id = SP_TEXT("k"), .secrets = &secret, .n_secrets = 1};
    struct sp_wipe_buf sent;
    struct sp_signed values;
    struct sp_error err = {""};
    sp_wipe_buf_init(&sent, 1 << 16);
    sp_wipe_buf_add_text(&sent, target);
    sp_signed_init(&values);
    sp_status status = sp_sign(signature, &key, request, &moment, &sent, &values, &err);
    require((status == SP_OK) == (*err.text == '\0'));
    if (!status) {
        sp_wipe_buf_add_text(ret_value, sp_wipe_buf_text(&values.values[0]));
    }
    sp_signed_done(&values);
    sp_wipe_buf_done(&sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_text parts[PARTS];
    unsigned names, said;
    size_t at = 0;
    for (size_t i = 0; i < PARTS; i++) {
        const uint8_t *end = at < size ? memchr(data + at, '\0', size - at) : NULL;
        size_t stop = end && i + 1 < PARTS ? (size_t)(end - data) : size;
        parts[i] = (struct sp_text){size ? (const char *)data + at : "", stop - at};
        at = stop < size ? stop + 1 : size;
    }
    check_pieces(parts[0]);
    if (sp_sign_template_refused(parts[0], SP_SIGN_IN_MESSAGE, &names) ||
        sp_sign_template_refused(parts[1], SP_SIGN_IN_CANONICAL, &said) ||
        sp_sign_template_refused(parts[2], SP_SIGN_IN_OUTPUT, &said)) {
        return 0;
    }
    const struct sp_sign_output output = {.place = SP_PLACE_HEADER,
                                          .name = SP_TEXT("x"),
                                          .template = parts[2],
                                          .is_signature = said & SP_SIGN_IS(SP_SIGN_SIGNATURE)};
    const struct sp_signature signature = {.secret = SP_TEXT("api_key"),
                                           .canonical = parts[1],
                                           .message = parts[0],
                                           .outputs = &output,
                                           .n_outputs = 1};
    const struct sp_request request = {
        .method = SP_METHOD_POST,
        .url = {.https = true, .host = SP_TEXT("h.example"), .port = 443},
        .body = parts[4]};
    struct sp_wipe_buf first, second;
    sp_wipe_buf_init(&first, 1 << 16);
    sp_wipe_buf_init(&second, 1 << 16);
    sign_once(&signature, &request, parts[3], &first);
    sign_once(&signature, &request, parts[3], &second);
    require(sp_text_eq(sp_wipe_buf_text(&first), sp_wipe_buf_text(&second)));
    sp_wipe_buf_done(&first);
    sp_wipe_buf_done(&second);
    return 0;
}
