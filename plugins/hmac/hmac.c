/* hmac: APIs that want each request signed with a shared secret. What is signed and where the
 * signature goes is the operator's configuration, or AWS Signature Version 4. The host signs:
 * neither the secret nor a request ever comes here. */
#include <sallyport/help.h>
#include <sallyport/sign.h>

#include <stdio.h>
#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

#define HOSTS_MAX_BYTES 1024
#define TEXT_MAX_BYTES 1024 /* of a template; what the host takes */
#define NAME_MAX_BYTES 128
#define OUTPUTS_MAX 4

struct instance {
    int aws;
    uint32_t algorithm, flags;
    const char *wrong; /* what check will say; static; NULL: nothing */
    char hosts[HOSTS_MAX_BYTES + 1];
    char message[TEXT_MAX_BYTES + 1], value[TEXT_MAX_BYTES + 1], canonical[TEXT_MAX_BYTES + 1];
    char header[NAME_MAX_BYTES + 1], timestamp_header[NAME_MAX_BYTES + 1],
        nonce_header[NAME_MAX_BYTES + 1], key_id_header[NAME_MAX_BYTES + 1];
    char key_id[NAME_MAX_BYTES + 1], region[65], service[65];
};

#define STRING(field, limit, kind, value, about)                                               \
    &(const struct sallyport_field)                                                            \
    {                                                                                          \
        .size = sizeof(struct sallyport_field), .type = SALLYPORT_FIELD_STRING,                \
        .charset = SALLYPORT_CHARSET_##kind, .max_bytes = (limit),                             \
        .name = SALLYPORT_TEXT(field), .fallback = SALLYPORT_TEXT(value),                      \
        .description = SALLYPORT_TEXT(about)                                                   \
    }

static const struct sallyport_field *const fields[] = {
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_HOST,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .max_bytes = HOSTS_MAX_BYTES,
        .name = SALLYPORT_TEXT("host"),
        .description = SALLYPORT_TEXT("The API's host, or several with commas"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_SECRET,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .name = SALLYPORT_TEXT("api_key"),
        .description = SALLYPORT_TEXT("The shared secret that requests are signed with"),
    },
    STRING("style", 16, TOKEN, "template", "template, or aws4 (AWS Signature Version 4)"),
    STRING("key_id", NAME_MAX_BYTES, TOKEN, "",
           "What the API calls the secret; for aws4, the access key id"),
    STRING("key_id_header", NAME_MAX_BYTES, TOKEN, "x-key-id", "Header of key_id, or none"),
    STRING("algorithm", 16, TOKEN, "sha256", "sha256 or sha512"),
    STRING("encoding", 16, TOKEN, "hex", "How the signature is written: hex or base64"),
    STRING("secret_encoding", 16, TOKEN, "text", "text; base64: the key is what it decodes to"),
    STRING("message", TEXT_MAX_BYTES, LINE,
           "{timestamp}\\n{nonce}\\n{method}\\n{target}\\n{body_sha256}",
           "What is signed; \\n is a line feed"),
    STRING("header", NAME_MAX_BYTES, TOKEN, "x-signature", "Header of the signature"),
    STRING("value", TEXT_MAX_BYTES, LINE, "{signature}", "What stands in that header"),
    STRING("timestamp_header", NAME_MAX_BYTES, TOKEN, "x-timestamp",
           "Header of {timestamp}, or none"),
    STRING("nonce_header", NAME_MAX_BYTES, TOKEN, "x-nonce", "Header of {nonce}, or none"),
    STRING("region", 64, TOKEN, "", "aws4: such as eu-central-1"),
    STRING("service", 64, TOKEN, "", "aws4: such as s3"),
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("hmac"),
        .version = SALLYPORT_TEXT("0.1.0"),
        .description = SALLYPORT_TEXT("APIs whose requests are signed with a shared secret"),
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    for (size_t i = 0; !status && i < sizeof fields / sizeof *fields; i++) {
        status = host->push_field(host, call, fields[i]);
    }
    return status;
}

/* ---- the configuration ----------------------------------------------------------------- */

