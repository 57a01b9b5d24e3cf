/* SPDX-License-Identifier: ISC */
#include "sim/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC (UINT64_C(0x786964732d73696d) + XIDS_HV_VERSION)
#define PAGE ((size_t)XIDS_PAGE_SIZE)

/* What a machine can hold. All of it is address space and sparse files until it is used. */
static const struct xids_hv_limits limits = {
    .domains = 1u << 14,
    .owners = XIDS_SIM_OWNERS,
    .ports = 1u << 20,
    .ports_per_domain = 1u << 16,
    .grants = 1u << 20,
    .grants_per_domain = 1u << 16,
    .frames = 1,
    .maps = 1u << 17,
    .mapped = 1u << 19,
};

int xids_sim_default_dir(char dir[XIDS_SIM_DIR_MAX])
{
    const char *named = getenv("XIDS_SIM_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");
    int len;
    if (named != NULL && *named != '\0')
        len = snprintf(dir, XIDS_SIM_DIR_MAX, "%s", named);
    else
        len = snprintf(dir, XIDS_SIM_DIR_MAX, "%s/xids-sim-%u", runtime != NULL && *runtime != '\0' ? runtime : "/tmp",
                       (unsigned int)getuid());
    return len < (int)XIDS_SIM_DIR_MAX ? 0 : -ENAMETOOLONG;
}

void xids_sim_path(const struct xids_sim_machine *m, char path[XIDS_SIM_PATH_MAX], const char *fmt, ...)
{
    va_list args;
    int len = snprintf(path, XIDS_SIM_PATH_MAX, "%s/", m->dir);
    va_start(args, fmt);
    (void)vsnprintf(path + len, XIDS_SIM_PATH_MAX - (size_t)len, fmt, args);
    va_end(args);
}

/* ---- what the hypervisor asks of this process ---- */

static void env_lock(void *ctx)
{
    struct xids_sim_machine *m = ctx;
    for (;;) {
        /*
         * Never waits for long at a time: whoever was woken for the lock may be stopped by a signal (a paused domain's
         * process), and then nobody wakes the next.
         */
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 20 * 1000 * 1000;
        if (until.tv_nsec >= 1000 * 1000 * 1000) {
            until.tv_nsec -= 1000 * 1000 * 1000;
            until.tv_sec++;
        }
        int rc = pthread_mutex_clocklock(&m->shared->lock, CLOCK_MONOTONIC, &until);
        if (rc == 0)
            return;
        if (rc == EOWNERDEAD) {
            xids_hv_recover(&m->hv);
            (void)pthread_mutex_consistent(&m->shared->lock);
            return;
        }
        if (rc != ETIMEDOUT)
            abort(); /* the shared memory itself is broken: no state can be trusted any more */
    }
}

static void env_unlock(void *ctx)
{
    struct xids_sim_machine *m = ctx;
    (void)pthread_mutex_unlock(&m->shared->lock);
}

static void *env_frame(void *ctx, uint32_t frame)
{
    struct xids_sim_machine *m = ctx;
    return m->ram + (frame - 1) * PAGE;
}

static void fifo_path(const struct xids_sim_machine *m, char path[XIDS_SIM_PATH_MAX], uint64_t serial)
{
    xids_sim_path(m, path, "ports/%" PRIu64, serial);
}

static void env_wake(void *ctx, uint32_t owner, evtchn_port_t port)
{
    struct xids_sim_machine *m = ctx;
    uint32_t slot = xids_hv_owner_slot(owner);
    uint64_t serial = __atomic_load_n(&m->shared->serial[slot], __ATOMIC_ACQUIRE);
    if (serial == 0)
        return;
    struct xids_sim_writer *w = &m->writers[slot % XIDS_SIM_WRITERS];
    int saved = errno;
    (void)pthread_mutex_lock(&m->writers_lock);
    if (w->serial != serial) {
        char path[XIDS_SIM_PATH_MAX];
        if (w->serial != 0)
            (void)close(w->fd);
        fifo_path(m, path, serial);
        /* For reading too: then a reader that dies meanwhile costs us no SIGPIPE. */
        w->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        w->serial = w->fd >= 0 ? serial : 0;
    }
    /* A port is in the queue once, so a pipe never fills up with them. */
    if (w->serial != 0 && write(w->fd, &port, sizeof(port)) < 0) {
    }
    (void)pthread_mutex_unlock(&m->writers_lock);
    errno = saved;
}

/* ---- making and joining ---- */

static int make_file(const struct xids_sim_machine *m, const char *name, size_t size)
{
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(m, path, "%s", name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0) {
        int err = errno;
        (void)close(fd);
        return -err;
    }
    return fd;
}

