/* SPDX-License-Identifier: ISC */
/*
 * Talks to an echo at the other end of a vchan that speaks the extension, as the unikernel vchan-echo is, several
 * times, each time by a process of its own that leaves in another way: half-closes and reads to the end, closes, or is
 * killed with bytes unread. Each sees that the extension is spoken and that the echo answers a heartbeat.
 *
 * usage: vchan_echoed listen|connect DOMID PATH TIMES
 */
#include "vchan/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

#define BYTES 50000u /* more than the echo's rings hold */
#define PIECE 1000u

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "vchan_echoed: not so: %s\n", what);
    exit(1);
}

static uint8_t byte_at(uint32_t i)
{
    return (uint8_t)(i * 7u + (i >> 8));
}

static void check(const uint8_t *data, uint32_t at, int n)
{
    for (int i = 0; i < n; i++)
        must(data[i] == byte_at(at + (uint32_t)i), "the bytes that were sent");
}

/* Sends the bytes and reads as many of them as come meanwhile. How many. */
static uint32_t send_all(struct xids_vchan *ch)
{
    uint8_t data[PIECE];
    uint32_t sent = 0, got = 0;
    while (sent < BYTES) {
        uint32_t len = BYTES - sent < PIECE ? BYTES - sent : PIECE;
        for (uint32_t i = 0; i < len; i++)
            data[i] = byte_at(sent + i);
        int put = xids_vchan_write(ch, data, len);
        must(put > 0 || put == -XEN_EAGAIN, "writing");
        sent += put > 0 ? (uint32_t)put : 0;
        int n = xids_vchan_read(ch, data, PIECE);
        must(n > 0 || n == -XEN_EAGAIN, "reading");
        check(data, got, n);
        got += n > 0 ? (uint32_t)n : 0;
        if (put < 0 && n < 0)
            must(xids_vchan_wait(ch, 1, 1, UINT64_MAX) == 1, "waiting");
    }
    return got;
}

/* Reads the rest; to the end, after a half-close. */
static void read_rest(struct xids_vchan *ch, uint32_t got, bool to_the_end)
{
    uint8_t data[PIECE];
    while (got < BYTES || to_the_end) {
        int n = xids_vchan_read(ch, data, PIECE);
        if (n == 0)
            break;
        must(n > 0 || n == -XEN_EAGAIN, "reading the rest");
        check(data, got, n);
        got += n > 0 ? (uint32_t)n : 0;
        if (n < 0)
            must(xids_vchan_wait(ch, 1, 0, UINT64_MAX) == 1, "waiting for the rest");
    }
    must(got == BYTES, "all bytes");
}

static void heartbeat(struct xids_vchan *ch, const struct xids_platform *platform)
{
    const uint64_t forever = UINT64_MAX / 2;
    must(xids_vchan_heartbeat(ch, platform->ops->now(platform->ctx), forever) == XIDS_VCHAN_OPEN, "asking");
    while (xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_PONG) != ch->ping)
        must(xids_vchan_wait(ch, 1, 0, platform->ops->now(platform->ctx) + 1000000u) == 0, "the answer alone");
}

static void talk(bool server, domid_t remote, const char *path, unsigned int time)
{
    struct xids_platform *platform = NULL;
    struct xids_xs *xs = NULL;
    struct xids_vchan_link *link = NULL;
    must(xids_platform_xen_open(&platform, 0) == 0 && xids_xs_open(&xs, NULL) == 0, "a place on Xen");
    int rc = server ? xids_vchan_listen(&link, platform, xs, remote, path, 12 + time % 3, 11 + time % 4, 0)
                    : xids_vchan_connect(&link, platform, xs, remote, path, 0, -1);
    must(rc == 0, "meeting");
    struct xids_vchan *ch = xids_vchan_of(link);
    if (server)
        must(xids_vchan_wait_client(ch, UINT64_MAX) == 1, "a client");
    must(xids_vchan_extended(ch), "the extension");
    heartbeat(ch, platform);
    uint32_t got = send_all(ch);
    if (time % 3 == 0)
        must(xids_vchan_shutdown(ch) == 0, "half-closing");
    if (time % 3 == 2)
        (void)raise(SIGKILL);
    read_rest(ch, got, time % 3 == 0);
    xids_vchan_unlink(link);
    xids_platform_xen_close(platform);
    xids_xs_close(xs);
}

int main(int argc, char **argv)
{
    must(argc == 5, "usage");
    unsigned int times = (unsigned int)atoi(argv[4]);
    for (unsigned int time = 0; time < times; time++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            talk(strcmp(argv[1], "listen") == 0, (domid_t)atoi(argv[2]), argv[3], time);
            exit(0);
        }
        must(pid > 0 && waitpid(pid, &status, 0) == pid, "a process");
        must(time % 3 == 2 ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0, "its end");
    }
    (void)printf("echoed %u times\n", times);
    return 0;
}