/* The host has checked the lengths. */
static void copy(char *to, size_t room, const struct sallyport_key *key, const char *name)
{
    struct sallyport_text text = sallyport_setting_of(key, name);
    size_t n = text.len < room - 1 ? (size_t)text.len : room - 1;
    if (n) {
        memcpy(to, text.ptr, n);
    }
    to[n] = '\0';
}

/* Header names are told in lower case; "none" is none. */
static void copy_header(char *to, const struct sallyport_key *key, const char *name)
{
    copy(to, NAME_MAX_BYTES + 1, key, name);
    for (char *at = to; *at; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at + ('a' - 'A') : *at);
    }
    if (strcmp(to, "none") == 0) {
        to[0] = '\0';
    }
}

/* "\n" as an operator types it becomes a line feed. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        int feed = from[0] == '\\' && from[1] == 'n';
        *to++ = (char)(feed ? '\n' : *from);
        from += feed;
    }
    *to = '\0';
}

/* 1 for the second of two words, 0 for the first, -1 for neither. */
static int second_of(const struct sallyport_key *key, const char *name, const char *first,
                     const char *second)
{
    struct sallyport_text text = sallyport_setting_of(key, name);
    return sallyport_text_is(text, second) ? 1 : sallyport_text_is(text, first) ? 0 : -1;
}

/* SigV4 with the headers that AWS wants signed and clients cannot set; {path} is encoded twice
 * for all services but S3. */
static int fill_aws(struct instance *i)
{
    int s3 = strcmp(i->service, "s3") == 0;
    const char *hash_line = s3 ? "x-amz-content-sha256:{body_sha256}\n" : "";
    const char *signed_headers =
        s3 ? "host;x-amz-content-sha256;x-amz-date" : "host;x-amz-date";
    int n = snprintf(i->canonical, sizeof i->canonical,
                     "{method}\n%s\n{query_sorted}\nhost:{host}\n%sx-amz-date:{datetime}\n\n"
                     "%s\n{body_sha256}",
                     s3 ? "{path}" : "{path_encoded}", hash_line, signed_headers);
    int m = snprintf(i->message, sizeof i->message,
                     "AWS4-HMAC-SHA256\n{datetime}\n{date}/%s/%s/aws4_request\n"
                     "{canonical_sha256}",
                     i->region, i->service);
    int k = snprintf(i->value, sizeof i->value,
                     "AWS4-HMAC-SHA256 Credential=%s/{date}/%s/%s/aws4_request, "
                     "SignedHeaders=%s, Signature={signature}",
                     i->key_id, i->region, i->service, signed_headers);
    return n > 0 && n <= TEXT_MAX_BYTES && m > 0 && m <= TEXT_MAX_BYTES && k > 0 &&
           k <= TEXT_MAX_BYTES;
}

