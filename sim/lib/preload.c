/* SPDX-License-Identifier: ISC */
/*
 * Loaded into every program of a simulated domain before its own libraries. It makes the process known to the daemon,
 * and gives the few paths that Xen's programs have built in a place within the machine's directory: /proc/xen,
 * /dev/xen, /run/xenstored, /run/xen, /var/log/xen. An ordinary user cannot make those. And it tells the simulator when
 * a program gives up a mapped page by munmap.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "sim/lib/process.h"

/* A symbol's original, of that type. ISO C has no cast from an object's address to a function's; POSIX has dlsym. */
#define ORIGINAL(name, result, ...)                  \
    static result (*original)(__VA_ARGS__);          \
    if (original == NULL) {                          \
        void *found = dlsym(RTLD_NEXT, name);        \
        memcpy(&original, &found, sizeof(original)); \
    }

static const struct {
    const char *from; /* one that ends in / stands for all below it too */
    const char *to;   /* within the directory; NULL: /dev/null */
} moved[] = {
    {"/proc/xen/xsd_kva", "ram"}, /* dom0's xenstore page is frame 1, so at offset 0 */
    {"/proc/xen/privcmd", NULL},
    {"/dev/xen/privcmd", NULL},
    {"/dev/xen/evtchn", NULL},
    {"/dev/xen/gntdev", NULL},
    {"/dev/xen/gntalloc", NULL},
    {"/proc/xen/", "proc/"},
    {"/dev/xen/", "proc/"},
    {"/var/run/xenstored/", "run/xenstored/"},
    {"/run/xenstored/", "run/xenstored/"},
    {"/var/run/xen/", "run/xen/"},
    {"/run/xen/", "run/xen/"},
    {"/var/log/xen/", "log/"},
};

static char machine_dir[XIDS_SIM_DIR_MAX];

/* The path to use instead: path itself, or one composed in buffer. */
static const char *where(const char *path, char buffer[XIDS_SIM_PATH_MAX])
{
    if (path == NULL || path[0] != '/' || machine_dir[0] == '\0')
        return path;
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        size_t len = strlen(moved[i].from);
        bool folder = moved[i].from[len - 1] == '/';
        if (strncmp(path, moved[i].from, len) == 0 && (folder || path[len] == '\0')) {
            if (moved[i].to == NULL)
                return "/dev/null";
            if (snprintf(buffer, XIDS_SIM_PATH_MAX, "%s/%s%s", machine_dir, moved[i].to, path + len) <
                (int)XIDS_SIM_PATH_MAX)
                return buffer;
        } else if (folder && strncmp(path, moved[i].from, len - 1) == 0 && path[len - 1] == '\0') {
            (void)snprintf(buffer, XIDS_SIM_PATH_MAX, "%s/%s", machine_dir, moved[i].to);
            return buffer;
        }
    }
    return path;
}

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("XIDS_SIM_DIR");
    if (dir == NULL || strlen(dir) >= sizeof(machine_dir))
        return;
    (void)snprintf(machine_dir, sizeof(machine_dir), "%s", dir);
    xids_sim_join();
}

/* Prototypes of our own: the C library's headers turn some of these names into others. */
#define MODE_OF(flags, mode)                          \
    do {                                              \
        if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
            va_list args;                             \
            va_start(args, flags);                    \
            (mode) = va_arg(args, mode_t);            \
            va_end(args);                             \
        }                                             \
    } while (0)

