/* SPDX-License-Identifier: ISC */
/* xids-sim up, down, list, status. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/command.h"
#include "sim/ctl.h"
#include "sim/daemon.h"

#define MEMORY_MIB 1024u
#define MEMORY_MIB_MAX 65536u

/* ---- up ---- */

static void report(void *ctx, int rc)
{
    const int *fd = ctx;
    if (write(*fd, &rc, sizeof(rc)) != (ssize_t)sizeof(rc)) {
        /* Whoever asked has gone; the machine runs all the same. */
    }
    (void)close(*fd);
}

static void report_foreground(void *ctx, int rc)
{
    const char *dir = ctx;
    if (rc < 0)
        (void)xids_sim_complain(rc, "%s", dir);
    else
        (void)printf("%s\n", dir);
    (void)fflush(stdout);
}

/* An empty directory, ours alone: made, or cleared of a machine whose daemon is no more. */
static int prepare(const char *dir)
{
    char answer[XIDS_SIM_LINE_MAX], path[XIDS_SIM_PATH_MAX];
    if (xids_sim_ask(answer, dir, "status") == 0)
        return -EBUSY;
    if (mkdir(dir, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    (void)snprintf(path, sizeof(path), "%s/hv", dir);
    if (access(path, F_OK) == 0) {
        xids_sim_remove(dir);
        return mkdir(dir, 0700) == 0 ? 0 : -errno;
    }
    /* Somebody's own directory: used only when there is nothing in it. */
    return rmdir(dir) == 0 && mkdir(dir, 0700) == 0 ? 0 : -errno;
}

static int in_background(const char *dir, uint32_t frames)
{
    int ready[2], rc = -EPIPE;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        (void)close(ready[0]);
        /* Twice, so that it is nobody's child and never gets a terminal. */
        if (setsid() < 0 || fork() != 0)
            _exit(0);
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; null >= 0 && fd < 3; fd++)
            (void)dup2(null, fd);
        if (null > 2)
            (void)close(null);
        if (chdir("/") < 0)
            _exit(1);
        _exit(xids_sim_daemon_run(dir, frames, report, &ready[1]) == 0 ? 0 : 1);
    }
    (void)close(ready[1]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    if (read(ready[0], &rc, sizeof(rc)) != (ssize_t)sizeof(rc))
        rc = -EPIPE;
    (void)close(ready[0]);
    return rc;
}

int xids_sim_command_up(const char *dir, int argc, char **argv)
{
    unsigned long mib = MEMORY_MIB;
    bool foreground = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--foreground") == 0)
            foreground = true;
        else if (strcmp(argv[i], "--memory") == 0 && i + 1 < argc)
            mib = strtoul(argv[++i], NULL, 10);
        else
            return xids_sim_usage();
    }
    if (mib == 0 || mib > MEMORY_MIB_MAX)
        return xids_sim_complain(0, "--memory: 1 to %u MiB", MEMORY_MIB_MAX);
    uint32_t frames = (uint32_t)mib * (1024u * 1024u / XIDS_PAGE_SIZE);
    int rc = prepare(dir);
    if (rc == -EBUSY)
        return xids_sim_complain(0, "%s: a machine is up there already", dir);
    char *real = rc == 0 ? realpath(dir, NULL) : NULL;
    if (real == NULL)
        return xids_sim_complain(rc < 0 ? rc : -errno, "%s", dir);
    if (strlen(real) + sizeof("/domains/32751/console") > XIDS_SIM_DIR_MAX + 23)
        rc = -ENAMETOOLONG;
    if (rc == 0)
        rc = foreground ? xids_sim_daemon_run(real, frames, report_foreground, real) : in_background(real, frames);
    if (rc < 0 && !foreground)
        (void)xids_sim_complain(rc, "%s", dir);
    free(real);
    return rc == 0 ? EXIT_SUCCESS : XIDS_SIM_FAILED;
}

/* ---- down ---- */

int xids_sim_command_down(const char *dir, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return xids_sim_usage();
    int fd = xids_sim_connect(dir);
    if (fd < 0)
        return xids_sim_complain(fd, "%s", dir);
    char byte;
    int rc = send(fd, "stop\n", 5, MSG_NOSIGNAL) == 5 ? 0 : -EPIPE;
    while (rc == 0 && recv(fd, &byte, 1, 0) < 0 && errno == EINTR) {
    }
    (void)close(fd);
    /* Its last act is to remove the directory. */
    for (int i = 0; i < 500 && access(dir, F_OK) == 0; i++)
        (void)usleep(10 * 1000);
    return rc == 0 ? EXIT_SUCCESS : xids_sim_complain(rc, "%s", dir);
}

/* ---- looking ---- */

static const char *state(const struct xids_hv_domain *d)
{
    static const char *const reasons[] = {"poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"};
    if ((d->flags & XIDS_HV_DYING) != 0)
        return "dying";
    if ((d->flags & XIDS_HV_SHUTDOWN) != 0)
        return d->reason < sizeof(reasons) / sizeof(reasons[0]) ? reasons[d->reason] : "shutdown";
    return (d->flags & XIDS_HV_PAUSED) != 0 ? "paused" : "running";
}

static int print_json(struct json_object *value)
{
    int rc = printf("%s\n", json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY));
    json_object_put(value);
    return rc < 0 ? XIDS_SIM_FAILED : EXIT_SUCCESS;
}

