/* SPDX-License-Identifier: ISC */
#include "sim/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/hvm/params.h>

/* At the end processes get ten of these rounds after SIGTERM, then SIGKILL. */
#define WATCH_MS 1000u
#define STOP_ROUND_MS 100u
#define STOP_ROUNDS 10u

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)remove(path);
    return 0;
}

void xids_sim_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int write_file(const struct xids_sim_machine *m, const char *name, const char *text)
{
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(m, path, "%s", name);
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return -errno;
    int rc = fputs(text, f) >= 0 ? 0 : -EIO;
    return fclose(f) == 0 ? rc : -EIO;
}

static int make_folders(const char *dir)
{
    static const char *const names[] = {"ports",         "domains", "proc", "run",
                                        "run/xenstored", "run/xen", "log",  "log/console"};
    char path[XIDS_SIM_PATH_MAX];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (mkdir(path, 0700) < 0)
            return -errno;
    }
    return 0;
}

/* Domain 0 is there from the start, with the page and the port at which xenstored expects its xenbus. */
static int make_dom0(struct xids_sim_daemon *d)
{
    struct xids_hv *hv = &d->machine.hv;
    char text[16];
    uint32_t frame = 0;
    int rc = xids_hv_domain_create(hv, 0, XIDS_HV_PRIVILEGED, NULL);
    if (rc == 0)
        rc = xids_hv_frame_alloc(hv, &frame, 0, 1);
    if (rc == 0 && frame != 1)
        rc = -EINVAL; /* /proc/xen/xsd_kva is the start of the machine's memory */
    int port = rc == 0 ? xids_hv_evtchn_alloc_for(hv, 0, 0, 0) : rc;
    if (port < 0)
        return port;
    rc = xids_hv_param_set(hv, 0, HVM_PARAM_STORE_PFN, frame);
    if (rc == 0)
        rc = xids_hv_param_set(hv, 0, HVM_PARAM_STORE_EVTCHN, (uint64_t)port);
    (void)snprintf(text, sizeof(text), "%d", port);
    if (rc == 0)
        rc = write_file(&d->machine, "proc/xsd_port", text);
    if (rc == 0)
        rc = write_file(&d->machine, "proc/capabilities", "control_d\n");
    return rc;
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        xids_sim_conn_accept(listener->data);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    xids_sim_daemon_stop(handle->data);
}

static void finish(struct xids_sim_daemon *d)
{
    xids_sim_conns_close(d);
    while (d->guests != NULL)
        xids_sim_guest_close(d->guests);
    uv_close((uv_handle_t *)&d->listener, NULL);
    uv_close((uv_handle_t *)&d->watch, NULL);
    for (size_t i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++)
        uv_close((uv_handle_t *)&d->signals[i], NULL);
}

static void on_stop_round(uv_timer_t *timer)
{
    struct xids_sim_daemon *d = timer->data;
    unsigned int left = xids_sim_processes_signal(d, -1, ++d->stop_rounds < STOP_ROUNDS ? 0 : SIGKILL);
    if (left == 0 || d->stop_rounds > 2 * STOP_ROUNDS)
        finish(d);
}

void xids_sim_daemon_stop(struct xids_sim_daemon *d)
{
    if (d->stopping)
        return;
    d->stopping = true;
    (void)xids_sim_processes_signal(d, -1, SIGTERM);
    (void)xids_sim_processes_signal(d, -1, SIGCONT);
    (void)uv_timer_start(&d->watch, on_stop_round, 0, STOP_ROUND_MS);
}

/* Without its directory the machine is out of everybody's reach. */
static void on_watch(uv_timer_t *timer)
{
    struct xids_sim_daemon *d = timer->data;
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(&d->machine, path, "daemon.sock");
    if (access(path, F_OK) < 0)
        xids_sim_daemon_stop(d);
}

static int open_doors(struct xids_sim_daemon *d)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP};
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(&d->machine, path, "daemon.sock");
    int rc = uv_pipe_init(&d->loop, &d->listener, 0);
    if (rc < 0)
        return rc;
    d->listener.data = d;
    (void)uv_timer_init(&d->loop, &d->watch);
    d->watch.data = d;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        (void)uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        if (rc == 0)
            rc = uv_signal_start(&d->signals[i], on_signal, wanted[i]);
    }
    if (rc == 0)
        rc = uv_timer_start(&d->watch, on_watch, WATCH_MS, WATCH_MS);
    if (rc == 0)
        rc = uv_pipe_bind(&d->listener, path);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&d->listener, 1024, on_connection);
    if (rc < 0) {
        finish(d);
        (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    }
    return rc;
}

int xids_sim_daemon_run(const char *dir, uint32_t frames, void (*ready)(void *ctx, int rc), void *ctx)
{
    static struct xids_sim_daemon d;
    struct rlimit files;
    /* A handful for each domain, and one for each process. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = make_folders(dir);
    if (rc == 0)
        rc = xids_sim_machine_create(&d.machine, dir, frames);
    if (rc == 0) {
        rc = make_dom0(&d);
        if (rc == 0)
            rc = uv_loop_init(&d.loop);
        if (rc == 0)
            rc = open_doors(&d);
        ready(ctx, rc);
        if (rc == 0)
            (void)uv_run(&d.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&d.loop);
        xids_sim_machine_detach(&d.machine);
    } else {
        ready(ctx, rc);
    }
    xids_sim_remove(dir);
    return rc;
}
