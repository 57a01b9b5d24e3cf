/* SPDX-License-Identifier: ISC */
/* The hypervisor's block in memory shared by processes: joining, event queues, mappings, and sudden deaths. */
#include "tests/unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/machine.h"

#define FRAMES 1024u

static char dir[XIDS_SIM_DIR_MAX];
static struct xids_sim_machine m;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void setup(void)
{
    char ports[XIDS_SIM_PATH_MAX];
    strcpy(dir, "/tmp/xids-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(ports, sizeof(ports), "%s/ports", dir);
    ck_assert_int_eq(mkdir(ports, 0700), 0);
    ck_assert_int_eq(xids_sim_machine_create(&m, dir, FRAMES), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 0, XIDS_HV_PRIVILEGED, NULL), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 1, 0, NULL), 1);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 2, 0, NULL), 2);
}

static void teardown(void)
{
    if (m.shared != NULL) {
        ck_assert_ptr_null(xids_hv_check(&m.hv));
        xids_sim_machine_detach(&m);
    }
    ck_assert_int_eq(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static struct xids_hv_domain about(domid_t domid)
{
    struct xids_hv_domain d;
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &d, domid), 0);
    return d;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

/* Whether the kernel can read a byte there for us. */
static bool accessible(const void *at)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    bool can = write(fds[1], at, 1) == 1;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return can;
}

/* An owner in a domain with its queue and a port; the peer of another's port when that is given. */
struct end {
    uint32_t owner;
    int fd;
    evtchn_port_t port;
};

static struct end open_end(struct xids_sim_machine *at, domid_t domid, domid_t remote, evtchn_port_t peer)
{
    struct end e;
    e.fd = xids_sim_queue_open(at, &e.owner, domid, 7, O_CLOEXEC | O_NONBLOCK);
    ck_assert_int_ge(e.fd, 0);
    int port = peer == 0 ? xids_hv_evtchn_alloc(&at->hv, e.owner, remote)
                         : xids_hv_evtchn_bind(&at->hv, e.owner, remote, peer);
    ck_assert_int_gt(port, 0);
    e.port = (evtchn_port_t)port;
    return e;
}

static void close_end(struct xids_sim_machine *at, struct end *e)
{
    xids_sim_queue_drop(at, e->owner);
    ck_assert_int_eq(xids_hv_owner_close(&at->hv, e->owner), 0);
    (void)close(e->fd);
}

/* The next port in the queue, taken; 0: none. */
static evtchn_port_t taken(struct xids_sim_machine *at, const struct end *e)
{
    evtchn_port_t port;
    while (read(e->fd, &port, sizeof(port)) == (ssize_t)sizeof(port))
        if (xids_hv_evtchn_take(&at->hv, e->owner, port) == 1)
            return port;
    return 0;
}

/* ---- joining ---- */

START_TEST(whoever_joins_sees_the_same_domains)
{
    struct xids_sim_machine other;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), 0);
    ck_assert_int_eq(xids_hv_domain_create(&other.hv, 5, 0, NULL), 5);
    ck_assert_uint_eq(about(5).domid, 5);
    xids_sim_machine_detach(&other);
}
END_TEST

START_TEST(whoever_joins_sees_the_same_memory)
{
    struct xids_sim_machine other;
    uint32_t frame;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &frame, 1, 1), 0);
    m.ram[(size_t)(frame - 1) * XIDS_PAGE_SIZE + 9] = 99;
    ck_assert_uint_eq(other.ram[(size_t)(frame - 1) * XIDS_PAGE_SIZE + 9], 99);
    xids_sim_machine_detach(&other);
}
END_TEST

START_TEST(joining_nothing_is_refused)
{
    struct xids_sim_machine other;
    ck_assert_int_eq(xids_sim_machine_attach(&other, "/tmp/xids-test-not-there"), -ENOENT);
    ck_assert_int_eq(xids_sim_machine_attach(&other, "/tmp"), -ENOENT);
}
END_TEST

START_TEST(a_machine_of_another_version_is_refused)
{
    struct xids_sim_machine other;
    m.shared->magic++;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), -EINVAL);
    m.shared->magic--;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), 0);
    xids_sim_machine_detach(&other);
}
END_TEST

START_TEST(a_machine_whose_sizes_lie_is_refused)
{
    struct xids_sim_machine other;
    uint64_t offset = m.shared->hv_offset;
    m.shared->hv_offset = UINT64_MAX - 4095;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), -EINVAL);
    m.shared->hv_offset = offset + 4096;
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), -EINVAL);
    m.shared->hv_offset = offset;
}
END_TEST

