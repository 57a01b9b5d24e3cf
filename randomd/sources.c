/* SPDX-License-Identifier: ISC */
/*
 * The sources together: when each is asked, what its samples pass for, and what is done about one that fails. Only
 * bytes of a source that has passed its start-up test, and all tests since, are mixed. A failure drops the source; it
 * is tried again later, with a start-up test, unless it is condemned: what a good source does once in 2^60 is not
 * chance.
 */
#include "randomd/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define TAG_SOURCE 0x40u /* and the source's place in the list */

enum state {
    TESTING,
    GOOD,
    FAILED,
    CONDEMNED,
};

static const char *const state_names[] = {"testing", "good", "failed", "condemned"};

struct source {
    const struct source_config *config;
    const struct source_type *type;
    struct sources *all;
    struct source_worker worker;
    struct xids_health health;
    enum state state;
    bool asked; /* for bytes, and no answer yet */
    bool late;  /* and was given up: what it answers is not used */
    bool told;  /* that it failed: one line until it is good again */
    bool over;  /* a source that is read once has been */
    uint64_t asked_at, retry_at, good_since;
    uint64_t retry_ms;
    uint64_t failures;
    char error[SOURCE_WHY]; /* the last */
};

struct sources {
    struct master *master;
    uv_timer_t timer;
    uint64_t gathered_at, gathered_draws;
    unsigned int count;
    bool hung; /* a thread did not come back: its source stays */
    struct source source[];
};

static void plan(struct sources *all);

/* ---- judging ---- */

static void reset(struct source *s)
{
    xids_health_reset(&s->health);
    s->state = TESTING;
}

static void tell_audit(const struct source *s)
{
    audit_line("source", "name=%s type=%s state=%s failures=%" PRIu64, s->config->name, s->type->name,
               state_names[s->state], s->failures);
}

static void failed(struct source *s, const char *why, uint64_t now)
{
    bool for_good = xids_health_state(&s->health) == XIDS_HEALTH_CONDEMNED;
    enum log_level level = s->told ? SAY_DEBUG : SAY_WARN;
    if (s->state == GOOD && now - s->good_since > SOURCE_CALM_MS * MS)
        s->retry_ms = 0;
    s->retry_ms = s->retry_ms == 0 ? SOURCE_RETRY_MIN_MS : s->retry_ms * 2;
    if (s->retry_ms > SOURCE_RETRY_MAX_MS)
        s->retry_ms = SOURCE_RETRY_MAX_MS;
    s->retry_at = now + s->retry_ms * MS;
    s->failures++;
    snprintf(s->error, sizeof(s->error), "%s", why);
    if (for_good && s->state != CONDEMNED)
        log_line(SAY_WARN, "source %s (%s): %s; it is not used any more", s->config->name, s->type->name, why);
    else if (!for_good)
        log_line(level, "source %s (%s): %s; it is not used until it passes its tests again", s->config->name,
                 s->type->name, why);
    s->told = true;
    s->state = for_good ? CONDEMNED : FAILED;
    tell_audit(s);
}

static void good(struct source *s, uint64_t now)
{
    s->state = GOOD;
    s->good_since = now;
    s->told = false;
    tell_audit(s);
    log_line(SAY_INFO, "source %s (%s) is good", s->config->name, s->type->name);
}

static uint64_t sample_at(const struct source *s, const uint8_t *bytes, size_t at, size_t *size)
{
    uint64_t word = 0;
    *size = s->type->kind == XIDS_HEALTH_BYTES ? 1 : sizeof(word);
    if (*size == 1)
        return bytes[at];
    memcpy(&word, bytes + at, sizeof(word));
    return word;
}

/* Bytes have come. Only what passes is mixed. */
static void judge(struct source *s, const uint8_t *bytes, size_t len, uint64_t now)
{
    size_t size = 1;
    for (size_t at = 0; at < len; at += size)
        (void)xids_health_add(&s->health, sample_at(s, bytes, at, &size));
    enum xids_health_state health = xids_health_state(&s->health);
    if (health == XIDS_HEALTH_FAILED || health == XIDS_HEALTH_CONDEMNED) {
        failed(s, "its samples are stuck or biased", now);
        return;
    }
    if (health == XIDS_HEALTH_UNTESTED && !s->type->once)
        return;
    if (s->state != GOOD)
        good(s, now);
    master_mix(s->all->master, (uint8_t)(TAG_SOURCE + (s - s->all->source)), bytes, len);
}

/* ---- asking ---- */

static void ask(struct source *s, uint64_t now)
{
    s->asked = true;
    s->asked_at = now;
    worker_read(&s->worker, s->type->batch);
}

static void on_done(uv_async_t *h)
{
    struct source *s = h->data;
    uint64_t now = now_ns();
    if (!s->asked || worker_busy(&s->worker))
        return;
    int rc = worker_result(&s->worker);
    bool late = s->late;
    s->asked = s->late = false;
    s->over = s->type->once && rc >= 0;
    if (late)
        log_line(SAY_DEBUG, "source %s answers after all", s->config->name);
    else if (rc < 0)
        failed(s, s->worker.io.why, now);
    else
        judge(s, s->worker.bytes, (size_t)rc, now);
    xids_wipe(s->worker.bytes, SOURCE_READ_MAX);
    /* The start-up test goes on. */
    if (s->state == TESTING && !s->over)
        ask(s, now);
    plan(s->all);
}

