#include "crypto/box.h"

#include <assert.h>
#include <sodium.h>

static_assert(BOX_NONCE_LEN == crypto_box_NONCEBYTES && BOX_TAG_LEN == crypto_box_MACBYTES,
        "libsodium's box is NaCl's");

enum err box_precompute(const struct public_key *pk, const struct secret_key *sk, struct shared_key *out)
{
        if (crypto_box_beforenm(out->b, pk->b, sk->b) == 0)
                return OK;
        key_wipe(out, sizeof *out);
        return ERR_AUTH;
}

void box_seal(const struct shared_key *k, const uint8_t nonce[static BOX_NONCE_LEN], struct slice plain,
        uint8_t *out)
{
        int rc = crypto_box_easy_afternm(out, plain.ptr, plain.len, nonce, k->b);

        assert(rc == 0);
        (void)rc;
}

enum err box_open(const struct shared_key *k, const uint8_t nonce[static BOX_NONCE_LEN], struct slice boxed,
        uint8_t *out)
{
        if (boxed.len < BOX_TAG_LEN)
                return ERR_SHORT;
        if (crypto_box_open_easy_afternm(out, boxed.ptr, boxed.len, nonce, k->b) != 0)
                return ERR_AUTH;
        return OK;
}
