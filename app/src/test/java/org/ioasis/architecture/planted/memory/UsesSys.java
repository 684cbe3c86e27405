// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.memory;

import org.ioasis.architecture.planted.sys.Clean;

/** Breaks: the core never uses sys. */
public final class UsesSys {
    private UsesSys() {}

    public static Object use() {
        return Clean.class;
    }
}
