/* Reads sources, each ended by a NUL, and answers each with what the formatter makes of it and
 * a NUL, or with a NUL alone where it does not parse. test_fmt_oracle.py asks it.
 *
 * It ends with status 1 where the same text formatted again differs, or where a scope of the
 * formatted text means something else than the scope of the source: their canonical texts, or
 * where a scope has parameters its explanation of one request, are compared. */
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX_BYTES = 16 << 20 };

static struct sp_policy *compiled(struct sp_text text)
{
    struct sp_source source = {"x.scope", text};
    struct sp_policy *policy = NULL;
    struct sp_diags diags;
    sp_diags_init(&diags);
    (void)sp_policy_compile(&source, 1, NULL, &diags, &policy);
    sp_diags_done(&diags);
    return policy;
}

/* What a policy says, by what it prints of its scopes. */
static void say(const struct sp_policy *policy, struct sp_buf *buf)
{
    for (size_t i = 0; policy && i < sp_policy_n_scopes(policy); i++) {
        const struct sp_scope *scope = sp_policy_scope(policy, i);
        struct sp_arg args[32];
        struct sp_scope *frozen = NULL;
        for (size_t k = 0; k < sp_scope_n_params(scope); k++) {
            args[k] = (struct sp_arg){sp_scope_param(scope, k), SP_TEXT("v")};
        }
        if (sp_scope_freeze(scope, args, sp_scope_n_params(scope), &frozen, NULL) == SP_OK) {
            sp_scope_print(frozen, buf);
        }
        sp_scope_free(frozen);
        sp_buf_add_byte(buf, '\n');
    }
}

static bool means_the_same(struct sp_text before, struct sp_text after, size_t *compared)
{
    struct sp_policy *old = compiled(before), *new = compiled(after);
    struct sp_buf a, b;
    sp_buf_init(&a, TEXT_MAX_BYTES);
    sp_buf_init(&b, TEXT_MAX_BYTES);
    say(old, &a);
    say(new, &b);
    bool same = !old == !new && !a.failed &&sp_text_eq(sp_buf_text(&a), sp_buf_text(&b));
    *compared += old != NULL;
    sp_policy_free(old);
    sp_policy_free(new);
    sp_buf_done(&a);
    sp_buf_done(&b);
    return same;
}

static bool answer(struct sp_text text, size_t *compared)
{
    struct sp_source source = {"x.scope", text};
    struct sp_buf once, twice;
    struct sp_diags diags;
    sp_diags_init(&diags);
    sp_buf_init(&once, TEXT_MAX_BYTES);
    sp_buf_init(&twice, TEXT_MAX_BYTES);
    sp_status status = sp_policy_format(&source, &diags, &once);
    bool good = true;
    if (status == SP_OK) {
        source.text = sp_buf_text(&once);
        good = sp_policy_format(&source, &diags, &twice) == SP_OK &&
               sp_text_eq(source.text, sp_buf_text(&twice)) &&
               means_the_same(text, source.text, compared) &&
               fwrite(source.text.ptr, 1, source.text.len, stdout) == source.text.len;
        if (!good) {
            (void)fprintf(stderr, "---- from\n%.*s\n---- once\n%.*s\n---- twice\n%.*s\n",
                          (int)text.len, text.ptr, (int)source.text.len, source.text.ptr,
                          (int)twice.len, sp_buf_text(&twice).ptr);
        }
    }
    sp_buf_done(&once);
    sp_buf_done(&twice);
    sp_diags_done(&diags);
    return good && putchar('\0') != EOF;
}

int main(void)
{
    char *source = NULL;
    size_t room = 0, compared = 0;
    ssize_t len;
    bool good = true;
    while (good && (len = getdelim(&source, &room, '\0', stdin)) > 0) {
        size_t end = source[len - 1] == '\0' ? 1 : 0;
        good = answer((struct sp_text){source, (size_t)len - end}, &compared);
    }
    (void)fprintf(stderr, "%zu compiled and compared\n", compared);
    free(source);
    return good ? 0 : 1;
}