void sources_gather(struct sources *all)
{
    uint64_t now = now_ns();
    if (all == NULL)
        return;
    all->gathered_at = now;
    all->gathered_draws = master_draws(all->master);
    for (struct source *s = all->source; s < all->source + all->count; s++)
        if (s->state == GOOD && !s->asked && !s->over)
            ask(s, now);
}

/* What is due for one source. */
static void turn(struct source *s, uint64_t now)
{
    char why[SOURCE_WHY];
    if (s->asked && !s->late && now - s->asked_at >= SOURCE_LATE_MS * MS) {
        s->late = true;
        snprintf(why, sizeof(why), "no answer in %u s", SOURCE_LATE_MS / 1000);
        failed(s, why, now);
    }
    if (s->state != FAILED || now < s->retry_at)
        return;
    if (s->asked) {
        s->retry_at = now + s->retry_ms * MS; /* it still hangs */
        return;
    }
    reset(s);
    ask(s, now);
}

void sources_turn(struct sources *all)
{
    uint64_t now = now_ns();
    if (all == NULL)
        return;
    for (struct source *s = all->source; s < all->source + all->count; s++)
        turn(s, now);
    if (now - all->gathered_at >= SOURCE_GATHER_MS * MS) {
        if (master_draws(all->master) != all->gathered_draws)
            sources_gather(all);
        else
            all->gathered_at = now; /* nobody wants bytes */
    }
    plan(all);
}

static void on_timer(uv_timer_t *t)
{
    sources_turn(t->data);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void plan(struct sources *all)
{
    uint64_t now = now_ns(), due = all->gathered_at + SOURCE_GATHER_MS * MS;
    for (const struct source *s = all->source; s < all->source + all->count; s++) {
        if (s->asked && !s->late)
            due = earlier(due, s->asked_at + SOURCE_LATE_MS * MS);
        if (s->state == FAILED)
            due = earlier(due, s->retry_at);
    }
    (void)uv_timer_start(&all->timer, on_timer, due <= now ? 1 : (due - now) / MS + 1, 0);
}

static void hungry(void *ctx)
{
    sources_gather(ctx);
}

/* ---- life ---- */

static int start(struct sources *all, struct source *s, const struct source_config *config, uv_loop_t *loop)
{
    s->all = all;
    s->config = config;
    s->type = config->type;
    int rc = xids_health_init(&s->health, s->type->kind, config->claim != 0 ? config->claim : s->type->claim);
    if (rc == 0)
        rc = worker_start(&s->worker, s->type, config->path[0] != '\0' ? config->path : s->type->path, loop, on_done);
    s->worker.done.data = s;
    all->count++;
    if (rc == 0)
        ask(s, now_ns());
    else
        log_line(SAY_ERROR, "source %s: %s", config->name, strerror(-rc));
    return rc;
}

int sources_new(struct sources **to, uv_loop_t *loop, struct master *master, const struct source_config *configs,
                unsigned int count)
{
    *to = NULL;
    if (count == 0)
        return 0;
    struct sources *all = calloc(1, sizeof(*all) + count * sizeof(all->source[0]));
    if (all == NULL)
        return -XEN_ENOMEM;
    all->master = master;
    all->gathered_at = now_ns();
    int rc = uv_timer_init(loop, &all->timer);
    all->timer.data = all;
    for (unsigned int i = 0; rc == 0 && i < count; i++)
        rc = start(all, &all->source[i], &configs[i], loop);
    *to = all;
    if (rc == 0) {
        master_on_use(master, SOURCE_GATHER_DRAWS, hungry, all);
        plan(all);
    }
    return rc;
}

static void save(struct source *s)
{
    int rc = master_source(s->all->master, s->worker.bytes, SAVED_SEED);
    if (rc == -XEN_EAGAIN)
        return; /* then a new one was not needed: what lies there was never given to us */
    if (rc == 0)
        rc = worker_save(&s->worker);
    if (rc < 0)
        log_line(SAY_WARN, "source %s: no seed is saved: %s", s->config->name,
                 s->worker.io.why[0] != '\0' ? s->worker.io.why : strerror(-rc));
}

static void close_one(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void sources_stop(struct sources *all)
{
    if (all == NULL)
        return;
    master_on_use(all->master, 0, NULL, NULL);
    for (struct source *s = all->source; s < all->source + all->count; s++) {
        if (s->type->save != NULL && s->worker.started && !worker_busy(&s->worker))
            save(s);
        if (!worker_stop(&s->worker))
            all->hung = true;
        xids_wipe(&s->health, sizeof(s->health));
        if (s->worker.done_open)
            close_one((uv_handle_t *)&s->worker.done);
    }
    close_one((uv_handle_t *)&all->timer);
}

void sources_free(struct sources *all)
{
    if (all != NULL && !all->hung)
        free(all);
}

/* ---- what is told ---- */

unsigned int sources_count(const struct sources *all)
{
    return all != NULL ? all->count : 0;
}

void sources_report(const struct sources *all, unsigned int index, struct source_report *r)
{
    const struct source *s = &all->source[index];
    *r = (struct source_report){
        .name = s->config->name,
        .type = s->type->name,
        .state = state_names[s->state],
        .error = s->error,
        .samples = s->health.samples,
        .failures = s->failures,
        .alarm = s->state == FAILED || s->state == CONDEMNED,
    };
}
