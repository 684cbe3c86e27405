// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.vfiouser;

import java.util.List;
import org.ioasis.architecture.planted.pci.UsesVfioUser;
import org.ioasis.architecture.planted.vhostuser.Clean;

/** Breaks: the two protocols do not know each other. */
public final class UsesVhostUser {
    private UsesVhostUser() {}

    public static Object use() {
        return List.of(UsesVfioUser.class, Clean.class);
    }
}
