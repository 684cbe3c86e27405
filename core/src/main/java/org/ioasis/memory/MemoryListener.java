// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/**
 * Who keeps a copy of where guest memory is: an assigned or a remote device, whose accesses do not
 * come through here. What such a device reaches is two questions, to which guest-physical addresses
 * its own lead (a listener of its domain hears of that) and what memory lies behind those; either
 * answer changes under the other, and who needs both listens to both. Loop thread.
 */
public interface MemoryListener {
    /**
     * A region is there, or was when the listener came. Nothing waits for this: memory that a
     * device does not know of yet is absent to it, and what is absent is tried again.
     */
    void appeared(Region region);

    /**
     * All regions that lie in {@code gpaFirst..gpaLast} have gone, each of them whole, and are no
     * longer found here; what is told later may lie there again.
     *
     * @param letGo to be run once, at once or later, when no access of the listener's can be in
     *     them any more: the memory stays mapped until then, and who takes it away is not answered
     */
    void vanished(long gpaFirst, long gpaLast, Runnable letGo);
}