static const off_t short_sizes[] = {0, 1, 100, 4096};

START_TEST(a_file_that_is_cut_short_is_refused)
{
    struct xids_sim_machine other;
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(&m, path, "hv");
    xids_sim_machine_detach(&m);
    ck_assert_int_eq(truncate(path, short_sizes[_i]), 0);
    ck_assert_int_eq(xids_sim_machine_attach(&other, dir), -EINVAL);
}
END_TEST

START_TEST(a_second_machine_in_the_same_place_is_refused)
{
    struct xids_sim_machine other;
    ck_assert_int_lt(xids_sim_machine_create(&other, dir, FRAMES), 0);
}
END_TEST

/* ---- event queues ---- */

START_TEST(an_event_comes_out_of_the_receivers_queue)
{
    struct end a = open_end(&m, 1, 2, 0), b = open_end(&m, 2, 1, a.port);
    ck_assert_uint_eq(taken(&m, &b), b.port); /* the one of binding */
    ck_assert(!readable(a.fd));
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, b.owner, b.port), 0);
    ck_assert(readable(a.fd));
    ck_assert_uint_eq(taken(&m, &a), a.port);
    ck_assert(!readable(a.fd));
    close_end(&m, &a);
    close_end(&m, &b);
}
END_TEST

START_TEST(many_events_before_the_receiver_looks_are_one)
{
    struct end a = open_end(&m, 1, 2, 0), b = open_end(&m, 2, 1, a.port);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, b.owner, b.port), 0);
    ck_assert_uint_eq(taken(&m, &a), a.port);
    ck_assert(!readable(a.fd));
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, a.owner, a.port), 0);
    ck_assert_uint_eq(taken(&m, &a), a.port); /* latched meanwhile */
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, a.owner, a.port), 0);
    ck_assert(!readable(a.fd));
    close_end(&m, &a);
    close_end(&m, &b);
}
END_TEST

START_TEST(a_queue_is_recognised_by_its_fd)
{
    struct end a = open_end(&m, 1, 2, 0), b = open_end(&m, 1, 2, 0);
    int copy = dup(b.fd), null = open("/dev/null", O_RDONLY);
    ck_assert_uint_eq(xids_sim_queue_owner(&m, a.fd), a.owner);
    ck_assert_uint_eq(xids_sim_queue_owner(&m, copy), b.owner);
    ck_assert_uint_eq(xids_sim_queue_owner(&m, null), 0);
    ck_assert_uint_eq(xids_sim_queue_owner(&m, -1), 0);
    (void)close(copy);
    (void)close(null);
    close_end(&m, &a);
    close_end(&m, &b);
}
END_TEST

START_TEST(an_event_to_a_queue_that_is_gone_harms_nobody)
{
    struct end a = open_end(&m, 1, 2, 0), b = open_end(&m, 2, 1, a.port);
    xids_sim_queue_drop(&m, a.owner);
    (void)close(a.fd);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, b.owner, b.port), 0);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, a.owner), 0);
    close_end(&m, &b);
}
END_TEST

START_TEST(queues_come_and_go_without_being_mistaken_for_each_other)
{
    struct end server = open_end(&m, 1, 2, 0);
    for (int i = 0; i < 300; i++) {
        struct end client = open_end(&m, 2, 1, server.port);
        ck_assert_uint_eq(taken(&m, &client), client.port);
        ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, client.owner, client.port), 0);
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, server.owner, server.port), 0);
        ck_assert_uint_eq(taken(&m, &client), client.port);
        close_end(&m, &client);
    }
    close_end(&m, &server);
}
END_TEST

START_TEST(more_receivers_than_writers_kept_open_all_get_their_events)
{
    enum { MANY = XIDS_SIM_WRITERS + 50 };
    static struct end servers[MANY];
    struct end client = open_end(&m, 2, 1, (servers[0] = open_end(&m, 1, 2, 0)).port);
    evtchn_port_t ports[MANY] = {client.port};
    for (int i = 1; i < MANY; i++) {
        servers[i] = open_end(&m, 1, 2, 0);
        int port = xids_hv_evtchn_bind(&m.hv, client.owner, 1, servers[i].port);
        ck_assert_int_gt(port, 0);
        ports[i] = (evtchn_port_t)port;
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, client.owner, ports[i]), 0);
            ck_assert_uint_eq(taken(&m, &servers[i]), servers[i].port);
            ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, servers[i].owner, servers[i].port), 0);
        }
    for (int i = 0; i < MANY; i++)
        close_end(&m, &servers[i]);
    close_end(&m, &client);
}
END_TEST

