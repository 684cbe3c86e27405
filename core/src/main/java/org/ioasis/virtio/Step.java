// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/** Where a job has come to when its turn in a guarded section ends. */
public enum Step {
    /** At its end: the chain goes back to the driver ({@link Job#finish}). */
    FINISHED,

    /** At memory that is absent now: it goes on when memory changes, and others meanwhile. */
    ABSENT,

    /**
     * At memory that is absent, before anything was done for it: its chain goes back into the ring
     * as if it had never been taken, and holds up those behind it until memory changes. Only for a
     * job that was taken in this turn.
     */
    PUT_BACK,

    /**
     * At something that is not done in a guarded section: blocking I/O, or the answer of somebody
     * else. The device {@linkplain DeviceWork#takeOutside takes} it when the section has ended and
     * gives it back when it can go on.
     */
    OUTSIDE
}
