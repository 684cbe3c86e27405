// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.util.Optional;

/**
 * The first thing in a run that must not be. Immutable.
 *
 * @param reached index of the last step that the devices were given, or -1
 * @param request number of the request at which it was seen
 * @param what a difference without a reason, or why a device does not go on
 * @param isBreak a device does not go on
 */
record Finding(int reached, long request, String what, boolean isBreak) {
    /** The other one is seen as the same: devices stop in many words. */
    boolean isLike(Optional<Finding> other) {
        return other.isPresent()
                && isBreak == other.get().isBreak
                && (isBreak || what.equals(other.get().what));
    }
}
