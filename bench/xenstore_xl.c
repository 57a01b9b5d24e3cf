/* SPDX-License-Identifier: ISC */
/*
 * VM starts as xl makes them: what libxl (libxl_create.c, libxl_dom.c, libxl_device.c, libxl_console.c of Xen 4.21)
 * asks of the store for a PVH guest with a console, a disk and a network interface, up to the introduction and its
 * devices.
 */
#include "config.h"

#include "bench/xenstore_rings.h"
#include "bench/xenstore_script.h"
#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <string.h>

#define STARTS 300u
/* A daemon that is not through by then has used at least the time that it has used till then. */
#define PATIENCE_S 10.0

/* One start under construction. */
struct start {
    struct script *script;
    unsigned int domid, number;
    uint32_t frame;
    evtchn_port_t port;
    char home[40], vm[64], libxl[24];
    char ro[32], rw[16], none[4]; /* permissions, NULs included */
    size_t ro_len, rw_len, none_len;
};

static void write_at(struct start *v, const char *dir, const char *node, const char *value)
{
    script_add(v->script, XS_WRITE, value, strlen(value), "%s/%s", dir, node);
}

static void set_perms(struct start *v, const char *path, const char *perms, size_t len)
{
    script_add(v->script, XS_SET_PERMS, perms, len, "%s", path);
}

/* How libxl makes a node: an empty value, then permissions. */
static void node_at(struct start *v, const char *dir, const char *node, const char *perms, size_t len)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s%s%s", dir, *node != '\0' ? "/" : "", node);
    script_add(v->script, XS_WRITE, NULL, 0, "%s", path);
    set_perms(v, path, perms, len);
}

static void remove_at(struct start *v, const char *path)
{
    script_add(v->script, XS_RM, NULL, 0, "%s", path);
    script_may_fail(v->script);
}

/* A name may be there once only: libxl reads those of all domains, outside of the transaction. */
static void look_for_name(struct start *v, unsigned int first)
{
    for (unsigned int domid = first; domid < v->domid; domid++) {
        script_add(v->script, XS_READ, NULL, 0, "/local/domain/%u/name", domid);
        script_may_fail(v->script);
    }
}

static void make_domain(struct start *v)
{
    static const char *const readable[] = {"cpu", "memory", "device"};
    static const char *const writable[] = {"control/shutdown",
                                           "control/feature-poweroff",
                                           "control/feature-reboot",
                                           "control/feature-suspend",
                                           "control/sysrq",
                                           "data",
                                           "drivers",
                                           "feature",
                                           "attr",
                                           "error"};
    char name[24];
    (void)snprintf(name, sizeof(name), "vm-%u", v->number);
    script_begin(v->script);
    remove_at(v, v->home);
    node_at(v, v->home, "", v->ro, v->ro_len);
    remove_at(v, v->vm);
    node_at(v, v->vm, "", v->ro, v->ro_len);
    remove_at(v, v->libxl);
    node_at(v, v->libxl, "", v->none, v->none_len);
    node_at(v, v->libxl, "device", v->none, v->none_len);
    write_at(v, v->home, "vm", v->vm);
    write_at(v, v->home, "name", name);
    write_at(v, v->vm, "name", name);
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
        node_at(v, v->home, readable[i], v->ro, v->ro_len);
    node_at(v, v->home, "device/suspend/event-channel", v->rw, v->rw_len);
    node_at(v, v->home, "control", v->ro, v->ro_len);
    for (size_t i = 0; i < sizeof(writable) / sizeof(writable[0]); i++)
        node_at(v, v->home, writable[i], v->rw, v->rw_len);
    write_at(v, v->vm, "uuid", v->vm + sizeof("/vm/") - 1);
    write_at(v, v->vm, "name", name);
    write_at(v, v->home, "control/platform-feature-multiprocessor-suspend", "1");
    write_at(v, v->home, "control/platform-feature-xs_reset_watches", "1");
    write_at(v, v->libxl, "type", "pvh");
    script_end(v->script);
}

static void build_domain(struct start *v)
{
    static const char *const about[][2] = {{"image/ostype", "linux"},
                                           {"image/kernel", "/boot/vmlinuz"},
                                           {"image/ramdisk", "/boot/initrd"},
                                           {"image/cmdline", "root=/dev/xvda1 ro"},
                                           {"start_time", "1790000000.00"}};
    char domid[16], port[16], frame[16];
    (void)snprintf(domid, sizeof(domid), "%u", v->domid);
    (void)snprintf(port, sizeof(port), "%u", v->port);
    (void)snprintf(frame, sizeof(frame), "%u", v->frame);
    const char *const own[][2] = {{"memory/static-max", "1048576"},
                                  {"memory/target", "1048577"},
                                  {"memory/videoram", "0"},
                                  {"domid", domid},
                                  {"store/port", port},
                                  {"store/ring-ref", frame},
                                  {"cpu/0/availability", "online"},
                                  {"cpu/1/availability", "online"}};
    script_add(v->script, XS_READ, NULL, 0, "%s/vm", v->home);
    script_begin(v->script);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        write_at(v, v->home, own[i][0], own[i][1]);
    for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++)
        write_at(v, v->vm, about[i][0], about[i][1]);
    script_end(v->script);
    char more[40];
    int n = snprintf(more, sizeof(more), "%u%c%u", v->frame, 0, v->port);
    script_add(v->script, XS_INTRODUCE, more, (size_t)n + 1, "%u", v->domid);
}

