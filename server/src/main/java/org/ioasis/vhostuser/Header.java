// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.FLAGS_NEED_REPLY;

/**
 * The header of a message. Immutable.
 *
 * @param request u32
 * @param flags u32
 * @param size u32, of what follows the header
 */
record Header(long request, int flags, long size) {
    boolean needsReply() {
        return (flags & FLAGS_NEED_REPLY) != 0;
    }
}
