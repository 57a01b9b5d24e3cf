/* SPDX-License-Identifier: ISC */
/*
 * What the kernel of a guest domain does for its processes: it owns the domain's xenstore ring and console, and lets
 * many processes use them through two sockets.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>
#include <xids/bytering.h>

#include "sim/daemon.h"
#include "sim/mux.h"

#define NAME_MAX_BYTES 64u
#define CONSOLE_BYTES 2048u

struct client {
    struct client *next, *prev;
    struct xids_sim_guest *guest;
    struct xids_sim_stream *stream;
    struct xids_mux_client *mux; /* of xenbus; NULL: of the console */
    uint8_t out[CONSOLE_BYTES];  /* of the console */
    size_t out_len;
};

struct xids_sim_guest {
    struct xids_sim_guest *next;
    struct xids_sim_daemon *daemon;
    domid_t domid;
    char name[NAME_MAX_BYTES];
    uint32_t owner;
    int queue;
    evtchn_port_t store_port, console_port;
    uint8_t *store_page;
    struct xids_bytering requests, replies, console_out, console_in;
    struct xids_mux *mux;
    struct client *clients;
    bool connected; /* the store has taken the ring up */
    bool broken;    /* the store broke the ring: nothing more goes through it */
    bool closing, serving, again;
    unsigned int handles; /* of libuv, still to be closed */
    uv_poll_t poll;
    uv_timer_t settle;
    uv_pipe_t xenbus, console;
};

/* An introduction is complete so many milliseconds after its event: C xenstored sends that first, then clears the ring.
 */
#define SETTLE_MS 50u

static void *heap_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void heap_put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

static const struct xids_alloc heap = {heap_get, heap_put, NULL};

static struct xids_hv *hv_of(struct xids_sim_guest *g)
{
    return &g->daemon->machine.hv;
}

static void notify(struct xids_sim_guest *g, evtchn_port_t port)
{
    /* Fails when the domain is being destroyed: then there is nobody to tell. */
    if (xids_hv_evtchn_notify(hv_of(g), g->owner, port) < 0) {
    }
}

/* ---- clients ---- */

static void client_forget(struct client *c)
{
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->guest->clients = c->next;
    if (c->mux != NULL)
        xids_mux_client_gone(c->mux);
    free(c);
}

static void client_cut(struct client *c)
{
    xids_sim_stream_close(c->stream);
    client_forget(c);
}

static void serve(struct xids_sim_guest *g);

static void client_closed(void *ctx)
{
    struct client *c = ctx;
    struct xids_sim_guest *g = c->guest;
    client_forget(c);
    serve(g);
}

static int xenbus_input(void *ctx, const uint8_t *data, size_t len)
{
    struct client *c = ctx;
    int taken = xids_mux_client_input(c->mux, data, len);
    if (taken > 0)
        serve(c->guest);
    return taken;
}

static size_t xenbus_output(void *ctx, const uint8_t **data)
{
    struct client *c = ctx;
    return xids_mux_client_output(c->mux, data);
}

static void xenbus_sent(void *ctx, size_t n)
{
    struct client *c = ctx;
    xids_mux_client_sent(c->mux, n);
}

static int console_input(void *ctx, const uint8_t *data, size_t len)
{
    struct client *c = ctx;
    int n = xids_bytering_write(&c->guest->console_out, data, (uint32_t)len);
    if (n > 0 && xids_bytering_publish(&c->guest->console_out)) {
        xids_peer_fence();
        notify(c->guest, c->guest->console_port);
    }
    return n;
}

static size_t console_output(void *ctx, const uint8_t **data)
{
    struct client *c = ctx;
    *data = c->out;
    return c->out_len;
}

static void console_sent(void *ctx, size_t n)
{
    struct client *c = ctx;
    c->out_len -= n;
    memmove(c->out, c->out + n, c->out_len);
}

static const struct xids_sim_stream_ops xenbus_ops = {xenbus_input, xenbus_output, xenbus_sent, client_closed};
static const struct xids_sim_stream_ops console_ops = {console_input, console_output, console_sent, client_closed};