static struct xids_hv_env environment(struct xids_sim_machine *m)
{
    return (struct xids_hv_env){.lock = env_lock, .unlock = env_unlock, .wake = env_wake, .frame = env_frame, .ctx = m};
}

static int lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    if (pthread_mutexattr_init(&attr) != 0)
        return -ENOMEM;
    int rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (rc == 0)
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (rc == 0)
        rc = pthread_mutex_init(lock, &attr);
    (void)pthread_mutexattr_destroy(&attr);
    return -rc;
}

static int begin(struct xids_sim_machine *m, const char *dir)
{
    memset(m, 0, sizeof(*m));
    m->ram_fd = -1;
    /* The real path: queues are recognised by what /proc says their fds are. */
    char *real = realpath(dir, NULL);
    if (real == NULL)
        return -errno;
    int len = snprintf(m->dir, sizeof(m->dir), "%s", real);
    free(real);
    if (len >= (int)sizeof(m->dir))
        return -ENAMETOOLONG;
    return -pthread_mutex_init(&m->writers_lock, NULL);
}

static void *map_file(int fd, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

int xids_sim_machine_create(struct xids_sim_machine *m, const char *dir, uint32_t frames)
{
    struct xids_hv_limits all = limits;
    all.frames = frames;
    size_t size = xids_hv_size(&all);
    size_t offset = (sizeof(struct xids_sim_shared) + PAGE - 1) / PAGE * PAGE;
    int rc = begin(m, dir);
    if (rc < 0)
        return rc;
    if (size == 0)
        return -EINVAL;
    /* "hv" appears under its name when it is whole: whoever finds it can attach. */
    int fd = make_file(m, "hv.new", offset + size);
    if (fd < 0)
        return fd;
    m->shared = map_file(fd, offset + size);
    (void)close(fd);
    if (m->shared == NULL)
        return -ENOMEM;
    m->shared->hv_offset = offset;
    m->shared->hv_size = size;
    m->shared->ram_size = frames * PAGE;
    m->ram_fd = make_file(m, "ram", frames * PAGE);
    if (m->ram_fd < 0) {
        xids_sim_machine_detach(m);
        return -EEXIST;
    }
    m->ram = map_file(m->ram_fd, frames * PAGE);
    rc = m->ram != NULL ? lock_init(&m->shared->lock) : -ENOMEM;
    if (rc == 0) {
        struct xids_hv_env env = environment(m);
        rc = xids_hv_init(&m->hv, (uint8_t *)m->shared + offset, size, &all, &env);
    }
    if (rc == 0) {
        char from[XIDS_SIM_PATH_MAX], to[XIDS_SIM_PATH_MAX];
        __atomic_store_n(&m->shared->magic, MAGIC, __ATOMIC_RELEASE);
        xids_sim_path(m, from, "hv.new");
        xids_sim_path(m, to, "hv");
        rc = rename(from, to) == 0 ? 0 : -errno;
    }
    if (rc < 0)
        xids_sim_machine_detach(m);
    return rc;
}

/* A program that was started without a standard output must not print into the machine's memory. */
static int above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)close(fd);
    return high;
}

int xids_sim_machine_attach(struct xids_sim_machine *m, const char *dir)
{
    char path[XIDS_SIM_PATH_MAX];
    int rc = begin(m, dir);
    if (rc < 0)
        return rc;
    xids_sim_path(m, path, "hv");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    size_t size = fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
    if (size >= sizeof(*m->shared))
        m->shared = map_file(fd, size);
    (void)close(fd);
    if (m->shared == NULL)
        return size < sizeof(*m->shared) ? -EINVAL : -ENOMEM;
    struct xids_hv_env env = environment(m);
    if (__atomic_load_n(&m->shared->magic, __ATOMIC_ACQUIRE) != MAGIC || m->shared->hv_offset > size ||
        m->shared->hv_size != size - m->shared->hv_offset ||
        xids_hv_attach(&m->hv, (uint8_t *)m->shared + m->shared->hv_offset, m->shared->hv_size, &env) < 0) {
        (void)munmap(m->shared, size);
        m->shared = NULL;
        return -EINVAL;
    }
    xids_sim_path(m, path, "ram");
    m->ram_fd = above_standard(open(path, O_RDWR | O_CLOEXEC));
    if (m->ram_fd >= 0)
        m->ram = map_file(m->ram_fd, m->shared->ram_size);
    if (m->ram == NULL) {
        xids_sim_machine_detach(m);
        return -ENOMEM;
    }
    return 0;
}

