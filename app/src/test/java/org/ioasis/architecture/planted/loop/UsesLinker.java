// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.loop;

import java.lang.foreign.Linker;

/** Breaks: native calls only in sys. */
public final class UsesLinker {
    private UsesLinker() {}

    public static Object use() {
        return Linker.nativeLinker();
    }
}
