/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets, and names for them. A socket needs a file for XENSTORED_PATH to name, but a test that is killed
 * cleans nothing up. So the file is taken out of its folder at once; what is left is a descriptor of it, which others
 * find as /proc/PID/fd/N for as long as this process lives.
 */
#define _GNU_SOURCE
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(XIDS_TEST_STORE_PATH_MAX == sizeof(((struct sockaddr_un *)NULL)->sun_path), "the longest path");

struct tst_listener *tst_listener_of(struct tst_core *core, int domid)
{
    struct tst_listener *l = core->listeners;
    while (l != NULL && l->domid != domid)
        l = l->next;
    return l;
}

static void file_name(char name[16], int domid)
{
    if (domid > 0)
        (void)snprintf(name, 16, "dom%d", domid);
    else
        (void)snprintf(name, 16, "%s", domid == 0 ? "socket" : "control");
}

/* Binds to a file. One that nobody answers on is left from before. */
static int bind_to(int fd, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct sockaddr *sa = (const struct sockaddr *)&addr;
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (bind(fd, sa, sizeof(addr)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    bool stale = connect(probe, sa, sizeof(addr)) < 0 && errno == ECONNREFUSED;
    (void)close(probe);
    if (!stale || unlink(path) < 0)
        return -EADDRINUSE;
    return bind(fd, sa, sizeof(addr)) < 0 ? -errno : 0;
}

static int bind_in_directory(struct tst_core *core, struct tst_listener *l)
{
    char name[16];
    file_name(name, l->domid);
    int n = snprintf(l->path, sizeof(l->path), "%s/%s", core->directory, name);
    if (n < 0 || (size_t)n >= sizeof(l->path))
        return -XEN_ENAMETOOLONG;
    return bind_to(l->source.fd, l->path);
}

/* By way of a folder that is there for a moment. Its path may be long: the socket's goes through /proc. */
static int bind_nameless(struct tst_listener *l)
{
    const char *tmp = getenv("TMPDIR");
    char folder[4096], path[64];
    struct stat st;
    int n = snprintf(folder, sizeof(folder), "%s/xids-store-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof(folder))
        return -XEN_ENAMETOOLONG;
    if (mkdtemp(folder) == NULL)
        return -errno;
    int rc = 0, dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        rc = -errno;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/s", dir);
    if (rc == 0)
        rc = bind_to(l->source.fd, path);
    if (rc == 0) {
        l->name = openat(dir, "s", O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (l->name < 0)
            rc = -errno;
    } else if (rc == -ENOENT) {
        rc = -XEN_ENOSYS; /* no /proc */
    }
    if (dir >= 0) {
        (void)unlinkat(dir, "s", 0);
        (void)close(dir);
    }
    (void)rmdir(folder);
    (void)snprintf(l->path, sizeof(l->path), "/proc/%ld/fd/%d", (long)getpid(), l->name);
    if (rc == 0 && (stat(l->path, &st) < 0 || !S_ISSOCK(st.st_mode)))
        rc = -XEN_ENOSYS;
    return rc;
}

int tst_listen(struct tst_core *core, int domid)
{
    if (tst_listener_of(core, domid) != NULL)
        return 0;
    struct tst_listener *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return -XEN_ENOMEM;
    l->domid = domid;
    l->name = -1;
    l->source = (struct tst_source){TST_LISTENER, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), l};
    l->next = core->listeners;
    core->listeners = l;
    int rc = l->source.fd < 0 ? -errno : 0;
    /* Before it is bound this decides who may connect, whatever the umask. */
    if (rc == 0 && fchmod(l->source.fd, 0600) < 0)
        rc = -errno;
    if (rc == 0)
        rc = core->directory != NULL ? bind_in_directory(core, l) : bind_nameless(l);
    if (rc == 0 && listen(l->source.fd, SOMAXCONN) < 0)
        rc = -errno;
    if (rc == 0)
        rc = tst_watch_fd(core, &l->source, EPOLLIN, true);
    if (rc < 0)
        tst_listener_free(core, l);
    return rc;
}

void tst_listener_free(struct tst_core *core, struct tst_listener *l)
{
    struct tst_listener **at = &core->listeners;
    if (l == NULL)
        return;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    if (l->source.fd >= 0)
        tst_close_source(core, &l->source);
    if (l->name >= 0)
        (void)close(l->name);
    else if (l->path[0] != '\0')
        (void)unlink(l->path);
    free(l);
}
