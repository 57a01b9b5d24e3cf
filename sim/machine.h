/* SPDX-License-Identifier: ISC */
/*
 * One simulated machine, as every process that takes part sees it. It is a directory:
 *
 *     hv           shared memory: what is common to all (struct xids_sim_shared), then the hypervisor's block
 *     ram          the machine's page frames, frame N at (N - 1) pages; frame 1 is dom0's xenstore page
 *     ports/       a FIFO for each opened event channel handle: its queue of 4-byte ports
 *     daemon.sock  to the daemon: requests, and the lifelines by which it learns that a process died
 *     domains/N/   sockets of guest domain N: xenbus (its xenstore connection) and console
 *     run/, log/   what /run/xenstored, /run/xen and /var/log/xen are to the programs of dom0
 *     proc/        what /proc/xen is to them
 *
 * The hypervisor's calls run in whichever process makes them, under a robust mutex in shared memory; sending an event
 * is a few atomic operations and a write to the receiver's FIFO. The daemon is needed for life and death alone.
 *
 * A machine may be used by many threads of a process.
 */
#ifndef XIDS_SIM_MACHINE_H
#define XIDS_SIM_MACHINE_H

#include <platform/model/hv.h>
#include <pthread.h>

#define XIDS_SIM_OWNERS 65536u

/* The longest path within the directory that must fit a socket's address: "/domains/32751/console" and the NUL. */
#define XIDS_SIM_DIR_MAX 80u
#define XIDS_SIM_PATH_MAX 160u

/* The start of the file hv. Written by the daemon before anybody can attach, but for the atomic counters. */
struct xids_sim_shared {
    uint64_t magic;
    uint64_t hv_offset, hv_size, ram_size; /* in bytes */
    uint64_t last_lifeline;                /* atomic: the last number given to a process */
    uint64_t last_serial;                  /* atomic: the last number given to an event queue */
    pthread_mutex_t lock;                  /* the hypervisor's */
    uint64_t serial[XIDS_SIM_OWNERS + 1];  /* atomic: by owner slot, the FIFO that is the owner's queue; 0: none */
};

/* Writing ends of other owners' FIFOs, kept open. Direct mapped, so that a process holds a bounded number. */
#define XIDS_SIM_WRITERS 128u
struct xids_sim_writer {
    uint64_t serial;
    int fd;
};

struct xids_sim_machine {
    char dir[XIDS_SIM_DIR_MAX];
    struct xids_sim_shared *shared;
    struct xids_hv hv;
    uint8_t *ram;
    int ram_fd;
    pthread_mutex_t writers_lock;
    struct xids_sim_writer writers[XIDS_SIM_WRITERS];
};

/* The directory that the environment names: $XIDS_SIM_DIR, or xids-sim-UID under $XDG_RUNTIME_DIR or /tmp. */
int xids_sim_default_dir(char dir[XIDS_SIM_DIR_MAX]) XIDS_MUST_CHECK;

/* Composes the path of a file in the directory; fmt is printf's. */
__attribute__((format(printf, 3, 4))) void xids_sim_path(const struct xids_sim_machine *m, char path[XIDS_SIM_PATH_MAX],
                                                         const char *fmt, ...);

/* Makes the files of a machine of so many page frames in a directory that exists. For the daemon. Negative errno. */
int xids_sim_machine_create(struct xids_sim_machine *m, const char *dir, uint32_t frames) XIDS_MUST_CHECK;

/* Joins it. -ENOENT: nothing there; -EINVAL: not a machine of this version. */
int xids_sim_machine_attach(struct xids_sim_machine *m, const char *dir) XIDS_MUST_CHECK;
void xids_sim_machine_detach(struct xids_sim_machine *m);

/* In the child of a fork: other threads' locks of this process are nobody's now. */
void xids_sim_machine_forked(struct xids_sim_machine *m);

/*
 * Opens an owner with an event queue: sets *owner, returns the queue's fd (blocking; flags: O_CLOEXEC or 0), which is
 * the caller's. To close: queue_drop, which takes away the name, then the owner, then the fd.
 */
int xids_sim_queue_open(struct xids_sim_machine *m, uint32_t *owner, domid_t domid, uint32_t cookie, int flags)
    XIDS_MUST_CHECK;
void xids_sim_queue_drop(struct xids_sim_machine *m, uint32_t owner);

/* The owner whose queue fd is, from its name; 0: it is none of this machine's. */
uint32_t xids_sim_queue_owner(const struct xids_sim_machine *m, int fd);

/* Maps frames at address (at: NULL chooses) as one area, in order; a frame of 0 is left inaccessible. NULL with errno.
 */
void *xids_sim_map_frames(struct xids_sim_machine *m, void *at, const uint32_t *frames, uint32_t count, int prot);

#endif
