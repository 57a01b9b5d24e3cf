/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/xenstore_peer.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void peer_must_(bool good, const char *what, const char *file, int line)
{
    if (good)
        return;
    (void)fprintf(stderr, "%s:%d: failed: %s (%s)\n", file, line, what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int dial_fd(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    must(strlen(path) < sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    /* C xenstored's backlog is 1: when many dial at once, some have to wait. */
    while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        must(errno == EAGAIN || errno == EINTR);
    return fd;
}

void peer_open(struct peer *p, const char *name, const char *dir)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    p->dir = dir;
    must(snprintf(p->socket, sizeof(p->socket), "%s/run/xenstored/socket", dir) < (int)sizeof(p->socket));
    int fd = dial_fd(p->socket);
    must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0);
    (void)close(fd);
    p->pid = who.pid;
    p->name = name;
}

/* ---- processors ---- */

/* Moves a process to the first or the last processor that this program was allowed when it began. */
static void settle(pid_t pid, bool last)
{
    static cpu_set_t allowed;
    static bool known;
    cpu_set_t one;
    size_t chosen = CPU_SETSIZE;
    must(known || sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    known = true;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && (last || chosen == CPU_SETSIZE))
            chosen = cpu;
    }
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    must(sched_setaffinity(pid, sizeof(one), &one) == 0);
    /* Before what else the machine does, where that may be asked for. */
    (void)setpriority(PRIO_PROCESS, (id_t)pid, -10);
}

void peer_settle(const struct peer *p)
{
    settle(p->pid, true);
}

void client_settle(void)
{
    settle(0, false);
}

void client_joins(void)
{
    settle(0, true);
}

void client_leaves(void)
{
    settle(0, false);
}

uint64_t peer_cpu(const struct peer *p)
{
    clockid_t clock;
    struct timespec t;
    must(clock_getcpuclockid(p->pid, &clock) == 0 && clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t peer_cpu_settled(const struct peer *p)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    uint64_t before, now = peer_cpu(p);
    do {
        before = now;
        (void)nanosleep(&pause, NULL);
        now = peer_cpu(p);
    } while (now != before);
    return now;
}

uint64_t peer_rss(const struct peer *p)
{
    char path[40];
    unsigned long size, resident;
    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)p->pid);
    FILE *f = fopen(path, "re");
    must(f != NULL);
    must(fscanf(f, "%lu %lu", &size, &resident) == 2);
    (void)fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- messages ---- */

size_t request(uint8_t *out, uint32_t type, uint32_t tx, const char *payload, size_t len)
{
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, 0, tx, &part, 1);
    must(n > 0);
    return (size_t)n;
}

void dial(struct answers *a, const struct peer *p)
{
    a->fd = dial_fd(p->socket);
    a->events = 0;
    a->have = 0;
}

void hang_up(struct answers *a)
{
    (void)close(a->fd);
    a->fd = -1;
}

void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        must(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

/* Takes the whole messages out of what there is. */
static unsigned int sift(struct answers *a, struct xids_xswire_msg *msg, bool *refused)
{
    size_t used = 0;
    unsigned int count = 0;
    struct xids_xswire_msg m;
    for (int len; (len = xids_xswire_peek(&m, a->bytes + used, a->have - used)) != 0; used += (size_t)len) {
        must(len > 0);
        if (m.type == XS_WATCH_EVENT) {
            a->events++;
            continue;
        }
        count++;
        *msg = m;
        *refused = *refused || m.type == XS_ERROR;
    }
    a->have -= used;
    /* The last message stays readable: what is moved over it is less than a message. */
    if (a->have > 0) {
        static uint8_t payload[XIDS_XSWIRE_MESSAGE_MAX];
        if (count > 0) {
            memcpy(payload, msg->payload, msg->len);
            msg->payload = (const char *)payload;
        }
        memmove(a->bytes, a->bytes + used, a->have);
    }
    return count;
}

static unsigned int receive(struct answers *a, struct xids_xswire_msg *msg, bool *refused)
{
    ssize_t n = read(a->fd, a->bytes + a->have, sizeof(a->bytes) - a->have);
    must(n > 0);
    a->have += (size_t)n;
    return sift(a, msg, refused);
}

unsigned int take(struct answers *a, struct xids_xswire_msg *msg)
{
    bool refused = false;
    return receive(a, msg, &refused);
}

uint32_t ask(struct answers *a, uint32_t type, uint32_t tx, const char *payload, size_t len, uint32_t *number)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_msg msg = {0};
    send_all(a->fd, out, request(out, type, tx, payload, len));
    while (take(a, &msg) == 0) {
    }
    if (number != NULL && msg.type != XS_ERROR)
        must(xids_xswire_decimal(number, msg.payload, msg.len - 1, UINT32_MAX) == 0);
    return msg.type;
}

uint32_t ask_path(struct answers *a, uint32_t type, const char *path)
{
    return ask(a, type, 0, path, strlen(path) + 1, NULL);
}

void pipeline(struct answers *a, unsigned int count, size_t (*make)(uint8_t *out, unsigned int i))
{
    static uint8_t out[WINDOW * XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_msg msg;
    unsigned int sent = 0, done = 0;
    bool refused = false;
    while (done < count) {
        size_t len = 0;
        for (; sent < count && sent - done < WINDOW; sent++)
            len += make(out + len, sent);
        send_all(a->fd, out, len);
        done += receive(a, &msg, &refused);
        must(!refused);
    }
}
