/* SPDX-License-Identifier: ISC */
/* The file of settings: the section [xenstored], and in it the long options' names. */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/xenstored.h"

struct reading {
    FILE *file;
    const char *path;
    struct options *options;
    int line;
    bool said; /* what is wrong */
};

static int wrong(struct reading *r, const char *name, const char *reason)
{
    (void)fprintf(stderr, "xids-xenstored: %s:%d: %s: %s\n", r->path, r->line, name, reason);
    r->said = true;
    return 0;
}

/* The rest of a line for which inih has no room would be the next line to it. A comment may be that long. */
static char *next_line(char *line, int size, void *stream)
{
    struct reading *r = stream;
    char *got = fgets(line, size, r->file);
    if (got == NULL)
        return NULL;
    r->line++;
    if (strlen(line) + 1 < (size_t)size || strchr(line, '\n') != NULL)
        return got;
    int c = getc(r->file);
    bool longer = c != EOF && c != '\n';
    while (c != EOF && c != '\n')
        c = getc(r->file);
    const char *first = line + strspn(line, " \t");
    if (longer && *first != '#' && *first != ';')
        (void)wrong(r, "a setting", "the line is too long");
    return got;
}

/* inih's convention: not 0 is success. */
static int handle(void *ctx, const char *section, const char *name, const char *value)
{
    struct reading *r = ctx;
    if (section[0] == '\0')
        return wrong(r, name, "a setting must be below [xenstored]");
    if (strcmp(section, "xenstored") != 0)
        return wrong(r, section, "no such section, only [xenstored]");
    const char *reason = options_set(r->options, name, value);
    return reason == NULL ? 1 : wrong(r, name, reason);
}

int config_read(struct options *o, const char *path, bool must_exist)
{
    struct reading r = {.path = path, .options = o};
    r.file = fopen(path, "re");
    if (r.file == NULL) {
        if (errno == ENOENT && !must_exist)
            return 0;
        (void)fprintf(stderr, "xids-xenstored: %s: %s\n", path, strerror(errno));
        return -XEN_EINVAL;
    }
    int rc = ini_parse_stream(next_line, &r, handle, &r);
    if (rc > 0 && !r.said)
        (void)fprintf(stderr, "xids-xenstored: %s:%d: neither a section nor a setting\n", path, rc);
    else if (rc < 0)
        (void)fprintf(stderr, "xids-xenstored: %s: out of memory\n", path);
    else if (ferror(r.file))
        (void)fprintf(stderr, "xids-xenstored: %s: cannot be read\n", path);
    bool good = rc == 0 && !r.said && !ferror(r.file);
    (void)fclose(r.file);
    return good ? 0 : -XEN_EINVAL;
}
