/* SPDX-License-Identifier: ISC */
/* The file of settings: `key = value` below [randomd], of which a new one is a line of the table, and sources. */
#include "randomd/daemon.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONTROL "/run/xen/xids-randomd.sock"
#define SECOND 1000000000ull
#define AUDIT_SIZE (16ull << 20)
#define AUDIT_FILES 8u

enum kind {
    LEVEL,     /* enum log_level */
    PATH,      /* an array of char: an absolute path of at least `least` bytes */
    NUMBER,    /* unsigned int, from least to most */
    DISCOVERY, /* bool: "backend" is true, "domains" false */
    SWITCH,    /* bool: on or off */
    LARGE,     /* uint64_t, from least to most, which are counted in `unit` */
};

struct setting {
    const char *name;
    enum kind kind;
    bool live; /* can change while the daemon serves */
    size_t at, size;
    uint64_t least, most, unit;
};

#define IN(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)

static const struct setting settings[] = {
    {"log-level", LEVEL, true, IN(log_level), 0, 0, 1},
    {"control", PATH, false, IN(control), 1, 0, 1},
    {"legacy", SWITCH, false, IN(legacy), 0, 0, 1},
    {"max-guests", NUMBER, true, IN(max_guests), 1, MAX_GUESTS, 1},
    {"entropy-domain", NUMBER, false, IN(entropy_domain), 1, DOMID_FIRST_RESERVED - 1u, 1},
    {"discover", DISCOVERY, false, IN(discover), 0, 0, 1},
    {"reseed-seconds", LARGE, true, IN(reseed_ns), 1, 60, SECOND},
    {"reseed-bytes", LARGE, true, IN(reseed_bytes), 1, 1u << 20, 1},
    {"rate", LARGE, true, IN(rate), RATE_MIN, XIDS_FAIR_MAX, 1},
    {"burst", LARGE, true, IN(burst), BURST_MIN, XIDS_FAIR_MAX, 1},
    {"audit", PATH, false, IN(audit), 0, 0, 1},
    {"audit-size", LARGE, false, IN(audit_size), 2 * AUDIT_PENDING, 1u << 30, 1},
    {"audit-files", NUMBER, false, IN(audit_files), 1, 99, 1},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

void config_defaults(struct config *c)
{
    *c = (struct config){.log_level = SAY_INFO,
                         .control = DEFAULT_CONTROL,
                         .max_guests = MAX_GUESTS,
                         .rate = RATE_DEFAULT,
                         .burst = BURST_DEFAULT,
                         .audit_size = AUDIT_SIZE,
                         .audit_files = AUDIT_FILES};
}

static bool number(uint64_t *to, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || v < low || v > high)
        return false;
    *to = v;
    return true;
}

static bool assign(struct config *c, const struct setting *s, const char *value)
{
    char *to = (char *)c + s->at;
    size_t len = strlen(value);
    uint64_t n = 0;
    switch (s->kind) {
    case LEVEL:
        return log_level_from((enum log_level *)(void *)to, value) == 0;
    case PATH:
        /* It is opened again when we are in another folder. */
        if (len < s->least || len >= s->size || (len > 0 && value[0] != '/'))
            return false;
        memset(to, 0, s->size);
        memcpy(to, value, len);
        return true;
    case DISCOVERY:
        *(bool *)(void *)to = strcmp(value, "backend") == 0;
        return *(bool *)(void *)to || strcmp(value, "domains") == 0;
    case SWITCH:
        *(bool *)(void *)to = strcmp(value, "on") == 0;
        return *(bool *)(void *)to || strcmp(value, "off") == 0;
    case NUMBER:
    case LARGE:
    default:
        break;
    }
    if (!number(&n, value, s->least, s->most))
        return false;
    n *= s->unit;
    if (s->kind == NUMBER)
        *(unsigned int *)(void *)to = (unsigned int)n;
    else
        *(uint64_t *)(void *)to = n;
    return true;
}

/* A file that is being read. */
struct reading {
    struct config *c;
    const char *path;
    FILE *file;
    unsigned int line; /* read last */
    bool ended;        /* the line at hand is whole */
    bool complained;
};

