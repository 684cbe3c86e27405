// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * Rings in a guest's memory, of one device, that a busy loop looks at so that the guest need not
 * wake it. Loop thread. Nothing here throws because of what a guest or a VMM does.
 */
public interface Rings {
    /** Looks, and does what there is to do, within the bounds of a kick. True if there was some. */
    boolean look();

    /**
     * The loop looks no more, and may sleep: from now on the guest wakes it. True if something had
     * come before that; it is done.
     */
    boolean rest();
}
