/* SPDX-License-Identifier: ISC */
#include "sim/toolstack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/hvm/params.h>
#include <xids/xswire.h>

#define CONFLICTS_MAX 20

/* One connection with one request at a time under way. */
struct store {
    int fd;
    uint32_t tx;
    struct xids_xswire_msg reply;
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX + 1];
};

static int store_connect(struct store *s, const struct xids_sim_machine *m)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/xenstored/socket", m->dir) >= (int)sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    s->tx = 0;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    if (connect(s->fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return 0;
    int err = errno;
    (void)close(s->fd);
    return -err;
}

static int receive(struct store *s)
{
    size_t have = 0;
    for (;;) {
        int whole = xids_xswire_peek(&s->reply, s->bytes, have);
        if (whole < 0)
            return whole;
        if (whole > 0)
            return 0;
        ssize_t n = recv(s->fd, s->bytes + have, XIDS_XSWIRE_MESSAGE_MAX - have, 0);
        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return -EPIPE;
    }
}

/* Sends a request of so many strings; a last one without its NUL when bare. */
static int request(struct store *s, uint32_t type, const char *const *strings, unsigned int count, bool bare)
{
    struct xids_xswire_part parts[4];
    for (unsigned int i = 0; i < count; i++) {
        parts[i] = xids_xswire_string(strings[i]);
        parts[i].len -= bare && i == count - 1 ? 1 : 0;
    }
    int len = xids_xswire_build(s->bytes, sizeof(s->bytes), type, 0, s->tx, parts, count);
    if (len < 0)
        return len;
    if (send(s->fd, s->bytes, (size_t)len, MSG_NOSIGNAL) != len)
        return -EPIPE;
    int rc = receive(s);
    if (rc == 0 && s->reply.type == XS_ERROR)
        rc = xids_xswire_error_number(s->reply.payload, s->reply.len);
    return rc;
}

/* A node with its value, owned by dom0 and readable by the guest; or (owned) the guest's own. */
static int put(struct store *s, domid_t domid, const char *node, const char *value, bool owned)
{
    char path[128], first[XIDS_XS_PERM_BYTES + 1], second[XIDS_XS_PERM_BYTES + 1];
    (void)snprintf(path, sizeof(path), "/local/domain/%u%s%s", domid, *node != '\0' ? "/" : "", node);
    const char *write[] = {path, value}, *perms[] = {path, first, second};
    (void)snprintf(first, sizeof(first), "n%u", owned ? domid : 0u);
    (void)snprintf(second, sizeof(second), "r%u", domid);
    int rc = request(s, XS_WRITE, write, 2, true);
    return rc < 0 ? rc : request(s, XS_SET_PERMS, perms, owned ? 2 : 3, false);
}

static int write_nodes(struct store *s, struct xids_sim_machine *m, domid_t domid, const char *name)
{
    struct xids_hv_domain info;
    uint64_t store = 0, console = 0, console_page = 0;
    char vm[64], number[16], uuid[40], store_port[24], console_port[24], console_ref[24];
    if (xids_hv_domain_info(&m->hv, &info, domid) < 0 ||
        xids_hv_param_get(&m->hv, &store, domid, HVM_PARAM_STORE_EVTCHN) < 0 ||
        xids_hv_param_get(&m->hv, &console, domid, HVM_PARAM_CONSOLE_EVTCHN) < 0 ||
        xids_hv_param_get(&m->hv, &console_page, domid, HVM_PARAM_CONSOLE_PFN) < 0)
        return -ESRCH;
    const uint8_t *h = info.handle;
    (void)snprintf(uuid, sizeof(uuid), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0],
                   h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
    (void)snprintf(vm, sizeof(vm), "/vm/%s", uuid);
    (void)snprintf(number, sizeof(number), "%u", domid);
    (void)snprintf(store_port, sizeof(store_port), "%" PRIu64, store);
    (void)snprintf(console_port, sizeof(console_port), "%" PRIu64, console);
    (void)snprintf(console_ref, sizeof(console_ref), "%" PRIu64, console_page);
    const struct {
        const char *node, *value;
        bool owned;
    } nodes[] = {
        {"", "", false},
        {"vm", vm, false},
        {"name", name, false},
        {"domid", number, false},
        {"cpu", "", false},
        {"cpu/0", "", false},
        {"cpu/0/availability", "online", false},
        {"memory", "", false},
        {"device", "", false},
        {"control", "", false},
        {"control/shutdown", "", true},
        {"control/feature-poweroff", "", true},
        {"control/feature-reboot", "", true},
        {"control/feature-suspend", "", true},
        {"control/sysrq", "", true},
        {"device/suspend", "", false},
        {"device/suspend/event-channel", "", true},
        {"data", "", true},
        {"drivers", "", true},
        {"feature", "", true},
        {"attr", "", true},
        {"error", "", true},
        {"store", "", false},
        {"store/port", store_port, false},
        {"store/ring-ref", "1", false},
        {"console", "", false},
        {"console/type", "xenconsoled", false},
        {"console/limit", "1048576", false},
        {"console/port", console_port, false},
        {"console/ring-ref", console_ref, false},
        {"console/tty", "", false},
    };
    const char *vm_write[] = {vm, ""};
    int rc = request(s, XS_WRITE, vm_write, 2, true);
    for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
        rc = put(s, domid, nodes[i].node, nodes[i].value, nodes[i].owned);
    return rc;
}

