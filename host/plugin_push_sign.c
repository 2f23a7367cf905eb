/* The extension sallyport.sign/1: how a plugin says that requests are signed. */
#include "plugin_push_sign.h"

#include "plugin_check.h"
#include "plugin_push.h"
#include "sign_names.h"

enum { DERIVE_MAX = 8, ALGORITHM_LAST = SALLYPORT_SIGN_HMAC_SHA512 };

static bool is_lines(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\n' && (text.ptr[i] < ' ' || text.ptr[i] >= 0x7f)) {
            return false;
        }
    }
    return true;
}

/* Take a template, and see what it names. */
static int32_t take(struct sp_plugin_host *host, const struct sallyport_text *text,
                    unsigned allowed, const char *what, struct sp_text *ret_copy,
                    unsigned *ret_names)
{
    bool lines = allowed == SP_SIGN_IN_CANONICAL || allowed == SP_SIGN_IN_MESSAGE;
    int32_t status = sp_push_take(host, text, SP_PLUGIN_HEADER_VALUE_MAX,
                                  lines ? is_lines : sp_is_printable, what, ret_copy);
    const char *wrong = status ? NULL : sp_sign_template_refused(*ret_copy, allowed, ret_names);
    return wrong ? sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin's %s %s", what, wrong)
                 : status;
}

static int32_t take_derive(struct sp_plugin_host *host, const struct sallyport_signature *from,
                           struct sp_signature *to)
{
    struct sp_text *derive = sp_arena_array(host->arena, from->n_derive, sizeof *derive);
    int32_t status = derive ? SALLYPORT_OK : SALLYPORT_E_LIMIT;
    unsigned seen;
    for (uint32_t i = 0; i < from->n_derive && !status; i++) {
        status = take(host, from->derive[i], SP_SIGN_IN_DERIVE, "derivation of a signing key",
                      &derive[i], &seen);
    }
    to->derive = derive;
    to->n_derive = from->n_derive;
    return status;
}

static int32_t take_output(struct sp_plugin_host *host,
                           const struct sallyport_sign_output *from, struct sp_sign_output *to)
{
    unsigned seen = 0;
    if (!IS_V1(from, sallyport_sign_output, template_text) ||
        from->place > SALLYPORT_PLACE_QUERY) {
        return sp_push_refuse_form(host, "place of a signature");
    }
    bool header = from->place == SALLYPORT_PLACE_HEADER;
    to->place = header ? SP_PLACE_HEADER : SP_PLACE_QUERY;
    int32_t status = sp_push_take(host, &from->name, SP_PLUGIN_HEADER_NAME_MAX,
                                  header ? sp_is_header_name : sp_is_visible,
                                  header ? "header name" : "query parameter", &to->name);
    if (!status) {
        status = take(host, &from->template_text, SP_SIGN_IN_OUTPUT, "value of a signature",
                      &to->template, &seen);
    }
    if (status) {
        return status;
    }
    to->is_signature = seen & SP_SIGN_IS(SP_SIGN_SIGNATURE);
    if (header && (!sp_is_header_value(to->template) || sp_header_is_forbidden(to->name))) {
        return sp_push_refuse(host, SALLYPORT_E_DENIED,
                              "the plugin wants to sign in the header %s, which is the host's, "
                              "or with a value that no header has",
                              to->name.ptr);
    }
    return sp_push_is_filled(host, to->place, to->name)
               ? sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin fills %s twice",
                                to->name.ptr)
               : SALLYPORT_OK;
}

static int32_t take_outputs(struct sp_plugin_host *host, const struct sallyport_signature *from,
                            struct sp_signature *to)
{
    struct sp_sign_output *outputs =
        sp_arena_array(host->arena, from->n_outputs, sizeof *outputs);
    int32_t status = outputs ? SALLYPORT_OK : SALLYPORT_E_LIMIT;
    bool signs = false;
    to->outputs = outputs;
    for (uint32_t i = 0; i < from->n_outputs && !status; i++) {
        status = take_output(host, from->outputs[i], &outputs[i]);
        for (uint32_t k = 0; k < i && !status; k++) {
            if (outputs[k].place == outputs[i].place &&
                sp_text_eq(outputs[k].name, outputs[i].name)) {
                status = sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin fills %s twice",
                                        outputs[i].name.ptr);
            }
        }
        signs = signs || (!status && outputs[i].is_signature);
    }
    to->n_outputs = from->n_outputs;
    return status || signs ? status
                           : sp_push_refuse(host, SALLYPORT_E_INVALID,
                                            "the plugin signs, and puts the signature nowhere");
}

static bool is_secret(const struct sp_plugin_host *host, struct sp_text name)
{
    for (size_t i = 0; i < host->key->n_secrets; i++) {
        if (sp_text_eq(host->key->secrets[i], name)) {
            return true;
        }
    }
    return false;
}

static int32_t take_signature(struct sp_plugin_host *host,
                              const struct sallyport_signature *from, struct sp_signature *to)
{
    unsigned seen = 0;
    int32_t status = sp_push_take(host, &from->secret, SP_PLUGIN_ID_MAX, sp_is_field_name,
                                  "name of a signing key", &to->secret);
    if (!status && !is_secret(host, to->secret)) {
        status = sp_push_refuse(host, SALLYPORT_E_INVALID,
                                "the plugin signs with %s, which this key does not have",
                                to->secret.ptr);
    }
    if (!status) {
        status = sp_push_take(host, &from->key_prefix, SP_PLUGIN_ID_MAX, sp_is_printable,
                              "prefix of a signing key", &to->key_prefix);
    }
    if (!status) {
        status = take(host, &from->canonical, SP_SIGN_IN_CANONICAL, "canonical form",
                      &to->canonical, &seen);
    }
    if (!status) {
        status = take(host, &from->message, SP_SIGN_IN_MESSAGE, "message to sign", &to->message,
                      &seen);
    }
    if (!status && seen == 0) {
        status = sp_push_refuse(host, SALLYPORT_E_INVALID,
                                "the plugin signs nothing of the request");
    }
    status = status ? status : take_derive(host, from, to);
    return status ? status : take_outputs(host, from, to);
}

static int32_t push_signature(const struct sallyport_host *table, uint64_t call,
                              const struct sallyport_signature *signature)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_PLAN), "push_signature");
    if (status) {
        return status;
    }
    if (!IS_V1(signature, sallyport_signature, outputs) ||
        signature->algorithm > ALGORITHM_LAST || signature->reserved ||
        signature->flags & ~(SALLYPORT_SIGN_BASE64 | SALLYPORT_SIGN_KEY_BASE64) ||
        signature->n_derive > DERIVE_MAX || (signature->n_derive && !signature->derive) ||
        signature->n_outputs > SP_SIGN_OUTPUTS_MAX ||
        (signature->n_outputs && !signature->outputs)) {
        return sp_push_refuse_form(host, "signature");
    }
    if (host->signature) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "the plugin pushed two signatures");
    }
    struct sp_signature *to = sp_arena_alloc(host->arena, sizeof *to);
    if (!to) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "out of memory");
    }
    to->sha512 = signature->algorithm == SALLYPORT_SIGN_HMAC_SHA512;
    to->base64 = signature->flags & SALLYPORT_SIGN_BASE64;
    to->key_base64 = signature->flags & SALLYPORT_SIGN_KEY_BASE64;
    status = take_signature(host, signature, to);
    host->signature = status ? NULL : to;
    return status;
}

const struct sallyport_sign sp_sign_table = {.size = sizeof sp_sign_table,
                                             .push_signature = push_signature};
