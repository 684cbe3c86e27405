// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.nio.file.Path;
import org.ioasis.output.OutputKind;

/**
 * What trace is wanted. Immutable.
 *
 * @param isJson one JSON object per line instead of text
 * @param limitBytes the file does not become larger
 */
public record TraceConfig(Path file, boolean isJson, long limitBytes) {
    /** The usual limit, in MiB. */
    public static final int LIMIT_MIB = 1024;

    /** Most that can be chosen, in MiB. */
    public static final int LIMIT_MIB_MAX = 1 << 20;

    /** What the file is to the user. */
    public OutputKind kind() {
        return isJson ? OutputKind.JSON_TRACE : OutputKind.TRACE;
    }

    /**
     * A trace with a limit in MiB.
     *
     * @param limitMib 1 to {@link #LIMIT_MIB_MAX}
     */
    public static TraceConfig of(Path file, boolean isJson, int limitMib) {
        return new TraceConfig(file, isJson, (long) limitMib << 20);
    }
}
