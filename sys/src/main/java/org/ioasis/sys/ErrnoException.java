// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.IOException;

/**
 * Linux refused a call, or Ioasis refused to make it and says so in Linux's words. The message
 * names the call, its object and numbers, and the error: {@code mmap fd=7 offset=0x0 length=4096:
 * ENOMEM}. Any thread.
 */
public final class ErrnoException extends IOException {
    private static final long serialVersionUID = 1L;

    private final String call;
    private final String detail;
    private final int errno;

    /** A refusal of {@code call} for the object and numbers in {@code detail} (may be empty). */
    ErrnoException(String call, String detail, int errno) {
        super(call + (detail.isEmpty() ? "" : " " + detail) + ": " + Errno.name(errno));
        this.call = call;
        this.detail = detail;
        this.errno = errno;
    }

    /** Name of the system call, as in its manual page. */
    public String call() {
        return call;
    }

    /** What went wrong and why, for users: the message has the error's name instead. */
    public String inWords() {
        return call + (detail.isEmpty() ? "" : " " + detail) + ": " + Errno.words(errno);
    }

    /** The error, one of {@link Errno}'s numbers or another of Linux's, always positive. */
    public int errno() {
        return errno;
    }
}
