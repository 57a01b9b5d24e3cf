/* SPDX-License-Identifier: ISC */
/* /etc/xen/xids-randomd.conf: [randomd] with log-level, control, max-guests, reseed-seconds, reseed-bytes. */
#include "randomd/daemon.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONTROL "/run/xen/xids-randomd.sock"

void config_defaults(struct config *c)
{
    *c = (struct config){.log_level = SAY_INFO, .control = DEFAULT_CONTROL, .max_guests = MAX_GUESTS};
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

/* inih's convention: not 0 is success. */
static int handle(void *ctx, const char *section, const char *name, const char *value)
{
    struct config *c = ctx;
    uint64_t n = 0;
    bool ok = false;
    if (strcmp(section, "randomd") != 0) {
        log_line(SAY_ERROR, "settings: no such section: [%s], only [randomd]", section);
        return 0;
    }
    if (strcmp(name, "log-level") == 0) {
        ok = log_level_from(&c->log_level, value) == 0;
    } else if (strcmp(name, "control") == 0) {
        ok = strlen(value) < sizeof(c->control);
        if (ok)
            memcpy(c->control, value, strlen(value) + 1);
    } else if (strcmp(name, "max-guests") == 0) {
        ok = number(&n, value, 1, MAX_GUESTS);
        c->max_guests = ok ? (unsigned int)n : c->max_guests;
    } else if (strcmp(name, "reseed-seconds") == 0) {
        ok = number(&n, value, 1, 60);
        c->reseed_ns = n * 1000000000ull;
    } else if (strcmp(name, "reseed-bytes") == 0) {
        ok = number(&n, value, 1, 1u << 20);
        c->reseed_bytes = n;
    } else {
        log_line(SAY_ERROR, "settings: no such setting: %s", name);
        return 0;
    }
    if (!ok)
        log_line(SAY_ERROR, "settings: %s cannot be \"%s\"", name, value);
    return ok;
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
