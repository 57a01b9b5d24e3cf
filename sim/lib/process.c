/* SPDX-License-Identifier: ISC */
#include "sim/lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim/ctl.h"

/* Shells and daemons like to close or reuse low numbers. */
#define LIFELINE_FD_FROM 100

struct area {
    struct area *next;
    void *at;
    uint32_t count, owner, id;
    enum xids_sim_area_kind kind;
    bool orphan; /* its owner's handle is closed */
};

static struct {
    pthread_mutex_t lock;
    struct xids_sim_machine machine;
    bool attached;
    domid_t domid;
    int lifeline;    /* fd; -1: none of our own */
    ino_t inode;     /* by which we see that somebody closed it behind our back */
    uint32_t cookie; /* of the lifeline */
    bool used;       /* something was opened under it */
    struct area *areas, *spare;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .lifeline = -1};

int xids_sim_result(int rc)
{
    if (rc >= 0)
        return rc;
    errno = -rc;
    return -1;
}

static void join(bool wait);

static void before_fork(void)
{
    (void)pthread_mutex_lock(&self.lock);
}

static void after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&self.lock);
}

/* The inherited connection stays open, unused, when it keeps anything that we share with the parent. */
static void after_fork_child(void)
{
    (void)pthread_mutex_unlock(&self.lock);
    if (self.lifeline >= 0 && !self.used)
        (void)close(self.lifeline);
    self.lifeline = -1;
    if (self.attached) {
        xids_sim_machine_forked(&self.machine);
        join(false);
    }
}

/* self.lock held. */
static int attach(void)
{
    static bool hooked;
    char dir[XIDS_SIM_DIR_MAX];
    if (self.attached)
        return 0;
    int rc = xids_sim_default_dir(dir);
    if (rc == 0)
        rc = xids_sim_machine_attach(&self.machine, dir);
    if (rc < 0)
        return rc;
    const char *domid = getenv("XIDS_SIM_DOMID");
    self.domid = domid != NULL ? (domid_t)strtoul(domid, NULL, 10) : 0;
    self.attached = true;
    if (!hooked && pthread_atfork(before_fork, after_fork_parent, after_fork_child) == 0)
        hooked = true;
    return 0;
}

struct xids_sim_machine *xids_sim_process(void)
{
    (void)pthread_mutex_lock(&self.lock);
    int rc = attach();
    (void)pthread_mutex_unlock(&self.lock);
    if (rc == 0)
        return &self.machine;
    errno = -rc;
    return NULL;
}

domid_t xids_sim_domid(void)
{
    return self.domid;
}

domid_t xids_sim_domid_of(uint32_t domid)
{
    return domid == DOMID_SELF ? self.domid : (domid_t)domid;
}

/* ---- lifelines ---- */

static int new_lifeline(uint32_t *cookie)
{
    char line[80];
    int fd = xids_sim_connect(self.machine.dir);
    if (fd < 0)
        return fd;
    *cookie = (uint32_t)__atomic_add_fetch(&self.machine.shared->last_lifeline, 1, __ATOMIC_RELAXED);
    int len = snprintf(line, sizeof(line), "life %u %" PRIu32 " %ld\n", self.domid, *cookie, (long)getpid());
    /* Written before anything is opened under the cookie; the daemon reads it even if we die right after. */
    if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len) {
        (void)close(fd);
        return -EPIPE;
    }
    return fd;
}

/* Makes sure that our own lifeline is there. self.lock held. */
static int keep_lifeline(void)
{
    struct stat st;
    if (self.lifeline >= 0 && fstat(self.lifeline, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == self.inode)
        return 0;
    int fd = new_lifeline(&self.cookie);
    if (fd < 0)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LIFELINE_FD_FROM);
    if (high >= 0) {
        (void)close(fd);
        fd = high;
    }
    self.inode = fstat(fd, &st) == 0 ? st.st_ino : 0;
    self.lifeline = fd;
    self.used = false;
    return 0;
}

static void join(bool wait)
{
    char answer[8];
    int saved = errno;
    (void)pthread_mutex_lock(&self.lock);
    /* When this fails, whoever opens something will try again, and be told. */
    bool joined = attach() == 0 && keep_lifeline() == 0;
    while (joined && wait && recv(self.lifeline, answer, sizeof(answer), 0) < 0 && errno == EINTR) {
    }
    (void)pthread_mutex_unlock(&self.lock);
    errno = saved;
}

void xids_sim_join(void)
{
    join(true);
}

/* ---- owners ---- */

static int ready(uint32_t *cookie)
{
    (void)pthread_mutex_lock(&self.lock);
    int rc = attach();
    if (rc == 0)
        rc = keep_lifeline();
    *cookie = self.cookie;
    self.used = true;
    (void)pthread_mutex_unlock(&self.lock);
    return rc;
}

int xids_sim_owner_open(uint32_t *owner)
{
    uint32_t cookie;
    int rc = ready(&cookie);
    if (rc == 0)
        rc = xids_hv_owner_open(&self.machine.hv, owner, self.domid, cookie);
    return xids_sim_result(rc);
}

