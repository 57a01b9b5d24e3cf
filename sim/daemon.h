/* SPDX-License-Identifier: ISC */
/*
 * The daemon of a simulated machine: makes and destroys domains, is the kernel of each (xenstore ring, console, the
 * sockets for its processes), and does for processes that died what their kernel would have done.
 */
#ifndef XIDS_SIM_DAEMON_H
#define XIDS_SIM_DAEMON_H

#include <uv.h>

#include "sim/machine.h"

struct xids_sim_guest;
struct xids_sim_conn;

struct xids_sim_daemon {
    uv_loop_t loop;
    struct xids_sim_machine machine;
    uv_pipe_t listener;
    uv_signal_t signals[3];
    uv_timer_t watch; /* of the directory; when stopping, the patience with processes */
    struct xids_sim_guest *guests;
    struct xids_sim_conn *conns;
    bool stopping;
    unsigned int stop_rounds;
};

/*
 * Runs the daemon of a new machine in dir, which exists and is empty, until it is told to end; then the directory is
 * gone. ready is called once, with 0 when all is up, or with a negative errno, after which it returns too.
 */
int xids_sim_daemon_run(const char *dir, uint32_t frames, void (*ready)(void *ctx, int rc), void *ctx);

/* Begins to end: processes are told to, then killed. */
void xids_sim_daemon_stop(struct xids_sim_daemon *d);

/* Removes a machine's directory and all in it. */
void xids_sim_remove(const char *dir);

/* ---- domains (guest.c) ---- */

/* Makes a domain with its pages, ports and sockets. domid -1: the next. The domid, or a negative errno. */
int xids_sim_guest_create(struct xids_sim_daemon *d, int domid, uint32_t flags, const char *name);

/* Ends the daemon's part of it; what the hypervisor knows is the caller's. NULL: no such guest. */
struct xids_sim_guest *xids_sim_guest_find(struct xids_sim_daemon *d, domid_t domid);
void xids_sim_guest_close(struct xids_sim_guest *g);

/* The domain has been introduced to a store: its xenstore ring is used from now on. Again: it is another store. */
int xids_sim_guest_connect(struct xids_sim_guest *g);

const char *xids_sim_guest_name(const struct xids_sim_guest *g);

/* The local clients of all guests' xenstore connections. */
unsigned int xids_sim_guest_clients(const struct xids_sim_daemon *d);

/* ---- connections to daemon.sock (daemon_ctl.c) ---- */

void xids_sim_conn_accept(struct xids_sim_daemon *d);
/* Signals every process of a domain (-1: of all). Returns how many there are. */
unsigned int xids_sim_processes_signal(struct xids_sim_daemon *d, int domid, int signum);
void xids_sim_conns_close(struct xids_sim_daemon *d);

/* ---- one byte stream over a socket, to many (stream.c) ---- */

struct xids_sim_stream;
struct xids_sim_stream_ops {
    /* Bytes came: returns how many were taken, or a negative errno, after which the stream closes. The rest waits. */
    int (*input)(void *ctx, const uint8_t *data, size_t len);
    /* What waits to be sent, and that n of it is on its way. */
    size_t (*output)(void *ctx, const uint8_t **data);
    void (*sent)(void *ctx, size_t n);
    /* The other side closed, or an error: the context is the owner's to forget. Comes once, last of all. */
    void (*closed)(void *ctx);
};

/* Accepts from a listening pipe. NULL: nobody there after all. start begins to read. */
struct xids_sim_stream *xids_sim_stream_accept(uv_stream_t *listener, const struct xids_sim_stream_ops *ops);
void xids_sim_stream_start(struct xids_sim_stream *s, void *ctx);
/* Tries again what could not be taken or sent before. */
void xids_sim_stream_kick(struct xids_sim_stream *s);
/* Closes it from our side, without a call of closed. What was sent before is still delivered. */
void xids_sim_stream_close(struct xids_sim_stream *s);
/* The process on the other side; 0: unknown. */
pid_t xids_sim_stream_peer(const struct xids_sim_stream *s);

#endif