START_TEST(nothing_is_left_in_the_folder_of_queues)
{
    char path[XIDS_SIM_PATH_MAX];
    struct end a = open_end(&m, 1, 2, 0);
    close_end(&m, &a);
    xids_sim_path(&m, path, "ports");
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}
END_TEST

START_TEST(a_queue_that_cannot_be_made_leaves_no_owner)
{
    char path[XIDS_SIM_PATH_MAX];
    uint32_t owner;
    xids_sim_path(&m, path, "ports");
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(xids_sim_queue_open(&m, &owner, 1, 7, 0), -ENOENT);
    ck_assert_uint_eq(about(1).owners, 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}
END_TEST

/* ---- mappings ---- */

START_TEST(frames_are_mapped_in_the_order_asked_for)
{
    const uint32_t frames[] = {3, 4, 9, 8, 20};
    for (uint32_t f = 1; f < 30; f++)
        m.ram[(size_t)(f - 1) * XIDS_PAGE_SIZE] = (uint8_t)f;
    uint8_t *area = xids_sim_map_frames(&m, NULL, frames, 5, PROT_READ | PROT_WRITE);
    ck_assert_ptr_nonnull(area);
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(area[i * XIDS_PAGE_SIZE], frames[i]);
    area[2 * XIDS_PAGE_SIZE] = 77;
    ck_assert_uint_eq(m.ram[8 * XIDS_PAGE_SIZE], 77);
    ck_assert_int_eq(munmap(area, 5 * XIDS_PAGE_SIZE), 0);
}
END_TEST

START_TEST(a_frame_of_zero_is_left_inaccessible)
{
    const uint32_t frames[] = {3, 0, 4};
    uint8_t *area = xids_sim_map_frames(&m, NULL, frames, 3, PROT_READ | PROT_WRITE);
    ck_assert_ptr_nonnull(area);
    ck_assert(accessible(area));
    ck_assert(!accessible(area + XIDS_PAGE_SIZE));
    ck_assert(accessible(area + 2 * XIDS_PAGE_SIZE));
    ck_assert_int_eq(munmap(area, 3 * XIDS_PAGE_SIZE), 0);
}
END_TEST

/* ---- sudden deaths ---- */

static void locks_and_dies(void)
{
    struct xids_sim_machine mine;
    if (xids_sim_machine_attach(&mine, dir) != 0)
        _exit(1);
    mine.hv.env.lock(mine.hv.env.ctx);
    (void)raise(SIGKILL);
}

START_TEST(the_death_of_the_locks_holder_stops_nobody)
{
    pid_t child = fork();
    if (child == 0)
        locks_and_dies();
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, NULL), 6);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
}
END_TEST

/* Does everything a program can, over and over, until it is killed. Domain 1, against the page and port of domain 2. */
_Noreturn static void storm(uint32_t cookie, grant_ref_t ref, evtchn_port_t port)
{
    struct xids_sim_machine mine;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (xids_sim_machine_attach(&mine, dir) != 0)
        _exit(1);
    for (;;) {
        uint32_t owner, map, share, first;
        grant_ref_t refs[3];
        uint32_t frames[1];
        int fd = xids_sim_queue_open(&mine, &owner, 1, cookie, O_CLOEXEC | O_NONBLOCK);
        int bound = xids_hv_evtchn_bind(&mine.hv, owner, 2, port);
        struct xids_unmap_notify notify = {
            .clear_byte = true, .offset = 5, .port = bound > 0 ? (evtchn_port_t)bound : 0};
        if (fd < 0 || xids_hv_map(&mine.hv, &map, frames, owner, 2, &ref, 1, 0, &notify) < 0 ||
            xids_hv_share(&mine.hv, &share, &first, refs, owner, 2, 3, 0, NULL) < 0)
            _exit(2);
        for (int i = 0; i < 20; i++)
            if (bound > 0 && xids_hv_evtchn_notify(&mine.hv, owner, (evtchn_port_t)bound) < 0)
                _exit(3);
        if (xids_hv_unmap(&mine.hv, owner, map) < 0 || xids_hv_unshare(&mine.hv, owner, share) < 0)
            _exit(4);
        xids_sim_queue_drop(&mine, owner);
        if (xids_hv_owner_close(&mine.hv, owner) < 0)
            _exit(5);
        (void)close(fd);
    }
}