static int in_transaction(struct store *s, struct xids_sim_machine *m, domid_t domid, const char *name)
{
    static const char *const nothing[] = {""}, *const commit[] = {"T"}, *const abandon[] = {"F"};
    int rc = -EAGAIN;
    for (int tries = 0; rc == -EAGAIN && tries < CONFLICTS_MAX; tries++) {
        s->tx = 0;
        rc = request(s, XS_TRANSACTION_START, nothing, 1, false);
        if (rc < 0)
            return rc;
        if (s->reply.len == 0 || xids_xswire_decimal(&s->tx, s->reply.payload, s->reply.len - 1, UINT32_MAX) < 0)
            return -EBADMSG;
        rc = write_nodes(s, m, domid, name);
        int ended = request(s, XS_TRANSACTION_END, rc == 0 ? commit : abandon, 1, false);
        if (rc == 0)
            rc = ended;
    }
    s->tx = 0;
    return rc;
}

/* The store knows domain 0 without being told. What is missing are the nodes that xen-init-dom0 writes on a host. */
static int init_dom0(struct xids_sim_machine *m)
{
    static struct store s; /* large */
    int rc = store_connect(&s, m);
    if (rc < 0)
        return rc;
    rc = put(&s, 0, "domid", "0", false);
    if (rc == 0)
        rc = put(&s, 0, "name", "Domain-0", false);
    (void)close(s.fd);
    return rc;
}

int xids_sim_introduce(struct xids_sim_machine *m, domid_t domid, const char *name)
{
    if (domid == 0)
        return init_dom0(m);
    static struct store s; /* large */
    uint64_t port = 0, page = 0;
    char id[16], page_text[24], port_text[24];
    if (xids_hv_param_get(&m->hv, &port, domid, HVM_PARAM_STORE_EVTCHN) < 0 ||
        xids_hv_param_get(&m->hv, &page, domid, HVM_PARAM_STORE_PFN) < 0)
        return -ESRCH;
    int rc = store_connect(&s, m);
    if (rc < 0)
        return rc;
    (void)snprintf(id, sizeof(id), "%u", domid);
    (void)snprintf(page_text, sizeof(page_text), "%" PRIu64, page);
    (void)snprintf(port_text, sizeof(port_text), "%" PRIu64, port);
    const char *arguments[] = {id, page_text, port_text};
    rc = in_transaction(&s, m, domid, name);
    if (rc == 0)
        rc = request(&s, XS_INTRODUCE, arguments, 3, false);
    (void)close(s.fd);
    return rc;
}

int xids_sim_release(struct xids_sim_machine *m, domid_t domid)
{
    static struct store s; /* large */
    char id[16], path[32], node[48];
    int rc = store_connect(&s, m);
    if (rc < 0)
        return rc;
    (void)snprintf(id, sizeof(id), "%u", domid);
    (void)snprintf(path, sizeof(path), "/local/domain/%u", domid);
    (void)snprintf(node, sizeof(node), "%s/vm", path);
    const char *id_only[] = {id}, *node_only[] = {node}, *path_only[] = {path};
    if (request(&s, XS_READ, node_only, 1, false) == 0 && s.reply.len < sizeof(node)) {
        memcpy(node, s.reply.payload, s.reply.len);
        node[s.reply.len] = '\0';
        if (strncmp(node, "/vm/", 4) == 0 && request(&s, XS_RM, node_only, 1, false) < 0) {
        }
    }
    rc = request(&s, XS_RM, path_only, 1, false);
    if (rc == -ENOENT)
        rc = 0;
    /* xenstored may know already: the domain's death was announced to it. */
    int released = request(&s, XS_RELEASE, id_only, 1, false);
    if (rc == 0 && released < 0 && released != -ENOENT && released != -EINVAL)
        rc = released;
    (void)close(s.fd);
    return rc;
}