static void on_connection(uv_stream_t *listener, int status)
{
    struct xids_sim_guest *g = listener->data;
    bool xenbus = listener == (uv_stream_t *)&g->xenbus;
    struct xids_sim_stream *s =
        status == 0 ? xids_sim_stream_accept(listener, xenbus ? &xenbus_ops : &console_ops) : NULL;
    struct client *c = s != NULL ? calloc(1, sizeof(*c)) : NULL;
    if (c != NULL && xenbus)
        c->mux = xids_mux_client_new(g->mux, c);
    if (c == NULL || (xenbus && (c->mux == NULL || g->broken))) {
        if (s != NULL)
            xids_sim_stream_close(s);
        if (c != NULL && c->mux != NULL)
            xids_mux_client_gone(c->mux);
        free(c);
        return;
    }
    c->guest = g;
    c->stream = s;
    c->next = g->clients;
    if (c->next != NULL)
        c->next->prev = c;
    g->clients = c;
    xids_sim_stream_start(s, c);
}

/* ---- the rings ---- */

/* True when anything moved. */
static bool serve_store(struct xids_sim_guest *g)
{
    const uint8_t *data;
    uint8_t chunk[XENSTORE_RING_SIZE];
    size_t waiting = xids_mux_store_output(g->mux, &data);
    int sent = waiting > 0 ? xids_bytering_write(&g->requests, data, (uint32_t)waiting) : 0;
    int got = xids_bytering_read(&g->replies, chunk, sizeof(chunk));
    int rc = sent < 0 ? sent : got < 0 ? got : 0;
    if (sent > 0)
        xids_mux_store_sent(g->mux, (size_t)sent);
    if (got > 0)
        rc = xids_mux_store_input(g->mux, chunk, (size_t)got);
    bool moved = xids_bytering_publish(&g->requests);
    moved = xids_bytering_publish(&g->replies) || moved;
    if (moved) {
        xids_peer_fence();
        notify(g, g->store_port);
    }
    if (rc < 0)
        g->broken = true;
    return moved;
}

static void serve_console(struct xids_sim_guest *g)
{
    uint8_t chunk[256];
    bool moved = false;
    for (;;) {
        /* As much as all who listen can take. */
        size_t room = sizeof(chunk);
        unsigned int listeners = 0;
        for (struct client *c = g->clients; c != NULL; c = c->next) {
            if (c->mux != NULL)
                continue;
            listeners++;
            if (sizeof(c->out) - c->out_len < room)
                room = sizeof(c->out) - c->out_len;
        }
        int n = listeners > 0 ? xids_bytering_read(&g->console_in, chunk, (uint32_t)room) : 0;
        if (n <= 0)
            break;
        for (struct client *c = g->clients; c != NULL; c = c->next) {
            if (c->mux != NULL)
                continue;
            memcpy(c->out + c->out_len, chunk, (size_t)n);
            c->out_len += (size_t)n;
        }
        moved = xids_bytering_publish(&g->console_in) || moved;
    }
    if (moved) {
        xids_peer_fence();
        notify(g, g->console_port);
    }
}

/* Moves all that can move. Safe to call from within what it calls: then it goes round once more. */
static void serve(struct xids_sim_guest *g)
{
    if (g->closing)
        return;
    g->again = true;
    if (g->serving)
        return;
    g->serving = true;
    while (g->again && !g->closing) {
        g->again = false;
        while (g->connected && !g->broken && serve_store(g)) {
        }
        serve_console(g);
        /* A kick may remove the client it is for, never another. */
        for (struct client *c = g->clients, *next; c != NULL && !g->closing; c = next) {
            next = c->next;
            if (c->mux != NULL && (g->broken || xids_mux_client_failed(c->mux)))
                client_cut(c);
            else
                xids_sim_stream_kick(c->stream);
        }
    }
    g->serving = false;
}

static void on_settled(uv_timer_t *timer)
{
    struct xids_sim_guest *g = timer->data;
    if (!g->connected && xids_sim_guest_connect(g) < 0)
        g->broken = true;
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct xids_sim_guest *g = poll->data;
    evtchn_port_t ports[64];
    (void)status;
    (void)events;
    ssize_t n = read(g->queue, ports, sizeof(ports));
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(ports[0]); i++) {
        if (xids_hv_evtchn_take(hv_of(g), g->owner, ports[i]) == 1 &&
            xids_hv_evtchn_unmask(hv_of(g), g->owner, ports[i]) < 0) {
        }
        /* Somebody introduced the domain, and will perhaps not tell us. */
        if (ports[i] == g->store_port && !g->connected && !uv_is_active((const uv_handle_t *)&g->settle))
            (void)uv_timer_start(&g->settle, on_settled, SETTLE_MS, 0);
    }
    serve(g);
}