/* What the daemon does when a process has died. */
static void bury(uint32_t cookie)
{
    struct xids_hv_owner o = {0};
    while (xids_hv_owner_next(&m.hv, &o, o.owner) == 0)
        if (o.cookie == cookie)
            ck_assert_int_eq(xids_hv_owner_rouse(&m.hv, o.owner), 0);
    o.owner = 0;
    while (xids_hv_owner_next(&m.hv, &o, o.owner) == 0)
        if (o.cookie == cookie) {
            xids_sim_queue_drop(&m, o.owner);
            ck_assert_int_eq(xids_hv_owner_close(&m.hv, o.owner), 0);
        }
}

START_TEST(processes_killed_anywhere_leave_a_sound_machine)
{
    uint32_t frame;
    grant_ref_t ref;
    struct end server = open_end(&m, 2, 1, 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &frame, 2, 1), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 2, 1, frame, 0, XIDS_HV_GRANT_ANY), 0);
    uint8_t *byte = m.ram + (size_t)(frame - 1) * XIDS_PAGE_SIZE + 5;
    unsigned int seed = 20260821u + (unsigned int)_i;
    for (uint32_t round = 0; round < 15; round++) {
        pid_t child = fork();
        if (child == 0)
            storm(100 + round, ref, server.port);
        seed = seed * 1103515245u + 12345u;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000 + (long)(seed >> 16) % 3000 * 1000}, NULL);
        int status;
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status), "the process ended with status %d", status);
        *byte = 1;
        bury(100 + round);
        ck_assert_ptr_null(xids_hv_check(&m.hv));
        ck_assert_uint_eq(about(1).owners, 0);
        ck_assert_uint_eq(about(1).ports, 0);
        ck_assert_uint_eq(about(1).grants, 0);
        ck_assert_uint_eq(about(1).frames, 0);
        /* The survivor's port still carries events. */
        while (taken(&m, &server) != 0) {
        }
        ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, server.owner, server.port), 0);
        while (taken(&m, &server) != 0)
            ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, server.owner, server.port), 0);
        struct end again = open_end(&m, 1, 2, server.port);
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, again.owner, again.port), 0);
        ck_assert_uint_eq(taken(&m, &server), server.port);
        ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, server.owner, server.port), 0);
        close_end(&m, &again);
    }
    close_end(&m, &server);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 2, ref), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("sim_machine");
    TCase *t = tcase_create("joining");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, whoever_joins_sees_the_same_domains);
    tcase_add_test(t, whoever_joins_sees_the_same_memory);
    tcase_add_test(t, joining_nothing_is_refused);
    tcase_add_test(t, a_machine_of_another_version_is_refused);
    tcase_add_test(t, a_machine_whose_sizes_lie_is_refused);
    tcase_add_loop_test(t, a_file_that_is_cut_short_is_refused, 0, 4);
    tcase_add_test(t, a_second_machine_in_the_same_place_is_refused);
    suite_add_tcase(s, t);
    t = tcase_create("queues");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_event_comes_out_of_the_receivers_queue);
    tcase_add_test(t, many_events_before_the_receiver_looks_are_one);
    tcase_add_test(t, a_queue_is_recognised_by_its_fd);
    tcase_add_test(t, an_event_to_a_queue_that_is_gone_harms_nobody);
    tcase_add_test(t, queues_come_and_go_without_being_mistaken_for_each_other);
    tcase_add_test(t, more_receivers_than_writers_kept_open_all_get_their_events);
    tcase_add_test(t, nothing_is_left_in_the_folder_of_queues);
    tcase_add_test(t, a_queue_that_cannot_be_made_leaves_no_owner);
    suite_add_tcase(s, t);
    t = tcase_create("mappings");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, frames_are_mapped_in_the_order_asked_for);
    tcase_add_test(t, a_frame_of_zero_is_left_inaccessible);
    suite_add_tcase(s, t);
    t = tcase_create("deaths");
    tcase_set_tags(t, "robust-mutex");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_death_of_the_locks_holder_stops_nobody);
    tcase_add_loop_test(t, processes_killed_anywhere_leave_a_sound_machine, 0, 8);
    suite_add_tcase(s, t);
    return s;
}
