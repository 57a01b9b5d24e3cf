/* SPDX-License-Identifier: ISC */
/*
 * One end of a vchan for the interoperability test, by xids or by the real libxenvchan, in a domain of the simulator.
 *
 * usage: vchan-peer xids|libxenvchan server|client DOMID PATH LEFT_ORDER RIGHT_ORDER stream|packet DUTY
 *
 * DUTY:
 *   exchange   the client sends 200000 bytes, the server checks them and sends as many; the client checks and closes;
 *              the server sees the end
 *   serve      a server's: the same with three clients, one after the other
 *   leave      sends 1000 bytes (what any ring holds) and closes at once
 *   die        sends 1000 bytes, says "ready PID" and waits to be killed
 *   last       receives the 1000 bytes of a peer that leaves or dies, then sees the end
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libxenvchan.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

#define TOTAL 200000u
#define LAST 1000u
#define PACKET 500u

struct end {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan_link *link;
    struct xids_vchan *ours;
    struct libxenvchan *real;
    bool packets;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static uint8_t pattern(uint32_t i, uint8_t salt)
{
    return (uint8_t)(i * 7u + (i >> 8) + salt);
}

static void sleep_ours(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    must(xids_vchan_wait(ch, want_read, want_write, UINT64_MAX) == 1, "xids_vchan_wait");
}

static void send_bytes(struct end *e, uint32_t total, uint8_t salt)
{
    uint8_t data[PACKET];
    for (uint32_t sent = 0; sent < total;) {
        uint32_t n = total - sent < PACKET ? total - sent : PACKET;
        for (uint32_t i = 0; i < n; i++)
            data[i] = pattern(sent + i, salt);
        int rc;
        if (e->ours != NULL) {
            rc = e->packets ? xids_vchan_send(e->ours, data, n) : xids_vchan_write(e->ours, data, n);
            if (rc == -XEN_EAGAIN) {
                sleep_ours(e->ours, 0, e->packets ? n : 1);
                continue;
            }
        } else {
            rc = e->packets ? libxenvchan_send(e->real, data, n) : libxenvchan_write(e->real, data, n);
        }
        must(rc > 0, "send");
        sent += (uint32_t)rc;
    }
}

/* One piece, or 0 at the end. */
static uint32_t receive(struct end *e, uint8_t *data, uint32_t len)
{
    int rc;
    if (e->ours == NULL) {
        rc = e->packets ? libxenvchan_recv(e->real, data, len) : libxenvchan_read(e->real, data, len);
        /* It may say that the peer has gone although there are bytes left: it looked at them before. */
        if (rc < 0 && libxenvchan_data_ready(e->real) > 0)
            rc = libxenvchan_read(e->real, data, len);
        return rc > 0 ? (uint32_t)rc : 0;
    }
    for (;;) {
        rc = e->packets ? xids_vchan_recv(e->ours, data, len) : xids_vchan_read(e->ours, data, len);
        if (rc != -XEN_EAGAIN)
            break;
        sleep_ours(e->ours, e->packets ? len : 1, 0);
    }
    must(rc >= 0, xids_vchan_reason(e->ours));
    return (uint32_t)rc;
}

static void receive_bytes(struct end *e, uint32_t total, uint8_t salt)
{
    uint8_t data[PACKET];
    for (uint32_t got = 0; got < total;) {
        uint32_t n = receive(e, data, total - got < PACKET ? total - got : PACKET);
        must(n > 0, "bytes before the end");
        for (uint32_t i = 0; i < n; i++)
            must(data[i] == pattern(got + i, salt), "the bytes that were sent");
        got += n;
    }
}

static void receive_end(struct end *e)
{
    uint8_t byte;
    e->packets = false;
    must(receive(e, &byte, 1) == 0, "the end");
    if (e->ours != NULL)
        must(xids_vchan_state(e->ours) == XIDS_VCHAN_CLOSED, "the state");
}

