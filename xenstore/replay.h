/* SPDX-License-Identifier: ISC */
/* What is made of a trace: lines, and the same requests again in a fresh server. */
#ifndef XIDS_XENSTORE_REPLAY_H
#define XIDS_XENSTORE_REPLAY_H

#include <stdio.h>

#include "xenstore/trace.h"

/* ---- trace_print.c ---- */
void trace_print(FILE *to, const struct trace_record *rec, const uint8_t *payload);
/* When and on which connection. */
void trace_print_place(FILE *to, const struct trace_record *rec);
void trace_print_message(FILE *to, uint32_t type, uint32_t tx_id, const uint8_t *payload, size_t len);
void trace_print_text(FILE *to, const uint8_t *bytes, size_t len);

/* ---- replay.c ---- */

struct replay_result {
    size_t records, requests, answers, differ;
    bool whole;        /* nothing from before the trace is missing */
    const char *error; /* NULL, or where and why it ended early */
};

/* Gives the requests of a trace to a fresh server; writes a line to out for each answer that differs. False: it could
 * not be done, result->error says why. */
bool replay_trace(struct replay_result *result, FILE *out, const void *bytes, size_t len);

/* The whole of xids-xenstored --replay: the exit status. */
int replay_file(const char *path, bool print_only);

#endif
