/* SPDX-License-Identifier: ISC */
/*
 * One daemon for a domain. Two would take each other's places in xenstore, and the first that stops would leave the
 * guests without any. A name that the kernel keeps as long as the process lives is the claim; it is not seen from
 * another network namespace, as that of the service unit.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The store's socket tells machines apart where there are several: simulated ones. */
static uint64_t machine_of(int store_fd)
{
    struct sockaddr_un store = {0};
    struct xids_blake2s b;
    socklen_t len = sizeof(store);
    uint64_t machine = 0;
    if (getpeername(store_fd, (struct sockaddr *)&store, &len) < 0 || store.sun_family != AF_UNIX ||
        xids_blake2s_init(&b, sizeof(machine), NULL, 0) != 0)
        return 0; /* Xen's device */
    xids_blake2s_update(&b, store.sun_path, strnlen(store.sun_path, sizeof(store.sun_path)));
    xids_blake2s_final(&b, (uint8_t *)&machine);
    return machine;
}

int claim_domain(int store_fd, domid_t domid)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    /* The first byte stays 0: no file. */
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "xids-randomd/%016llx/%u",
                       (unsigned long long)machine_of(store_fd), domid);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1u + (size_t)len)) == 0)
        return fd; /* until the process ends */
    int rc = -errno;
    (void)close(fd);
    return rc;
}
