/* SPDX-License-Identifier: ISC */
/* The settings of sources: sections [source NAME] with type, path and entropy. */
#include "randomd/daemon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

__attribute__((format(printf, 2, 3))) static bool refuse(char why[CONFIG_WHY], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, CONFIG_WHY, fmt, args);
    va_end(args);
    return false;
}

static struct source_config *find(struct config *c, const char *name)
{
    for (unsigned int i = 0; i < c->source_count; i++)
        if (strcmp(c->sources[i].name, name) == 0)
            return &c->sources[i];
    return NULL;
}

static struct source_config *find_or_add(struct config *c, const char *name, unsigned int line, char why[CONFIG_WHY])
{
    struct source_config *s = find(c, name);
    size_t len = strlen(name);
    if (s != NULL)
        return s;
    if (len == 0 || len >= sizeof(s->name) || strspn(name, NAMES) != len) {
        (void)refuse(why, "[source %s]: a name is 1 to %u letters, digits, - and _", name, SOURCE_NAME - 1);
        return NULL;
    }
    if (c->source_count == SOURCES_MAX) {
        (void)refuse(why, "[source %s]: there can be %u sources", name, SOURCES_MAX);
        return NULL;
    }
    s = &c->sources[c->source_count++];
    *s = (struct source_config){.line = line};
    memcpy(s->name, name, len + 1);
    return s;
}

/* Bits, as 4, 0.5 or 2.125, to eighths. 0: it is not that. */
static unsigned int eighths(const char *text)
{
    unsigned int bits = 0, thousandths = 0, digits = 0, unit = 100;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++)
        bits = bits * 10 + (unsigned int)(*text - '0');
    if (digits == 0)
        return 0;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
            thousandths += unit * (unsigned int)(*text - '0');
    if (*text != '\0' || thousandths % 125 != 0)
        return 0;
    return bits * XIDS_HEALTH_BIT + thousandths / 125;
}

bool config_source_set(struct config *c, const char *name, const char *key, const char *value, unsigned int line,
                       char why[CONFIG_WHY])
{
    struct source_config *s = find_or_add(c, name, line, why);
    if (s == NULL)
        return false;
    if (strcmp(key, "type") == 0) {
        s->type = source_type_find(value);
        return s->type != NULL ||
               refuse(why, "type cannot be \"%s\", but hwrng, rdseed, jitter, egd, file or tpm", value);
    }
    if (strcmp(key, "path") == 0) {
        if (value[0] != '/' || strlen(value) >= sizeof(s->path))
            return refuse(why, "path cannot be \"%s\": it begins with / and has at most %u bytes", value,
                          SOURCE_PATH - 1);
        memcpy(s->path, value, strlen(value) + 1);
        return true;
    }
    if (strcmp(key, "entropy") == 0) {
        s->claim = eighths(value);
        return s->claim != 0 || refuse(why, "entropy cannot be \"%s\": bits of a sample, in steps of 0.125", value);
    }
    return refuse(why, "no such setting of a source: %s, only type, path and entropy", key);
}

static bool whole(const struct source_config *s, char why[CONFIG_WHY])
{
    if (s->type == NULL)
        return refuse(why, "[source %s] has no type", s->name);
    if (s->path[0] != '\0' && !s->type->takes_path)
        return refuse(why, "[source %s]: %s has no path", s->name, s->type->name);
    if (s->path[0] == '\0' && s->type->takes_path && s->type->path == NULL)
        return refuse(why, "[source %s]: %s needs a path", s->name, s->type->name);
    if (s->claim > s->type->claim_max && s->type->claim_max == 0)
        return refuse(why, "[source %s]: %s takes no entropy: each word has to be all of it", s->name, s->type->name);
    if (s->claim > s->type->claim_max)
        return refuse(why, "[source %s]: entropy is at most %u bits", s->name, s->type->claim_max / XIDS_HEALTH_BIT);
    return true;
}

bool config_sources_whole(const struct config *c, unsigned int *line, char why[CONFIG_WHY])
{
    for (unsigned int i = 0; i < c->source_count; i++)
        if (!whole(&c->sources[i], why)) {
            *line = c->sources[i].line;
            return false;
        }
    return true;
}

bool config_sources_same(const struct config *a, const struct config *b)
{
    if (a->source_count != b->source_count)
        return false;
    for (unsigned int i = 0; i < a->source_count; i++) {
        const struct source_config *s = &a->sources[i], *t = &b->sources[i];
        if (strcmp(s->name, t->name) != 0 || strcmp(s->path, t->path) != 0 || s->type != t->type ||
            s->claim != t->claim)
            return false;
    }
    return true;
}
