/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: opening and closing handles, and where the store is. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of libxentoolcore, by which a program gives up what it may do to domains (xentoolcore_restrict_all). */
void xentoolcore__register_active_handle(struct lxs_active *active);
void xentoolcore__deregister_active_handle(struct lxs_active *active);
int xentoolcore__restrict_by_dup2_null(int fd);

/* ---- paths ---- */

const char *xs_daemon_rundir(void)
{
    const char *dir = getenv("XENSTORED_RUNDIR");
    return dir != NULL ? dir : "/var/run/xenstored";
}

/* The daemon's socket: the environment's, or one composed in buffer; NULL: it does not fit. */
static const char *socket_path(char *buffer, size_t size)
{
    const char *path = getenv("XENSTORED_PATH");
    if (path != NULL)
        return path;
    int n = snprintf(buffer, size, "%s/socket", xs_daemon_rundir());
    return n >= 0 && (size_t)n < size ? buffer : NULL;
}

const char *xs_daemon_socket(void)
{
    /* Whoever gets it keeps it, in whatever thread. */
    static char shown[PATH_MAX];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char buffer[PATH_MAX];
    const char *path = socket_path(buffer, sizeof(buffer));
    if (path != buffer)
        return path;
    pthread_mutex_lock(&lock);
    if (strcmp(shown, buffer) != 0)
        memcpy(shown, buffer, strlen(buffer) + 1);
    pthread_mutex_unlock(&lock);
    return shown;
}

const char *xs_daemon_socket_ro(void)
{
    return xs_daemon_socket();
}

static const char *device_path(void)
{
    const char *path = getenv("XENSTORED_PATH");
    if (path != NULL)
        return path;
    return access("/dev/xen/xenbus", F_OK) == 0 ? "/dev/xen/xenbus" : "/proc/xen/xenbus";
}

/* ---- opening ---- */

static int connect_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(addr.sun_path)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(addr.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int rc;
    while ((rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) < 0 && errno == EINTR)
        continue;
    if (rc < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

_Static_assert(offsetof(struct xs_handle, active) == 0, "a handle is where its active handle is");

static int restrict_handle(struct lxs_active *active, domid_t domid)
{
    /* It is the handle's first member. */
    const struct xs_handle *h = (const void *)active;
    (void)domid;
    return xentoolcore__restrict_by_dup2_null(h->fd);
}

/* Opens what lies at path. -1: errno is set. */
static int open_path(const char *path, bool *device)
{
    struct stat st;
    if (path == NULL) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (stat(path, &st) < 0)
        return -1;
    *device = !S_ISSOCK(st.st_mode);
    return *device ? open(path, O_RDWR | O_CLOEXEC) : connect_socket(path);
}

static struct xs_handle *open_handle(const char *path)
{
    struct xs_handle *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    /* First of all: a program that restricts itself meanwhile has this handle restricted too. */
    h->fd = -1;
    h->active.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&h->active);
    h->fd = open_path(path, &h->device);
    int error = errno;
    if (h->fd >= 0) {
        int rc = lxs_start(h);
        if (rc == 0)
            return h;
        error = -rc;
    }
    xentoolcore__deregister_active_handle(&h->active);
    if (h->fd >= 0)
        close(h->fd);
    free(h);
    errno = error;
    return NULL;
}

struct xs_handle *xs_open(unsigned long flags)
{
    char buffer[PATH_MAX];
    const char *path = socket_path(buffer, sizeof(buffer));
    struct xs_handle *h = open_handle(path);
    int error = errno;
    if (h == NULL) {
        h = open_handle(device_path());
        /* That the daemon is there but does not serve says more than that this is no guest. */
        if (h == NULL && error != ENOENT)
            errno = error;
    }
    if (h != NULL)
        h->filter = (flags & XS_UNWATCH_FILTER) != 0;
    return h;
}

struct xs_handle *xs_daemon_open(void)
{
    return xs_open(0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
    return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
    return xs_open(0);
}

/* ---- closing ---- */

/*
 * In the child of a fork the lock may be another thread's for ever, and what the other threads waited with is not
 * there: so nothing is locked here, nobody called back. Nor is anything taken out of the epoll set, which is the
 * parent's too.
 */
void xs_daemon_destroy_postfork(struct xs_handle *h)
{
    lxs_free_events(h);
    xentoolcore__deregister_active_handle(&h->active);
    close(h->fd);
    if (h->poll_fd >= 0) {
        close(h->poll_fd);
        close(h->bell_fd);
    }
    free(h->client);
    free(h);
}

void xs_daemon_close(struct xs_handle *h)
{
    xs_daemon_destroy_postfork(h);
}

void xs_close(struct xs_handle *h)
{
    if (h != NULL)
        xs_daemon_destroy_postfork(h);
}

/* What it did was taken out of Xen 4.9; programs still link to it. */
bool xs_restrict(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    (void)domid;
    return false;
}
