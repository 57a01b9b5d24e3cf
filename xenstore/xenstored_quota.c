/* SPDX-License-Identifier: ISC */
/* Quotas on the command line. */
#include <string.h>

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
