/* SPDX-License-Identifier: ISC */
/*
 * The command line and its words.
 */
#include "platform/guest/guest.h"

const char *xids_guest_command_line(const struct xids_guest *g)
{
    return g->command_line;
}

int xids_guest_option(const struct xids_guest *g, char *value, size_t room, const char *name)
{
    const char *word = g->command_line;
    while (*word != '\0') {
        const char *end = word, *n = name, *w = word;
        while (*end != '\0' && *end != ' ')
            end++;
        while (w < end && *n != '\0' && *w == *n) {
            w++;
            n++;
        }
        if (w < end && *w == '=' && *n == '\0') {
            size_t len = (size_t)(end - (w + 1));
            if (len >= room || len > INT32_MAX)
                return -XEN_ENAMETOOLONG;
            __builtin_memcpy(value, w + 1, len);
            value[len] = '\0';
            return (int)len;
        }
        word = *end == ' ' ? end + 1 : end;
    }
    return -XEN_ENOENT;
}
