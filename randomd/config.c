/* SPDX-License-Identifier: ISC */
/* The file of settings: `key = value` below [randomd]. A new key is a line of the table. */
#include "randomd/daemon.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONTROL "/run/xen/xids-randomd.sock"
#define SECOND 1000000000ull

enum kind {
    LEVEL,  /* enum log_level */
    TEXT,   /* an array of char of `most` bytes */
    NUMBER, /* unsigned int, from least to most */
    LARGE,  /* uint64_t, from least to most, which are counted in `unit` */
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
    {"control", TEXT, false, IN(control), 0, 0, 1},
    {"max-guests", NUMBER, true, IN(max_guests), 1, MAX_GUESTS, 1},
    {"reseed-seconds", LARGE, true, IN(reseed_ns), 1, 60, SECOND},
    {"reseed-bytes", LARGE, true, IN(reseed_bytes), 1, 1u << 20, 1},
    {"rate", LARGE, true, IN(rate), RATE_MIN, XIDS_FAIR_MAX, 1},
    {"burst", LARGE, true, IN(burst), BURST_MIN, XIDS_FAIR_MAX, 1},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

void config_defaults(struct config *c)
{
    *c = (struct config){.log_level = SAY_INFO,
                         .control = DEFAULT_CONTROL,
                         .max_guests = MAX_GUESTS,
                         .rate = RATE_DEFAULT,
                         .burst = BURST_DEFAULT};
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
    case TEXT:
        if (len >= s->size)
            return false;
        memset(to, 0, s->size);
        memcpy(to, value, len);
        return true;
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

/* inih's convention: not 0 is success. */
static int handle(void *ctx, const char *section, const char *name, const char *value)
{
    if (strcmp(section, "randomd") != 0) {
        log_line(SAY_ERROR, "settings: no such section: [%s], only [randomd]", section);
        return 0;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(name, settings[i].name) != 0)
            continue;
        if (assign(ctx, &settings[i], value))
            return 1;
        log_line(SAY_ERROR, "settings: %s cannot be \"%s\"", name, value);
        return 0;
    }
    log_line(SAY_ERROR, "settings: no such setting: %s", name);
    return 0;
}

int config_read(struct config *c, const char *path, bool must_exist)
{
    errno = 0;
    int rc = ini_parse(path, handle, c);
    if (rc == 0 || (rc == -1 && errno == ENOENT && !must_exist))
        return 0;
    if (rc > 0)
        log_line(SAY_ERROR, "%s: error in line %d", path, rc);
    else
        log_line(SAY_ERROR, "%s: cannot be read: %s", path, errno != 0 ? strerror(errno) : "no memory");
    return -XEN_EINVAL;
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
    return changed;
}
