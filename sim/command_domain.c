/* SPDX-License-Identifier: ISC */
/* xids-sim domain and exec. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim/command.h"
#include "sim/ctl.h"
#include "sim/toolstack.h"

/* ---- domain ---- */

/* No xenstored is no error: a machine may do without, or start one later and introduce the domains then. */
static bool no_store(int rc)
{
    return rc == -ENOENT || rc == -ECONNREFUSED;
}

static int introduce(const char *dir, domid_t domid, bool need)
{
    struct xids_sim_machine m;
    char name[XIDS_SIM_LINE_MAX];
    int rc = xids_sim_machine_attach(&m, dir);
    if (rc < 0)
        return rc;
    rc = xids_sim_ask(name, dir, "name %u", domid);
    if (rc == 0)
        rc = xids_sim_introduce(&m, domid, name);
    xids_sim_machine_detach(&m);
    if (rc == 0)
        rc = xids_sim_ask(name, dir, "connect %u", domid);
    return !need && no_store(rc) ? 0 : rc;
}

static bool good_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
            return false;
    return len > 0 && len < 60;
}

static int create(const char *dir, int argc, char **argv)
{
    char answer[XIDS_SIM_LINE_MAX];
    const char *name = "-";
    unsigned int flags = 0;
    int domid = -1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--domid") == 0 && i + 1 < argc) {
            domid = xids_sim_parse_domid(argv[++i]);
            if (domid <= 0)
                return xids_sim_complain(0, "--domid: 1 to %u", DOMID_FIRST_RESERVED - 1);
        } else if (strcmp(argv[i], "--name") == 0 && i + 1 < argc) {
            name = argv[++i];
            if (!good_name(name))
                return xids_sim_complain(0, "--name: up to 59 printable characters without spaces or slashes");
        } else if (strcmp(argv[i], "--paused") == 0) {
            flags |= XIDS_HV_PAUSED;
        } else if (strcmp(argv[i], "--loopback") == 0) {
            flags |= XIDS_HV_LOOPBACK;
        } else {
            return xids_sim_usage();
        }
    }
    int rc = xids_sim_ask(answer, dir, "create %d %u %s", domid, flags, name);
    if (rc == -EEXIST)
        return xids_sim_complain(0, "domain create: domain %d exists already", domid);
    if (rc < 0)
        return xids_sim_complain(rc, "domain create");
    domid_t made = (domid_t)strtoul(answer, NULL, 10);
    rc = introduce(dir, made, false);
    if (rc < 0) {
        (void)xids_sim_ask(answer, dir, "destroy %u", made);
        return xids_sim_complain(rc, "domain create: introducing %u to xenstored", made);
    }
    (void)printf("%u\n", made);
    return EXIT_SUCCESS;
}

static int destroy(const char *dir, domid_t domid)
{
    struct xids_sim_machine m;
    char answer[XIDS_SIM_LINE_MAX];
    int rc = xids_sim_ask(answer, dir, "destroy %u", domid);
    if (rc < 0)
        return rc;
    rc = xids_sim_machine_attach(&m, dir);
    if (rc < 0)
        return rc;
    rc = xids_sim_release(&m, domid);
    xids_sim_machine_detach(&m);
    return no_store(rc) ? 0 : rc;
}

static int reason(const char *word)
{
    static const char *const words[] = {"poweroff", "reboot", "suspend", "crash"};
    for (int i = 0; i < (int)(sizeof(words) / sizeof(words[0])); i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

int xids_sim_command_domain(const char *dir, int argc, char **argv)
{
    char answer[XIDS_SIM_LINE_MAX];
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "create") == 0)
        return create(dir, argc - 1, argv + 1);
    int domid = argc > 2 ? xids_sim_parse_domid(argv[2]) : -1, rc;
    if (domid < 0 || argc > 4)
        return xids_sim_usage();
    if (strcmp(verb, "shutdown") == 0) {
        int why = reason(argc > 3 ? argv[3] : "poweroff");
        if (why < 0)
            return xids_sim_usage();
        rc = xids_sim_ask(answer, dir, "shutdown %d %d", domid, why);
    } else if (argc > 3) {
        return xids_sim_usage();
    } else if (strcmp(verb, "destroy") == 0) {
        rc = destroy(dir, (domid_t)domid);
    } else if (strcmp(verb, "introduce") == 0) {
        rc = introduce(dir, (domid_t)domid, true);
    } else if (strcmp(verb, "pause") == 0 || strcmp(verb, "unpause") == 0 || strcmp(verb, "resume") == 0) {
        rc = xids_sim_ask(answer, dir, "%s %d", verb, domid);
    } else {
        return xids_sim_usage();
    }
    if (rc == -ESRCH)
        return xids_sim_complain(0, "domain %s: there is no domain %d", verb, domid);
    if (strcmp(verb, "introduce") == 0 && no_store(rc))
        return xids_sim_complain(rc, "domain introduce: no xenstored serves %s/run/xenstored/socket", dir);
    if (rc < 0 && strcmp(verb, "destroy") == 0 && domid == 0)
        return xids_sim_complain(0, "domain destroy: domain 0 goes with its machine (xids-sim down)");
    return rc == 0 ? EXIT_SUCCESS : xids_sim_complain(rc, "domain %s %d", verb, domid);
}

