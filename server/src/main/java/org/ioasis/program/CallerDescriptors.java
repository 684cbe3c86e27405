// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * What a caller that is a process of its own has beside its memory: open files, such as the
 * eventfds that it wants interrupts by. Valid until the answer, on the thread that answers.
 */
public interface CallerDescriptors {
    /** A descriptor of our own for an open file of the caller's; null: it has none, or is gone. */
    @Nullable Fd descriptor(int number);
}
