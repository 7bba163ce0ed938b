/* Tables of login (spec/control.md 1.1, 6.2, 6.3). */
#include "proto/tailcfg_register.h"

#include "tailcfg_tables.h"

static const struct shape_field key_response_fields[] = {
        FIELD_KEY(key_response, "legacyPublicKey", legacy_public_key, "mkey:", ALWAYS),
        FIELD_KEY(key_response, "publicKey", public_key, "mkey:", ALWAYS),
};
static SHAPE(key_response);

static const struct shape_field register_auth_fields[] = {
        FIELD(register_auth, "AuthKey", auth_key, STRING, OPTIONAL),
};
static SHAPE(register_auth);

static const struct shape_field register_request_fields[] = {
        FIELD(register_request, "Version", version, I64, ALWAYS),
        FIELD_KEY(register_request, "NodeKey", node_key, "nodekey:", ALWAYS),
        FIELD_KEY(register_request, "OldNodeKey", old_node_key, "nodekey:", ALWAYS),
        FIELD_KEY(register_request, "NLKey", nl_key, "nlpub:", ALWAYS),
        FIELD_SHAPED(register_request, "Auth", auth, POINTER, register_auth, OPTIONAL),
        FIELD(register_request, "Expiry", expiry, TIME, ALWAYS),
        FIELD(register_request, "Followup", followup, STRING, ALWAYS),
        FIELD_SHAPED(register_request, "Hostinfo", hostinfo, POINTER, hostinfo, ALWAYS),
        FIELD(register_request, "Ephemeral", ephemeral, BOOL, OPTIONAL),
        FIELD(register_request, "NodeKeySignature", node_key_signature, BYTES, ALWAYS),
        FIELD(register_request, "SignatureType", signature_type, STRING, OPTIONAL),
        FIELD(register_request, "Timestamp", timestamp, TIME, OPTIONAL),
        FIELD(register_request, "DeviceCert", device_cert, BYTES, OPTIONAL),
        FIELD(register_request, "Signature", signature, BYTES, OPTIONAL),
        FIELD(register_request, "Tailnet", tailnet, STRING, OPTIONAL),
};
static SHAPE(register_request);

static const struct shape_field user_fields[] = {
        FIELD(user, "ID", id, I64, ALWAYS),
        FIELD(user, "DisplayName", display_name, STRING, ALWAYS),
        FIELD(user, "ProfilePicURL", profile_pic_url, STRING, OPTIONAL),
        FIELD(user, "Created", created, TIME, OPTIONAL),
};
static SHAPE(user);

static const struct shape_field login_fields[] = {
        FIELD(login, "ID", id, I64, ALWAYS),
        FIELD(login, "Provider", provider, STRING, ALWAYS),
        FIELD(login, "LoginName", login_name, STRING, ALWAYS),
        FIELD(login, "DisplayName", display_name, STRING, ALWAYS),
        FIELD(login, "ProfilePicURL", profile_pic_url, STRING, OPTIONAL),
};
static SHAPE(login);

static const struct shape_field register_response_fields[] = {
        FIELD_SHAPED(register_response, "User", user, OBJECT, user, ALWAYS),
        FIELD_SHAPED(register_response, "Login", login, OBJECT, login, ALWAYS),
        FIELD(register_response, "NodeKeyExpired", node_key_expired, BOOL, ALWAYS),
        FIELD(register_response, "MachineAuthorized", machine_authorized, BOOL, ALWAYS),
        FIELD(register_response, "AuthURL", auth_url, STRING, ALWAYS),
        FIELD(register_response, "NodeKeySignature", node_key_signature, BYTES, ALWAYS),
        FIELD(register_response, "Error", error, STRING, ALWAYS),
};
static SHAPE(register_response);

SHAPE_MESSAGE(key_response)
SHAPE_MESSAGE(register_request)
SHAPE_MESSAGE(register_response)
