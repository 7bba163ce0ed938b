/* GET /key and POST /machine/register (spec/control.md 1.1, 6.2, 6.3). */
#ifndef PROTO_TAILCFG_REGISTER_H
#define PROTO_TAILCFG_REGISTER_H

#include "proto/tailcfg_base.h"
#include "proto/tailcfg_hostinfo.h"

struct tailcfg_key_response {
        struct public_key legacy_public_key; /* zero today */
        struct public_key public_key;        /* the server's Noise key */
};

struct tailcfg_register_auth {
        struct slice auth_key;
};

struct tailcfg_register_request {
        int64_t version; /* capability version */
        struct public_key node_key;
        struct public_key old_node_key; /* non-zero does not imply rotation */
        struct public_key nl_key;       /* tailnet-lock key, Ed25519 */
        const struct tailcfg_register_auth *auth;
        struct tailcfg_time expiry; /* in the past: expire this key now (logout) */
        struct slice followup;      /* the AuthURL of an earlier answer: wait for it */
        const struct tailcfg_hostinfo *hostinfo;
        bool ephemeral;
        struct slice node_key_signature; /* decoded bytes */
        struct slice signature_type;
        struct tailcfg_time timestamp;
        struct slice device_cert, signature; /* decoded bytes */
        struct slice tailnet;
};

struct tailcfg_user {
        int64_t id;
        struct slice display_name, profile_pic_url;
        struct tailcfg_time created;
};

struct tailcfg_login {
        int64_t id;
        struct slice provider, login_name, display_name, profile_pic_url;
};

struct tailcfg_register_response {
        struct tailcfg_user user;
        struct tailcfg_login login;
        bool node_key_expired;
        bool machine_authorized;
        struct slice auth_url;
        struct slice node_key_signature; /* decoded bytes */
        struct slice error;
};

TAILCFG_MESSAGE(key_response);
TAILCFG_MESSAGE(register_request);
TAILCFG_MESSAGE(register_response);

#endif
