/* SPDX-License-Identifier: ISC */
/*
 * Sources of entropy beside the kernel's generator. What they give is tested and then mixed, by hash, into the
 * generator that all sessions are seeded from, and the kernel's bytes after it: it can only add, and it is credited
 * with nothing.
 *
 * Each source has a thread of its own (source_worker.c), so that one that is slow or hangs holds up nobody. Its type
 * (source_TYPE.c) is plain blocking code, called in that thread alone. What the samples are worth, when the source is
 * asked, dropped and tried again is decided in the loop's thread (sources.c).
 */
#ifndef XIDS_RANDOMD_SOURCE_H
#define XIDS_RANDOMD_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>
#include <xids/health.h>

#define SOURCES_MAX 8u
#define SOURCE_NAME 32u
#define SOURCE_PATH 108u
#define SOURCE_READ_MAX 512u      /* bytes of one reading */
#define SOURCE_WHY 112u           /* bytes of what is said about an error */
#define SOURCE_READ_MS 8000u      /* a type's own limit for one reading, */
#define SOURCE_LATE_MS 10000u     /* and when it is given up because it does not keep to that */
#define SOURCE_GATHER_MS 30000u   /* between readings, while the daemon gives bytes out */
#define SOURCE_GATHER_DRAWS 4096u /* or after so many draws from the generator */
#define SOURCE_RETRY_MIN_MS 1000u /* after a failure; twice as long each time, */
#define SOURCE_RETRY_MAX_MS 300000u
#define SOURCE_CALM_MS 600000u /* a source that was good for so long starts again from the shortest */
#define SOURCE_SAVE_MS 2000u   /* for writing the seed at the end */
#define SOURCE_STOP_MS 500u    /* for a thread to come back at the end */
#define SAVED_SEED 64u         /* bytes of a saved seed, as we write it */

/* ---- a type ---- */

/* What a type works on. */
struct source_io {
    const char *path;
    atomic_bool *stop;    /* come back soon */
    int fd;               /* -1: not open */
    unsigned int sent;    /* the type's own */
    char why[SOURCE_WHY]; /* what went wrong, for people; set with each error */
};

struct source_type {
    const char *name;
    const char *path; /* when none is said; NULL: it must be said, or, without takes_path, there is none */
    enum xids_health_kind kind;
    unsigned int claim; /* entropy that is claimed of a sample for its tests, in eighths of a bit, when none is said */
    unsigned int claim_max; /* 0: nothing else can be said */
    unsigned int batch;     /* bytes of a reading */
    bool takes_path;
    bool once; /* is read whole, at the start: too short for a start-up test */
    /* 0 or a negative errno. */
    int (*open)(struct source_io *io);
    /*
     * Reads up to len bytes: all of them but for once. Returns their number, a multiple of the sample's size; 0, for
     * once: there are none, and that is no error; or a negative errno, with io->why; then close follows.
     */
    int (*read)(struct source_io *io, uint8_t *buf, size_t len);
    void (*close)(struct source_io *io);
    /* Keeps fresh bytes for the next run. NULL: it does not do that. 0 or a negative errno. */
    int (*save)(struct source_io *io, const uint8_t seed[SAVED_SEED]);
};

extern const struct source_type source_hwrng, source_rdseed, source_jitter, source_egd, source_file, source_tpm;

/* NULL: there is none of that name. */
const struct source_type *source_type_find(const char *name);

/* ---- source_io.c: for the types ---- */

/* Sets io->why; Returns rc. */
__attribute__((format(printf, 3, 4))) int source_fail(struct source_io *io, int rc, const char *fmt, ...);
void source_close(struct source_io *io);
/* When a reading that begins now has to be over, ns. */
uint64_t source_deadline(void);
/* Waits until io->fd is ready for events (poll's). 0, or -XEN_ETIMEDOUT or -XEN_EINTR with io->why. */
int source_wait(struct source_io *io, short events, uint64_t deadline);
/* Sleeps ms. -XEN_EINTR: stop. */
int source_nap(struct source_io *io, unsigned int ms);
/* Reads all len bytes from a descriptor that does not block. 0 or a negative errno with io->why. */
int source_read_all(struct source_io *io, uint8_t *buf, size_t len, uint64_t deadline);
int source_write_all(struct source_io *io, const uint8_t *buf, size_t len, uint64_t deadline);
/* Connects to a unix socket. The same. */
int source_connect(struct source_io *io);

/* What a test puts others in the place of. */
extern bool (*source_rdseed_word)(uint64_t *word); /* false: none at the moment */
extern uint64_t (*source_jitter_clock)(void);
extern unsigned int source_read_ms;

/* ---- source_worker.c: a type at work in its thread ---- */

enum source_job {
    SOURCE_JOB_NONE,
    SOURCE_JOB_READ,
    SOURCE_JOB_SAVE,
    SOURCE_JOB_QUIT,
};

struct source_worker {
    const struct source_type *type;
    struct source_io io;
    uint8_t *bytes; /* SOURCE_READ_MAX of secret memory; the loop's while no job is under way */
    pthread_t thread;
    pthread_mutex_t lock; /* of job and result */
    pthread_cond_t changed;
    atomic_bool stop;
    enum source_job job; /* under way */
    int result;
    size_t want;
    uv_async_t done; /* a job's end */
    bool done_open;
    bool started;
};

/*
 * done is called in the loop's thread. 0 or a negative errno; then stop it all the same, and close done when it is
 * done_open.
 */
int worker_start(struct source_worker *w, const struct source_type *type, const char *path, uv_loop_t *loop,
                 uv_async_cb done);
bool worker_busy(struct source_worker *w);
/* Only when it is not busy. The type is opened when it is not open. */
void worker_read(struct source_worker *w, size_t want);
/* After a job: bytes read, or a negative errno with io.why. */
int worker_result(struct source_worker *w);
/* Saves w->bytes, and waits for that up to SOURCE_SAVE_MS. */
int worker_save(struct source_worker *w);
/* False: the thread has not come back; it and what it uses have to be left alone. */
bool worker_stop(struct source_worker *w);

/* ---- settings ---- */

struct source_config {
    char name[SOURCE_NAME];
    char path[SOURCE_PATH];
    const struct source_type *type; /* NULL: not said yet */
    unsigned int claim;             /* 0: the type's */
    unsigned int line;              /* where its section begins */
};

#endif
