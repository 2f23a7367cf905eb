/* What rest.c (the provider) and oauth.c (credentials that are minted) know of each other. */
#ifndef REST_H
#define REST_H

#include <sallyport/help.h>
#include <sallyport/lease.h>

#define REST_HOSTS_MAX_BYTES 4096
#define REST_NAME_MAX_BYTES 128
#define REST_PREFIX_MAX_BYTES 64
#define REST_URL_MAX_BYTES 1024

enum style { STYLE_HEADER, STYLE_QUERY, STYLE_BASIC, STYLE_COOKIE, STYLE_OAUTH2 };

struct oauth { /* of STYLE_OAUTH2 */
    uint64_t token_url_len, revoke_url_len, client_id_len, scope_len;
    char token_url[REST_URL_MAX_BYTES], revoke_url[REST_URL_MAX_BYTES];
    char client_id[256], scope[1024];
    int in_body; /* client_auth = body */
    int has_refresh_token, has_minted;
};

struct rest {
    enum style style;
    int has_api_key, has_username, has_password, has_client_secret;
    uint64_t hosts_len, name_len, prefix_len;
    char hosts[REST_HOSTS_MAX_BYTES];
    char name[REST_NAME_MAX_BYTES];
    char prefix[REST_NAME_MAX_BYTES + 1]; /* a cookie's is its name and "=" */
    struct oauth oauth;
};

/* Copy a setting; 0 where it is too long. */
int rest_copy(char *to, uint64_t room, struct sallyport_text from, uint64_t *ret_len);
/* 0 where a setting is too long, or client_auth is neither basic nor body. */
int oauth_open(struct oauth *oauth, const struct sallyport_key *key);
/* NULL where the settings are those of OAuth2. */
const char *oauth_is_wrong(const struct rest *rest);
extern const struct sallyport_lease oauth_lease;

#endif
