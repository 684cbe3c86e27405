// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * What a user has written about one device, in a file or on the command line. What is asked for is
 * known, the rest is a mistake. What is wrong is noted, and read as if it were not there. One
 * thread.
 */
public interface DeviceKeys {
    @Nullable String string(String key);

    @Nullable Path path(String key);

    /** A path that must be there; null, and noted, if it is not. */
    @Nullable Path requiredPath(String key);

    /** On the command line: the key alone, or {@code no} and the key for what is usually true. */
    boolean bool(String key, boolean otherwise);

    /** An integer {@code min..max}, signed. */
    long integer(String key, long min, long max, long otherwise);

    /** What stands together under one key, or null; nothing does on the command line. */
    @Nullable DeviceKeys table(String key);

    /** Notes that something is wrong with the value of {@code key}. */
    void problem(String key, String text);

    /** Notes the keys that nobody has asked for. */
    void finish();
}