static const char *read_settings(struct instance *i, const struct sallyport_key *key)
{
    int style = second_of(key, "style", "template", "aws4");
    int algorithm = second_of(key, "algorithm", "sha256", "sha512");
    int encoding = second_of(key, "encoding", "hex", "base64");
    int secret = second_of(key, "secret_encoding", "text", "base64");
    if (style < 0 || algorithm < 0 || encoding < 0 || secret < 0) {
        return "style is template or aws4, algorithm sha256 or sha512, encoding hex or base64, "
               "secret_encoding text or base64";
    }
    i->aws = style;
    i->algorithm = algorithm ? SALLYPORT_SIGN_HMAC_SHA512 : SALLYPORT_SIGN_HMAC_SHA256;
    i->flags =
        (encoding ? SALLYPORT_SIGN_BASE64 : 0) | (secret ? SALLYPORT_SIGN_KEY_BASE64 : 0);
    unescape(i->message);
    if (i->aws) {
        if (!i->key_id[0] || !i->region[0] || !i->service[0]) {
            return "style aws4 needs key_id (the access key id), region and service";
        }
        if (algorithm || encoding || secret) {
            return "style aws4 has its own algorithm and encodings; leave them out";
        }
        return fill_aws(i) ? NULL : "key_id, region and service are too long";
    }
    if (!i->header[0]) {
        return "header says where the signature goes; set it";
    }
    return strstr(i->message, "{body") ? NULL
                                       : "message has to hold {body} or {body_sha256}: else "
                                         "any body would do with the same signature";
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct instance *i = calloc(1, sizeof *i);
    (void)host;
    (void)call;
    if (!i) {
        return SALLYPORT_E_MEMORY;
    }
    copy(i->hosts, sizeof i->hosts, key, "host");
    copy(i->message, sizeof i->message, key, "message");
    copy(i->value, sizeof i->value, key, "value");
    copy(i->key_id, sizeof i->key_id, key, "key_id");
    copy(i->region, sizeof i->region, key, "region");
    copy(i->service, sizeof i->service, key, "service");
    copy_header(i->header, key, "header");
    copy_header(i->timestamp_header, key, "timestamp_header");
    copy_header(i->nonce_header, key, "nonce_header");
    copy_header(i->key_id_header, key, "key_id_header");
    i->wrong = read_settings(i, key);
    *ret_instance = i;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

/* ---- the plan --------------------------------------------------------------------------- */

struct outputs {
    struct sallyport_sign_output items[OUTPUTS_MAX];
    const struct sallyport_sign_output *list[OUTPUTS_MAX];
    uint32_t n;
};

static void add(struct outputs *outputs, const char *header, const char *value)
{
    if (!*header || !*value) {
        return;
    }
    outputs->items[outputs->n] = (struct sallyport_sign_output){
        .size = sizeof *outputs->items,
        .place = SALLYPORT_PLACE_HEADER,
        .name = sallyport_text_of(header),
        .template_text = sallyport_text_of(value),
    };
    outputs->list[outputs->n] = &outputs->items[outputs->n];
    outputs->n++;
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *i = data;
    const struct sallyport_sign *sign = host->extension(host, SALLYPORT_SIGN);
    if (!sign || i->wrong) {
        return sallyport_refuse(host, call, sign ? i->wrong : "this host cannot sign requests");
    }
    const struct sallyport_text steps[] = {
        sallyport_text_of("{date}"), sallyport_text_of(i->region),
        sallyport_text_of(i->service), sallyport_text_of("aws4_request")};
    const struct sallyport_text *const derive[] = {&steps[0], &steps[1], &steps[2], &steps[3]};
    struct outputs outputs = {.n = 0};
    if (i->aws) {
        add(&outputs, "authorization", i->value);
        add(&outputs, "x-amz-date", "{datetime}");
        add(&outputs, strcmp(i->service, "s3") == 0 ? "x-amz-content-sha256" : "",
            "{body_sha256}");
    } else {
        add(&outputs, i->header, i->value);
        add(&outputs, i->timestamp_header, "{timestamp}");
        add(&outputs, i->nonce_header, "{nonce}");
        add(&outputs, i->key_id_header, i->key_id);
    }
    const struct sallyport_signature signature = {
        .size = sizeof signature,
        .algorithm = i->algorithm,
        .flags = i->flags,
        .n_derive = i->aws ? 4 : 0,
        .n_outputs = outputs.n,
        .secret = SALLYPORT_TEXT("api_key"),
        .key_prefix = sallyport_text_of(i->aws ? "AWS4" : ""),
        .canonical = sallyport_text_of(i->canonical),
        .message = sallyport_text_of(i->message),
        .derive = derive,
        .outputs = outputs.list,
    };
    return sign->push_signature(host, call, &signature);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *i = data;
    return i->wrong ? sallyport_refuse(host, call, i->wrong)
                    : sallyport_host_names(host, call, sallyport_text_of(i->hosts));
}

static const void *extension(const char *id)
{
    (void)id;
    return NULL;
}

const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    static const struct sallyport_plugin plugin = {
        .size = sizeof plugin,
        .abi_minor = SALLYPORT_ABI_MINOR,
        .describe = describe,
        .open = open_instance,
        .close = close_instance,
        .check = check,
        .plan = plan,
        .extension = extension,
    };
    (void)host;
    return &plugin;
}
