/* SPDX-License-Identifier: ISC */
/*
 * Bytes between a channel and a file descriptor, with no buffer in between: the kernel reads straight into the ring and
 * writes straight out of it. For pipes, stream sockets, files and terminals.
 *
 * A pump:
 *
 *     for (;;) {
 *         n = xids_vchan_from_fd(ch, &side, &in, max)     and the other way: xids_vchan_to_fd(ch, &side, &out, max)
 *         n > 0                                           go on
 *         -XEN_EAGAIN, side XIDS_VCHAN_SIDE_FD            poll the descriptor
 *         -XEN_EAGAIN, side XIDS_VCHAN_SIDE_CHANNEL       xids_vchan_arm, and wait for the channel's port
 *     }
 *
 * No byte is lost between the two: none is taken from the descriptor before there is room in the ring for it, and none
 * is taken from the ring before the descriptor has it.
 *
 * Sockets never block, whatever their flags. Other descriptors block unless they have O_NONBLOCK: then poll them first,
 * and let max be PIPE_BUF for what a pipe takes without blocking.
 *
 * Thread: the channel's.
 */
#ifndef XIDS_VCHAN_FD_H
#define XIDS_VCHAN_FD_H

#include <xids/vchan.h>

XIDS_BEGIN_DECLS

/* A descriptor and what is known of it. It stays the caller's to close. Read fd at will. */
struct xids_vchan_fd {
    int fd;
    unsigned int kind;
};

enum xids_vchan_fd_flags {
    /*
     * The program ignores SIGPIPE. Without it, writing to anything but a socket or a file costs three system calls
     * more, which keep the signal from a thread whose reader has gone.
     */
    XIDS_VCHAN_FD_NO_SIGPIPE = 1u << 0,
};

/* Whose a result is. */
enum xids_vchan_side {
    XIDS_VCHAN_SIDE_CHANNEL = 1,
    XIDS_VCHAN_SIDE_FD,
};

/*
 * Looks what fd is. flags: enum xids_vchan_fd_flags.
 * Returns 0; -XEN_EINVAL: flags, or a socket that keeps messages apart, whose rest would be lost where one does not
 * fit; or an error of fstat(2). A pipe in packet mode (O_DIRECT of pipe(2)) does the same, but cannot be told from
 * others.
 */
int xids_vchan_fd_init(struct xids_vchan_fd *end, int fd, unsigned int flags) XIDS_MUST_CHECK;

/*
 * Reads up to max (1 to 2^30) bytes from a descriptor into the channel's ring, and commits them.
 * Returns the count, at most the room in the ring; 0: the end of what fd gives; else an error, and *side says whose:
 *     channel: -XEN_EAGAIN: no room now; and as xids_vchan_write
 *     fd:      -XEN_EAGAIN: nothing there now; -XEN_EINTR; and the errors of readv(2) and recvmsg(2)
 * -XEN_EINVAL: max.
 */
int xids_vchan_from_fd(struct xids_vchan *ch, enum xids_vchan_side *side, const struct xids_vchan_fd *end, uint32_t max)
    XIDS_MUST_CHECK;

/*
 * Writes up to max (1 to 2^30) bytes of what the channel's ring holds to a descriptor, and consumes them.
 * Returns the count; 0: the peer writes no more and everything was written; else an error, and *side says whose:
 *     channel: -XEN_EAGAIN: nothing there now; and as xids_vchan_read
 *     fd:      -XEN_EAGAIN: it takes nothing now; -EPIPE: nobody reads it; -XEN_EINTR; and the errors of writev(2)
 *              and sendmsg(2). What was not written stays in the ring, for another descriptor if you like.
 * -XEN_EINVAL: max.
 */
int xids_vchan_to_fd(struct xids_vchan *ch, enum xids_vchan_side *side, const struct xids_vchan_fd *end, uint32_t max)
    XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
