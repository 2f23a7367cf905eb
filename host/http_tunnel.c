/* CONNECT: a tunnel that ends here, and the TLS inside of it. */
#include "http_inner.h"

/* What CONNECT gave counts for all requests of the tunnel. Two of them make one that is none.
 */
static void keep_proxy_authorization(struct conn *conn)
{
    const struct sp_http_request *request = conn->public.request;
    sp_wipe_buf_reset(&conn->proxy_authorization);
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_eq_fold(request->headers[i].name, SP_TEXT("proxy-authorization"))) {
            sp_wipe_buf_add_text(&conn->proxy_authorization,
                                 sp_text_trim(request->headers[i].value));
        }
    }
}

/* A CONNECT: answered here, and from then on TLS is spoken, with us. */
void tunnel_accept(struct conn *conn)
{
    struct sp_http_front *front = conn_front(conn);
    struct sp_tls_context *context =
        front->config.connect(front->config.user, &conn->public, conn->tunnel);
    if (context) {
        keep_proxy_authorization(conn);
        conn->next_tls = sp_tls_new(context);
        conn->public.close = !conn->next_tls || conn->proxy_authorization.failed;
        sp_buf_reset(&conn->public.reply);
        sp_buf_add_str(&conn->public.reply, "HTTP/1.1 200 Connection established\r\n\r\n");
    } else {
        conn->tunnel[0] = '\0';
        conn->public.close = true;
    }
    conn_send_answer(conn);
}

/* The answer to CONNECT is out; what came behind it is TLS already. */
void tunnel_open(struct conn *conn)
{
    conn->tls = conn->next_tls;
    conn->next_tls = NULL;
    conn->reader.proxy = false;
    conn->fresh = true; /* a handshake has to come soon */
    conn->public.secure = true;
    conn->public.tunnel = sp_text_of(conn->tunnel);
    conn->public.proxy_authorization = sp_wipe_buf_text(&conn->proxy_authorization);
    conn_read_on(conn, conn_consume_tls);
}
