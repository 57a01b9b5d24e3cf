/* SPDX-License-Identifier: ISC */
/*
 * A xenstore server's changes as a journal, so that after a crash another one can go on with what was in force: the
 * tree, the domains with their watches, targets and limits. The journal is a whole state, in pieces, and then what has
 * changed since, a group at a time: of a group all is there or nothing. docs/spec/xenstore-journal.md.
 *
 * Freestanding, as the server itself. One thread. A server without a journal pays nothing for it.
 */
#ifndef XIDS_XS_JOURNAL_H
#define XIDS_XS_JOURNAL_H

#include <xids/xs_state.h>

XIDS_BEGIN_DECLS

struct xids_xs_journal {
    /*
     * Takes a frame: one call for one frame. A negative errno: it is not in the journal; what it says will be in the
     * next one. The functions below return it.
     */
    int (*write)(void *ctx, const void *bytes, size_t len);
    /* As in struct xids_xs_save, of rings alone; what is told must make sense to another process. */
    void (*conn)(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state);
    /*
     * The answers to changes are about to go out over a ring: call xids_xs_journal_changes. What cannot be written is
     * the host's to mend: the answers go out.
     */
    void (*sync)(void *ctx);
    void *ctx;
};

/*
 * Begins to note changes, from the state that xids_xs_journal_whole is to write; NULL: no more. The journal is copied.
 * -XEN_ENOMEM.
 */
int xids_xs_server_journal(struct xids_xs_server *s, const struct xids_xs_journal *journal) XIDS_MUST_CHECK;

/* Whether anything has changed that is in no frame yet. */
bool xids_xs_journal_due(const struct xids_xs_server *s);

/* Writes a frame of all that has changed since the last; none when nothing has. -XEN_ENOMEM: nothing is lost by it. */
int xids_xs_journal_changes(struct xids_xs_server *s) XIDS_MUST_CHECK;

/*
 * Writes the next frame of a whole state, with about max nodes: that of the moment of the first frame, whatever changes
 * in between. write gets those frames too. 1: there are more; 0: that was the last. After an error the next call begins
 * a new whole. max 0: gives up what has been begun.
 */
int xids_xs_journal_whole(struct xids_xs_server *s, unsigned int max) XIDS_MUST_CHECK;

/*
 * Restores out of a whole state and the frames of changes behind it, as xids_xs_server_restore does, from which all but
 * the meaning of the bytes is the same. What comes after the last good frame is left out: *used is where that ends.
 * Each watch has an event for its own path, and each ring goes on where it stood, or is told of an error
 * (XENSTORE_ERROR_COMM) when it is not known where it stood. -XEN_EBADMSG: the whole state is not there, or a frame
 * that is good says what cannot be.
 */
int xids_xs_journal_restore(struct xids_xs_server *s, struct xids_xs_state_error *error, size_t *used,
                            const struct xids_xs_restore *restore, const void *bytes, size_t len) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
