// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * Rings in a guest's memory, of one device, that a busy loop looks at so that the guest need not
 * wake it. Loop thread.
 */
public interface Rings {
    /** Looks, and does what there is to do, within the bounds of a kick. True if there was some. */
    boolean look();

    /**
     * The loop looks no more, and may sleep: from now on the guest wakes it. True if something had
     * come before that; it is done.
     */
    boolean rest();

    /**
     * One of them threw: what the rings belong to must end now. An InternalError is memory that is
     * gone, which the JVM may say a moment after the access; anything else is ours, and the loop
     * has logged it.
     */
    void failed(Throwable cause);
}
