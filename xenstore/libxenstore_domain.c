/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: domains, their features and quotas, and commands to the store itself. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX 3

/* A request whose arguments are numbers. */
static bool talk_numbers(struct xs_handle *h, char **data, uint32_t type, unsigned int count,
                         const uint64_t numbers[NUMBERS_MAX])
{
    char text[NUMBERS_MAX][21];
    struct xids_xswire_part parts[NUMBERS_MAX];
    for (unsigned int i = 0; i < count; i++)
        parts[i] = (struct xids_xswire_part){text[i], xids_xswire_format_decimal64(text[i], numbers[i]) + 1u};
    return lxs_talk(h, data, NULL, type, XBT_NULL, parts, count);
}

static bool talk_domid(struct xs_handle *h, char **data, uint32_t type, unsigned int domid)
{
    return talk_numbers(h, data, type, 1, (const uint64_t[NUMBERS_MAX]){domid});
}

/* ---- life ---- */

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn, unsigned int eventchn)
{
    return talk_numbers(h, NULL, XS_INTRODUCE, 3, (const uint64_t[NUMBERS_MAX]){domid, mfn, eventchn});
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    return talk_domid(h, NULL, XS_RELEASE, domid);
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    return talk_domid(h, NULL, XS_RESUME, domid);
}

bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target)
{
    return talk_numbers(h, NULL, XS_SET_TARGET, 2, (const uint64_t[NUMBERS_MAX]){domid, target});
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    char *path;
    return talk_domid(h, &path, XS_GET_DOMAIN_PATH, domid) ? path : NULL;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    char *answer;
    if (!talk_domid(h, &answer, XS_IS_DOMAIN_INTRODUCED, domid))
        return false;
    bool introduced = strcmp(answer, "F") != 0;
    free(answer);
    return introduced;
}

int xs_suspend_evtchn_port(int domid)
{
    char path[64];
    unsigned int len;
    struct xs_handle *h = xs_open(0);
    if (h == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "/local/domain/%d/device/suspend/event-channel", domid);
    char *text = xs_read(h, XBT_NULL, path, &len);
    xs_close(h);
    int port = text != NULL && len > 0 ? (int)strtol(text, NULL, 10) : -1;
    free(text);
    return port;
}

/* ---- features and quotas ---- */

/*
 * A request without arguments. xenstored counts the strings of the payload and wants none, but an empty payload would
 * hang oxenstored: a byte that ends no string is neither.
 */
static bool talk_nothing(struct xs_handle *h, char **data, uint32_t type)
{
    static const struct xids_xswire_part byte = {"-", 1};
    return lxs_talk(h, data, NULL, type, XBT_NULL, &byte, 1);
}

/* The number that an answer spells, if there is one. */
static bool take_number(bool good, char **data, unsigned int *number)
{
    if (good) {
        *number = (unsigned int)strtoul(*data, NULL, 10);
        free(*data);
    }
    return good;
}

bool xs_get_features_supported(struct xs_handle *h, unsigned int *features)
{
    char *data;
    unsigned int got;
    int state = lxs_lock(h);
    bool known = h->features_known;
    *features = h->features;
    lxs_unlock(h, state);
    if (known)
        return true;
    if (!take_number(talk_nothing(h, &data, XIDS_XS_GET_FEATURE), &data, &got))
        return false;
    state = lxs_lock(h);
    h->features_known = true;
    h->features = *features = got;
    lxs_unlock(h, state);
    return true;
}

bool xs_get_features_domain(struct xs_handle *h, unsigned int domid, unsigned int *features)
{
    char *data;
    return take_number(talk_domid(h, &data, XIDS_XS_GET_FEATURE, domid), &data, features);
}

bool xs_set_features_domain(struct xs_handle *h, unsigned int domid, unsigned int features)
{
    return talk_numbers(h, NULL, XIDS_XS_SET_FEATURE, 2, (const uint64_t[NUMBERS_MAX]){domid, features});
}

const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num)
{
    char *data;
    if (!talk_nothing(h, &data, XIDS_XS_GET_QUOTA))
        return NULL;
    unsigned int count = 1;
    size_t len = strlen(data) + 1;
    for (const char *at = data; *at != '\0'; at++)
        count += *at == ' ';
    const char **names = malloc(count * sizeof(*names) + len);
    if (names != NULL) {
        char *at = (char *)(names + count);
        memcpy(at, data, len);
        for (unsigned int i = 0; i < count; i++) {
            names[i] = at;
            at += strcspn(at, " ");
            *at++ = '\0';
        }
        *num = count;
    }
    free(data);
    return names;
}

/* ALL: the quota of every domain that has none of its own. */
#define ALL ((int64_t)-1)

static bool talk_quota(struct xs_handle *h, char **data, uint32_t type, int64_t domid, const char *quota,
                       const unsigned int *value)
{
    char id[11], number[11];
    struct xids_xswire_part parts[3];
    unsigned int n = 0;
    if (domid != ALL)
        parts[n++] = (struct xids_xswire_part){id, xids_xswire_format_decimal(id, (uint32_t)domid) + 1u};
    parts[n++] = xids_xswire_string(quota);
    if (value != NULL)
        parts[n++] = (struct xids_xswire_part){number, xids_xswire_format_decimal(number, *value) + 1u};
    return lxs_talk(h, data, NULL, type, XBT_NULL, parts, n);
}

bool xs_get_global_quota(struct xs_handle *h, const char *quota, unsigned int *value)
{
    char *data;
    return take_number(talk_quota(h, &data, XIDS_XS_GET_QUOTA, ALL, quota, NULL), &data, value);
}

bool xs_set_global_quota(struct xs_handle *h, const char *quota, unsigned int value)
{
    return talk_quota(h, NULL, XIDS_XS_SET_QUOTA, ALL, quota, &value);
}

bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int *value)
{
    char *data;
    return take_number(talk_quota(h, &data, XIDS_XS_GET_QUOTA, domid, quota, NULL), &data, value);
}

bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int value)
{
    return talk_quota(h, NULL, XIDS_XS_SET_QUOTA, domid, quota, &value);
}

/* ---- commands ---- */

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(cmd), {data, len}};
    char *answer;
    return lxs_talk(h, &answer, NULL, XS_CONTROL, XBT_NULL, parts, 2) ? answer : NULL;
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    return xs_control_command(h, cmd, data, len);
}
