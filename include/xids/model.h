/* SPDX-License-Identifier: ISC */
/*
 * A hypervisor in the memory of one process, for tests: many domains, each with its struct xids_platform, under a
 * virtual clock and a scheduler that a seed decides. Any call can be made to fail, and what was not given back is
 * named at the end. A world costs some tens of microseconds, so a test can run thousands.
 *
 * Without XIDS_MODEL_THREADED everything belongs to one thread and is repeated exactly by the same seed. With it, each
 * domain's platform may be used by a thread of its own, the clock is the machine's, and there is no scheduler.
 *
 * The model is not installed and not part of libxids: tests link libxids-model.la.
 */
#ifndef XIDS_MODEL_H
#define XIDS_MODEL_H

#include <xids/platform.h>

XIDS_BEGIN_DECLS

struct xids_model;

enum xids_model_flags {
    /*
     * A mapping has an address of its own, another than the granter's, and a read-only one cannot be written. Without
     * this flag the peer gets the granter's own address wherever the pages lie in a row, so that a race between the two
     * is one that the thread sanitizer sees.
     */
    XIDS_MODEL_SEPARATE = 1u << 0,
    XIDS_MODEL_THREADED = 1u << 1,
    /* Other tasks may have their turn in the middle of a step: before a platform call, when the seed wants it. */
    XIDS_MODEL_PREEMPT = 1u << 2,
};

#define XIDS_MODEL_DOMID_ANY DOMID_INVALID

/* NULL: the system gives no memory. Print the seed when a test fails. */
struct xids_model *xids_model_new(uint64_t seed, unsigned int flags);
/* Ends the world; every platform of it becomes invalid. NULL is allowed. */
void xids_model_free(struct xids_model *m);
uint64_t xids_model_seed(const struct xids_model *m);
/* A number from the seed, for the test's own choices; does not disturb the scheduler's. */
uint64_t xids_model_random(struct xids_model *m);

/* ---- domains ---- */

/*
 * Creates a domain (domid 0 is privileged) and returns its platform, which stays a valid pointer until xids_model_free;
 * after the domain's end its calls return -XEN_ENODEV. NULL: that domid lives, or the limit of 256 domains at once.
 */
struct xids_platform *xids_model_domain_create(struct xids_model *m, domid_t domid);

/*
 * -XEN_ESRCH: no such domain. Paused: its tasks do not run and its wait does not return; pauses are counted as in Xen,
 * and unpausing what is not paused is -XEN_EINVAL. crash: it has shut down.
 */
int xids_model_domain_pause(struct xids_model *m, domid_t domid);
int xids_model_domain_unpause(struct xids_model *m, domid_t domid);
int xids_model_domain_crash(struct xids_model *m, domid_t domid);

/* The domain is gone at once, and its tasks: no notification is carried out, as when Xen destroys one. */
int xids_model_domain_destroy(struct xids_model *m, domid_t domid);

/*
 * The process in the domain dies as by kill -9, and another one gets the same platform: what its kernel does is done,
 * in particular notifications on unmap. Its tasks are gone. Pages from page_alloc that are still mapped by others stay.
 */
int xids_model_process_kill(struct xids_model *m, domid_t domid);

/* Raises a virq in a domain that bound it. */
int xids_model_virq(struct xids_model *m, domid_t domid, unsigned int virq);

/* ---- time and tasks ---- */

uint64_t xids_model_now(struct xids_model *m);
/* Lets ns nanoseconds pass, without running anything. */
void xids_model_advance(struct xids_model *m, uint64_t ns);

/* What a task's step returns, besides a time: when it wants to run even if no event comes. */
#define XIDS_MODEL_AGAIN 0u               /* at once, in its turn */
#define XIDS_MODEL_EVENT UINT64_MAX       /* only when an event comes */
#define XIDS_MODEL_DONE (UINT64_MAX - 1u) /* never: the task is removed */

/*
 * Adds a task to a domain; it is runnable at once. Later it is runnable while its domain is not paused and has a
 * pending port, or the clock has reached what step returned. -XEN_ENOMEM, -XEN_ENODEV.
 */
int xids_model_task_add(struct xids_model *m, const struct xids_platform *platform, uint64_t (*step)(void *ctx),
                        void *ctx);

/*
 * Runs up to max_steps steps: each of a runnable task chosen by the seed; when none is runnable the clock jumps to the
 * nearest time that one waits for. Returns the steps run; less than max_steps: nothing can ever run again.
 *
 * A platform's wait, called from a step or from outside, runs the other tasks in the same way until its domain has a
 * pending port (1) or the deadline has come (0). When neither can happen any more it returns -XEN_EDEADLK. A wait
 * inside a wait returns first, so two tasks cannot wait for each other: block in threads, or do not block.
 */
uint64_t xids_model_run(struct xids_model *m, uint64_t max_steps);

/* A number that depends on every choice of the scheduler so far: two runs with the same one went the same way. */
uint64_t xids_model_trace(const struct xids_model *m);

/* ---- failures ---- */

enum xids_model_call {
    XIDS_MODEL_PAGE_ALLOC,
    XIDS_MODEL_GRANT,
    XIDS_MODEL_SHARE,
    XIDS_MODEL_MAP,
    XIDS_MODEL_COPY, /* fails in its first piece's status: -XEN_EAGAIN */
    XIDS_MODEL_EVTCHN_ALLOC,
    XIDS_MODEL_EVTCHN_BIND,
    XIDS_MODEL_EVTCHN_BIND_VIRQ,
    XIDS_MODEL_EVTCHN_NOTIFY,
    XIDS_MODEL_EVTCHN_UNMASK,
    XIDS_MODEL_WAIT,  /* -XEN_EINTR */
    XIDS_MODEL_ALLOC, /* xids_model_alloc's get */
    XIDS_MODEL_CALLS, /* any of these */
};

/* The nth call of a kind from now on fails (1: the next), once. 0: none does. Cancels what was asked before. */
void xids_model_fail(struct xids_model *m, enum xids_model_call call, uint64_t nth);
/* Whether the failure asked for has happened. */
bool xids_model_failed(const struct xids_model *m);
/* How many calls of a kind there were, the failed ones included. */
uint64_t xids_model_calls(const struct xids_model *m, enum xids_model_call call);

/* Memory for core engines, counted, failed and looked for at the end as the rest. Valid as long as the model. */
const struct xids_alloc *xids_model_alloc(struct xids_model *m);

/*
 * Names every port, grant, map, share, page and allocation that is still there, a line each, in buf (as much as fits in
 * len bytes, terminated), and every misuse there was: pages freed that were not allocated or still granted, areas
 * unmapped or unshared otherwise than they were made. Returns how many there are: 0 is clean.
 */
unsigned int xids_model_check_clean(struct xids_model *m, char *buf, size_t len);

XIDS_END_DECLS

#endif
