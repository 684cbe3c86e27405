// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.FLAGS_NO_REPLY;
import static org.ioasis.spec.VfioUser.FLAGS_TYPE_MASK;

/**
 * The header of a message. Immutable.
 *
 * @param id u16, chosen by the sender and sent back
 * @param command u16
 * @param size u32, of the whole message
 * @param flags u32
 */
record Header(int id, int command, long size, int flags) {
    int type() {
        return flags & FLAGS_TYPE_MASK;
    }

    boolean wantsReply() {
        return (flags & FLAGS_NO_REPLY) == 0;
    }
}
