// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.spec;

import org.ioasis.architecture.planted.memory.UsesSys;

/** Breaks: numbers use nothing. */
public final class UsesMemory {
    private UsesMemory() {}

    public static Object use() {
        return UsesSys.class;
    }
}