int xids_sim_events_open(uint32_t *owner, bool across_exec)
{
    uint32_t cookie;
    int life = -1, rc = ready(&cookie);
    if (rc == 0 && across_exec) {
        life = new_lifeline(&cookie);
        if (life < 0)
            rc = life;
        else if (fcntl(life, F_SETFD, 0) < 0)
            rc = -errno;
    }
    if (rc == 0)
        rc = xids_sim_queue_open(&self.machine, owner, self.domid, cookie, across_exec ? 0 : O_CLOEXEC);
    if (rc < 0 && life >= 0)
        (void)close(life);
    return xids_sim_result(rc);
}

int xids_sim_owner_close(uint32_t owner, int opener)
{
    if (opener != getpid())
        return 0;
    xids_sim_queue_drop(&self.machine, owner);
    return xids_sim_result(xids_hv_owner_close(&self.machine.hv, owner));
}

/* ---- areas ---- */

/* The C library's own name may be ours (see the preload library). */
static void unmap_memory(void *at, size_t count)
{
    (void)syscall(SYS_munmap, at, count * XIDS_PAGE_SIZE);
}

static int undo(const struct area *a)
{
    if (a->kind == XIDS_SIM_AREA_SHARE) {
        int rc = xids_hv_unshare(&self.machine.hv, a->owner, a->id);
        return rc == -XEN_EBUSY ? 0 : rc; /* Linux keeps such pages aside and says nothing */
    }
    return xids_hv_unmap(&self.machine.hv, a->owner, a->id);
}

/*
 * What is remembered of areas is what Linux's kernel remembers. So it lies beside the program's own memory, which a
 * program (or a benchmark of it) may measure, in blocks that are never given back, and which have a name in its list of
 * mappings. The lock is held.
 */
#define AREAS_BLOCK 4096u

static void *areas_block(size_t size)
{
    int fd = (int)syscall(SYS_memfd_create, "xids-sim-areas", 1u /* MFD_CLOEXEC */);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    return at;
}

static struct area *area_new(void)
{
    if (self.spare == NULL) {
        struct area *block = areas_block(AREAS_BLOCK * sizeof(*block));
        if (block == MAP_FAILED)
            return NULL;
        for (size_t i = 0; i < AREAS_BLOCK; i++) {
            block[i].next = self.spare;
            self.spare = &block[i];
        }
    }
    struct area *a = self.spare;
    self.spare = a->next;
    return a;
}

static void area_free(struct area *a)
{
    a->next = self.spare;
    self.spare = a;
}

void *xids_sim_area_map(enum xids_sim_area_kind kind, uint32_t owner, uint32_t id, const uint32_t *frames,
                        uint32_t count, int prot, void *at)
{
    void *area = xids_sim_map_frames(&self.machine, at, frames, count, prot);
    struct area made = {.at = area, .count = count, .owner = owner, .id = id, .kind = kind};
    struct area *a = NULL;
    int err = errno;
    if (area != NULL) {
        (void)pthread_mutex_lock(&self.lock);
        a = area_new();
        if (a != NULL) {
            *a = made;
            a->next = self.areas;
            self.areas = a;
        } else {
            err = errno;
        }
        (void)pthread_mutex_unlock(&self.lock);
    }
    if (a == NULL) {
        if (area != NULL)
            unmap_memory(area, count);
        (void)undo(&made);
        errno = err;
        return NULL;
    }
    return area;
}

/* Sets *last when the area was the last of an owner that is closed already. */
static struct area *take_area(bool *last, const void *at, size_t count, uint32_t owner)
{
    (void)pthread_mutex_lock(&self.lock);
    struct area **p = &self.areas, *a;
    while ((a = *p) != NULL && (a->at != at || a->count != count || (owner != 0 && a->owner != owner)))
        p = &a->next;
    if (a != NULL) {
        *p = a->next;
        *last = a->orphan;
        for (const struct area *other = self.areas; other != NULL; other = other->next)
            *last = *last && other->owner != a->owner;
    }
    (void)pthread_mutex_unlock(&self.lock);
    return a;
}

static int unmap_area(struct area *a, bool last)
{
    /* The memory first: once the hypervisor let go, its frames may be somebody else's. */
    unmap_memory(a->at, a->count);
    int rc = undo(a);
    if (last)
        (void)xids_sim_owner_close(a->owner, getpid());
    (void)pthread_mutex_lock(&self.lock);
    area_free(a);
    (void)pthread_mutex_unlock(&self.lock);
    return rc;
}

int xids_sim_area_unmap(void *at, size_t count, uint32_t owner)
{
    bool last = false;
    struct area *a = take_area(&last, at, count, owner);
    if (a == NULL) {
        errno = EINVAL;
        return -1;
    }
    return xids_sim_result(unmap_area(a, last));
}

int xids_sim_area_owner_close(uint32_t owner, int opener)
{
    bool busy = false;
    (void)pthread_mutex_lock(&self.lock);
    for (struct area *a = self.areas; a != NULL; a = a->next)
        if (a->owner == owner)
            a->orphan = busy = true;
    (void)pthread_mutex_unlock(&self.lock);
    return busy ? 0 : xids_sim_owner_close(owner, opener);
}

bool xids_sim_area_munmap(void *at, size_t len)
{
    if (__atomic_load_n(&self.areas, __ATOMIC_RELAXED) == NULL)
        return false;
    bool last = false;
    int saved = errno;
    struct area *a = take_area(&last, at, (len + XIDS_PAGE_SIZE - 1) / XIDS_PAGE_SIZE, 0);
    if (a == NULL)
        return false;
    (void)unmap_area(a, last);
    errno = saved;
    return true;
}
