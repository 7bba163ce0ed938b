#include "os/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "netlink.h"

/* Newer than the 6.1 headers we build with; the kernel refuses what it lacks. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* The kernel's default of 500 packets overflows within one burst of a fast sender. */
enum { QUEUE_LEN = 2000 };

static enum err open_failed(int errnum, struct diag *d)
{
        enum err e = err_from_errno(errnum);

        if (errnum == ENOENT || errnum == ENODEV || errnum == ENXIO)
                return diag_set(d, e, "/dev/net/tun is missing: load the tun module (modprobe tun), give the container the "
                        "device, or run with --tun=userspace-networking where supported");
        if (errnum == EPERM || errnum == EACCES)
                return diag_set(d, e, "opening a TUN device needs root or CAP_NET_ADMIN: run with sudo");
        return diag_set(d, e, "cannot open /dev/net/tun: %s", strerror(errnum));
}

static enum err attach(int fd, const struct tun_options *o, struct tun_device *out, struct diag *d)
{
        struct ifreq ifr = { 0 };

        memcpy(ifr.ifr_name, o->name, sizeof(ifr.ifr_name) - 1);
        ifr.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
        if (ioctl(fd, TUNSETIFF, &ifr) == 0) {
                memcpy(out->name, ifr.ifr_name, sizeof(out->name));
                out->name[sizeof(out->name) - 1] = '\0';
                return OK;
        }
        int errnum = errno;
        if (errnum == EBUSY)
                return diag_set(d, ERR_EXISTS, "the interface %s is in use by another program: stop it or choose another name "
                        "with --tun", o->name);
        if (errnum == EINVAL)
                return diag_set(d, ERR_FORMAT, "%s is no name for a TUN interface, or one of another kind has it", o->name);
        return open_failed(errnum, d);
}

/* TCP segmentation is as old as our oldest kernel; UDP segmentation came in 6.2. */
static void set_offloads(int fd, struct tun_device *out)
{
        const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

        out->has_vnet_hdr = true;
        out->has_uso = ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0;
        if (!out->has_uso && ioctl(fd, TUNSETOFFLOAD, tcp) != 0)
                (void)ioctl(fd, TUNSETOFFLOAD, 0UL);
}

enum err tun_open(const struct tun_options *o, struct tun_device *out, struct diag *d)
{
        *out = (struct tun_device){ .fd = -1 };
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return open_failed(errno, d);
        enum err e = attach(fd, o, out, d);
        if (e)
                goto fail;
        set_offloads(fd, out);
        out->ifindex = if_nametoindex(out->name);
        int errnum = netlink_link_set(out->ifindex, o->mtu, o->gso_max_bytes, o->gso_max_segs, QUEUE_LEN);
        if (errnum) /* an old kernel may refuse the bounds: they are an optimisation */
                errnum = netlink_link_set(out->ifindex, o->mtu, 0, 0, QUEUE_LEN);
        if (errnum) {
                e = diag_set(d, err_from_errno(errnum), "cannot bring up %s: %s", out->name, strerror(errnum));
                goto fail;
        }
        out->fd = fd;
        return OK;
fail:
        close(fd);
        return e;
}
