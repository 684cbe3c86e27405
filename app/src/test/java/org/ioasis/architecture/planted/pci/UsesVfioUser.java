// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.pci;

import org.ioasis.architecture.planted.vfiouser.UsesVhostUser;

/** Breaks: a function does not know what carries it; and with UsesVhostUser it makes a cycle. */
public final class UsesVfioUser {
    private UsesVfioUser() {}

    public static Object use() {
        return UsesVhostUser.class;
    }
}
