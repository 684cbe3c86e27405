// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a program is started with, where that is not ours. Immutable; any thread. The descriptors
 * stay the caller's, who keeps them open until the program is started.
 *
 * @param environment all of it; null: ours
 * @param input standard input; null: ours
 * @param output standard output; null: ours
 * @param errors standard error output; null: ours
 */
public record ProgramSetting(
        @Nullable Map<String, String> environment,
        @Nullable Fd input,
        @Nullable Fd output,
        @Nullable Fd errors) {
    /** As we are. */
    public static final ProgramSetting INHERITED = new ProgramSetting(null, null, null, null);
}
