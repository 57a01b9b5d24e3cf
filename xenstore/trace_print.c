/* SPDX-License-Identifier: ISC */
/* A record of a trace as a line for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <xids/xswire.h>

#include "xenstore/replay.h"

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {
        [XS_CONTROL] = "CONTROL",
        [XS_DIRECTORY] = "DIRECTORY",
        [XS_READ] = "READ",
        [XS_GET_PERMS] = "GET_PERMS",
        [XS_WATCH] = "WATCH",
        [XS_UNWATCH] = "UNWATCH",
        [XS_TRANSACTION_START] = "TRANSACTION_START",
        [XS_TRANSACTION_END] = "TRANSACTION_END",
        [XS_INTRODUCE] = "INTRODUCE",
        [XS_RELEASE] = "RELEASE",
        [XS_GET_DOMAIN_PATH] = "GET_DOMAIN_PATH",
        [XS_WRITE] = "WRITE",
        [XS_MKDIR] = "MKDIR",
        [XS_RM] = "RM",
        [XS_SET_PERMS] = "SET_PERMS",
        [XS_WATCH_EVENT] = "WATCH_EVENT",
        [XS_ERROR] = "ERROR",
        [XS_IS_DOMAIN_INTRODUCED] = "IS_DOMAIN_INTRODUCED",
        [XS_RESUME] = "RESUME",
        [XS_SET_TARGET] = "SET_TARGET",
        [XS_RESET_WATCHES] = "RESET_WATCHES",
        [XS_DIRECTORY_PART] = "DIRECTORY_PART",
    };
    return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

void trace_print_text(FILE *to, const uint8_t *bytes, size_t len)
{
    (void)fputc('"', to);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\0')
            (void)fputs("\\0", to);
        else if (bytes[i] == '"' || bytes[i] == '\\')
            (void)fprintf(to, "\\%c", bytes[i]);
        else if (bytes[i] < ' ' || bytes[i] > '~')
            (void)fprintf(to, "\\x%02x", bytes[i]);
        else
            (void)fputc(bytes[i], to);
    }
    (void)fputc('"', to);
}

void trace_print_message(FILE *to, uint32_t type, uint32_t tx_id, const uint8_t *payload, size_t len)
{
    const char *name = type_name(type);
    if (name != NULL)
        (void)fputs(name, to);
    else
        (void)fprintf(to, "%" PRIu32, type);
    if (tx_id != 0)
        (void)fprintf(to, " tx %" PRIu32, tx_id);
    (void)fputc(' ', to);
    trace_print_text(to, payload, len);
}

void trace_print_place(FILE *to, const struct trace_record *rec)
{
    time_t seconds = (time_t)(rec->time / 1000000000u);
    struct tm tm;
    char date[32] = "?";
    if (gmtime_r(&seconds, &tm) != NULL)
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)fprintf(to, "%s.%09uZ ", date, (unsigned int)(rec->time % 1000000000u));
    if (rec->conn >= TRACE_SOCKET)
        (void)fprintf(to, "socket %" PRIu32, rec->conn - TRACE_SOCKET);
    else
        (void)fprintf(to, "domain %" PRIu32, rec->conn);
}

void trace_print(FILE *to, const struct trace_record *rec, const uint8_t *payload)
{
    static const char *const names[] = {"pad",    "connect", "disconnect", "request", "answer",   "event", "introduce",
                                        "rebind", "release", "present",    "exists",  "replaced", "death", "shutdown"};
    trace_print_place(to, rec);
    if (rec->kind < TRACE_KINDS)
        (void)fprintf(to, " %s", names[rec->kind]);
    else
        (void)fprintf(to, " kind %u", rec->kind);
    if (rec->kind == TRACE_REQUEST || rec->kind == TRACE_ANSWER || rec->kind == TRACE_EVENT) {
        (void)fprintf(to, " %" PRIu32 " ", rec->req_id);
        trace_print_message(to, rec->type, rec->tx_id, payload, rec->len);
    } else if (rec->kind >= TRACE_INTRODUCE) {
        (void)fprintf(to, " %" PRId32, rec->result);
    }
    (void)fputc('\n', to);
}