void xids_sim_machine_detach(struct xids_sim_machine *m)
{
    for (unsigned int i = 0; i < XIDS_SIM_WRITERS; i++)
        if (m->writers[i].serial != 0)
            (void)close(m->writers[i].fd);
    if (m->ram != NULL)
        (void)munmap(m->ram, m->shared->ram_size);
    if (m->ram_fd >= 0)
        (void)close(m->ram_fd);
    if (m->shared != NULL)
        (void)munmap(m->shared, m->shared->hv_offset + m->shared->hv_size);
    (void)pthread_mutex_destroy(&m->writers_lock);
    memset(m, 0, sizeof(*m));
    m->ram_fd = -1;
}

void xids_sim_machine_forked(struct xids_sim_machine *m)
{
    (void)pthread_mutex_init(&m->writers_lock, NULL);
}

/* ---- event queues ---- */

int xids_sim_queue_open(struct xids_sim_machine *m, uint32_t *owner, domid_t domid, uint32_t cookie, int flags)
{
    char path[XIDS_SIM_PATH_MAX];
    int rc = xids_hv_owner_open(&m->hv, owner, domid, cookie);
    if (rc < 0)
        return rc;
    /* The slot is ours now: a queue still there is one that a domain's destruction left behind. */
    xids_sim_queue_drop(m, *owner);
    uint64_t serial = __atomic_add_fetch(&m->shared->last_serial, 1, __ATOMIC_RELAXED);
    fifo_path(m, path, serial);
    /* Noted before it is there: whoever cleans up after a process that dies here must find it. */
    __atomic_store_n(&m->shared->serial[xids_hv_owner_slot(*owner)], serial, __ATOMIC_RELEASE);
    int fd = mkfifo(path, 0600) == 0 ? open(path, O_RDWR | flags) : -1;
    if (fd < 0) {
        rc = -errno;
        xids_sim_queue_drop(m, *owner);
        (void)xids_hv_owner_close(&m->hv, *owner);
        return rc;
    }
    return fd;
}

void xids_sim_queue_drop(struct xids_sim_machine *m, uint32_t owner)
{
    char path[XIDS_SIM_PATH_MAX];
    uint64_t *noted = &m->shared->serial[xids_hv_owner_slot(owner)];
    uint64_t serial = __atomic_load_n(noted, __ATOMIC_ACQUIRE);
    if (serial == 0)
        return;
    /* Forgotten only when it is gone, as a death in between leaves it to the daemon. */
    fifo_path(m, path, serial);
    (void)unlink(path);
    (void)__atomic_compare_exchange_n(noted, &serial, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

uint32_t xids_sim_queue_owner(const struct xids_sim_machine *m, int fd)
{
    char link[32], target[XIDS_SIM_PATH_MAX], prefix[XIDS_SIM_PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    xids_sim_path(m, prefix, "ports/");
    size_t skip = strlen(prefix);
    if (len <= (ssize_t)skip || strncmp(target, prefix, skip) != 0)
        return 0;
    target[len] = '\0';
    uint64_t serial = strtoull(target + skip, NULL, 10);
    struct xids_hv view = m->hv;
    struct xids_hv_owner info = {0};
    while (xids_hv_owner_next(&view, &info, info.owner) == 0)
        if (__atomic_load_n(&m->shared->serial[xids_hv_owner_slot(info.owner)], __ATOMIC_ACQUIRE) == serial)
            return info.owner;
    return 0;
}

/* ---- memory ---- */

/*
 * Frames in a row, which a single one is, in one call. A single one is there at once, as Linux's mappings of grants
 * are; more than one would take memory for a ring of which perhaps little is ever used.
 */
static void *map_run(struct xids_sim_machine *m, void *at, uint32_t first, uint32_t count, int prot)
{
    int flags = MAP_SHARED | (at != NULL ? MAP_FIXED : 0) | (count == 1 ? MAP_POPULATE : 0);
    void *area = mmap(at, count * PAGE, prot, flags, m->ram_fd, (off_t)((first - 1) * PAGE));
    return area != MAP_FAILED ? area : NULL;
}

static uint32_t run_of(const uint32_t *frames, uint32_t count)
{
    uint32_t run = 1;
    while (run < count && frames[run] == frames[0] + run)
        run++;
    return run;
}

void *xids_sim_map_frames(struct xids_sim_machine *m, void *at, const uint32_t *frames, uint32_t count, int prot)
{
    int fixed = at != NULL ? MAP_FIXED : 0;
    if (count > 0 && frames[0] != 0 && run_of(frames, count) == count)
        return map_run(m, at, frames[0], count, prot);
    uint8_t *area = mmap(at, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = 1;
        if (frames[i] == 0)
            continue;
        run = run_of(frames + i, count - i);
        if (map_run(m, area + i * PAGE, frames[i], run, prot) == NULL) {
            int err = errno;
            (void)munmap(area, count * PAGE);
            errno = err;
            return NULL;
        }
    }
    return area;
}
