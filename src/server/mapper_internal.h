/* Shared by the files that build map messages. */
#ifndef SERVER_MAPPER_INTERNAL_H
#define SERVER_MAPPER_INTERNAL_H

#include "proto/map_frame.h"
#include "state.h"

enum { MESSAGE_MAX = MAP_FRAME_MAX, CHUNK_NODES = 1 << PEER_CHUNK_SHIFT };

/* message.c: bytes as a message; one JSON text as a framed one. NULL: out of memory. */
struct server_message *message_of(struct slice bytes);
struct server_message *message_of_json(struct buf *json, bool zstd);

/* mapper_node.c: a node as its peers get it, cached until it changes; empty if it cannot
 * be written, which costs this peer and nobody else. */
struct slice mapper_peer_json(const struct server *s, struct node *n);
/* A node as it gets itself. Lists live in the arena. */
void mapper_describe_self(
        const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self);
/* The owners of the viewer (may be NULL) and of the peers visible to the class that
 * changed after the cursor (0: all), each once. */
struct tailcfg_user_profiles mapper_profiles_since(const struct server *s, uint32_t viewer_class,
        const struct node *viewer, uint64_t cursor, struct arena *a);

#endif