/* A node and its value; the last of some has neither. */
struct pair {
    const char *node, *value;
};

static void put_pairs(struct start *v, const char *dir, const struct pair *p, const char *perms, size_t len)
{
    for (; p->node != NULL; p++) {
        write_at(v, dir, p->node, p->value);
        if (perms != NULL) {
            char path[160];
            (void)snprintf(path, sizeof(path), "%s/%s", dir, p->node);
            set_perms(v, path, perms, len);
        }
    }
}

/* A device of a kind: what libxl notes for itself, the frontend's nodes and the backend's. */
static void add_device(struct start *v, const char *kind, const char *id, bool console, const struct pair *front,
                       const struct pair *front_readable, const struct pair *back)
{
    char own[64], frontend[80], backend[80], guests[24], dom0s[24];
    (void)snprintf(own, sizeof(own), "%s/device/%s/%s", v->libxl, kind, id);
    (void)snprintf(backend, sizeof(backend), "/local/domain/0/backend/%s/%u/%s", kind, v->domid, id);
    if (console)
        (void)snprintf(frontend, sizeof(frontend), "%s/console", v->home);
    else
        (void)snprintf(frontend, sizeof(frontend), "%s/device/%s/%s", v->home, kind, id);
    size_t guests_len = (size_t)snprintf(guests, sizeof(guests), "n%u%cr0", v->domid, 0) + 1;
    size_t dom0s_len = (size_t)snprintf(dom0s, sizeof(dom0s), "n0%cr%u", 0, v->domid) + 1;
    script_begin(v->script);
    if (!console) {
        script_add(v->script, XS_DIRECTORY, NULL, 0, "%s", own); /* is it there already? */
        script_may_fail(v->script);
    }
    remove_at(v, own);
    write_at(v, own, "frontend", frontend);
    write_at(v, own, "backend", backend);
    remove_at(v, frontend);
    script_add(v->script, XS_MKDIR, NULL, 0, "%s", frontend);
    set_perms(v, frontend, console ? dom0s : guests, console ? dom0s_len : guests_len);
    write_at(v, frontend, "backend", backend);
    put_pairs(v, frontend, front, guests, guests_len);
    put_pairs(v, frontend, front_readable, dom0s, dom0s_len);
    remove_at(v, backend);
    script_add(v->script, XS_MKDIR, NULL, 0, "%s", backend);
    set_perms(v, backend, dom0s, dom0s_len);
    write_at(v, backend, "frontend", frontend);
    put_pairs(v, backend, back, NULL, 0);
    put_pairs(v, own, back, NULL, 0);
    script_end(v->script);
}

static void add_devices(struct start *v)
{
    char domid[16], port[16], mac[24];
    (void)snprintf(domid, sizeof(domid), "%u", v->domid);
    (void)snprintf(port, sizeof(port), "%u", v->port);
    (void)snprintf(mac, sizeof(mac), "00:16:3e:00:%02x:%02x", v->number >> 8, v->number & 0xff);
    const struct pair none[] = {{NULL, NULL}};
    const struct pair disk_front[] = {
        {"backend-id", "0"}, {"state", "1"}, {"virtual-device", "51712"}, {"device-type", "disk"}, {NULL, NULL}};
    const struct pair disk_back[] = {{"params", "/dev/vg/root"},
                                     {"script", "/etc/xen/scripts/block"},
                                     {"physical-device", "fe:0"},
                                     {"frontend-id", domid},
                                     {"online", "1"},
                                     {"removable", "0"},
                                     {"bootable", "1"},
                                     {"state", "1"},
                                     {"dev", "xvda"},
                                     {"type", "phy"},
                                     {"mode", "w"},
                                     {"device-type", "disk"},
                                     {"discard-enable", "1"},
                                     {NULL, NULL}};
    const struct pair net_front[] = {{"backend-id", "0"}, {"state", "1"},  {"handle", "0"},
                                     {"mac", mac},        {"mtu", "1500"}, {NULL, NULL}};
    const struct pair net_back[] = {
        {"frontend-id", domid}, {"online", "1"},      {"state", "1"},  {"script", "/etc/xen/scripts/vif-bridge"},
        {"mac", mac},           {"bridge", "xenbr0"}, {"handle", "0"}, {"type", "vif"},
        {"hotplug-status", ""}, {NULL, NULL}};
    const struct pair console_front[] = {{"backend-id", "0"}, {NULL, NULL}};
    const struct pair console_readable[] = {{"limit", "1048576"}, {"type", "xenconsoled"}, {"output", "pty"},
                                            {"tty", ""},          {"port", port},          {"ring-ref", "2"},
                                            {NULL, NULL}};
    const struct pair console_back[] = {
        {"frontend-id", domid}, {"online", "1"}, {"state", "1"}, {"protocol", "vt100"}, {NULL, NULL}};
    add_device(v, "vbd", "51712", false, disk_front, none, disk_back);
    add_device(v, "console", "0", true, console_front, console_readable, console_back);
    add_device(v, "vif", "0", false, net_front, none, net_back);
}

