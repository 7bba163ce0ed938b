/*
 * Opening a TUN device with segmentation offload (spec/dataplane.md 2.1).
 *
 * The device is set up and its descriptor handed out; reading and writing packets
 * is the data plane's. Needs CAP_NET_ADMIN: the node calls it through os/priv.h.
 */
#ifndef OS_TUN_H
#define OS_TUN_H

#include "base/err.h"
#include "base/slice.h"

enum { TUN_NAME_MAX = 16 };

struct tun_options {
        char name[TUN_NAME_MAX]; /* wanted name; "weft%d" lets the kernel number it */
        uint32_t mtu;            /* bytes */
        uint32_t gso_max_bytes;  /* largest super-packet the kernel may hand us; 0: its default */
        uint32_t gso_max_segs;   /* and the most segments in one; 0: its default */
};

struct tun_device {
        int fd;                  /* non-blocking, owned by the caller */
        char name[TUN_NAME_MAX];
        uint32_t ifindex;
        bool has_vnet_hdr;       /* packets carry the 10-byte virtio header */
        bool has_uso;            /* UDP super-packets as well as TCP ones */
};

/* Creates or attaches the device, sets MTU, queue length and offloads, and brings
 * it up. On failure d says what to do (missing module, no permission, name taken). */
enum err MUST_USE tun_open(const struct tun_options *o, struct tun_device *out, struct diag *d);

#endif
