/* SPDX-License-Identifier: ISC */
/*
 * A client that is in the middle of things while its xenstored is updated: usage: live_peer NODE
 *
 * It begins two transactions on NODE, one of which will conflict and one not, a watch, and half of a request; says
 * "ready", waits for a line of input, and goes on. 0 when all is as if nothing had happened.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xids/xswire.h>

static int fd;

__attribute__((noreturn)) static void fail(const char *what)
{
    (void)fprintf(stderr, "live_peer: %s\n", what);
    exit(1);
}

static void send_all(const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n <= 0)
            fail("the connection is gone");
        at += n;
        len -= (size_t)n;
    }
}

static void receive(void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t n = read(fd, at, len);
        if (n <= 0)
            fail("the connection is gone");
        at += n;
        len -= (size_t)n;
    }
}

static size_t build(uint8_t *out, uint32_t type, uint32_t tx, const char *node, const char *below, const char *rest,
                    size_t rest_len)
{
    const struct xids_xswire_part parts[] = {{node, strlen(node)}, {below, strlen(below) + 1}, {rest, rest_len}};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, 5, tx, parts, 3);
    if (n < 0)
        fail("a request is too long");
    return (size_t)n;
}

/* The next answer, events left out and counted. */
static char answer[XIDS_XSWIRE_PAYLOAD_MAX + 1];
static unsigned int events;

static uint32_t hear(void)
{
    uint32_t head[4];
    do {
        receive(head, sizeof(head));
        if (head[3] > XIDS_XSWIRE_PAYLOAD_MAX)
            fail("an answer is too long");
        receive(answer, head[3]);
        answer[head[3]] = '\0';
        events += head[0] == XS_WATCH_EVENT;
    } while (head[0] == XS_WATCH_EVENT);
    return head[0];
}

static void expect(uint32_t type, const char *text)
{
    uint32_t got = hear();
    if (got != type || strcmp(answer, text) != 0) {
        (void)fprintf(stderr, "live_peer: answer %u \"%s\", not %u \"%s\"\n", got, answer, type, text);
        exit(1);
    }
}

static void ask(uint32_t type, uint32_t tx, const char *node, const char *below, const char *rest, size_t rest_len)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    send_all(out, build(out, type, tx, node, below, rest, rest_len));
}

static uint32_t begin(void)
{
    ask(XS_TRANSACTION_START, 0, "", "", "", 0);
    if (hear() != XS_TRANSACTION_START)
        fail("no transaction");
    return (uint32_t)strtoul(answer, NULL, 10);
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = getenv("XENSTORED_PATH");
    uint8_t half[XIDS_XSWIRE_MESSAGE_MAX];
    if (argc != 2 || path == NULL || strlen(path) >= sizeof(addr.sun_path))
        fail("usage: live_peer NODE, with XENSTORED_PATH");
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        fail(strerror(errno));
    const char *node = argv[1];
    ask(XS_WRITE, 0, node, "/read", "before", 6);
    expect(XS_WRITE, "OK");
    ask(XS_WATCH, 0, node, "/watched", "token", 6);
    expect(XS_WATCH, "OK");
    uint32_t reads = begin(), writes = begin();
    ask(XS_READ, reads, node, "/read", "", 0);
    expect(XS_READ, "before");
    ask(XS_WRITE, reads, node, "/lost", "x", 1);
    expect(XS_WRITE, "OK");
    ask(XS_WRITE, writes, node, "/kept", "y", 1);
    expect(XS_WRITE, "OK");
    ask(XS_WRITE, 0, node, "/read", "after", 5);
    expect(XS_WRITE, "OK");
    size_t len = build(half, XS_WRITE, 0, node, "/half", "whole", 5);
    send_all(half, len - 3);
    (void)puts("ready");
    (void)fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        fail("no word to go on");
    send_all(half + len - 3, 3);
    expect(XS_WRITE, "OK");
    ask(XS_READ, reads, node, "/read", "", 0);
    expect(XS_READ, "before");
    ask(XS_TRANSACTION_END, reads, "", "T", "", 0);
    expect(XS_ERROR, "EAGAIN");
    ask(XS_TRANSACTION_END, writes, "", "T", "", 0);
    expect(XS_TRANSACTION_END, "OK");
    ask(XS_READ, 0, node, "/kept", "", 0);
    expect(XS_READ, "y");
    ask(XS_READ, 0, node, "/half", "", 0);
    expect(XS_READ, "whole");
    events = 0;
    ask(XS_WRITE, 0, node, "/watched", "", 0);
    expect(XS_WRITE, "OK");
    ask(XS_READ, 0, node, "/watched", "", 0);
    expect(XS_READ, "");
    if (events != 1)
        fail("the watch did not fire once");
    return 0;
}
