/* SPDX-License-Identifier: ISC */
/*
 * libxenvchan.so.4.17 on the core of <xids/vchan.h>: what its files share. The functions it exports are those of
 * <libxenvchan.h>, whose struct programs read and write: it stays as it is, with what is true of the channel in it, and
 * ours lies behind it.
 *
 * A program may sleep by itself, on the event channel's descriptor, after any call that came up short. So such a call
 * asks the peer for an event before it returns, and the request is not taken back.
 *
 * The extension of docs/spec/vchan.md is neither offered nor taken. A client of libxenvchan may come back at any
 * moment, also while the server sleeps in a select of its own, and must find orders and indices in the page then. And
 * programs are free to read the indices there.
 */
#ifndef VCHAN_LIBXENVCHAN_H
#define VCHAN_LIBXENVCHAN_H

#include <libxenvchan.h>
#include <stddef.h>

/* The core has them as constants of the same names and values, by the same wire format. */
#undef VCHAN_NOTIFY_WRITE
#undef VCHAN_NOTIFY_READ
#include "vchan/internal.h"

struct xids_lxv {
    struct libxenvchan pub; /* the program's */
    struct xids_platform platform;
    struct xids_vchan ch;
    bool open;     /* ch is there */
    bool sleeps;   /* the program has shown that it sleeps by itself */
    bool waits;    /* and that it takes events by libxenvchan_wait */
    uint8_t asked; /* the requests that we made; the peer takes away the one that it answers */
};

_Static_assert(sizeof(struct libxenvchan) == 88, "programs are compiled with this size");
_Static_assert(offsetof(struct libxenvchan, ring) == 8, "and these offsets");
_Static_assert(offsetof(struct libxenvchan, event) == 16 && offsetof(struct libxenvchan, event_port) == 24, "");
_Static_assert(offsetof(struct libxenvchan, read) == 32 && offsetof(struct libxenvchan, write) == 56, "");
_Static_assert(offsetof(struct libxenvchan, xs_path) == 80, "");

static inline struct xids_lxv *xids_lxv_of(struct libxenvchan *ctrl)
{
    return (struct xids_lxv *)ctrl;
}

/* The platform of one channel, on the handles in the struct. Makes its table; opens and closes nothing. */
void xids_lxv_platform_init(struct xids_lxv *v);

/* Takes an event: sleeps until there is one, unless the program made the descriptor non-blocking. 0 or an error. */
int xids_lxv_take_event(struct xids_lxv *v);

/* Under a path of xenstore: the server's two numbers. 0 or an error. */
int xids_lxv_publish(const char *path, const struct xids_vchan *ch);
int xids_lxv_find(const char *path, grant_ref_t *ring_ref, evtchn_port_t *port);
/* Takes them away if they are still ours, and the folder if nothing else is in it. */
void xids_lxv_withdraw(const char *path, const struct xids_vchan *ch);

/* Xen's library exports it too, though no header has it: takes what is in xenstore away, before the close does. */
void close_xs_srv(struct libxenvchan *ctrl);

#endif
