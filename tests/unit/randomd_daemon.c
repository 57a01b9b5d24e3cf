/* SPDX-License-Identifier: ISC */
#include "tests/unit/randomd_daemon.h"

#include "randomd/legacy_guests.h"

#include <poll.h>
#include <stdio.h>

static uint64_t clock_ns = 1000000000u;
static uint32_t draws;

/* ---- what the daemon has in files that are not linked here ---- */

uint64_t now_ns(void)
{
    return clock_ns;
}

void turn_end(struct daemon *d)
{
    (void)d;
}

int master_source(void *master, uint8_t *buf, size_t len)
{
    (void)master;
    draws++;
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(draws >> 8 * (i % 4));
    return 0;
}

bool repeats_unseen(void *guest, const uint8_t *bytes, size_t len, bool first)
{
    (void)guest;
    (void)bytes;
    (void)len;
    (void)first;
    return true;
}

/* No guest here has an old console channel. */
void legacy_found(struct daemon *d, domid_t domid)
{
    (void)d;
    (void)domid;
}

void legacy_left(struct daemon *d, domid_t domid)
{
    (void)d;
    (void)domid;
}

void legacy_event(struct daemon *d, evtchn_port_t port)
{
    (void)d;
    (void)port;
}

void loop_again(struct daemon *d)
{
    (void)d;
}

bool master_ready(struct master *m)
{
    (void)m;
    return true;
}

/* ---- the machine ---- */

void machine_begin(struct machine *m)
{
    memset(m, 0, sizeof(*m));
    log_set_level(SAY_ERROR);
    m->s = store_up(XIDS_TEST_STORE_THREAD, "/local/domain = \"\" (n0)\n");
    m->m = xids_model_new(1, 0);
    m->platforms[0] = xids_model_domain_create(m->m, 0);
    ck_assert_ptr_nonnull(m->platforms[0]);
    ck_assert_int_eq(xids_test_store_dump(m->s, &m->before, NULL, 0), 0);
}

void machine_end(struct machine *m)
{
    char *report = NULL, left[1024] = "";
    for (domid_t domid = 1; domid < 64; domid++)
        if (m->platforms[domid] != NULL)
            guest_destroy(m, domid);
    int leaks = xids_test_store_leaks(m->s, &report, m->before);
    ck_assert_msg(leaks == 0, "%s", report);
    ck_assert_msg(xids_model_check_clean(m->m, left, sizeof(left)) == 0, "%s", left);
    free(report);
    free(m->before);
    xids_model_free(m->m);
    xids_test_store_free(m->s);
}

void guest_make(struct machine *m, domid_t domid, const char *vm)
{
    char line[128];
    m->platforms[domid] = xids_model_domain_create(m->m, domid);
    ck_assert_ptr_nonnull(m->platforms[domid]);
    ck_assert_int_eq(xids_test_store_introduce(m->s, domid, true), 0);
    if (vm == NULL)
        return;
    snprintf(line, sizeof(line), "/local/domain/%u/vm = \"%s\"\n", domid, vm);
    ck_assert_int_eq(xids_test_store_load(m->s, NULL, line), 0);
}

void guest_destroy(struct machine *m, domid_t domid)
{
    ck_assert_int_eq(xids_model_domain_destroy(m->m, domid), 0);
    ck_assert_int_eq(xids_test_store_destroy(m->s, domid), 0);
    /* As the toolstack: what others have put into the home goes with it. */
    struct xids_xs *xs = open_as(m->s, 0);
    char path[64];
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    int rc = xids_xs_rm(xs, 0, path);
    ck_assert(rc == 0 || rc == -XEN_ENOENT);
    xids_xs_close(xs);
    m->platforms[domid] = NULL;
}

/* ---- the daemon ---- */

void daemon_begin(struct daemon *d, struct machine *m, domid_t domid)
{
    d->domid = domid;
    d->platform = m->platforms[domid];
    serve_begin(d);
    d->talkers_end = &d->talkers;
    d->due = UINT64_MAX;
    if (d->config.max_guests == 0)
        d->config.max_guests = MAX_GUESTS;
    if (d->config.rate == 0)
        d->config.rate = d->config.burst = XIDS_FAIR_MAX;
    d->xs = open_as(m->s, domid);
    ck_assert_int_eq(store_begin(d), 0);
}

static void forget(struct daemon *d)
{
    struct config config = d->config;
    memset(d, 0, sizeof(*d));
    d->config = config;
}

void daemon_end(struct daemon *d)
{
    d->stopping = true;
    guests_stop(d);
    store_end(d);
    ck_assert_ptr_null(d->guests);
    xids_xs_close(d->xs);
    forget(d);
}

void daemon_kill(struct daemon *d, struct machine *m)
{
    xids_xs_close(d->xs);
    ck_assert_int_eq(xids_model_process_kill(m->m, d->domid), 0);
    forget(d); /* the memory is lost: a process that was killed gives nothing back either */
}

bool daemon_settle(struct daemon *d, struct machine *m)
{
    struct xids_xs_client *c = xids_xs_client(d->xs);
    for (;;) {
        ck_assert_int_ge(xids_test_store_settle(m->s), 0);
        serve_turn(d);
        (void)guests_due(d);
        uint64_t due = store_turn(d);
        if (d->store_lost)
            return false;
        bool waits = xids_xs_client_outstanding(c) > 0;
        struct pollfd p = {.fd = xids_xs_fd(d->xs), .events = POLLIN};
        if (due == 0 || d->due <= clock_ns || serve_waiting(d))
            continue;
        if (poll(&p, 1, waits ? 5000 : 0) == 1)
            continue;
        ck_assert_msg(!waits, "no answer");
        return true;
    }
}

void daemon_later(uint64_t ms)
{
    clock_ns += ms * 1000000u;
}

/* ---- a guest ---- */

struct xids_vchan *client_connect(struct machine *m, domid_t domid, domid_t server, unsigned int device)
{
    struct xids_xs *xs = open_as(m->s, domid);
    char path[128], *backend = NULL;
    uint32_t ref, port;
    snprintf(path, sizeof(path), "device/randomd/%u/backend", device);
    ck_assert_int_eq(xids_xs_read(xs, &backend, NULL, 0, path), 0);
    snprintf(path, sizeof(path), "%s/ring-ref", backend);
    ck_assert_int_eq(xids_xs_read_u32(xs, &ref, 0, path), 0);
    snprintf(path, sizeof(path), "%s/event-channel", backend);
    ck_assert_int_eq(xids_xs_read_u32(xs, &port, 0, path), 0);
    free(backend);
    xids_xs_close(xs);
    struct xids_vchan *ch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_vchan_client_init(ch, m->platforms[domid], server, ref, port, XIDS_VCHAN_WIPE), 0);
    return ch;
}

void client_seed(struct xids_vchan *ch, uint8_t seed[48])
{
    uint8_t message[80];
    ck_assert_int_eq(xids_vchan_recv(ch, message, sizeof(message)), (int)sizeof(message));
    ck_assert_uint_eq(message[0], XIDS_RANDOMD_SEED);
    memcpy(seed, message + 32, 48);
}

uint64_t requests_of(struct machine *m)
{
    struct xids_test_store_counts counts;
    ck_assert_int_eq(xids_test_store_counts(m->s, &counts), 0);
    return counts.requests;
}
