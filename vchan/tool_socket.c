/* SPDX-License-Identifier: ISC */
/* xids-vchan: unix and TCP sockets. */
#include "vchan/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* An address of either family. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
    socklen_t len;
};

static int unix_address(struct address *a, const char *path)
{
    size_t len = strlen(path);
    *a = (struct address){.len = sizeof(a->u.un)};
    if (len == 0 || len >= sizeof(a->u.un.sun_path))
        return -XEN_ENAMETOOLONG;
    a->u.un.sun_family = AF_UNIX;
    memcpy(a->u.un.sun_path, path, len);
    return 0;
}

static bool is_loopback(const struct address *a)
{
    static const struct in6_addr loopback6 = IN6ADDR_LOOPBACK_INIT;
    if (a->u.any.sa_family == AF_INET6)
        return memcmp(&a->u.in6.sin6_addr, &loopback6, sizeof(loopback6)) == 0;
    return ntohl(a->u.in.sin_addr.s_addr) >> 24 == 127;
}

/* [HOST:]PORT. HOST is an address of the loopback interface, in brackets if it has colons, or "localhost". */
static int tcp_address(struct address *a, const char *text)
{
    char host[64] = "127.0.0.1";
    const char *port = strrchr(text, ':');
    if (port != NULL) {
        size_t len = (size_t)(port - text);
        bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
        if (bracketed) {
            text++;
            len -= 2;
        }
        if (len >= sizeof(host))
            return -XEN_EINVAL;
        memcpy(host, text, len);
        host[len] = '\0';
        port++;
    } else {
        port = text;
    }
    char *end = NULL;
    unsigned long number = strtoul(port, &end, 10);
    if (port[0] < '0' || port[0] > '9' || *end != '\0' || number > UINT16_MAX)
        return -XEN_EINVAL;
    if (strcmp(host, "localhost") == 0)
        (void)strcpy(host, "127.0.0.1");
    *a = (struct address){.len = sizeof(a->u.in)};
    if (inet_pton(AF_INET, host, &a->u.in.sin_addr) == 1) {
        a->u.in.sin_family = AF_INET;
        a->u.in.sin_port = htons((uint16_t)number);
    } else if (inet_pton(AF_INET6, host, &a->u.in6.sin6_addr) == 1) {
        a->u.in6.sin6_family = AF_INET6;
        a->u.in6.sin6_port = htons((uint16_t)number);
        a->len = sizeof(a->u.in6);
    } else {
        return -XEN_EINVAL;
    }
    /* A channel knows which domain it talks to; who comes over a network could be anybody. */
    return is_loopback(a) ? 0 : -EADDRNOTAVAIL;
}

static int address_of(struct address *a, const struct options *o)
{
    return o->end == END_UNIX ? unix_address(a, o->address) : tcp_address(a, o->address);
}

static void send_at_once(int fd)
{
    int on = 1;
    /* No harm where it cannot be set. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int socket_check(const struct options *o)
{
    struct address a;
    return o->end == END_UNIX || o->end == END_TCP ? address_of(&a, o) : 0;
}

int socket_new(const struct options *o)
{
    struct address a;
    int rc = address_of(&a, o);
    if (rc < 0)
        return rc;
    int fd = socket(a.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (o->end == END_TCP)
        send_at_once(fd);
    return fd;
}

int socket_connect(const struct options *o, int fd)
{
    struct address a;
    int rc = address_of(&a, o);
    if (rc < 0)
        return rc;
    return connect(fd, &a.u.any, a.len) < 0 ? -errno : 0;
}

/* Removes the socket of a program that is no more. */
static void remove_stale(const struct address *a)
{
    struct stat st;
    const char *path = a->u.un.sun_path;
    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, &a->u.any, a->len) < 0 && errno == ECONNREFUSED)
        (void)unlink(path);
    (void)close(fd);
}

/* Tells which port it is, where any would do. */
static void tell_port(int fd)
{
    struct address a = {.len = sizeof(a.u)};
    if (getsockname(fd, &a.u.any, &a.len) == 0)
        (void)fprintf(stderr, "xids-vchan: port %u\n",
                      ntohs(a.u.any.sa_family == AF_INET ? a.u.in.sin_port : a.u.in6.sin6_port));
}

static int bind_and_listen(struct tool *t, int fd, const struct address *a)
{
    int on = 1;
    if (a->u.any.sa_family == AF_UNIX)
        remove_stale(a);
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, &a->u.any, a->len) < 0)
        return -errno;
    if (a->u.any.sa_family == AF_UNIX) {
        t->bound = strdup(t->o->address);
        if (t->bound == NULL) {
            (void)unlink(t->o->address);
            return -XEN_ENOMEM;
        }
    }
    return listen(fd, BACKLOG) < 0 ? -errno : 0;
}

int socket_listen(struct tool *t)
{
    struct address a;
    int rc = address_of(&a, t->o);
    int fd = rc == 0 ? socket_new(t->o) : rc;
    rc = fd < 0 ? fd : bind_and_listen(t, fd, &a);
    if (rc < 0) {
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    t->listener = fd;
    if ((a.u.any.sa_family == AF_INET && a.u.in.sin_port == 0) ||
        (a.u.any.sa_family == AF_INET6 && a.u.in6.sin6_port == 0))
        tell_port(fd);
    return 0;
}

int socket_accept(const struct tool *t)
{
    int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (t->o->end == END_TCP)
        send_at_once(fd);
    return fd;
}
