/* SPDX-License-Identifier: ISC */
/* libxenvchan.so.4.17: making a channel and closing it. */
#include "vchan/libxenvchan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a program sees as true in a bit field: signed, of one bit. */
#define BIT_TRUE (-1)

/* Handles, and memory without anything in it that a failure could take for something. */
static struct xids_lxv *begin(struct xentoollog_logger *logger, bool server)
{
    struct xids_lxv *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return NULL;
    xids_lxv_platform_init(v);
    v->pub.is_server = server ? BIT_TRUE : 0;
    v->pub.event = xenevtchn_open(logger, 0);
    if (v->pub.event != NULL && server)
        v->pub.gntshr = xengntshr_open(logger, 0);
    else if (v->pub.event != NULL)
        v->pub.gnttab = xengnttab_open(logger, 0);
    /* The union's members are both pointers. */
    if (v->pub.gnttab != NULL)
        return v;
    int why = errno;
    libxenvchan_close(&v->pub);
    errno = why;
    return NULL;
}

static struct libxenvchan *give_up(struct xids_lxv *v, int rc)
{
    libxenvchan_close(&v->pub);
    errno = -rc;
    return NULL;
}

static struct libxenvchan_ring shown_ring(const struct xids_bytering *r, struct ring_shared *shr)
{
    return (struct libxenvchan_ring){
        .shr = shr, .buffer = XIDS_PEER_RAW(void, r->at.buffer), .order = __builtin_ctz(r->at.size)};
}

/* Fills in what programs look at. */
static void show(struct xids_lxv *v)
{
    struct vchan_interface *ring = XIDS_PEER_RAW(struct vchan_interface, v->ch.page);
    v->open = true;
    v->ch.returns = true;
    v->pub.ring = ring;
    v->pub.event_port = v->ch.port;
    v->pub.read = shown_ring(&v->ch.in, v->ch.server ? &ring->left : &ring->right);
    v->pub.write = shown_ring(&v->ch.out, v->ch.server ? &ring->right : &ring->left);
}

/* The order of a ring in pages of its own. */
static unsigned int order_for(size_t size)
{
    unsigned int order = VCHAN_ORDER_PAGE;
    while (((size_t)1 << order) < size)
        order++;
    return order;
}

/* As Xen's: in the control page where both or one fit. Programs count on the sizes that come of it. */
static void choose_orders(unsigned int *left, unsigned int *right, size_t left_min, size_t right_min)
{
    const size_t small = (size_t)1 << VCHAN_ORDER_SMALL, large = (size_t)1 << VCHAN_ORDER_LARGE;
    *left = left_min <= large ? VCHAN_ORDER_LARGE : order_for(left_min);
    *right = right_min <= large ? VCHAN_ORDER_LARGE : order_for(right_min);
    if (*left != VCHAN_ORDER_LARGE || *right != VCHAN_ORDER_LARGE)
        return;
    if (left_min <= small)
        *left = VCHAN_ORDER_SMALL;
    else if (right_min <= small)
        *right = VCHAN_ORDER_SMALL;
    else
        *right = VCHAN_ORDER_PAGE;
}

struct libxenvchan *libxenvchan_server_init(struct xentoollog_logger *logger, int domain, const char *xs_path,
                                            size_t read_min, size_t write_min)
{
    const size_t most = (size_t)1 << XIDS_VCHAN_ORDER_MAX;
    unsigned int left, right;
    if (domain < 0 || domain > UINT16_MAX || read_min > most || write_min > most) {
        errno = EINVAL;
        return NULL;
    }
    struct xids_lxv *v = begin(logger, true);
    if (v == NULL)
        return NULL;
    choose_orders(&left, &right, read_min, write_min);
    int rc = xids_vchan_server_init(&v->ch, &v->platform, (domid_t)domain, left, right, XIDS_VCHAN_PLAIN);
    if (rc < 0)
        return give_up(v, rc);
    show(v);
    char *path = strdup(xs_path);
    rc = path == NULL ? -XEN_ENOMEM : xids_lxv_publish(path, &v->ch);
    if (rc < 0) {
        free(path);
        return give_up(v, rc);
    }
    v->pub.xs_path = path;
    return &v->pub;
}

struct libxenvchan *libxenvchan_client_init(struct xentoollog_logger *logger, int domain, const char *xs_path)
{
    grant_ref_t ring_ref = 0;
    evtchn_port_t port = 0;
    int rc = domain < 0 || domain > UINT16_MAX ? -XEN_EINVAL : xids_lxv_find(xs_path, &ring_ref, &port);
    if (rc < 0) {
        errno = -rc;
        return NULL;
    }
    struct xids_lxv *v = begin(logger, false);
    if (v == NULL)
        return NULL;
    rc = xids_vchan_client_init(&v->ch, &v->platform, (domid_t)domain, ring_ref, port, XIDS_VCHAN_PLAIN);
    if (rc < 0)
        return give_up(v, rc);
    show(v);
    return &v->pub;
}

void close_xs_srv(struct libxenvchan *ctrl)
{
    if (ctrl->xs_path == NULL)
        return;
    xids_lxv_withdraw(ctrl->xs_path, &xids_lxv_of(ctrl)->ch);
    free(ctrl->xs_path);
    ctrl->xs_path = NULL;
}

void libxenvchan_close(struct libxenvchan *ctrl)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    if (ctrl == NULL)
        return;
    bool server = ctrl->is_server != 0;
    /* First the numbers, so that nobody connects to what is about to go. */
    if (server)
        close_xs_srv(ctrl);
    if (v->open)
        xids_vchan_fini(&v->ch);
    if (server && ctrl->gntshr != NULL)
        (void)xengntshr_close(ctrl->gntshr);
    else if (!server && ctrl->gnttab != NULL)
        (void)xengnttab_close(ctrl->gnttab);
    if (ctrl->event != NULL)
        (void)xenevtchn_close(ctrl->event);
    free(v);
}