/* ---- exec ---- */

#define LONG_PATH 1024

/* A folder with the drop-in libraries: told, or beside this program in its build tree, or where it is installed. */
__attribute__((noinline)) static bool find_libraries(char out[LONG_PATH])
{
    char exe[LONG_PATH], probe[LONG_PATH + 32];
    const char *told = getenv("XIDS_SIM_LIBDIR");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 32);
    exe[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash != NULL)
        *slash = '\0';
    /* libtool keeps the real program in .libs/ beside a script. */
    slash = strrchr(exe, '/');
    if (slash != NULL && strcmp(slash, "/.libs") == 0)
        *slash = '\0';
    (void)strncat(exe, "/sim/lib", sizeof(exe) - strlen(exe) - 1);
    const char *places[] = {told, exe, XIDS_SIM_LIBRARIES};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i] == NULL)
            continue;
        (void)snprintf(probe, sizeof(probe), "%s/libxids-sim.so", places[i]);
        if (access(probe, R_OK) == 0) {
            (void)snprintf(out, LONG_PATH, "%s", places[i]);
            return true;
        }
    }
    return false;
}

static bool prepend(const char *variable, const char *first, const char *separator)
{
    char *value;
    const char *rest = getenv(variable);
    bool any = rest != NULL && *rest != '\0';
    if (asprintf(&value, "%s%s%s", first, any ? separator : "", any ? rest : "") < 0)
        return false;
    bool set = setenv(variable, value, 1) == 0;
    free(value);
    return set;
}

static void set_path(const struct xids_sim_machine *m, const char *variable, const char *file)
{
    char path[XIDS_SIM_PATH_MAX];
    xids_sim_path(m, path, "%s", file);
    (void)setenv(variable, path, 1);
}

__attribute__((noinline)) static bool set_environment(const struct xids_sim_machine *m, domid_t domid,
                                                      const char *libraries)
{
    char text[64], preload[LONG_PATH + 32];
    (void)setenv("XIDS_SIM_DIR", m->dir, 1);
    (void)snprintf(text, sizeof(text), "%u", domid);
    (void)setenv("XIDS_SIM_DOMID", text, 1);
    if (domid == 0) {
        set_path(m, "XENSTORED_RUNDIR", "run/xenstored");
        set_path(m, "XENSTORED_PATH", "run/xenstored/socket");
    } else {
        (void)snprintf(text, sizeof(text), "domains/%u/xenbus", domid);
        (void)unsetenv("XENSTORED_RUNDIR");
        set_path(m, "XENSTORED_PATH", text);
        (void)snprintf(text, sizeof(text), "domains/%u/console", domid);
        set_path(m, "XIDS_SIM_CONSOLE", text);
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof(text), "%lld%09ld", (long long)now.tv_sec, now.tv_nsec);
    (void)setenv("XIDS_DOMAIN_START", text, 0);
    (void)snprintf(preload, sizeof(preload), "%s/libxids-sim-preload.so", libraries);
    /* A program built with the address sanitizer wants its runtime to be first; ours beside it does no harm. */
    return prepend("LD_LIBRARY_PATH", libraries, ":") && prepend("LD_PRELOAD", preload, ":") &&
           prepend("ASAN_OPTIONS", "verify_asan_link_order=0", ":");
}

int xids_sim_command_exec(const char *dir, int argc, char **argv)
{
    struct xids_sim_machine m;
    struct xids_hv_domain info;
    char libraries[LONG_PATH];
    int at = 1, domid = 0;
    if (at + 1 < argc && strcmp(argv[at], "--domain") == 0) {
        domid = xids_sim_parse_domid(argv[at + 1]);
        at += 2;
    }
    if (at < argc && strcmp(argv[at], "--") == 0)
        at++;
    if (at >= argc || domid < 0)
        return xids_sim_usage();
    int rc = xids_sim_machine_attach(&m, dir);
    if (rc == 0)
        rc = xids_hv_domain_info(&m.hv, &info, (domid_t)domid);
    if (rc < 0)
        return rc == -ESRCH ? xids_sim_complain(0, "exec: there is no domain %d in %s", domid, dir)
                            : xids_sim_complain(rc, "exec in domain %d of %s", domid, dir);
    if (!find_libraries(libraries))
        return xids_sim_complain(0, "exec: the simulator's libraries are missing (XIDS_SIM_LIBDIR tells where)");
    if (!set_environment(&m, (domid_t)domid, libraries))
        return xids_sim_complain(-errno, "exec: the environment");
    (void)execvp(argv[at], argv + at);
    rc = errno == ENOENT ? 127 : 126;
    (void)xids_sim_complain(-errno, "exec: %s", argv[at]);
    return rc;
}
