/* An upstream's answer, searched as a whole and in pieces of any size: never a crash, and what
 * the whole is refused for is refused in a stream as well. The first two bytes say the sizes.
 */
#include "guard.h"

#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Repeats and escapes' own bytes, so that half matches and nested escapes are near. */
static struct sp_guard *make(void)
{
    static char value[] = "aabaabc/d%5\"";
    struct sp_key_secret secrets[] = {
        {SP_TEXT("api_key"), {.ptr = (unsigned char *)value, .len = sizeof value - 1}}};
    struct sp_key key = {.id = SP_TEXT("k"), .secrets = secrets, .n_secrets = 1};
    const struct sp_plan plan = {.n_placements = 0};
    struct sp_guard *guard = NULL;
    must(sodium_init() >= 0 && sp_guard_new(&key, &plan, &guard) == SP_OK);
    return guard;
}

static sp_status feed_all(const struct sp_guard *guard, struct sp_text text,
                          const uint8_t *sizes)
{
    struct sp_guard_stream *stream = NULL;
    sp_status status = SP_OK;
    size_t held = 0, fed = 0;
    must(sp_guard_stream_new(guard, &stream) == SP_OK);
    for (unsigned i = 0; !status && fed < text.len; i++) {
        size_t n = 1u + sizes[i % 2] % 64u;
        n = n < text.len - fed ? n : text.len - fed;
        status = sp_guard_stream_feed(stream, (struct sp_text){text.ptr + fed, n}, &held);
        fed += n;
    }
    status = status ? status : sp_guard_stream_end(stream);
    sp_guard_stream_free(stream);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sp_guard *guard;
    if (!guard) {
        guard = make();
    }
    if (size < 2) {
        return 0;
    }
    struct sp_text text = {(const char *)data + 2, size - 2};
    if (sp_guard_check(guard, text) == SP_EDENIED) {
        must(feed_all(guard, text, data) == SP_EDENIED);
    } else {
        (void)feed_all(guard, text, data);
    }
    return 0;
}