__attribute__((format(printf, 2, 3))) static int complain(struct reading *r, const char *fmt, ...)
{
    char what[CONFIG_WHY];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (!r->complained)
        log_line(SAY_ERROR, "%s: line %u: %s", r->path, r->line, what);
    r->complained = true;
    return 0;
}

/* fgets for inih, which does not say in its calls which line they are about. A long line comes in several pieces. */
static char *read_line(char *to, int room, void *ctx)
{
    struct reading *r = ctx;
    if (fgets(to, room, r->file) == NULL)
        return NULL;
    if (r->ended)
        r->line++;
    r->ended = strchr(to, '\n') != NULL;
    return to;
}

/* What can stand in the place of a value that cannot. */
static int refuse(struct reading *r, const struct setting *s, const char *value)
{
    static const char *const words[] = {
        [LEVEL] = "error, warning, info or debug", [DISCOVERY] = "domains or backend", [SWITCH] = "on or off"};
    switch (s->kind) {
    case LEVEL:
    case DISCOVERY:
    case SWITCH:
        return complain(r, "%s cannot be \"%s\", but %s", s->name, value, words[s->kind]);
    case PATH:
        return complain(r, "%s cannot be \"%s\": it begins with / and has at most %zu bytes", s->name, value,
                        s->size - 1);
    case NUMBER:
    case LARGE:
    default:
        return complain(r, "%s cannot be \"%s\", but a number from %" PRIu64 " to %" PRIu64, s->name, value, s->least,
                        s->most);
    }
}

/* inih's convention: not 0 is success. */
static int handle(void *ctx, const char *section, const char *name, const char *value)
{
    struct reading *r = ctx;
    char why[CONFIG_WHY];
    if (strncmp(section, "source ", 7) == 0) {
        if (config_source_set(r->c, section + 7, name, value, r->line, why))
            return 1;
        return complain(r, "%s", why);
    }
    if (strcmp(section, "randomd") != 0)
        return complain(r, "no such section: [%s], only [randomd] and [source NAME]", section);
    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(name, settings[i].name) != 0)
            continue;
        return assign(r->c, &settings[i], value) ? 1 : refuse(r, &settings[i], value);
    }
    return complain(r, "no such setting: %s", name);
}

int config_read(struct config *c, const char *path, bool must_exist)
{
    struct reading r = {.c = c, .path = path, .ended = true};
    char why[CONFIG_WHY];
    r.file = fopen(path, "re");
    if (r.file == NULL) {
        if (errno == ENOENT && !must_exist)
            return 0;
        log_line(SAY_ERROR, "%s: cannot be read: %s", path, strerror(errno));
        return -XEN_EINVAL;
    }
    errno = 0;
    int rc = ini_parse_stream(read_line, &r, handle, &r);
    if (ferror(r.file)) {
        log_line(SAY_ERROR, "%s: cannot be read: %s", path, strerror(errno));
        rc = -1;
    }
    (void)fclose(r.file);
    if (rc > 0) { /* inih's own complaint has only the line */
        r.line = (unsigned int)rc;
        (void)complain(&r, "not a setting");
    } else if (rc == 0 && !config_sources_whole(c, &r.line, why)) {
        (void)complain(&r, "%s", why);
    }
    return rc == 0 && !r.complained ? 0 : -XEN_EINVAL;
}

unsigned int config_change(struct config *c, const struct config *to, unsigned int *refused)
{
    unsigned int changed = 0;
    *refused = 0;
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        char *old = (char *)c + s->at;
        const char *new = (const char *)to + s->at;
        if (memcmp(old, new, s->size) == 0)
            continue;
        if (!s->live) {
            log_line(SAY_WARN, "settings: %s does not change before a restart", s->name);
            ++*refused;
            continue;
        }
        memcpy(old, new, s->size);
        changed++;
    }
    if (!config_sources_same(c, to)) {
        log_line(SAY_WARN, "settings: sources do not change before a restart");
        ++*refused;
    }
    return changed;
}