static void open_ours(struct end *e, bool server, domid_t remote, const char *path, unsigned int left,
                      unsigned int right)
{
    int rc = xids_xs_open(&e->xs, NULL);
    must(rc == 0, "xids_xs_open");
    must(xids_platform_xen_open(&e->platform, 0) == 0, "xids_platform_xen_open");
    rc = server ? xids_vchan_listen(&e->link, e->platform, e->xs, remote, path, left, right, 0)
                : xids_vchan_connect(&e->link, e->platform, e->xs, remote, path, 0, 50000);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(-rc));
    must(rc == 0, "meeting");
    e->ours = xids_vchan_of(e->link);
    if (server)
        must(xids_vchan_wait_client(e->ours, UINT64_MAX) == 1, "the client");
}

static void open_real(struct end *e, bool server, domid_t remote, const char *path, unsigned int left,
                      unsigned int right)
{
    if (server)
        e->real = libxenvchan_server_init(NULL, remote, path, (size_t)1 << left, (size_t)1 << right);
    /* It does not wait for its server. */
    for (int i = 0; !server && e->real == NULL && i < 2500; i++) {
        e->real = libxenvchan_client_init(NULL, remote, path);
        if (e->real == NULL)
            (void)usleep(20000);
    }
    must(e->real != NULL, "libxenvchan's init");
    e->real->blocking = -1; /* a signed field of one bit */
    while (server && libxenvchan_is_open(e->real) == 2)
        must(libxenvchan_wait(e->real) == 0, "libxenvchan_wait");
}

/* Waits for the next client on the same pages and port. libxenvchan's persistent server does not notice the change. */
static void next_client(struct end *e)
{
    if (e->ours == NULL)
        return;
    bool packets = e->packets;
    receive_end(e);
    e->packets = packets;
    must(xids_vchan_reoffer(e->ours) == 0, "xids_vchan_reoffer");
    must(xids_vchan_wait_client(e->ours, UINT64_MAX) == 1, "the next client");
}

static void serve(struct end *e)
{
    if (e->real != NULL)
        e->real->server_persist = -1; /* a signed field of one bit */
    for (int client = 0; client < 3; client++) {
        if (client > 0)
            next_client(e);
        receive_bytes(e, TOTAL, 1);
        send_bytes(e, TOTAL, 2);
    }
    /* The last one has to read it all before we go. */
    if (e->ours != NULL)
        receive_end(e);
    else
        while (__atomic_load_n(&e->real->ring->cli_live, __ATOMIC_ACQUIRE) != 0)
            (void)usleep(1000);
}

int main(int argc, char **argv)
{
    must(argc == 9, "usage");
    struct end e = {.packets = strcmp(argv[7], "packet") == 0};
    bool server = strcmp(argv[2], "server") == 0;
    const char *duty = argv[8];
    unsigned int left = (unsigned int)atoi(argv[5]), right = (unsigned int)atoi(argv[6]);
    (void)alarm(60);
    if (strcmp(argv[1], "xids") == 0)
        open_ours(&e, server, (domid_t)atoi(argv[3]), argv[4], left, right);
    else
        open_real(&e, server, (domid_t)atoi(argv[3]), argv[4], left, right);

    if (strcmp(duty, "serve") == 0) {
        serve(&e);
    } else if (strcmp(duty, "exchange") == 0 && server) {
        receive_bytes(&e, TOTAL, 1);
        send_bytes(&e, TOTAL, 2);
        receive_end(&e);
    } else if (strcmp(duty, "exchange") == 0) {
        send_bytes(&e, TOTAL, 1);
        receive_bytes(&e, TOTAL, 2);
    } else if (strcmp(duty, "last") == 0) {
        receive_bytes(&e, LAST, 3);
        receive_end(&e);
    } else {
        send_bytes(&e, LAST, 3);
        if (strcmp(duty, "die") == 0) {
            (void)printf("ready %d\n", (int)getpid());
            (void)fflush(stdout);
            for (;;)
                (void)pause();
        }
    }
    xids_vchan_unlink(e.link);
    xids_platform_xen_close(e.platform);
    xids_xs_close(e.xs);
    libxenvchan_close(e.real);
    return 0;
}