/* ---- making and ending ---- */

static int first_below_zero(const int *rc, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        if (rc[i] < 0)
            return rc[i];
    return 0;
}

/* Pages, grants, ports and parameters, as the toolstack's domain builder leaves them. */
static int build(struct xids_sim_guest *g)
{
    struct xids_hv *hv = hv_of(g);
    uint32_t first;
    grant_ref_t ref;
    int rc = xids_hv_frame_alloc(hv, &first, g->domid, 2);
    if (rc < 0)
        return rc;
    int store = xids_hv_evtchn_alloc_for(hv, 0, g->domid, 0), console = xids_hv_evtchn_alloc_for(hv, 0, g->domid, 0);
    const int steps[] = {
        store,
        console,
        xids_hv_grant(hv, &ref, g->domid, 0, first, 0, 0 /* GNTTAB_RESERVED_CONSOLE */),
        xids_hv_grant(hv, &ref, g->domid, 0, first + 1, 0, 1 /* GNTTAB_RESERVED_XENSTORE */),
        xids_hv_param_set(hv, g->domid, HVM_PARAM_CONSOLE_PFN, first),
        xids_hv_param_set(hv, g->domid, HVM_PARAM_STORE_PFN, first + 1),
        store > 0 ? xids_hv_param_set(hv, g->domid, HVM_PARAM_STORE_EVTCHN, (uint64_t)store) : -XEN_ENOSPC,
        console > 0 ? xids_hv_param_set(hv, g->domid, HVM_PARAM_CONSOLE_EVTCHN, (uint64_t)console) : -XEN_ENOSPC,
    };
    rc = first_below_zero(steps, sizeof(steps) / sizeof(steps[0]));
    if (rc < 0)
        return rc;
    g->store_port = (evtchn_port_t)store;
    g->console_port = (evtchn_port_t)console;
    g->queue = xids_sim_queue_open(&g->daemon->machine, &g->owner, g->domid, 0, O_CLOEXEC | O_NONBLOCK);
    if (g->queue < 0)
        return g->queue;
    uint8_t *page = g->daemon->machine.ram + (size_t)(first - 1) * XIDS_PAGE_SIZE;
    g->store_page = page + XIDS_PAGE_SIZE;
    struct xids_bytering_layout at[2] = {xids_bytering_console_output(page), xids_bytering_console_input(page)};
    const int more[] = {
        xids_hv_evtchn_adopt(hv, g->owner, g->store_port),
        xids_hv_evtchn_adopt(hv, g->owner, g->console_port),
        xids_bytering_attach(&g->console_out, &at[0], true),
        xids_bytering_attach(&g->console_in, &at[1], false),
    };
    return first_below_zero(more, sizeof(more) / sizeof(more[0]));
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct xids_sim_guest *g = handle->data;
    if (--g->handles == 0)
        free(g);
}

static int listen_at(struct xids_sim_guest *g, uv_pipe_t *pipe, const char *name)
{
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(&g->daemon->machine, path, "domains/%u/%s", g->domid, name);
    int rc = uv_pipe_init(&g->daemon->loop, pipe, 0);
    if (rc < 0)
        return rc;
    pipe->data = g;
    g->handles++;
    rc = uv_pipe_bind(pipe, path);
    return rc < 0 ? rc : uv_listen((uv_stream_t *)pipe, 128, on_connection);
}

static int open_doors(struct xids_sim_guest *g)
{
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(&g->daemon->machine, path, "domains/%u", g->domid);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int rc = uv_poll_init(&g->daemon->loop, &g->poll, g->queue);
    if (rc < 0)
        return rc;
    g->poll.data = g;
    g->handles++;
    (void)uv_timer_init(&g->daemon->loop, &g->settle);
    g->settle.data = g;
    g->handles++;
    rc = uv_poll_start(&g->poll, UV_READABLE, on_events);
    if (rc == 0)
        rc = listen_at(g, &g->xenbus, "xenbus");
    if (rc == 0)
        rc = listen_at(g, &g->console, "console");
    return rc;
}

