/* SPDX-License-Identifier: ISC */
/* Quotas: on the command line, and who is denied something for their sake. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

bool quota_option(struct xids_xs_limits *limits, const char *text, bool soft)
{
    static const char prefix[] = "soft-";
    char name[64];
    const char *eq = strchr(text, '=');
    size_t len = eq != NULL ? (size_t)(eq - text) : 0, before = soft ? sizeof(prefix) - 1 : 0;
    if (eq == NULL || before + len > sizeof(name) || (!soft && strncmp(text, prefix, sizeof(prefix) - 1) == 0))
        return false;
    memcpy(name, prefix, before);
    memcpy(name + before, text, len);
    uint32_t *limit = xids_xs_limit(limits, name, before + len);
    return limit != NULL && xids_xswire_decimal(limit, eq + 1, strlen(eq + 1), INT32_MAX) == 0;
}

/* One line for a domain in so long, which says how many it stands for. */
#define QUIET_NS 10000000000ull

/* By domid. Only the pages of domains that were denied something are ever touched. */
static struct {
    uint64_t logged_at;
    uint64_t left_out;
} denials[0x8000];

void quota_denied(void *daemon, uint16_t domid, const char *quota, const char *path)
{
    (void)daemon;
    uint64_t now = uv_hrtime(), left_out;
    size_t i = domid % (sizeof(denials) / sizeof(denials[0]));
    if (denials[i].logged_at != 0 && now - denials[i].logged_at < QUIET_NS) {
        denials[i].left_out++;
        return;
    }
    left_out = denials[i].left_out;
    denials[i].logged_at = now;
    denials[i].left_out = 0;
    bool soft = strncmp(quota, "soft-", 5) == 0;
    log_limited(LOG_LEVEL_WARNING, "domain %u %s quota %s%s%.200s (%llu more not logged before)", domid,
                soft ? "is beyond" : "was denied something by", quota, path != NULL ? ": " : "",
                path != NULL ? path : "", (unsigned long long)left_out);
}

int quota_report(void *daemon, const char *file, const char *text, size_t len)
{
    (void)daemon;
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, len);
    int rc = n == (ssize_t)len ? 0 : -EIO;
    return close(fd) == 0 ? rc : -EIO;
}
