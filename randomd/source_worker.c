/* SPDX-License-Identifier: ISC */
/* A source's thread: it does one job after the other, and tells the loop of each one's end. */
#include "config.h"

#include "randomd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STACK (128u * 1024u) /* the deepest is a line of text being made */
#define MS 1000000ull
#define INTERRUPT SIGURG /* ignored unless it is asked for: it does no harm when it comes late */

/* Only so that what the thread waits in comes back with EINTR. */
static void interrupted(int number)
{
    (void)number;
}

static int do_read(struct source_worker *w, bool *open)
{
    int rc = *open ? 0 : w->type->open(&w->io);
    *open = true;
    if (rc == 0)
        rc = w->type->read(&w->io, w->bytes, w->want);
    if (rc < 0) {
        w->type->close(&w->io);
        *open = false;
    }
    return rc;
}

static void *work(void *ctx)
{
    struct source_worker *w = ctx;
    bool open = false;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->job == SOURCE_JOB_NONE)
            pthread_cond_wait(&w->changed, &w->lock);
        enum source_job job = w->job;
        pthread_mutex_unlock(&w->lock);
        int rc = 0;
        if (job == SOURCE_JOB_READ)
            rc = do_read(w, &open);
        else if (job == SOURCE_JOB_SAVE)
            rc = w->type->save(&w->io, w->bytes);
        pthread_mutex_lock(&w->lock);
        if (job == SOURCE_JOB_QUIT)
            break;
        w->result = rc;
        if (w->job == job)
            w->job = SOURCE_JOB_NONE; /* else it is to end */
        pthread_cond_broadcast(&w->changed);
        /* Who did not come back in time at the end finds no loop. */
        if (!atomic_load(&w->stop))
            (void)uv_async_send(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    if (open)
        w->type->close(&w->io);
    return NULL;
}

static int start_thread(struct source_worker *w)
{
    pthread_attr_t attr;
    struct sigaction act = {.sa_handler = interrupted};
    sigset_t all, before;
    sigaction(INTERRUPT, &act, NULL);
    if (pthread_attr_init(&attr) != 0)
        return -XEN_ENOMEM;
    int rc = pthread_attr_setstacksize(&attr, STACK);
    /* The process's signals are the loop's, but for those that a thread brings upon itself: secrets are wiped then. */
    static const int own[] = {INTERRUPT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
    sigfillset(&all);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc == 0)
        rc = pthread_create(&w->thread, &attr, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

int worker_start(struct source_worker *w, const struct source_type *type, const char *path, uv_loop_t *loop,
                 uv_async_cb done)
{
    pthread_condattr_t attr;
    memset(w, 0, sizeof(*w));
    w->type = type;
    w->io = (struct source_io){.path = path, .stop = &w->stop, .fd = -1};
    w->bytes = secret_get(SOURCE_READ_MAX);
    if (w->bytes == NULL)
        return -XEN_ENOMEM;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = uv_async_init(loop, &w->done, done);
    if (rc == 0) {
        w->done_open = true;
        rc = start_thread(w);
    }
    w->started = rc == 0;
    return rc;
}

bool worker_busy(struct source_worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool busy = w->job != SOURCE_JOB_NONE;
    pthread_mutex_unlock(&w->lock);
    return busy;
}

static void give(struct source_worker *w, enum source_job job)
{
    pthread_mutex_lock(&w->lock);
    w->job = job;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void worker_read(struct source_worker *w, size_t want)
{
    w->want = want;
    w->io.why[0] = '\0';
    give(w, SOURCE_JOB_READ);
}

int worker_result(struct source_worker *w)
{
    pthread_mutex_lock(&w->lock);
    int rc = w->result;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static struct timespec in_ms(unsigned int ms, clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + ms * MS;
    t.tv_sec += (time_t)(ns / 1000000000ull);
    t.tv_nsec = (long)(ns % 1000000000ull);
    return t;
}

int worker_save(struct source_worker *w)
{
    const struct timespec until = in_ms(SOURCE_SAVE_MS, CLOCK_MONOTONIC);
    if (!w->started || worker_busy(w))
        return source_fail(&w->io, -XEN_EBUSY, "the source is busy");
    w->io.why[0] = '\0';
    give(w, SOURCE_JOB_SAVE);
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    while (w->job != SOURCE_JOB_NONE && rc == 0)
        rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    rc = w->job != SOURCE_JOB_NONE ? -XEN_ETIMEDOUT : w->result;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

bool worker_stop(struct source_worker *w)
{
    if (w->started) {
        atomic_store(&w->stop, true);
        give(w, SOURCE_JOB_QUIT);
        int rc = ETIMEDOUT;
        /* More than once: it may have looked at stop just before it went to wait. */
        for (unsigned int ms = 0; rc == ETIMEDOUT && ms < SOURCE_STOP_MS; ms += 10) {
            const struct timespec until = in_ms(10, CLOCK_REALTIME);
            (void)pthread_kill(w->thread, INTERRUPT);
            rc = pthread_timedjoin_np(w->thread, NULL, &until);
        }
        if (rc != 0)
            return false;
        w->started = false;
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
    }
    secret_put(w->bytes, SOURCE_READ_MAX);
    w->bytes = NULL;
    return true;
}