static void write_script(struct script *script, const struct guest *g, uint32_t frame, unsigned int number,
                         unsigned int first)
{
    struct start v = {.script = script, .domid = g->domid, .number = number, .frame = frame, .port = g->port};
    (void)snprintf(v.home, sizeof(v.home), "/local/domain/%u", v.domid);
    (void)snprintf(v.vm, sizeof(v.vm), "/vm/6f1e2a10-0000-4000-8000-%012u", number);
    (void)snprintf(v.libxl, sizeof(v.libxl), "/libxl/%u", v.domid);
    v.ro_len = (size_t)snprintf(v.ro, sizeof(v.ro), "n0%cr%u", 0, v.domid) + 1;
    v.rw_len = (size_t)snprintf(v.rw, sizeof(v.rw), "n%u", v.domid) + 1;
    v.none_len = (size_t)snprintf(v.none, sizeof(v.none), "n0") + 1;
    look_for_name(&v, first);
    make_domain(&v);
    build_domain(&v);
    add_devices(&v);
}

static void end_all(struct xids_sim_machine *m, const struct peer *p, struct guest *guests, unsigned int count)
{
    static struct answers a;
    dial(&a, p);
    for (unsigned int i = 0; i < count; i++) {
        char path[48];
        guest_end(m, &a, &guests[i]);
        (void)snprintf(path, sizeof(path), "/local/domain/%u", guests[i].domid);
        (void)ask_path(&a, XS_RM, path);
        (void)snprintf(path, sizeof(path), "/libxl/%u", guests[i].domid);
        (void)ask_path(&a, XS_RM, path);
    }
    (void)ask_path(&a, XS_RM, "/vm");
    (void)ask_path(&a, XS_RM, "/local/domain/0/backend");
    hang_up(&a);
}

/* The daemon's CPU time in seconds; in also, the commits refused. */
static double run_xl(void *ctx)
{
    static struct guest guests[STARTS];
    static struct script scripts[STARTS];
    struct load *l = ctx;
    struct xids_sim_machine m;
    struct outcome o;
    machine_join(&m, l->peer);
    for (unsigned int i = 0; i < l->count; i++) {
        uint32_t frame;
        guest_prepare(&m, &guests[i], &frame, false);
        write_script(&scripts[i], &guests[i], frame, i, guests[0].domid);
    }
    uint64_t cpu = peer_cpu_settled(l->peer);
    scripts_run(l->peer, scripts, l->count, false, PATIENCE_S, &o);
    cpu = peer_cpu_settled(l->peer) - cpu;
    end_all(&m, l->peer, guests, l->count);
    machine_leave(&m);
    for (unsigned int i = 0; i < l->count; i++)
        script_free(&scripts[i]);
    if (!o.whole)
        (void)fprintf(stderr, "bench xenstore: %s had committed %u of %u transactions after %.0f s\n", l->peer->name,
                      o.commits, l->count * 5, PATIENCE_S);
    l->also[l->rounds++] = o.refused;
    return (double)cpu / 1e9;
}

void case_xl_starts(struct suite *s)
{
    static const char name[] = "vm-starts-300", refused[] = "vm-starts-300-refused";
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = all_sides(s, loads, sides, run_xl, STARTS, 4);
    bool measured = bench_compare(s->b, name, "s of CPU", BENCH_LOWER, 1, sides, n) == 0;
    for (size_t i = 0; i < n; i++) {
        if (measured && bench_wanted(s->b, refused) && loads[i].rounds == 0)
            (void)run_xl(&loads[i]);
        sides[i].run = replay;
    }
    if (measured)
        (void)bench_compare(s->b, refused, "commits", BENCH_LOWER, 1, sides, n);
}
