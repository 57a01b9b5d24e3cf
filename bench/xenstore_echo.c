/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/xenstore_echo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT 65536u
#define CONNECTIONS 64

struct answer {
    size_t len;
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
};

static struct answer read_answer, other_answer;

static void answer_make(struct answer *a, uint32_t type, const char *payload, size_t len)
{
    a->len = request(a->bytes, type, 0, payload, len);
}

/* The requests are whole: its clients send them so, and wait for the answers. */
static void serve(int fd)
{
    static uint8_t in[INPUT], out[INPUT * 4];
    struct xids_xswire_msg msg;
    size_t used = 0, made = 0;
    ssize_t n = recv(fd, in, sizeof(in), 0);
    if (n <= 0) {
        (void)close(fd);
        return;
    }
    for (int len; (len = xids_xswire_peek(&msg, in + used, (size_t)n - used)) > 0; used += (size_t)len) {
        const struct answer *a = msg.type == XS_READ ? &read_answer : &other_answer;
        must(made + a->len <= sizeof(out));
        memcpy(out + made, a->bytes, a->len);
        made += a->len;
    }
    /* A client may have gone without its last answer. */
    if (send(fd, out, made, MSG_NOSIGNAL) != (ssize_t)made) {
        must(errno == EPIPE || errno == ECONNRESET);
        (void)close(fd);
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0);
}

static _Noreturn void run(int listener)
{
    struct epoll_event events[CONNECTIONS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    must(epoll >= 0);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, CONNECTIONS, -1);
        must(n > 0 || errno == EINTR);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            must(fd >= 0);
            watch(epoll, fd);
        }
    }
}

void echo_start(struct peer *p, const char *dir, const char *value)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    must(snprintf(p->socket, sizeof(p->socket), "%s/run/echo", dir) < (int)sizeof(p->socket));
    strcpy(addr.sun_path, p->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, CONNECTIONS) == 0);
    answer_make(&read_answer, XS_READ, value, strlen(value));
    answer_make(&other_answer, XS_WRITE, "OK", 3);
    p->pid = fork();
    must(p->pid >= 0);
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(fd);
    }
    (void)close(fd);
    p->name = "echo server";
    p->dir = dir;
}

void echo_stop(struct peer *p)
{
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)unlink(p->socket);
    p->name = NULL;
}
