#include "messages.h"

#include "tunnel/tunnel.h"

static enum err parse(struct slice datagram, uint32_t type, void *out, size_t len)
{
        struct reader r = reader_of(datagram);

        rd_copy(&r, out, len);
        enum err e = rd_finish(&r);
        if (e == OK && get_le32(out) != type)
                return ERR_FORMAT;
        return e;
}

enum err msg_initiation_parse(struct slice datagram, struct msg_initiation *out)
{
        return parse(datagram, TUNNEL_INITIATION, out, sizeof *out);
}

enum err msg_response_parse(struct slice datagram, struct msg_response *out)
{
        return parse(datagram, TUNNEL_RESPONSE, out, sizeof *out);
}

enum err msg_cookie_parse(struct slice datagram, struct msg_cookie *out)
{
        return parse(datagram, TUNNEL_COOKIE, out, sizeof *out);
}

unsigned tunnel_message_type(struct slice datagram)
{
        const uint32_t type = datagram.len >= TUNNEL_OVERHEAD ? get_le32(datagram.ptr) : 0;

        switch (type) {
        case TUNNEL_INITIATION:
                return datagram.len == sizeof(struct msg_initiation) ? type : 0;
        case TUNNEL_RESPONSE:
                return datagram.len == sizeof(struct msg_response) ? type : 0;
        case TUNNEL_COOKIE:
                return datagram.len == sizeof(struct msg_cookie) ? type : 0;
        case TUNNEL_TRANSPORT:
                return type;
        default:
                return 0;
        }
}
