/* Shared by the files that build map messages. */
#ifndef SERVER_MAPPER_INTERNAL_H
#define SERVER_MAPPER_INTERNAL_H

#include "proto/map_frame.h"
#include "state.h"

enum { MESSAGE_MAX = MAP_FRAME_MAX, CHUNK_NODES = 1 << PEER_CHUNK_SHIFT };

/* message.c: bytes as a message; one JSON text as a framed one. NULL: out of memory. */
struct server_message *message_of(struct slice bytes);
struct server_message *message_of_json(struct buf *json, bool zstd);

/* mapper_node.c: a node as peers of that view get it, cached until it changes;
 * empty if it cannot be written, which costs this peer and nobody else. Only the routes
 * of a node depend on who looks. */
struct slice mapper_peer_json(struct server *s, struct view view, struct node *n);
/* A node as it gets itself. Lists live in the arena. */
void mapper_describe_self(
        struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self);
/* The member "PacketFilters" for a node, "SSHPolicy" for it. */
void mapper_write_filter(struct server *s, const struct node *n, struct arena *a, struct json_writer *w);
void mapper_write_ssh(struct server *s, const struct node *n, struct json_writer *w);

/* Owners of nodes, each once. The list has room for every user and one more. */
struct profile_list {
        struct tailcfg_user_profile *items;
        size_t count, room;
};
struct profile_list mapper_profiles_begin(const struct server *s, struct arena *a);
void mapper_profiles_add(const struct server *s, struct profile_list *list, const struct node *n);
/* Of the viewer and all peers it sees. */
struct tailcfg_user_profiles mapper_all_profiles(
        const struct server *s, const struct node *viewer, struct arena *a);

#endif
