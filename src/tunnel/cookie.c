#include "cookie.h"

#include "limits.h"

static void labelled_key(const char *label, const struct public_key *who, uint8_t out[static BLAKE2S_LEN])
{
        blake2s_256(slice_str(label), key_slice(who), out);
}

size_t source_bytes(const struct tunnel_source *source, uint8_t out[static SOURCE_BYTES_MAX])
{
        struct writer w = writer_of(out, SOURCE_BYTES_MAX);

        if (source->via == TUNNEL_VIA_DERP) {
                wr_le16(&w, source->region);
                wr_bytes(&w, source->from.b, KEY_LEN);
        } else {
                wr_bytes(&w, source->addr.ip.b, source->addr.ip.family == IP_V4 ? 4 : 16);
                wr_le16(&w, source->addr.port);
                if (source->via == TUNNEL_VIA_PEER_RELAY)
                        wr_le32(&w, source->vni);
        }
        return (size_t)(w.p - w.start);
}

void cookie_checker_init(struct cookie_checker *c, const struct public_key *self)
{
        *c = (struct cookie_checker){ 0 };
        labelled_key("mac1----", self, c->mac1_key);
        labelled_key("cookie--", self, c->reply_key.b);
}

struct macs macs_of(struct slice msg)
{
        const size_t at = msg.len - 2 * MAC_LEN;

        return (struct macs){
                .covered1 = slice_make(msg.ptr, at),
                .mac1 = slice_make(msg.ptr + at, MAC_LEN),
                .covered2 = slice_make(msg.ptr, at + MAC_LEN),
                .mac2 = slice_make(msg.ptr + at + MAC_LEN, MAC_LEN),
        };
}

bool cookie_mac1_fits(const struct cookie_checker *c, const struct macs *m)
{
        uint8_t want[MAC_LEN];

        blake2s_mac(SLICE_ARRAY(c->mac1_key), m->covered1, want);
        return secret_equal(want, m->mac1.ptr, MAC_LEN);
}

static void cookie_for(const struct cookie_checker *c, const struct tunnel_source *from,
        uint8_t cookie[static MAC_LEN])
{
        uint8_t source[SOURCE_BYTES_MAX];

        blake2s_mac(SLICE_ARRAY(c->secret), slice_make(source, source_bytes(from, source)), cookie);
}

bool cookie_mac2_fits(const struct cookie_checker *c, const struct macs *m, const struct tunnel_source *from,
        uint64_t now_us)
{
        uint8_t cookie[MAC_LEN], want[MAC_LEN];

        if (!c->has_secret || age_us(c->secret_born_us, now_us) >= COOKIE_SECRET_MAX_AGE)
                return false;
        cookie_for(c, from, cookie);
        blake2s_mac(SLICE_ARRAY(cookie), m->covered2, want);
        return secret_equal(want, m->mac2.ptr, MAC_LEN);
}

void cookie_reply_write(struct cookie_checker *c, const struct macs *m, uint32_t sender,
        const struct tunnel_source *from, struct rng *rng, uint64_t now_us, struct msg_cookie *out)
{
        uint8_t cookie[MAC_LEN];

        if (!c->has_secret || age_us(c->secret_born_us, now_us) >= COOKIE_SECRET_MAX_AGE) {
                rng_fill(rng, c->secret, sizeof c->secret);
                c->secret_born_us = now_us;
                c->has_secret = true;
        }
        cookie_for(c, from, cookie);
        put_le32(out->type, TUNNEL_COOKIE);
        put_le32(out->receiver, sender);
        rng_fill(rng, out->nonce, sizeof out->nonce);
        xaead_seal(&c->reply_key, out->nonce, m->mac1, SLICE_ARRAY(cookie), out->enc_cookie);
}

void cookie_jar_sign(struct cookie_jar *jar, const struct public_key *remote, void *msg, size_t len,
        uint64_t now_us)
{
        uint8_t key[BLAKE2S_LEN];
        uint8_t *mac1 = (uint8_t *)msg + len - 2 * MAC_LEN, *mac2 = mac1 + MAC_LEN;
        const struct macs m = macs_of(slice_make(msg, len));

        labelled_key("mac1----", remote, key);
        blake2s_mac(SLICE_ARRAY(key), m.covered1, mac1);
        memcpy(jar->sent_mac1, mac1, MAC_LEN);
        jar->has_sent = true;
        if (jar->has_cookie && age_us(jar->cookie_born_us, now_us) < COOKIE_MAX_AGE)
                blake2s_mac(SLICE_ARRAY(jar->cookie), m.covered2, mac2);
        else
                memset(mac2, 0, MAC_LEN);
}

enum err cookie_jar_fill(struct cookie_jar *jar, const struct public_key *remote, const struct msg_cookie *msg,
        uint64_t now_us)
{
        struct shared_key key;
        uint8_t cookie[MAC_LEN];

        if (!jar->has_sent)
                return ERR_STATE;
        labelled_key("cookie--", remote, key.b);
        if (xaead_open(&key, msg->nonce, SLICE_ARRAY(jar->sent_mac1), SLICE_ARRAY(msg->enc_cookie), cookie) != OK)
                return ERR_AUTH;
        memcpy(jar->cookie, cookie, MAC_LEN);
        jar->cookie_born_us = now_us;
        jar->has_cookie = true;
        jar->has_sent = false; /* one cookie a message */
        return OK;
}
