// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.nio.file.Path;

/**
 * A server at one moment. Immutable.
 *
 * @param hasClient a VMM is connected
 * @param sessions clients served so far, the present one included
 * @param refused clients turned away because one was being served
 * @param regions ranges of guest memory that the client has told of
 * @param regionsWithoutDescriptor those of them that we cannot reach, such as ROM
 * @param sharedBytes size of the others
 * @param isMemoryUnshared the present client, or else the last one, has writable memory that it
 *     does not share with us
 * @param messages handled for the present client
 * @param errors of them answered with an error
 * @param lastError why the last of those was, or {@code none}
 * @param lastEnd why the last session ended; empty before the first end
 */
public record ServerInfo(
        Path socket,
        boolean hasClient,
        int sessions,
        int refused,
        int regions,
        int regionsWithoutDescriptor,
        long sharedBytes,
        boolean isMemoryUnshared,
        long messages,
        long errors,
        String lastError,
        String lastEnd) {}