/* One argument at most, and only --json. */
static int wants_json(int argc, char **argv)
{
    return argc == 1 ? 0 : argc == 2 && strcmp(argv[1], "--json") == 0 ? 1 : -1;
}

int xids_sim_command_list(const char *dir, int argc, char **argv)
{
    struct xids_sim_machine m;
    struct xids_hv_domain d;
    int json = wants_json(argc, argv);
    if (json < 0)
        return xids_sim_usage();
    int rc = xids_sim_machine_attach(&m, dir);
    if (rc < 0)
        return xids_sim_complain(rc, "%s", dir);
    struct json_object *all = json ? json_object_new_array() : NULL;
    if (!json)
        (void)printf("%-24s %5s %-10s %7s %6s %6s\n", "name", "domid", "state", "pages", "ports", "grants");
    for (uint32_t from = 0; xids_hv_domain_next(&m.hv, &d, from) == 0; from = d.domid + 1u) {
        char name[XIDS_SIM_LINE_MAX];
        if (xids_sim_ask(name, dir, "name %u", d.domid) < 0)
            (void)snprintf(name, sizeof(name), "-");
        if (!json) {
            (void)printf("%-24s %5u %-10s %7" PRIu32 " %6" PRIu32 " %6" PRIu32 "\n", name, d.domid, state(&d), d.frames,
                         d.ports, d.grants);
            continue;
        }
        struct json_object *one = json_object_new_object();
        (void)json_object_object_add(one, "name", json_object_new_string(name));
        (void)json_object_object_add(one, "domid", json_object_new_int(d.domid));
        (void)json_object_object_add(one, "state", json_object_new_string(state(&d)));
        (void)json_object_object_add(one, "pages", json_object_new_int64(d.frames));
        (void)json_object_object_add(one, "ports", json_object_new_int64(d.ports));
        (void)json_object_object_add(one, "grants", json_object_new_int64(d.grants));
        (void)json_object_array_add(all, one);
    }
    xids_sim_machine_detach(&m);
    return json ? print_json(all) : EXIT_SUCCESS;
}

struct totals {
    unsigned long owners, ports, grants, maps, shares, frames;
};

static void count(void *ctx, const struct xids_hv_item *item)
{
    struct totals *t = ctx;
    t->owners += item->kind == XIDS_HV_OWNER;
    t->ports += item->kind == XIDS_HV_PORT;
    t->grants += item->kind == XIDS_HV_GRANT;
    t->maps += item->kind == XIDS_HV_MAP || item->kind == XIDS_HV_FOREIGN;
    t->shares += item->kind == XIDS_HV_SHARE;
    t->frames += item->kind == XIDS_HV_FRAME;
}

static unsigned long number_of(const char *answer, const char *word)
{
    const char *at = strstr(answer, word);
    return at != NULL ? strtoul(at + strlen(word), NULL, 10) : 0;
}

static unsigned long queues(const char *dir)
{
    char path[XIDS_SIM_PATH_MAX];
    unsigned long n = 0;
    (void)snprintf(path, sizeof(path), "%s/ports", dir);
    DIR *folder = opendir(path);
    for (const struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;)
        n += e->d_name[0] != '.';
    if (folder != NULL)
        (void)closedir(folder);
    return n;
}

int xids_sim_command_status(const char *dir, int argc, char **argv)
{
    char answer[XIDS_SIM_LINE_MAX];
    struct xids_sim_machine m;
    struct xids_hv_domain d;
    struct totals t = {0};
    unsigned long domains = 0;
    int json = wants_json(argc, argv);
    if (json < 0)
        return xids_sim_usage();
    int rc = xids_sim_ask(answer, dir, "status");
    if (rc == 0)
        rc = xids_sim_machine_attach(&m, dir);
    if (rc < 0)
        return xids_sim_complain(rc, "%s", dir);
    for (uint32_t from = 0; xids_hv_domain_next(&m.hv, &d, from) == 0; from = d.domid + 1u)
        domains++;
    xids_hv_each(&m.hv,
                 XIDS_HV_OWNER | XIDS_HV_PORT | XIDS_HV_GRANT | XIDS_HV_MAP | XIDS_HV_FOREIGN | XIDS_HV_SHARE |
                     XIDS_HV_FRAME,
                 count, &t);
    const char *wrong = xids_hv_check(&m.hv);
    const struct {
        const char *name;
        unsigned long value;
    } rows[] = {
        {"domains", domains},
        {"processes", number_of(answer, "processes=")},
        {"xenbus_clients", number_of(answer, "clients=")},
        {"handles", t.owners},
        {"queues", queues(dir)},
        {"ports", t.ports},
        {"grants", t.grants},
        {"maps", t.maps},
        {"shares", t.shares},
        {"frames", t.frames},
        {"daemon_pid", number_of(answer, "pid=")},
    };
    struct json_object *all = json ? json_object_new_object() : NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (json)
            (void)json_object_object_add(all, rows[i].name, json_object_new_int64((int64_t)rows[i].value));
        else
            (void)printf("%-16s %lu\n", rows[i].name, rows[i].value);
    }
    if (json)
        (void)json_object_object_add(all, "inconsistency", wrong != NULL ? json_object_new_string(wrong) : NULL);
    else
        (void)printf("%-16s %s\n", "inconsistency", wrong != NULL ? wrong : "none");
    xids_sim_machine_detach(&m);
    return json ? print_json(all) : EXIT_SUCCESS;
}
