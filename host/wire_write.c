#include "wire.h"

#include <msgpack/pack.h>

static int append(void *data, const char *bytes, size_t len)
{
    struct sp_buf *buf = data;
    sp_buf_add(buf, bytes, len);
    return buf->failed ? -1 : 0;
}

/* A packer has no state of its own besides where it writes. Its results are not looked at: a
 * failed buffer stays failed, and whoever sends it checks that once. */
static msgpack_packer packer(struct sp_buf *buf)
{
    return (msgpack_packer){.data = buf, .callback = append};
}

void sp_wire_put_map(struct sp_buf *buf, size_t n_pairs)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_map(&pk, n_pairs);
}

void sp_wire_put_array(struct sp_buf *buf, size_t n_items)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_array(&pk, n_items);
}

void sp_wire_put_nil(struct sp_buf *buf)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_nil(&pk);
}

void sp_wire_put_bool(struct sp_buf *buf, bool boolean)
{
    msgpack_packer pk = packer(buf);
    (void)(boolean ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

void sp_wire_put_int(struct sp_buf *buf, int64_t integer)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_int64(&pk, integer);
}

void sp_wire_put_str(struct sp_buf *buf, struct sp_text text)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_str(&pk, text.len);
    (void)msgpack_pack_str_body(&pk, text.len ? text.ptr : "", text.len);
}

void sp_wire_put_bin(struct sp_buf *buf, struct sp_text bytes)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_bin(&pk, bytes.len);
    (void)msgpack_pack_bin_body(&pk, bytes.len ? bytes.ptr : "", bytes.len);
}

void sp_wire_put_text(struct sp_buf *buf, struct sp_text bytes)
{
    if (sp_text_is_utf8(bytes)) {
        sp_wire_put_str(buf, bytes);
    } else {
        sp_wire_put_bin(buf, bytes);
    }
}

void sp_wire_put_words(struct sp_buf *buf, struct sp_text text)
{
    if (sp_text_is_utf8(text)) {
        sp_wire_put_str(buf, text);
        return;
    }
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_str(&pk, text.len);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        sp_buf_add_byte(buf, c < 0x80 ? c : '?');
    }
}

void sp_wire_pair_str(struct sp_buf *buf, const char *name, struct sp_text text)
{
    sp_wire_put_str(buf, sp_text_of(name));
    sp_wire_put_str(buf, text);
}

void sp_wire_pair_int(struct sp_buf *buf, const char *name, int64_t integer)
{
    sp_wire_put_str(buf, sp_text_of(name));
    sp_wire_put_int(buf, integer);
}

void sp_wire_pair_bool(struct sp_buf *buf, const char *name, bool boolean)
{
    sp_wire_put_str(buf, sp_text_of(name));
    sp_wire_put_bool(buf, boolean);
}
