/* SPDX-License-Identifier: ISC */
/* The lines of the audit log, and whether they are what was written. */
#include "randomd/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void audit_hash(uint8_t hash[XIDS_BLAKE2S_OUT], const char *line, size_t len)
{
    struct xids_blake2s b;
    if (xids_blake2s_init(&b, XIDS_BLAKE2S_OUT, NULL, 0) != 0)
        return; /* the length is right */
    xids_blake2s_update(&b, hash, XIDS_BLAKE2S_OUT);
    xids_blake2s_update(&b, line, len);
    xids_blake2s_final(&b, hash);
}

void audit_hex(char text[AUDIT_HEX], const uint8_t hash[XIDS_BLAKE2S_OUT])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < XIDS_BLAKE2S_OUT; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[AUDIT_HEX - 1] = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(uint8_t hash[XIDS_BLAKE2S_OUT], const char *text)
{
    for (size_t i = 0; i < XIDS_BLAKE2S_OUT; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The word at *at, which moves behind the space that ends it. */
static size_t word(const char *line, size_t len, size_t *at)
{
    const char *space = *at < len ? memchr(line + *at, ' ', len - *at) : NULL;
    if (space == NULL)
        return 0;
    size_t n = (size_t)(space - line) - *at;
    *at += n + 1;
    return n;
}

bool audit_parse(struct audit_parts *p, const char *line, size_t len)
{
    static const char before[] = " prev=";
    const size_t hex = AUDIT_HEX - 1;
    char *end;
    size_t at = 0;
    memset(p, 0, sizeof(*p));
    if (len >= AUDIT_LINE || len < hex + 8 || memchr(line, '\0', len) != NULL || line[0] < '1' || line[0] > '9')
        return false;
    errno = 0;
    p->number = strtoull(line, &end, 10);
    size_t digits = word(line, len, &at);
    if (errno != 0 || digits == 0 || end != line + digits || word(line, len, &at) == 0)
        return false;
    p->event = line + at;
    p->event_len = word(line, len, &at);
    p->hashed = len - hex;
    if (p->event_len == 0 || at > p->hashed || line[p->hashed - 1] != ' ' || !from_hex(p->hash, line + p->hashed))
        return false;
    p->begins = p->event_len == 5 && memcmp(p->event, "begin", 5) == 0;
    if (!p->begins)
        return true;
    const char *prev = NULL;
    for (size_t i = at - 1; prev == NULL && i + sizeof(before) - 1 + hex < p->hashed; i++)
        if (memcmp(line + i, before, sizeof(before) - 1) == 0)
            prev = line + i + sizeof(before) - 1;
    return prev != NULL && from_hex(p->before, prev);
}

/* ---- verifying ---- */

/* NULL, or what is wrong with the line as the next of the chain. */
static const char *wrong(struct audit_chain *chain, const char *line, size_t len, bool first)
{
    struct audit_parts p;
    uint8_t hash[XIDS_BLAKE2S_OUT];
    if (!audit_parse(&p, line, len))
        return "not a line of an audit log";
    if (first && !p.begins)
        return "the file's first line is missing";
    bool known = chain->number > 0;
    if (known && p.number != chain->number + 1)
        return p.number > chain->number + 1 ? "lines before this one are missing" : "the number is wrong";
    if (known && p.begins && memcmp(p.before, chain->hash, sizeof(p.before)) != 0)
        return "the chain begins anew: it does not go on from the line before";
    memcpy(hash, p.begins ? p.before : chain->hash, sizeof(hash));
    audit_hash(hash, line, p.hashed);
    if (memcmp(hash, p.hash, sizeof(hash)) != 0)
        return "this line, or the one before it, is not what was written";
    chain->number = p.number;
    memcpy(chain->hash, hash, sizeof(hash));
    return NULL;
}

/* 0 when it is whole. */
static int verify_file(struct audit_chain *chain, FILE *f, const char *path)
{
    char line[AUDIT_LINE + 1], hex[AUDIT_HEX];
    uint64_t lines = 0;
    size_t cut = 0;
    while (cut == 0 && fgets(line, sizeof(line), f) != NULL) {
        /* A line with a NUL in it seems shorter than it is, and has no end. */
        size_t len = strlen(line);
        bool ended = len > 0 && line[len - 1] == '\n';
        if (!ended && (feof(f) == 0 || len == 0 || len >= AUDIT_LINE)) {
            printf("%s:%" PRIu64 ": broken: not a line of an audit log\n", path, lines + 1);
            return 1;
        }
        if (!ended) {
            cut = len;
            continue;
        }
        const char *why = wrong(chain, line, len - 1, lines == 0);
        lines++;
        if (why != NULL) {
            printf("%s:%" PRIu64 ": broken: %s\n", path, lines, why);
            return 1;
        }
    }
    if (ferror(f) != 0) {
        fprintf(stderr, "xids-randomd: %s: %s\n", path, strerror(errno));
        return 1;
    }
    audit_hex(hex, chain->hash);
    if (lines > 0)
        printf("%s: %" PRIu64 " lines are whole; the last is number %" PRIu64 ", its hash %s\n", path, lines,
               chain->number, hex);
    else
        printf("%s: no lines\n", path);
    if (cut > 0)
        printf("%s: the line after it was cut off when it was written: %zu bytes\n", path, cut);
    return 0;
}

int audit_verify(int count, char **paths)
{
    struct audit_chain chain = {0};
    int status = 0;
    for (int i = 0; i < count && status == 0; i++) {
        FILE *f = fopen(paths[i], "re");
        if (f == NULL) {
            fprintf(stderr, "xids-randomd: %s: %s\n", paths[i], strerror(errno));
            return 1;
        }
        status = verify_file(&chain, f, paths[i]);
        (void)fclose(f);
    }
    return fflush(stdout) == 0 ? status : 1;
}