int xids_sim_guest_create(struct xids_sim_daemon *d, int domid, uint32_t flags, const char *name)
{
    uint8_t uuid[16];
    struct xids_sim_guest *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
        memset(uuid, 0, sizeof(uuid));
    int rc = xids_hv_domain_create(&d->machine.hv, domid < 0 ? XIDS_HV_DOMID_ANY : (domid_t)domid, flags, uuid);
    if (rc < 0) {
        free(g);
        return rc;
    }
    g->daemon = d;
    g->domid = (domid_t)rc;
    g->queue = -1;
    if (strcmp(name, "-") == 0)
        (void)snprintf(g->name, sizeof(g->name), "guest-%u", g->domid);
    else
        (void)snprintf(g->name, sizeof(g->name), "%s", name);
    g->next = d->guests;
    d->guests = g;
    g->mux = xids_mux_new(&heap);
    rc = g->mux != NULL ? build(g) : -ENOMEM;
    if (rc == 0)
        rc = open_doors(g);
    if (rc == 0)
        return g->domid;
    domid_t made = g->domid;
    xids_sim_guest_close(g);
    (void)xids_hv_domain_destroy(&d->machine.hv, made);
    return rc;
}

int xids_sim_guest_connect(struct xids_sim_guest *g)
{
    struct xids_bytering_layout at[2] = {xids_bytering_xenstore_requests(g->store_page),
                                         xids_bytering_xenstore_replies(g->store_page)};
    /* Another store than before knows nothing of what clients have there: they have to begin again. */
    struct xids_mux *fresh = g->connected ? xids_mux_new(&heap) : g->mux;
    if (fresh == NULL)
        return -ENOMEM;
    if (g->connected) {
        for (struct client *c = g->clients, *next; c != NULL; c = next) {
            next = c->next;
            if (c->mux != NULL)
                client_cut(c);
        }
        xids_mux_free(g->mux);
        g->mux = fresh;
    }
    int rc = xids_bytering_attach(&g->requests, &at[0], true);
    if (rc == 0)
        rc = xids_bytering_attach(&g->replies, &at[1], false);
    if (rc < 0)
        return rc;
    g->connected = true;
    g->broken = false;
    serve(g);
    return 0;
}

struct xids_sim_guest *xids_sim_guest_find(struct xids_sim_daemon *d, domid_t domid)
{
    struct xids_sim_guest *g = d->guests;
    while (g != NULL && g->domid != domid)
        g = g->next;
    return g;
}

static void close_handle(uv_handle_t *handle)
{
    if (handle->data != NULL)
        uv_close(handle, on_handle_closed);
}

void xids_sim_guest_close(struct xids_sim_guest *g)
{
    struct xids_sim_daemon *d = g->daemon;
    char path[XIDS_SIM_PATH_MAX];
    g->closing = true;
    for (struct xids_sim_guest **at = &d->guests; *at != NULL; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            break;
        }
    while (g->clients != NULL)
        client_cut(g->clients);
    if (g->mux != NULL)
        xids_mux_free(g->mux);
    if (g->owner != 0) {
        xids_sim_queue_drop(&d->machine, g->owner);
        (void)xids_hv_owner_close(&d->machine.hv, g->owner);
    }
    g->handles++; /* not to be freed before the last of these lines */
    close_handle((uv_handle_t *)&g->poll);
    close_handle((uv_handle_t *)&g->settle);
    close_handle((uv_handle_t *)&g->xenbus);
    close_handle((uv_handle_t *)&g->console);
    if (g->queue >= 0)
        (void)close(g->queue);
    xids_sim_path(&d->machine, path, "domains/%u/xenbus", g->domid);
    (void)unlink(path);
    xids_sim_path(&d->machine, path, "domains/%u/console", g->domid);
    (void)unlink(path);
    xids_sim_path(&d->machine, path, "domains/%u", g->domid);
    (void)rmdir(path);
    if (--g->handles == 0)
        free(g);
}

const char *xids_sim_guest_name(const struct xids_sim_guest *g)
{
    return g->name;
}

unsigned int xids_sim_guest_clients(const struct xids_sim_daemon *d)
{
    unsigned int n = 0;
    for (const struct xids_sim_guest *g = d->guests; g != NULL; g = g->next)
        for (const struct client *c = g->clients; c != NULL; c = c->next)
            n++;
    return n;
}
