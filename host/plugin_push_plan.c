/* What a plugin pushes of a key's plan: checked, copied, listed. */
#include "plugin_check.h"
#include "plugin_push.h"

enum {
    PLACEMENTS_MAX = 8,
    HEADERS_MAX = 32,
};

static bool in_headers(const struct sp_list *list, struct sp_text name)
{
    const struct sp_setting *headers = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (sp_text_eq(headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* What is filled twice would hold what nobody meant. */
bool sp_push_is_filled(const struct sp_plugin_host *host, enum sp_place place,
                       struct sp_text name)
{
    const struct sp_placement *placements = host->placements.items;
    const struct sp_signature *signature = host->signature;
    for (size_t i = 0; i < host->placements.n; i++) {
        if (placements[i].place == place && sp_text_eq(placements[i].name, name)) {
            return true;
        }
    }
    for (size_t i = 0; signature && i < signature->n_outputs; i++) {
        if (signature->outputs[i].place == place &&
            sp_text_eq(signature->outputs[i].name, name)) {
            return true;
        }
    }
    return place == SP_PLACE_HEADER &&
           (in_headers(&host->headers, name) || in_headers(&host->defaults, name));
}

/* The name is checked before the item is listed, so that it is not found to be set by itself.
 */
static int32_t placement_take(struct sp_plugin_host *host,
                              const struct sallyport_placement *placement,
                              struct sp_placement *to)
{
    bool header = placement->place == SALLYPORT_PLACE_HEADER;
    to->place = header                                     ? SP_PLACE_HEADER
                : placement->place == SALLYPORT_PLACE_FORM ? SP_PLACE_FORM
                                                           : SP_PLACE_QUERY;
    to->base64 = placement->flags & SALLYPORT_PLACE_BASE64;
    int32_t status = sp_push_take(host, &placement->name, SP_PLUGIN_HEADER_NAME_MAX,
                                  header ? sp_is_header_name : sp_is_visible,
                                  header ? "header name" : "name of a parameter", &to->name);
    if (!status) {
        status = sp_push_take(host, &placement->prefix, SP_PLUGIN_HEADER_VALUE_MAX,
                              sp_is_printable, "prefix of a placement", &to->prefix);
    }
    if (!status) {
        status = sp_push_take(host, &placement->template_text, SP_PLUGIN_HEADER_VALUE_MAX,
                              sp_is_printable, "template of a placement", &to->template);
    }
    if (status) {
        return status;
    }
    if (header && sp_header_is_forbidden(to->name)) {
        return sp_push_refuse(host, SALLYPORT_E_DENIED,
                              "the plugin wants to put a secret into the header %s, which is "
                              "the host's",
                              to->name.ptr);
    }
    if (sp_push_is_filled(host, to->place, to->name)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin fills %s twice",
                              to->name.ptr);
    }
    const char *wrong =
        sp_template_refused(to->template, host->names, host->n_names, host->manifest.leases);
    return wrong ? sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin's template for %s %s",
                                  to->name.ptr, wrong)
                 : SALLYPORT_OK;
}

int32_t sp_placement_take(struct sp_plugin_host *host,
                          const struct sallyport_placement *placement, bool form)
{
    struct sp_placement copy = {.place = SP_PLACE_HEADER};
    void *item = NULL;
    if (!IS_V1(placement, sallyport_placement, template_text) ||
        !(placement->place <= SALLYPORT_PLACE_QUERY ||
          (form && placement->place == SALLYPORT_PLACE_FORM)) ||
        placement->flags & ~SALLYPORT_PLACE_BASE64 || placement->reserved) {
        return sp_push_refuse_form(host, "placement");
    }
    int32_t status = placement_take(host, placement, &copy);
    if (!status) {
        status = sp_push_item(host, &host->placements, sizeof copy, PLACEMENTS_MAX,
                              "placements", &item);
    }
    if (!status) {
        *(struct sp_placement *)item = copy;
    }
    return status;
}

int32_t sp_push_placement(const struct sallyport_host *table, uint64_t call,
                          const struct sallyport_placement *placement)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_PLAN), "push_placement");
    return status ? status : sp_placement_take(host, placement, false);
}

int32_t sp_header_take(struct sp_plugin_host *host, const struct sallyport_header *header)
{
    struct sp_setting copy;
    void *item = NULL;
    if (!IS_V1(header, sallyport_header, value) || header->kind > SALLYPORT_HEADER_DEFAULT) {
        return sp_push_refuse_form(host, "header");
    }
    int32_t status = sp_push_take(host, &header->name, SP_PLUGIN_HEADER_NAME_MAX,
                                  sp_is_header_name, "header name", &copy.name);
    if (!status) {
        status = sp_push_take(host, &header->value, SP_PLUGIN_HEADER_VALUE_MAX,
                              sp_is_header_value, "header value", &copy.value);
    }
    if (status) {
        return status;
    }
    if (sp_header_is_forbidden(copy.name) || sp_header_is_credential(copy.name)) {
        return sp_push_refuse(host, SALLYPORT_E_DENIED,
                              "the plugin wants to set the header %s, which is the host's",
                              copy.name.ptr);
    }
    if (sp_push_is_filled(host, SP_PLACE_HEADER, copy.name)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin fills %s twice",
                              copy.name.ptr);
    }
    status = sp_push_item(
        host, header->kind == SALLYPORT_HEADER_FIXED ? &host->headers : &host->defaults,
        sizeof copy, HEADERS_MAX, "headers", &item);
    if (!status) {
        *(struct sp_setting *)item = copy;
    }
    return status;
}

int32_t sp_push_header(const struct sallyport_host *table, uint64_t call,
                       const struct sallyport_header *header)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_PLAN), "push_header");
    return status ? status : sp_header_take(host, header);
}
