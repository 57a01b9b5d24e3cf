/* SPDX-License-Identifier: ISC */
/* Sources of entropy that work, and that do not, each in its own way: for xids-randomd's tests. */
#ifndef XIDS_TESTS_UNIT_FAKE_SOURCE_H
#define XIDS_TESTS_UNIT_FAKE_SOURCE_H

enum fake_kind {
    FAKE_EGD,  /* a unix socket */
    FAKE_TPM,  /* likewise */
    FAKE_PIPE, /* a named pipe */
};

enum fake_mode {
    FAKE_FINE,
    FAKE_STUCK,
    FAKE_BIASED,
    FAKE_DRIBBLE, /* fine, byte by byte */
    FAKE_SILENT,  /* takes requests and answers nothing */
    FAKE_SHORT,   /* hangs up in the middle of an answer */
    FAKE_LONG,    /* gives more than it was asked for */
    FAKE_GONE,    /* hangs up at once */
    /* a TPM's alone */
    FAKE_ERROR, /* a code that says so */
    FAKE_BUSY,  /* for a while */
    FAKE_MORE,  /* more random bytes than asked for, in a whole answer */
    FAKE_EMPTY, /* none */
    FAKE_CUT,   /* fewer than it says */
    FAKE_HUGE,  /* an answer of 4 GB, it says */
    FAKE_TINY,  /* of less than its header */
    FAKE_MODES,
};

extern const char *const fake_mode_names[FAKE_MODES];

/* Makes the socket or pipe, in the place of one that is there. A socket's descriptor, else 0; or -1. */
int fake_source_make(enum fake_kind kind, const char *path);
/* Serves one reader after the other, a pipe only the first; does not return. */
_Noreturn void fake_source_serve(enum fake_kind kind, int fd, const char *path, enum fake_mode mode);

#endif
