// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.nio.file.Path;

/**
 * A device that is offered to VMMs, at one moment. Immutable.
 *
 * @param hasClient a VMM is connected
 * @param sessions clients served so far, the present one included
 * @param refused clients turned away because one was being served
 * @param regions ranges of guest memory that the client has told of
 * @param regionsWithoutDescriptor those of them that we cannot reach, such as ROM
 * @param sharedBytes size of the others
 * @param unreachableAccesses accesses so far that were refused because they met a region without a
 *     descriptor
 * @param isMemoryUnshared the present client, or else the last one, does not share the guest's RAM
 *     with us: more of what is writable has no descriptor than has one
 * @param messages handled for the present client
 * @param receives calls of the system that have read from the client's socket
 * @param sends calls that have written to it
 * @param errors of the messages that were answered with an error
 * @param lastError why the last of those was, or {@code none}
 * @param lastEnd why the last session ended; empty before the first end
 */
public record ServedInfo(
        Path socket,
        boolean hasClient,
        int sessions,
        int refused,
        int regions,
        int regionsWithoutDescriptor,
        long sharedBytes,
        long unreachableAccesses,
        boolean isMemoryUnshared,
        long messages,
        long receives,
        long sends,
        long errors,
        String lastError,
        String lastEnd) {}
