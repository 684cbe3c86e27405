// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.nio.file.Path;

/**
 * A recording that is wanted. Immutable.
 *
 * @param file replaced if it is a recording
 * @param limitBytes what the file has at most
 * @param command what was started, for who reads the recording later
 */
public record RecordConfig(Path file, long limitBytes, String command) {
    /** Unless another limit is chosen. */
    public static final int LIMIT_MIB = 1024;

    public static final int LIMIT_MIB_MAX = 1 << 20;

    private static final int LG2_MIB = 20;

    public static RecordConfig of(Path file, int limitMiB, String command) {
        return new RecordConfig(file, (long) limitMiB << LG2_MIB, command);
    }
}
