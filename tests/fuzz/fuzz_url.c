/* Any bytes as a URL and as a form: no fault; what is accepted keeps its promises, and prints
 * to something that parses to the same again, part by part. */
#include "percent.h"
#include "request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_segment(const struct sp_segment *segment)
{
    struct sp_text text = segment->text;
    require(text.len > 0 && sp_text_is_utf8(text));
    require(!sp_text_is(text, ".") && !sp_text_is(text, ".."));
    require(segment->has_slash == (memchr(text.ptr, '/', text.len) != NULL));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        require(byte >= ' ' && byte != 0x7f && percent_decode(text, i) < 0);
        require(!strchr("\\;?#", byte));
    }
}

static void check_same(const struct sp_url *a, const struct sp_url *b)
{
    require(a->https == b->https && a->port == b->port && sp_text_eq(a->host, b->host));
    require(a->n_segments == b->n_segments && a->trailing_slash == b->trailing_slash);
    require(a->n_query == b->n_query);
    for (size_t i = 0; i < a->n_segments; i++) {
        require(sp_text_eq(a->segments[i].text, b->segments[i].text));
        require(a->segments[i].has_slash == b->segments[i].has_slash);
    }
    for (size_t i = 0; i < a->n_query; i++) {
        require(sp_text_eq(a->query[i].name, b->query[i].name));
        require(sp_text_eq(a->query[i].value, b->query[i].value));
        require(a->query[i].has_value == b->query[i].has_value);
    }
}

static void check_url(struct sp_arena *arena, struct sp_text raw)
{
    struct sp_request request, again;
    struct sp_error err = {""};
    struct sp_buf print;
    if (sp_request_init(arena, SP_TEXT("GET"), raw, &request, &err)) {
        require(*err.text && sp_text_is_utf8(sp_text_of(err.text)));
        return;
    }
    for (size_t i = 0; i < request.url.n_segments; i++) {
        check_segment(&request.url.segments[i]);
    }
    sp_buf_init(&print, 1 << 20);
    sp_url_print(&request.url, &print);
    require(!print.failed);
    for (size_t i = 0; i < print.len; i++) {
        require(print.ptr[i] > ' ' && print.ptr[i] < 0x7f);
    }
    /* Percent-encoding triples the length at most, so the print may be over the cap. */
    sp_status status =
        sp_request_init(arena, SP_TEXT("GET"), sp_buf_text(&print), &again, &err);
    require(status == SP_OK || status == SP_ETOOBIG);
    if (status == SP_OK) {
        check_same(&request.url, &again.url);
    }
    sp_buf_done(&print);
}

static void check_form(struct sp_arena *arena, struct sp_text raw)
{
    const struct sp_param *params;
    size_t n;
    struct sp_value tree;
    if (sp_form_parse(arena, raw, 200, &params, &n, NULL) == SP_OK) {
        require(n <= 200 && sp_form_tree(arena, params, n, &tree) == SP_OK);
        require(tree.kind == SP_VALUE_OBJECT && tree.as.object.n <= n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena arena;
    sp_arena_init(&arena, 64 << 20);
    check_url(&arena, (struct sp_text){(const char *)data, size});
    check_form(&arena, (struct sp_text){(const char *)data, size});
    sp_arena_done(&arena);
    return 0;
}
