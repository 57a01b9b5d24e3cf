/* SPDX-License-Identifier: ISC */
/* What the model's files share. */
#ifndef XIDS_PLATFORM_MODEL_MODEL_INTERNAL_H
#define XIDS_PLATFORM_MODEL_MODEL_INTERNAL_H

#include <platform/model/hv.h>
#include <pthread.h>
#include <xids/model.h>

#define MODEL_DOMAINS 256u
#define MODEL_OWNERS 320u

/* A map or share of a domain, by its address. */
struct model_area {
    struct model_area *next;
    char *at;
    uint32_t count;
    uint32_t id;
    bool share;
    bool mapped; /* has a mapping of its own to be undone */
};

struct model_domain {
    struct model_domain *next;
    struct xids_model *model;
    struct xids_platform platform;
    uint32_t owner;
    bool gone, paused;
    struct model_area *areas;
    /* Pending ports in order, some of them stale; a ring. */
    evtchn_port_t *queue;
    uint32_t head, count, room;
};

struct model_task {
    struct model_task *next;
    struct model_domain *domain;
    uint64_t (*step)(void *ctx);
    void *ctx;
    uint64_t deadline;
    uint32_t number;
    bool running, gone;
};

/* Allocations of xids_model_alloc are in a ring of these, each before its memory. */
struct model_block {
    struct model_block *next, *prev;
    size_t size;
    uint64_t number;
};

struct xids_model {
    struct xids_hv hv;
    void *block;
    size_t block_size;
    char *ram; /* frame f lies at f * XIDS_PAGE_SIZE */
    size_t ram_size;
    int ram_fd;
    unsigned int flags;
    uint64_t seed, choices, random, trace;
    uint64_t now;
    struct model_domain *domains;
    struct model_domain *by_owner[MODEL_OWNERS + 1u];
    struct model_task *tasks;
    uint32_t tasks_made;
    unsigned int depth; /* of steps that run */
    enum xids_model_call fail_call;
    uint64_t fail_in;
    bool failed;
    uint64_t calls[XIDS_MODEL_CALLS + 1u];
    uint64_t blocks_made;
    struct model_block blocks;
    struct xids_alloc alloc;
    unsigned int misuses;
    char misuse[160]; /* the first */
    /* Threaded: hv_lock is env's lock; lock is for all else here, taken after it when both are. */
    pthread_mutex_t hv_lock, lock;
    pthread_cond_t woken;
};

extern const struct xids_platform_ops model_platform_ops;

void model_lock(struct xids_model *m);
void model_unlock(struct xids_model *m);
/* Counts a call; whether it is the one to fail. */
bool model_fails(struct xids_model *m, enum xids_model_call call);
void model_misuse(struct xids_model *m, const char *what, domid_t domid, const void *at, uint32_t count);
/* The pages' own addresses became freed, or used again, as the address sanitizer sees them. */
void model_frame_forbid(struct xids_model *m, uint32_t frame);
void model_frame_allow(struct xids_model *m, uint32_t frame);
/* Undoes the mappings of all areas of a domain whose maps the hypervisor has forgotten. */
void model_areas_drop(struct model_domain *d);
/* Whether a port is pending; drops stale ones. With lock held. */
bool model_pending(struct model_domain *d);
evtchn_port_t model_queue_pop(struct model_domain *d);

/* Within a step, and if the seed wants it: runs a step of another task first. */
void model_preempt(struct xids_model *m);
/* Runs one step of a task chosen by the seed; false: none is runnable. */
bool model_step(struct xids_model *m);
/* The nearest time that a task waits for; UINT64_MAX: none. */
uint64_t model_next_deadline(const struct xids_model *m);
void model_tasks_drop(struct xids_model *m, const struct model_domain *d);

#endif