#define OPEN(name)                                         \
    int name(const char *path, int flags, ...)             \
    {                                                      \
        char buffer[XIDS_SIM_PATH_MAX];                    \
        mode_t mode = 0;                                   \
        MODE_OF(flags, mode);                              \
        ORIGINAL(#name, int, const char *, int, ...)       \
        return original(where(path, buffer), flags, mode); \
    }

#define OPENAT(name)                                            \
    int name(int dir, const char *path, int flags, ...)         \
    {                                                           \
        char buffer[XIDS_SIM_PATH_MAX];                         \
        mode_t mode = 0;                                        \
        MODE_OF(flags, mode);                                   \
        ORIGINAL(#name, int, int, const char *, int, ...)       \
        return original(dir, where(path, buffer), flags, mode); \
    }

/* Functions whose first argument is a path, with one more argument or none. */
#define PATH1(result, name)                   \
    result name(const char *path)             \
    {                                         \
        char buffer[XIDS_SIM_PATH_MAX];       \
        ORIGINAL(#name, result, const char *) \
        return original(where(path, buffer)); \
    }

#define PATH2(result, name, type)                       \
    result name(const char *path, type argument)        \
    {                                                   \
        char buffer[XIDS_SIM_PATH_MAX];                 \
        ORIGINAL(#name, result, const char *, type)     \
        return original(where(path, buffer), argument); \
    }

FILE *fopen64(const char *path, const char *mode);
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
PATH2(FILE *, fopen, const char *)
PATH2(FILE *, fopen64, const char *)
PATH2(int, access, int)
PATH2(int, mkdir, mode_t)
PATH2(int, chmod, mode_t)
PATH2(int, stat, struct stat *)
PATH2(int, lstat, struct stat *)
PATH2(int, stat64, struct stat64 *)
PATH2(int, lstat64, struct stat64 *)
PATH1(int, unlink)
PATH1(int, rmdir)

int rename(const char *from, const char *to)
{
    char buffer[XIDS_SIM_PATH_MAX], other[XIDS_SIM_PATH_MAX];
    ORIGINAL("rename", int, const char *, const char *)
    return original(where(from, buffer), where(to, other));
}

/* A socket's address, likewise. */
static const struct sockaddr *where_address(const struct sockaddr *addr, socklen_t *len, struct sockaddr_un *moved_to)
{
    char path[sizeof(moved_to->sun_path) + 1] = "", buffer[XIDS_SIM_PATH_MAX];
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    if (addr == NULL || addr->sa_family != AF_UNIX || *len <= offset || *len > sizeof(*moved_to))
        return addr;
    memcpy(path, (const char *)addr + offset, *len - offset);
    const char *to = where(path, buffer);
    if (to == path || strlen(to) >= sizeof(moved_to->sun_path))
        return addr;
    memset(moved_to, 0, sizeof(*moved_to));
    moved_to->sun_family = AF_UNIX;
    memcpy(moved_to->sun_path, to, strlen(to));
    *len = sizeof(*moved_to);
    return (const struct sockaddr *)moved_to;
}

#define ADDRESS(name)                                                 \
    int name(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)        \
    {                                                                 \
        struct sockaddr_un un;                                        \
        const struct sockaddr *given;                                 \
        memcpy(&given, &addr, sizeof(given));                         \
        ORIGINAL(#name, int, int, const struct sockaddr *, socklen_t) \
        given = where_address(given, &len, &un);                      \
        return original(fd, given, len);                              \
    }

ADDRESS(bind)
ADDRESS(connect)

int munmap(void *at, size_t len)
{
    if (xids_sim_area_munmap(at, len))
        return 0;
    return (int)syscall(SYS_munmap, at, len);
}

/* oxenstored gives up when it may not raise its limit of files; here the limit that there is has to do. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limits)
{
    ORIGINAL("setrlimit", int, __rlimit_resource_t, const struct rlimit *)
    int rc = original(resource, limits);
    return rc < 0 && errno == EPERM && resource == RLIMIT_NOFILE ? 0 : rc;
}

/* xenconsoled will not run but as root, though here it needs nothing that only root may do. */
uid_t geteuid(void)
{
    uid_t uid = (uid_t)syscall(SYS_geteuid);
    return machine_dir[0] != '\0' && strcmp(program_invocation_short_name, "xenconsoled") == 0 ? 0 : uid;
}
